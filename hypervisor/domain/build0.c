/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building domain 0.
 *
 * Its memory is carved before the heap exists, as few contiguous pieces as the
 * machine's map allows, so that pfn -> mfn is linear within each and its drivers
 * find their DMA buffers contiguous.  The start layout is the ABI's: kernel at its
 * physical address, start_info, page tables, boot stack in one block mapped at
 * VIRT_BASE; the p2m list in an L4 slot of its own; the initrd unmapped behind it.
 * Sources: Xen public xen.h ("start-of-day memory layout"), elfnote.h.
 */
#include <pv/build0.h>
#include <pv/elf.h>
#include <pv/errno.h>
#include <pv/hypercall.h>
#include <pv/lib.h>
#include <pv/mmu.h>
#include <pv/x86.h>

#define MAX_CHUNKS	16
#define HV_RESERVE_MB	128		/* left to the hypervisor when dom0_mem is not given */
#define MB_FRAMES	256UL

struct chunk { uint64_t pfn, mfn, nr; };
static __initdata struct chunk chunks[MAX_CHUNKS];
static __initdata unsigned int nr_chunks;
static __initdata uint64_t dom0_pages;

/* --- memory ------------------------------------------------------------------------ */

static uint64_t __init ram_frames(void)
{
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < nr_e820; i++)
		if (e820[i].type == E820_RAM)
			sum += e820[i].size >> PAGE_SHIFT;
	return sum;
}

static bool __init take_chunk(uint64_t nr, uint64_t limit)
{
	mfn_t m = boot_alloc(nr, 1024, limit);	/* swiotlb's chunks stay aligned */

	if (mfn_eq(m, INVALID_MFN))
		return false;
	chunks[nr_chunks++] = (struct chunk){ dom0_pages, m.mfn, nr };
	dom0_pages += nr;
	return true;
}

/*
 * The kernel is unpacked before anything else is carved: its buffer is large, and on an EFI
 * machine no block of that size may be left afterwards.  The heap gets it when it was read.
 */
static __initdata struct { const void *elf; size_t size; mfn_t buffer; uint64_t nr; } image;

static void *__init image_buffer(size_t size)
{
	image.nr = ROUND_UP(size, PAGE_SIZE) >> PAGE_SHIFT;
	image.buffer = boot_alloc(image.nr, 1, 0);
	return mfn_eq(image.buffer, INVALID_MFN) ? NULL : mfn_to_virt(image.buffer);
}

static void __init unpack_image(void)
{
	int ret;

	if (nr_boot_modules < 1)
		panic("no boot module: the first must be dom0's kernel");
	ret = unpack_kernel(maddr_to_virt(boot_modules[0].maddr), boot_modules[0].size, image_buffer,
			    &image.elf, &image.size);
	if (ret)
		panic("dom0 kernel: cannot unpack (%d)", ret);
}

static void __init carve_memory(void)
{
	uint64_t all = ram_frames(), want = cmdline_get_u64("dom0_mem", 0) >> PAGE_SHIFT;
	uint64_t piece;

	if (!want)
		want = all > 2 * HV_RESERVE_MB * MB_FRAMES ? all - HV_RESERVE_MB * MB_FRAMES - all / 64 : all / 2;
	/* Halve the piece until it fits; memory below 4 GB first, for 32-bit devices. */
	for (piece = want; piece >= MB_FRAMES && dom0_pages < want && nr_chunks < MAX_CHUNKS;) {
		uint64_t n = min(piece, want - dom0_pages);

		if (!take_chunk(n, 1UL << 32) && !take_chunk(n, 0))
			piece /= 2;
	}
	if (dom0_pages < 64 * MB_FRAMES)
		panic("dom0_mem: only %lu MiB could be found for dom0", dom0_pages / MB_FRAMES);
}

void __init dom0_reserve_memory(void)
{
	unpack_image();
	carve_memory();
}

static uint64_t __init p2m(uint64_t pfn)
{
	unsigned int i;

	for (i = 0; i < nr_chunks; i++)
		if (pfn - chunks[i].pfn < chunks[i].nr)
			return chunks[i].mfn + (pfn - chunks[i].pfn);
	panic("dom0 image needs pfn %lx, dom0 has %lx", pfn, dom0_pages);
}

static void *__init pfn_virt(uint64_t pfn) { return mfn_to_virt(_mfn(p2m(pfn))); }

