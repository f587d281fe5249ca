/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupt lines of devices, handed to domain 0 as events; pirq = GSI.
 *
 * A line is unmasked exactly while it is bound and no interrupt of it is in
 * service.  A level-triggered line is masked when it fires, before the local APIC
 * is told (SDM 3A 11.8.5: the IO-APIC would deliver it again at once), and stays
 * so - `in_service' - until domain 0 says PHYSDEVOP_eoi.  An edge is only noted.
 *
 * Lock: pirq_lock, inside evtchn.lock (bind and unbind come from there), so it is
 * let go before an event is sent.
 */
#include <pv/domain.h>
#include <pv/errno.h>
#include <pv/irq.h>
#include <pv/lib.h>

struct pirq {
	struct domain *owner;	/* NULL: not bound */
	bool routed;		/* the IO-APIC pin is programmed */
	bool level;
	bool in_service;
};

#define NR_ISA_IRQS	16u

static struct pirq pirqs[EVTCHN_NR_PIRQS];
static struct spinlock pirq_lock = SPINLOCK_INIT;

void pirq_init(void)
{
	if (ioapic_nr_gsis() > EVTCHN_NR_PIRQS)
		pr_warn("irq: only the first %u of %u GSIs are usable\n", EVTCHN_NR_PIRQS,
			ioapic_nr_gsis());
}

bool pirq_valid(unsigned int pirq)
{
	return pirq < EVTCHN_NR_PIRQS && pirq < ioapic_nr_gsis();
}

static int route_locked(unsigned int gsi, bool level, bool active_low)
{
	struct pirq *p = &pirqs[gsi];
	int vector;

	if (p->routed || gsi == uart_gsi())	/* the console's line is the hypervisor's own */
		return -EEXIST;
	vector = ioapic_route(gsi, level, active_low);
	if (vector < 0)
		return vector;
	p->routed = true;
	p->level = level;
	return 0;
}

/* MADT's word for the GSI of one of the 16 ISA interrupts; edge, active high by default. */
static int route_isa_locked(unsigned int gsi)
{
	bool level, active_low;
	unsigned int irq;

	for (irq = 0; irq < NR_ISA_IRQS; irq++)
		if (ioapic_isa_override(irq, &level, &active_low) == gsi)
			return route_locked(gsi, level, active_low);
	return -EINVAL;
}

int pirq_setup(unsigned int gsi, bool level, bool active_low)
{
	int err;

	if (!pirq_valid(gsi))
		return -EINVAL;
	spin_lock(&pirq_lock);
	err = route_locked(gsi, level, active_low);
	spin_unlock(&pirq_lock);
	return err;
}

bool pirq_level(unsigned int pirq)
{
	return pirq < EVTCHN_NR_PIRQS && ACCESS_ONCE(pirqs[pirq].level);
}

int pirq_bind(struct domain *d, unsigned int pirq, bool will_share)
{
	struct pirq *p;
	int err = 0;

	(void)will_share;	/* one owner only, so there is nobody to share with */
	if (!pirq_valid(pirq))
		return -EINVAL;
	p = &pirqs[pirq];
	spin_lock(&pirq_lock);
	if (p->owner || pirq == uart_gsi())
		err = -EBUSY;
	else if (!p->routed)
		err = route_isa_locked(pirq);
	if (!err) {
		p->owner = d;
		p->in_service = false;
		ioapic_unmask(pirq);
	}
	spin_unlock(&pirq_lock);
	return err;
}

void pirq_unbind(struct domain *d, unsigned int pirq)
{
	struct pirq *p = &pirqs[pirq];

	spin_lock(&pirq_lock);
	if (p->owner == d) {
		ioapic_mask(pirq);
		p->owner = NULL;
		p->in_service = false;
	}
	spin_unlock(&pirq_lock);
}

int pirq_eoi(unsigned int pirq)
{
	struct pirq *p;
	int err = -EINVAL;

	if (pirq >= EVTCHN_NR_PIRQS)
		return -EINVAL;
	p = &pirqs[pirq];
	spin_lock(&pirq_lock);
	if (p->owner) {
		err = 0;
		if (p->in_service) {
			p->in_service = false;
			ioapic_unmask(pirq);
		}
	}
	spin_unlock(&pirq_lock);
	return err;
}

void irq_handle_gsi(unsigned int gsi)
{
	struct domain *owner;
	struct pirq *p;

	if (gsi >= EVTCHN_NR_PIRQS)
		return;
	p = &pirqs[gsi];
	spin_lock(&pirq_lock);
	owner = p->owner;
	if (!owner || p->level)
		ioapic_mask(gsi);
	if (owner && p->level)
		p->in_service = true;
	spin_unlock(&pirq_lock);
	/* Domain 0 is never freed, so its pointer outlives the lock. */
	if (owner)
		evtchn_send_pirq(owner, gsi);
}
