/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few facts of ACPI that a hypervisor without a driver for anything needs: CPUs and
 * I/O APICs (MADT), power and timer ports (FADT), the HPET.
 *
 * Tables are firmware's and may lie: each is mapped by its own length (bounded), must sum to
 * zero, and is walked within it.  A table that fails is left out with a warning.  Boot only.
 * Source: ACPI Specification 6.4, 5.2.
 */
#include <pv/lib.h>
#include <pv/percpu.h>
#include <pv/platform.h>
#include <pv/acpi.h>

#define TABLE_MAX	0x100000u	/* bytes; what is read here is far smaller */
#define SDT_HEAD	36u

struct rsdp {
	char signature[8];
	uint8_t checksum;
	char oem[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t ext_checksum, reserved[3];
} __packed;
static_assert(sizeof(struct rsdp) == 36, "ACPI 6.4, table 5-27");

struct sdt {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem[6], oem_table[8];
	uint32_t oem_revision, creator, creator_revision;
} __packed;
static_assert(sizeof(struct sdt) == SDT_HEAD, "ACPI 6.4, table 5-29");

struct efi_system_table {	/* UEFI 2.10, 4.3, 64-bit */
	uint64_t signature;
	uint32_t revision, header_size, crc, reserved;
	uint64_t pointers[10];	/* vendor .. boot services */
	uint64_t nr_config, config;
};
struct efi_config { uint64_t guid[2], table; };
static_assert(__builtin_offsetof(struct efi_system_table, nr_config) == 104, "UEFI 2.10, 4.3");

uint16_t acpi_pm1a_cnt, acpi_pm1b_cnt, acpi_pm_timer_port;
uint8_t acpi_century_reg;
uint64_t acpi_lapic_maddr = 0xfee00000;
uint64_t acpi_hpet_maddr;
unsigned int acpi_nr_ioapics;
uint64_t acpi_ioapic_maddr[8];
uint32_t acpi_ioapic_gsi_base[8];
struct acpi_cpu acpi_cpus[MAX_CPUS];
unsigned int acpi_nr_cpus;
struct acpi_override acpi_override[16];
uint64_t acpi_rsdp_maddr;
uint8_t acpi_rsdp_copy[36];
unsigned int acpi_rsdp_len;
uint64_t acpi_efi_system_table;

static bool __init sum_is_zero(const void *p, size_t n)
{
	const uint8_t *b = p;
	uint8_t sum = 0;

	while (n--)
		sum += *b++;
	return !sum;
}

static bool __init phys_range_ok(uint64_t maddr, uint64_t size)
{
	return maddr && maddr + size > maddr && !((maddr + size - 1) >> cpu_features.phys_bits);
}

/* --- RSDP --- */

static bool __init rsdp_ok(const struct rsdp *r)
{
	if (memcmp(r->signature, "RSD PTR ", 8) || !sum_is_zero(r, 20))
		return false;
	return r->revision < 2 || sum_is_zero(r, 36);
}

static bool __init rsdp_take(const struct rsdp *r, uint64_t maddr)
{
	if (!rsdp_ok(r))
		return false;
	acpi_rsdp_len = r->revision < 2 ? 20 : 36;
	memcpy(acpi_rsdp_copy, r, acpi_rsdp_len);
	acpi_rsdp_maddr = maddr;
	return true;
}

static bool __init rsdp_scan(uint64_t from, uint64_t to)
{
	for (uint64_t a = from & ~15UL; a + sizeof(struct rsdp) <= to; a += 16) {
		if (rsdp_take(maddr_to_virt(a), a))
			return true;
	}
	return false;
}

/* ACPI 6.4, 5.2.5.1: first KB of the extended BIOS data area, then the BIOS's last 128 KB. */
static bool __init rsdp_scan_bios(void)
{
	uint64_t ebda = (uint64_t)*(volatile uint16_t *)maddr_to_virt(0x40e) << 4;

	if (ebda >= 0x400 && ebda <= 0xa0000 - 1024 && rsdp_scan(ebda, ebda + 1024))
		return true;
	return rsdp_scan(0xe0000, 0x100000);
}

/* The loader's copy lacks the address, which domain 0 wants; EFI's own list has it. */
static void __init rsdp_from_efi(void)
{
	static const uint64_t acpi20_guid[2] = { 0x11d3e4f18868e871UL, 0x81883cc7800022bcUL };
	const struct efi_system_table *st;
	const struct efi_config *c;

	if (!phys_range_ok(acpi_efi_system_table, sizeof(*st)))
		return;
	st = (const void *)ioremap(acpi_efi_system_table, sizeof(*st));
	if (st->signature != 0x5453595320494249UL || st->nr_config > 256 ||
	    !phys_range_ok(st->config, st->nr_config * sizeof(*c)))
		return;
	c = (const void *)ioremap(st->config, st->nr_config * sizeof(*c));
	for (uint64_t i = 0; i < st->nr_config; i++) {
		if (!memcmp(c[i].guid, acpi20_guid, 16) &&
		    phys_range_ok(c[i].table, sizeof(struct rsdp)) &&
		    rsdp_take((const void *)ioremap(c[i].table, sizeof(struct rsdp)), c[i].table))
			return;
	}
}

static bool __init rsdp_find(void)
{
	bool from_loader = acpi_rsdp_len && rsdp_ok((const struct rsdp *)acpi_rsdp_copy);

	if (acpi_efi_system_table)
		rsdp_from_efi();
	if (acpi_rsdp_maddr)
		return true;
	if (!boot_by_efi && rsdp_scan_bios())
		return true;
	return from_loader;
}

/* --- tables --- */

static const struct sdt *__init table_map(uint64_t maddr)
{
	const struct sdt *t;
	uint32_t length;

	if (!phys_range_ok(maddr, SDT_HEAD))
		return NULL;
	t = (const void *)ioremap(maddr, SDT_HEAD);
	length = t->length;
	if (length < SDT_HEAD || length > TABLE_MAX || !phys_range_ok(maddr, length))
		return NULL;
	return (const void *)ioremap(maddr, length);
}

static void __init parse_madt_override(const uint8_t *e)
{
	uint8_t irq = e[3];
	uint16_t flags;
	uint32_t gsi;

	if (e[2] != 0 || irq >= 16)	/* bus 0 is ISA */
		return;
	memcpy(&gsi, e + 4, 4);
	memcpy(&flags, e + 8, 2);
	acpi_override[irq] = (struct acpi_override){
		.present = true, .gsi = gsi, .active_low = (flags & 3) == 3,
		.level = (flags >> 2 & 3) == 3,
	};
}

static void __init add_cpu(uint32_t id, uint32_t acpi_id, uint32_t flags)
{
	if (!(flags & 1))
		return;
	for (unsigned int i = 0; i < acpi_nr_cpus; i++) {
		if (acpi_cpus[i].apic_id == id)
			return;
	}
	if (acpi_nr_cpus == MAX_CPUS) {
		pr_warn("acpi: more than %u CPUs, the rest stays off", MAX_CPUS);
		return;
	}
	acpi_cpus[acpi_nr_cpus++] = (struct acpi_cpu){ id, acpi_id };
}

static void __init parse_madt_entry(const uint8_t *e, uint8_t type, uint8_t len)
{
	uint32_t a, b, c;

	if (type == 0 && len >= 8) {			/* local APIC */
		memcpy(&a, e + 4, 4);
		add_cpu(e[3], e[2], a);
	} else if (type == 9 && len >= 16) {		/* local x2APIC */
		memcpy(&a, e + 4, 4);
		memcpy(&b, e + 8, 4);
		memcpy(&c, e + 12, 4);
		add_cpu(a, c, b);
	} else if (type == 1 && len >= 12) {		/* I/O APIC */
		memcpy(&a, e + 4, 4);
		memcpy(&b, e + 8, 4);
		if (acpi_nr_ioapics < ARRAY_SIZE(acpi_ioapic_maddr)) {
			acpi_ioapic_maddr[acpi_nr_ioapics] = a;
			acpi_ioapic_gsi_base[acpi_nr_ioapics++] = b;
		}
	} else if (type == 2 && len >= 10) {		/* interrupt source override */
		parse_madt_override(e);
	} else if (type == 5 && len >= 12) {		/* 64-bit address of the local APICs */
		memcpy(&acpi_lapic_maddr, e + 4, 8);
	}
}

static void __init parse_madt(const struct sdt *t)
{
	const uint8_t *p = (const uint8_t *)t;
	uint32_t pos = 44, lapic;

	if (t->length < pos)
		return;
	memcpy(&lapic, p + 36, 4);
	acpi_lapic_maddr = lapic;
	while (t->length - pos >= 2) {
		uint8_t len = p[pos + 1];

		if (len < 2 || len > t->length - pos)
			break;
		parse_madt_entry(p + pos, p[pos], len);
		pos += len;
	}
}

/* A port from the 32-bit field at @old, or the I/O-space generic address at @gas. */
static uint16_t __init fadt_port(const struct sdt *t, uint32_t old, uint32_t gas)
{
	const uint8_t *p = (const uint8_t *)t;
	uint32_t port32 = 0;
	uint64_t port64;

	if (t->length >= old + 4)
		memcpy(&port32, p + old, 4);
	if (!port32 && t->length >= gas + 12 && p[gas] == 1) {
		memcpy(&port64, p + gas + 4, 8);
		port32 = port64 <= 0xffff ? (uint32_t)port64 : 0;
	}
	return port32 <= 0xffff ? (uint16_t)port32 : 0;
}

static void __init parse_fadt(const struct sdt *t)
{
	const uint8_t *p = (const uint8_t *)t;

	acpi_pm1a_cnt = fadt_port(t, 64, 172);
	acpi_pm1b_cnt = fadt_port(t, 68, 184);
	acpi_pm_timer_port = fadt_port(t, 76, 208);
	if (t->length > 108)
		acpi_century_reg = p[108];
}

static void __init parse_hpet(const struct sdt *t)
{
	const uint8_t *p = (const uint8_t *)t;
	uint64_t addr;

	if (t->length < 56 || p[40] != 0)		/* memory space */
		return;
	memcpy(&addr, p + 44, 8);
	if (phys_range_ok(addr, 0x400))
		acpi_hpet_maddr = addr;
}

static void __init parse_table(uint64_t maddr)
{
	static const struct {
		char signature[5];
		void (*parse)(const struct sdt *);
	} wanted[] = { { "APIC", parse_madt }, { "FACP", parse_fadt }, { "HPET", parse_hpet } };
	const struct sdt *t;

	if (!phys_range_ok(maddr, SDT_HEAD))
		return;
	t = (const void *)ioremap(maddr, SDT_HEAD);
	pr_debug("acpi: %.4s at 0x%lx, %u bytes", t->signature, maddr, t->length);
	for (unsigned int i = 0; i < ARRAY_SIZE(wanted); i++) {
		if (memcmp(t->signature, wanted[i].signature, 4))
			continue;
		t = table_map(maddr);
		if (t && sum_is_zero(t, t->length))
			wanted[i].parse(t);
		else
			pr_warn("acpi: %s at 0x%lx is damaged, left out", wanted[i].signature, maddr);
		return;
	}
}

static void __init parse_root(uint64_t maddr, uint32_t entry_size)
{
	const struct sdt *root = table_map(maddr);
	const uint8_t *p = (const uint8_t *)root;
	uint32_t n;

	if (!root || !sum_is_zero(root, root->length))
		panic("the root table of ACPI at 0x%lx is damaged", maddr);
	n = min((root->length - SDT_HEAD) / entry_size, 256u);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t entry = 0;

		memcpy(&entry, p + SDT_HEAD + i * entry_size, entry_size);
		parse_table(entry);
	}
}

void __init acpi_init(void)
{
	const struct rsdp *r = (const struct rsdp *)acpi_rsdp_copy;

	if (!rsdp_find())
		panic("no ACPI tables: neither the loader nor the BIOS area has an RSDP");
	if (acpi_rsdp_len == 36 && r->xsdt)
		parse_root(r->xsdt, 8);
	else
		parse_root(r->rsdt, 4);
	pr_info("acpi: RSDP at 0x%lx, %u CPUs, %u I/O APICs, PM1a control 0x%x, PM timer 0x%x%s",
		acpi_rsdp_maddr, acpi_nr_cpus, acpi_nr_ioapics, acpi_pm1a_cnt, acpi_pm_timer_port,
		acpi_hpet_maddr ? ", HPET" : "");
}