/* Copy across chunk borders. */
static void __init pfn_copy(uint64_t paddr, const void *src, uint64_t n)
{
	const char *s = src;

	while (n) {
		uint64_t off = paddr & ~PAGE_MASK, len = min(n, PAGE_SIZE - off);

		memcpy((char *)pfn_virt(paddr >> PAGE_SHIFT) + off, s, len);
		paddr += len;
		s += len;
		n -= len;
	}
}

/* --- kernel ----------------------------------------------------------------------------- */

struct layout {
	struct elf_kernel k;
	uint64_t end_pfn;		/* first pfn of the block's free end, while laying out */
	uint64_t start_info_pfn, pt_pfn, nr_pt, stack_pfn, v_end_pfn;
	uint64_t p2m_pfn, nr_p2m, initrd_pfn, initrd_size;
	uint64_t l4_pfn;
};

static void __init parse_kernel(struct layout *l)
{
	int ret = elf_parse(image.elf, image.size, &l->k);

	if (ret)
		panic("dom0 kernel: not a Xen PV ELF image (%d)", ret);
	if (l->k.end_paddr >> PAGE_SHIFT >= dom0_pages)
		panic("dom0_mem too small for its kernel");
}

static void __init load_segment(void *ctx, uint64_t paddr, const void *data, uint64_t filesz, uint64_t memsz)
{
	pfn_copy(paddr, data, filesz);	/* the rest is zero already: zero_start() */
}

static void __init load_kernel(void)
{
	elf_load(image.elf, image.size, load_segment, NULL);
	/* a plain ELF module has no buffer */
	if (image.nr)
		heap_add_range(image.buffer, _mfn(image.buffer.mfn + image.nr));
}

/* --- layout -------------------------------------------------------------------------------- */

static uint64_t __init take_pfns(struct layout *l, uint64_t n)
{
	uint64_t p = l->end_pfn;

	l->end_pfn += n;
	return p;
}

/* Tables for [0, v_end) at VIRT_BASE: one L4, and what each level below needs. */
static uint64_t __init tables_for(uint64_t virt_base, uint64_t v_end_pfn)
{
	uint64_t first = virt_base, last = virt_base + (v_end_pfn << PAGE_SHIFT) - 1, n = 1;
	unsigned int shift;

	for (shift = 39; shift >= 21; shift -= 9)
		n += (last >> shift) - (first >> shift) + 1;
	return n;
}

static void __init lay_out(struct layout *l)
{
	uint64_t end, nr;

	l->end_pfn = ROUND_UP(l->k.end_paddr, PAGE_SIZE) >> PAGE_SHIFT;
	l->start_info_pfn = take_pfns(l, 1);
	/* Page tables map themselves: grow until they fit.  The block ends on a 4 MB
	 * border with half a megabyte to spare behind the stack (the ABI's promise). */
	for (nr = 1;; nr++) {
		end = ROUND_UP(l->end_pfn + nr + 1 + 128, 1024UL);
		if (tables_for(l->k.virt_base, end) <= nr)
			break;
	}
	l->pt_pfn = take_pfns(l, nr);
	l->nr_pt = nr;
	l->stack_pfn = take_pfns(l, 1);
	l->v_end_pfn = l->end_pfn = end;

	l->p2m_pfn = l->end_pfn;
	nr = ROUND_UP(dom0_pages, 512UL) / 512;
	/* list frames, then the L1s, L2s and the L3 that map them at init_p2m */
	l->nr_p2m = nr + (nr + 511) / 512 + (nr + 262143) / 262144 + 1;
	take_pfns(l, l->nr_p2m);
	if (nr_boot_modules > 1) {
		l->initrd_size = boot_modules[1].size;
		l->initrd_pfn = take_pfns(l, ROUND_UP(l->initrd_size, PAGE_SIZE) >> PAGE_SHIFT);
	}
	if (l->end_pfn > dom0_pages)
		panic("dom0_mem too small: kernel and initrd need %lu MiB", l->end_pfn / MB_FRAMES);
}

/* --- contents ---------------------------------------------------------------------------------- */

#define PT_FLAGS (PTE_P | PTE_RW | PTE_US | PTE_A)

/* The table below entry @e, made from @next_pfn when it is not there. */
static uint64_t *__init descend(uint64_t *e, uint64_t *next_pfn)
{
	if (!(*e & PTE_P))
		*e = p2m((*next_pfn)++) << PAGE_SHIFT | PT_FLAGS;
	return mfn_to_virt(pte_mfn(*e));
}

