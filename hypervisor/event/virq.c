/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtual and physical interrupts as events.
 *
 * evtchn_domain.virq_port and pirq_port lead from the source to the port; an
 * entry is not zero exactly while that port is in state VIRQ or PIRQ.  Both
 * tables change under evtchn.lock only (event/evtchn.c).
 */
#include <pv/domain.h>

bool virq_is_global(unsigned int virq)
{
	switch (virq) {
	case VIRQ_TIMER:
	case VIRQ_DEBUG:
	case VIRQ_XENOPROF:
	case VIRQ_XENPMU:
		return false;
	default:
		return true;
	}
}

static void send_row(struct domain *d, unsigned int row, unsigned int virq)
{
	uint16_t port;

	spin_lock(&d->evtchn.lock);
	port = d->evtchn.virq_port ? d->evtchn.virq_port[row * NR_VIRQS + virq] : 0;
	if (port)
		evtchn_set_pending(d, port);
	spin_unlock(&d->evtchn.lock);
}

void evtchn_send_virq(struct vcpu *v, unsigned int virq)
{
	if (virq < NR_VIRQS && v->id < MAX_VCPUS)
		send_row(v->domain, v->id, virq);
}

void evtchn_send_global_virq(unsigned int virq)
{
	if (dom0 && virq < NR_VIRQS)
		send_row(dom0, 0, virq);
}

bool evtchn_send_pirq(struct domain *d, unsigned int pirq)
{
	uint16_t port = 0;

	spin_lock(&d->evtchn.lock);
	if (d->evtchn.pirq_port && pirq < EVTCHN_NR_PIRQS)
		port = d->evtchn.pirq_port[pirq];
	if (port)
		evtchn_set_pending(d, port);
	spin_unlock(&d->evtchn.lock);
	return port != 0;
}
