/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The I/O APICs: from a device's global system interrupt (GSI) to a vector on CPU 0.
 *
 * Every pin is masked at start.  ioapic_route() gives a pin a vector for good; later calls
 * only learn it.  Edge interrupts are acknowledged before they are handled, so that the next
 * edge is latched; level ones are masked first, and stay so until their handler's
 * owner unmasks (domain 0's PHYSDEVOP_eoi).  Lock: ioapic_lock, innermost but for the log's.
 * The old 8259 pair is masked for ever.  Source: Intel 82093AA data sheet; 8259A data sheet.
 */
#include <pv/errno.h>
#include <pv/io.h>
#include <pv/lib.h>
#include <pv/percpu.h>
#include <pv/platform.h>
#include <pv/spinlock.h>
#include <pv/acpi.h>

#define MAX_GSIS	256
#define NO_PIN		UINT8_MAX

#define REG_VERSION	1
#define REG_REDIR(pin)	(0x10 + 2 * (pin))
#define REDIR_ACTIVE_LOW BIT(13)
#define REDIR_LEVEL	BIT(15)
#define REDIR_MASKED	BIT(16)

struct ioapic {
	volatile uint32_t *regs;
	unsigned int gsi_base, nr_pins;
	uint32_t selected;		/* register that regs[0] names; ~0 at first */
};
struct gsi_route {
	uint8_t ioapic, pin;		/* NO_PIN: no such GSI */
	uint8_t vector;			/* 0: not routed */
	bool level;
	uint32_t low;			/* redirection entry, low half, as last written */
};

static struct ioapic ioapics[8];
static unsigned int nr_gsis;
static struct gsi_route route[MAX_GSIS];
static uint16_t vector_gsi[256];
static unsigned int next_vector = VEC_GSI_FIRST;
static struct spinlock ioapic_lock = SPINLOCK_INIT;

/* A line is masked and unmasked again and again: naming its register once is enough. */
static void io_select(struct ioapic *io, uint32_t reg)
{
	if (io->selected == reg)
		return;
	io->regs[0] = reg;
	io->selected = reg;
}

static uint32_t io_read(struct ioapic *io, uint32_t reg)
{
	io_select(io, reg);
	return io->regs[4];
}

static void io_write(struct ioapic *io, uint32_t reg, uint32_t v)
{
	io_select(io, reg);
	io->regs[4] = v;
}

static struct gsi_route *gsi_get(unsigned int gsi)
{
	return gsi < nr_gsis && route[gsi].ioapic != NO_PIN ? &route[gsi] : NULL;
}

static void route_write_low(struct gsi_route *r, uint32_t low)
{
	r->low = low;
	io_write(&ioapics[r->ioapic], REG_REDIR(r->pin), low);
}

/* Vectors are spread over the priority classes from the lowest up; 0x80 belongs to guests. */
static int vector_alloc(void)
{
	if (next_vector == VEC_LEGACY_SYSCALL)
		next_vector++;
	return next_vector <= VEC_GSI_LAST ? (int)next_vector++ : -ENOSPC;
}

int ioapic_route(unsigned int gsi, bool level, bool active_low)
{
	struct gsi_route *r = gsi_get(gsi);
	uint32_t cpu0 = percpu[0].apic_id;
	int vector;

	if (!r)
		return -EINVAL;
	spin_lock(&ioapic_lock);
	if (r->vector) {
		vector = r->vector;
		goto out;
	}
	vector = vector_alloc();
	if (vector < 0)
		goto out;
	r->vector = (uint8_t)vector;
	r->level = level;
	vector_gsi[vector] = (uint16_t)gsi;
	/* masked first: a half-written entry must not fire */
	route_write_low(r, (uint32_t)(REDIR_MASKED | (uint32_t)vector));
	io_write(&ioapics[r->ioapic], REG_REDIR(r->pin) + 1, cpu0 << 24);
	route_write_low(r, (uint32_t)(REDIR_MASKED | (uint32_t)vector | (level ? REDIR_LEVEL : 0) |
				      (active_low ? REDIR_ACTIVE_LOW : 0)));
out:
	spin_unlock(&ioapic_lock);
	return vector;
}

static void ioapic_set_mask(unsigned int gsi, bool masked)
{
	struct gsi_route *r = gsi_get(gsi);
	uint32_t low;

	if (!r || !r->vector)
		return;
	spin_lock(&ioapic_lock);
	low = masked ? r->low | (uint32_t)REDIR_MASKED : r->low & ~(uint32_t)REDIR_MASKED;
	if (low != r->low)
		route_write_low(r, low);
	spin_unlock(&ioapic_lock);
}

void ioapic_mask(unsigned int gsi)
{
	ioapic_set_mask(gsi, true);
}

void ioapic_unmask(unsigned int gsi)
{
	ioapic_set_mask(gsi, false);
}

unsigned int ioapic_nr_gsis(void)
{
	return nr_gsis;
}

unsigned int ioapic_isa_override(unsigned int irq, bool *level, bool *active_low)
{
	const struct acpi_override *o = irq < ARRAY_SIZE(acpi_override) ? &acpi_override[irq] : NULL;

	*level = o && o->present && o->level;
	*active_low = o && o->present && o->active_low;
	return o && o->present ? o->gsi : irq;
}

void ioapic_interrupt(uint8_t vector)
{
	unsigned int gsi = vector_gsi[vector];
	struct gsi_route *r = gsi_get(gsi);

	if (!r || r->vector != vector) {
		apic_eoi();
		pr_guest(LOG_WARN, "ioapic: vector 0x%x belongs to no device", vector);
		return;
	}
	if (r->level && gsi != uart_gsi()) {
		/* the mask must reach the I/O APIC before the EOI, or the line fires again */
		ioapic_mask(gsi);
		(void)io_read(&ioapics[r->ioapic], REG_REDIR(r->pin));
	}
	if (gsi == uart_gsi()) {
		uart_interrupt();
		apic_eoi();
		return;
	}
	apic_eoi();
	irq_handle_gsi(gsi);
}

static void __init pic_mask_all(void)
{
	/* vectors 0x20..0x2f, so that a spurious one does not look like an exception */
	outb(0x20, 0x11);
	outb(0xa0, 0x11);
	outb(0x21, 0x20);
	outb(0xa1, 0x28);
	outb(0x21, 0x04);
	outb(0xa1, 0x02);
	outb(0x21, 0x01);
	outb(0xa1, 0x01);
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
}

static void __init ioapic_setup(unsigned int i)
{
	struct ioapic *io = &ioapics[i];

	io->regs = ioremap(acpi_ioapic_maddr[i], 0x20);
	io->selected = ~0u;
	io->gsi_base = acpi_ioapic_gsi_base[i];
	io->nr_pins = (io_read(io, REG_VERSION) >> 16 & 0xff) + 1;
	if (io->gsi_base >= MAX_GSIS || io->nr_pins > MAX_GSIS - io->gsi_base) {
		pr_warn("ioapic: GSIs %u.. are out of range, left out", io->gsi_base);
		return;
	}
	for (unsigned int pin = 0; pin < io->nr_pins; pin++) {
		struct gsi_route *r = &route[io->gsi_base + pin];

		r->ioapic = (uint8_t)i;
		r->pin = (uint8_t)pin;
		route_write_low(r, (uint32_t)REDIR_MASKED);
	}
	nr_gsis = max(nr_gsis, io->gsi_base + io->nr_pins);
	pr_debug("ioapic: 0x%lx, GSIs %u-%u", acpi_ioapic_maddr[i], io->gsi_base,
		 io->gsi_base + io->nr_pins - 1);
}

void __init ioapic_init(void)
{
	pic_mask_all();
	for (unsigned int i = 0; i < MAX_GSIS; i++)
		route[i].ioapic = NO_PIN;
	for (unsigned int i = 0; i < acpi_nr_ioapics; i++)
		ioapic_setup(i);
	if (!nr_gsis)
		pr_warn("ioapic: none found; devices have no interrupts");
}