static void __init map_page(uint64_t *l4, uint64_t va, uint64_t pfn, bool ro, uint64_t *next_pfn)
{
	uint64_t *t = l4;
	int level;

	for (level = 4; level > 1; level--)
		t = descend(&t[pt_index(va, level)], next_pfn);
	t[pt_index(va, 1)] = p2m(pfn) << PAGE_SHIFT | PTE_P | PTE_US | PTE_A | (ro ? 0 : PTE_RW | PTE_D);
}

static void __init make_tables(struct layout *l)
{
	uint64_t next = l->pt_pfn + 1, pfn, nr_list = ROUND_UP(dom0_pages, 512UL) / 512;
	uint64_t *l4 = pfn_virt(l->pt_pfn);

	l->l4_pfn = l->pt_pfn;
	for (pfn = 0; pfn < l->v_end_pfn; pfn++)
		map_page(l4, l->k.virt_base + (pfn << PAGE_SHIFT), pfn,
			 pfn >= l->pt_pfn && pfn < l->pt_pfn + l->nr_pt, &next);
	BUG_ON(next != l->pt_pfn + l->nr_pt);
	next = l->p2m_pfn + nr_list;
	for (pfn = 0; pfn < nr_list; pfn++)
		map_page(l4, l->k.init_p2m + (pfn << PAGE_SHIFT), l->p2m_pfn + pfn, false, &next);
	BUG_ON(next > l->p2m_pfn + l->nr_p2m);
}

static void __init make_p2m(struct layout *l)
{
	uint64_t pfn;

	for (pfn = 0; pfn < ROUND_UP(dom0_pages, 512UL); pfn++) {
		uint64_t *leaf = pfn_virt(l->p2m_pfn + pfn / 512);

		leaf[pfn % 512] = pfn < dom0_pages ? p2m(pfn) : ~0UL;
		if (pfn < dom0_pages)
			m2p_set(_mfn(p2m(pfn)), _pfn(pfn));
	}
}

static void __init make_vga_info(struct dom0_vga_console_info *i)
{
	const struct boot_framebuffer *fb = &boot_framebuffer;

	if (!fb->addr || fb->type != 1) {
		i->video_type = XEN_VGATYPE_TEXT_MODE_3;
		i->u.text_mode_3.font_height = 16;
		i->u.text_mode_3.rows = 25;
		i->u.text_mode_3.columns = 80;
		return;
	}
	i->video_type = boot_by_efi ? XEN_VGATYPE_EFI_LFB : XEN_VGATYPE_VESA_LFB;
	i->u.vesa_lfb.width = fb->width;
	i->u.vesa_lfb.height = fb->height;
	i->u.vesa_lfb.bytes_per_line = fb->pitch;
	i->u.vesa_lfb.bits_per_pixel = fb->bpp;
	i->u.vesa_lfb.lfb_base = (uint32_t)fb->addr;
	i->u.vesa_lfb.ext_lfb_base = (uint32_t)(fb->addr >> 32);
	i->u.vesa_lfb.lfb_size = ROUND_UP(fb->pitch * fb->height, 65536u) >> 16;
	i->u.vesa_lfb.red_pos = fb->red_pos;
	i->u.vesa_lfb.red_size = fb->red_size;
	i->u.vesa_lfb.green_pos = fb->green_pos;
	i->u.vesa_lfb.green_size = fb->green_size;
	i->u.vesa_lfb.blue_pos = fb->blue_pos;
	i->u.vesa_lfb.blue_size = fb->blue_size;
}

/* A PV kernel has no EFI tables to find the ACPI root in, and no BIOS area that names it. */
static void __init make_cmdline(char *dst, size_t size)
{
	size_t n = strlcpy(dst, boot_modules[0].cmdline, size);

	if (boot_by_efi && acpi_rsdp_maddr && n < size)
		snprintf(dst + n, size - n, " acpi_rsdp=0x%lx", acpi_rsdp_maddr);
}

