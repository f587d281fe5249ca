/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the boot loader tells: multiboot1 and multiboot2 information.
 *
 * The structures are hostile: every length and count is bounded before use, strings are cut,
 * addresses outside the first 4 GB (all that the boot tables map) are refused.  All that is
 * needed later is copied; the structures' own memory is free RAM afterwards.
 * Sources: Multiboot Specification 0.6.96, 3.3; Multiboot2 Specification 2.0, 3.6.
 */
#include <pv/lib.h>
#include <pv/platform.h>

#define MB1_LOADER_MAGIC	0x2badb002u
#define MB2_LOADER_MAGIC	0x36d76289u
#define BOOT_MAPPED		0x100000000UL
#define INFO_MAX		0x100000u	/* no honest loader needs 1 MB */

struct mb1_info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr;
	uint32_t syms[4], mmap_length, mmap_addr, drives_length, drives_addr, config_table;
	uint32_t boot_loader_name, apm_table;
};
#define MB1_MEM		BIT(0)
#define MB1_CMDLINE	BIT(2)
#define MB1_MODS	BIT(3)
#define MB1_MMAP	BIT(6)
#define MB1_LOADER	BIT(9)
struct mb1_mod { uint32_t start, end, cmdline, reserved; };
struct mb1_mmap { uint32_t size; uint64_t addr, len; uint32_t type; } __packed;

struct mb2_tag { uint32_t type, size; };
enum {
	MB2_END = 0, MB2_CMDLINE = 1, MB2_LOADER = 2, MB2_MODULE = 3, MB2_BASIC_MEM = 4,
	MB2_MMAP = 6, MB2_FRAMEBUFFER = 8, MB2_EFI64 = 12, MB2_ACPI_OLD = 14, MB2_ACPI_NEW = 15,
	MB2_EFI_MMAP = 17,
};
struct mb2_module { struct mb2_tag tag; uint32_t start, end; char cmdline[]; };
struct mb2_mmap { struct mb2_tag tag; uint32_t entry_size, entry_version; };
struct mb2_mmap_entry { uint64_t addr, len; uint32_t type, zero; };
struct mb2_efi_mmap { struct mb2_tag tag; uint32_t desc_size, desc_version; };
struct mb2_efi64 { struct mb2_tag tag; uint64_t system_table; };
struct efi_desc { uint32_t type, pad; uint64_t phys, virt, pages, attr; };
struct mb2_fb {
	struct mb2_tag tag;
	uint64_t addr;
	uint32_t pitch, width, height;
	uint8_t bpp, type;
	uint16_t reserved;
	uint8_t red_pos, red_size, green_pos, green_size, blue_pos, blue_size;
} __packed;

struct boot_framebuffer boot_framebuffer;
bool boot_by_efi;
static char loader_name[64] = "unknown";

/* A place of @len bytes in the first 4 GB, or NULL. */
static const void *__init boot_ptr(uint64_t addr, uint64_t len)
{
	if (addr >= BOOT_MAPPED || len > BOOT_MAPPED - addr)
		return NULL;
	return maddr_to_virt(addr);
}

static void __init copy_text(char *dst, size_t size, const char *src, size_t src_max)
{
	size_t n = min(strnlen(src, src_max), size - 1);

	memcpy(dst, src, n);
	dst[n] = 0;
}

static void __init copy_text_at(char *dst, size_t size, uint64_t addr)
{
	if (addr < BOOT_MAPPED)
		copy_text(dst, size, maddr_to_virt(addr), min((uint64_t)size, BOOT_MAPPED - addr));
}

static void __init add_module(uint64_t start, uint64_t end, const char *cmdline, size_t max)
{
	struct boot_module *m = &boot_modules[nr_boot_modules];

	if (end < start || end > BOOT_MAPPED) {
		pr_warn("multiboot: module [0x%lx, 0x%lx) ignored", start, end);
		return;
	}
	if (nr_boot_modules == ARRAY_SIZE(boot_modules)) {
		pr_warn("multiboot: more than %zu modules, the rest is ignored",
			ARRAY_SIZE(boot_modules));
		return;
	}
	m->maddr = start;
	m->size = end - start;
	copy_text(m->cmdline, sizeof(m->cmdline), cmdline, max);
	nr_boot_modules++;
}