static void __init make_start_info(struct layout *l)
{
	struct start_info *si = pfn_virt(l->start_info_pfn);

	strlcpy(si->magic, "xen-3.0-x86_64", sizeof(si->magic));
	si->nr_pages = dom0_pages;
	si->shared_info = virt_to_mfn(dom0->shared_info).mfn << PAGE_SHIFT;
	si->flags = SIF_PRIVILEGED | SIF_INITDOMAIN;
	si->pt_base = l->k.virt_base + (l->pt_pfn << PAGE_SHIFT);
	si->nr_pt_frames = l->nr_pt;
	si->mfn_list = l->k.init_p2m;
	si->first_p2m_pfn = l->p2m_pfn;
	si->nr_p2m_frames = l->nr_p2m;
	if (l->initrd_size) {
		si->flags |= SIF_MOD_START_PFN;
		si->mod_start = l->initrd_pfn;
		si->mod_len = l->initrd_size;
	}
	si->console.dom0.info_off = sizeof(*si);
	si->console.dom0.info_size = sizeof(struct dom0_vga_console_info);
	make_vga_info((struct dom0_vga_console_info *)(si + 1));
	make_cmdline((char *)si->cmd_line, sizeof(si->cmd_line));
}

static void __init make_context(struct layout *l)
{
	struct vcpu_guest_context *c = xzalloc(sizeof(*c));
	struct vcpu *v = dom0->vcpu[0];
	int ret;

	BUG_ON(!c);
	c->flags = VGCF_in_kernel | VGCF_online;
	c->user_regs.rip = l->k.entry;
	c->user_regs.rsp = l->k.virt_base + ((l->stack_pfn + 1) << PAGE_SHIFT);
	c->user_regs.rsi = l->k.virt_base + (l->start_info_pfn << PAGE_SHIFT);
	c->user_regs.rflags = 1 << 9;
	c->user_regs.cs = FLAT_KERNEL_CS;
	c->user_regs.ss = FLAT_KERNEL_SS;
	c->kernel_ss = FLAT_KERNEL_SS;
	c->kernel_sp = c->user_regs.rsp;
	c->ctrlreg[3] = p2m(l->l4_pfn) << PAGE_SHIFT;
	spin_lock(&dom0->mm_lock);
	ret = mmu_pin(dom0, _mfn(p2m(l->l4_pfn)), 4);
	spin_unlock(&dom0->mm_lock);
	if (!ret)
		ret = vcpu_set_context(v, c);
	if (ret)
		panic("dom0: initial page tables refused (%d)", ret);
	xfree(c);
	vcpu_clear_pause(v, PAUSE_DOWN);
}

static void __init give_memory(void)
{
	unsigned int i;

	dom0->max_pages = ~0UL >> 1;
	for (i = 0; i < nr_chunks; i++)
		domain_assign_frames(dom0, mfn_to_frame(_mfn(chunks[i].mfn)), chunks[i].nr);
}

/* Kernel, tables and lists want zeroes under them.  What lies behind is free memory, which no
 * kernel expects to be zero, and domain 0 may see what the machine's memory held before. */
static void __init zero_start(const struct layout *l)
{
	uint64_t pfn, end = l->initrd_size ? l->initrd_pfn : l->end_pfn;

	for (pfn = 0; pfn < end; pfn++)
		memset(pfn_virt(pfn), 0, PAGE_SIZE);
}

void __init dom0_build(void)
{
	struct xen_domctl_createdomain cfg = { .max_evtchn_port = -1, .max_grant_frames = -1 };
	static __initdata struct layout l;
	int ret = domain_create(0, &cfg, &dom0);

	if (ret)
		panic("dom0: cannot create (%d)", ret);
	dom0->privileged = true;
	ret = domain_create_vcpus(dom0, (unsigned int)cmdline_get_u64("dom0_max_vcpus", 1));
	if (ret)
		panic("dom0: cannot create vCPUs (%d)", ret);
	give_memory();
	parse_kernel(&l);
	lay_out(&l);
	zero_start(&l);
	load_kernel();
	make_p2m(&l);
	make_tables(&l);
	if (l.initrd_size)
		pfn_copy(l.initrd_pfn << PAGE_SHIFT, maddr_to_virt(boot_modules[1].maddr), l.initrd_size);
	if (l.k.hypercall_page)
		hypercall_page_fill(pfn_virt((l.k.hypercall_page - l.k.virt_base) >> PAGE_SHIFT));
	make_start_info(&l);
	make_context(&l);
	boot_modules_free(heap_add_range);
	pr_info("dom0: %lu MiB in %u piece(s), kernel entry %lx, %lu page tables, heap %lu MiB\n",
		dom0_pages / MB_FRAMES, nr_chunks, l.k.entry, l.nr_pt, heap_free_frames() / MB_FRAMES);
}