/* QEMU's -kernel and -initrd put the file's name first; GRUB leaves it out. */
static void __init drop_first_word(char *s)
{
	char *rest = strchr(s, ' ');

	if (rest)
		memmove(s, rest + 1, strlen(rest + 1) + 1);
	else
		s[0] = 0;
}

static void __init parse_mb1_mmap(uint32_t addr, uint32_t length)
{
	const char *p = boot_ptr(addr, length);
	uint32_t pos = 0;

	if (!p || length > INFO_MAX)
		return;
	while (length - pos >= sizeof(struct mb1_mmap)) {
		struct mb1_mmap e;

		memcpy(&e, p + pos, sizeof(e));
		e820_add(e.addr, e.len, e.type);
		/* size does not count itself */
		if (e.size < sizeof(e) - 4 || e.size > length - pos - 4)
			break;
		pos += e.size + 4;
	}
}

static void __init parse_mb1(uint32_t info_maddr)
{
	const struct mb1_info *info = boot_ptr(info_maddr, sizeof(*info));
	struct mb1_info i;

	if (!info)
		panic("multiboot information at 0x%x is out of reach", info_maddr);
	i = *info;
	if (i.flags & MB1_LOADER)
		copy_text_at(loader_name, sizeof(loader_name), i.boot_loader_name);
	if (i.flags & MB1_CMDLINE)
		copy_text_at(hv_cmdline, sizeof(hv_cmdline), i.cmdline);
	for (uint32_t n = 0; (i.flags & MB1_MODS) && n < i.mods_count; n++) {
		const struct mb1_mod *m = boot_ptr(i.mods_addr + (uint64_t)n * sizeof(*m), sizeof(*m));

		if (!m || n > ARRAY_SIZE(boot_modules))
			break;
		add_module(m->start, m->end, maddr_to_virt(m->cmdline),
			   min((uint64_t)sizeof(boot_modules[0].cmdline), BOOT_MAPPED - m->cmdline));
	}
	if (i.flags & MB1_MMAP) {
		parse_mb1_mmap(i.mmap_addr, i.mmap_length);
	} else if (i.flags & MB1_MEM) {
		e820_add(0, (uint64_t)i.mem_lower << 10, E820_RAM);
		e820_add(0x100000, (uint64_t)i.mem_upper << 10, E820_RAM);
	}
	if (!strcmp(loader_name, "qemu")) {
		drop_first_word(hv_cmdline);
		for (unsigned int n = 0; n < nr_boot_modules; n++)
			drop_first_word(boot_modules[n].cmdline);
	}
}

static void __init parse_mb2_mmap(const struct mb2_mmap *t)
{
	uint32_t pos = sizeof(*t);

	if (t->tag.size < sizeof(*t) || t->entry_size < sizeof(struct mb2_mmap_entry))
		return;
	while (t->tag.size - pos >= t->entry_size) {
		struct mb2_mmap_entry e;

		memcpy(&e, (const char *)t + pos, sizeof(e));
		e820_add(e.addr, e.len, e.type);
		pos += t->entry_size;
	}
}

/* UEFI 2.10, 7.2.3, table 7-10: what is free once boot services are gone. */
static uint32_t __init efi_type_to_e820(uint32_t type)
{
	switch (type) {
	case 1: case 2: case 3: case 4: case 7:
		return E820_RAM;
	case 8:
		return E820_UNUSABLE;
	case 9:
		return E820_ACPI;
	case 10:
		return E820_NVS;
	default:
		return E820_RESERVED;
	}
}

static void __init parse_mb2_efi_mmap(const struct mb2_efi_mmap *t)
{
	uint32_t pos = sizeof(*t);

	if (t->tag.size < sizeof(*t) || t->desc_size < sizeof(struct efi_desc))
		return;
	while (t->tag.size - pos >= t->desc_size) {
		struct efi_desc e;

		memcpy(&e, (const char *)t + pos, sizeof(e));
		if (e.pages <= UINT64_MAX >> PAGE_SHIFT)
			e820_add(e.phys, e.pages << PAGE_SHIFT, efi_type_to_e820(e.type));
		pos += t->desc_size;
	}
}

static void __init parse_mb2_rsdp(const struct mb2_tag *t)
{
	unsigned int len = t->type == MB2_ACPI_NEW ? 36 : 20;

	if (t->size < sizeof(*t) + len || acpi_rsdp_len > len)
		return;
	memcpy(acpi_rsdp_copy, t + 1, len);
	acpi_rsdp_len = len;
}

static void __init parse_mb2_framebuffer(const struct mb2_fb *f)
{
	struct boot_framebuffer *b = &boot_framebuffer;
	bool rgb = f->tag.size >= sizeof(*f) && f->type == 1;

	if (f->tag.size < __builtin_offsetof(struct mb2_fb, red_pos))
		return;
	*b = (struct boot_framebuffer){
		.addr = f->addr, .pitch = f->pitch, .width = f->width, .height = f->height,
		.bpp = f->bpp, .type = f->type,
	};
	if (rgb) {
		b->red_pos = f->red_pos;
		b->red_size = f->red_size;
		b->green_pos = f->green_pos;
		b->green_size = f->green_size;
		b->blue_pos = f->blue_pos;
		b->blue_size = f->blue_size;
	}
}

static const struct mb2_mmap *mb2_mmap __initdata;
static const struct mb2_efi_mmap *mb2_efi_mmap __initdata;

static void __init parse_mb2_tag(const struct mb2_tag *t)
{
	const struct mb2_module *m = (const void *)t;

	switch (t->type) {
	case MB2_CMDLINE:
		copy_text(hv_cmdline, sizeof(hv_cmdline), (const char *)(t + 1), t->size - sizeof(*t));
		break;
	case MB2_LOADER:
		copy_text(loader_name, sizeof(loader_name), (const char *)(t + 1),
			  t->size - sizeof(*t));
		break;
	case MB2_MODULE:
		if (t->size >= sizeof(*m))
			add_module(m->start, m->end, m->cmdline, t->size - sizeof(*m));
		break;
	case MB2_MMAP:
		mb2_mmap = (const void *)t;
		break;
	case MB2_EFI_MMAP:
		mb2_efi_mmap = (const void *)t;
		break;
	case MB2_EFI64:
		boot_by_efi = true;
		if (t->size >= sizeof(struct mb2_efi64))
			acpi_efi_system_table = ((const struct mb2_efi64 *)t)->system_table;
		break;
	case MB2_ACPI_OLD:
	case MB2_ACPI_NEW:
		parse_mb2_rsdp(t);
		break;
	case MB2_FRAMEBUFFER:
		parse_mb2_framebuffer((const void *)t);
		break;
	}
}

static void __init parse_mb2(uint32_t info_maddr)
{
	const uint32_t *head = boot_ptr(info_maddr, 8);
	uint32_t total, pos = 8;

	total = head ? head[0] : 0;
	if (total < 16 || total > INFO_MAX || !boot_ptr(info_maddr, total))
		panic("multiboot2 information at 0x%x has impossible size %u", info_maddr, total);
	while (total - pos >= sizeof(struct mb2_tag)) {
		const struct mb2_tag *t = (const void *)((const char *)head + pos);

		if (t->type == MB2_END || t->size < sizeof(*t) || t->size > total - pos)
			break;
		parse_mb2_tag(t);
		if (ROUND_UP(t->size, 8u) > total - pos)
			break;
		pos += ROUND_UP(t->size, 8u);
	}
	/* GRUB derives the first from the second on EFI, and merges what it used itself. */
	if (mb2_mmap)
		parse_mb2_mmap(mb2_mmap);
	else if (mb2_efi_mmap)
		parse_mb2_efi_mmap(mb2_efi_mmap);
}

void __init multiboot_parse(uint32_t magic, uint32_t info_maddr)
{
	if (magic == MB2_LOADER_MAGIC)
		parse_mb2(info_maddr);
	else if (magic == MB1_LOADER_MAGIC)
		parse_mb1(info_maddr);
	else
		panic("not started by a multiboot loader (magic 0x%x)", magic);
	pr_info("loaded by %s (multiboot%c%s)", loader_name, magic == MB2_LOADER_MAGIC ? '2' : '1',
		boot_by_efi ? ", EFI" : "");
	pr_info("command line: %s", hv_cmdline);
}
