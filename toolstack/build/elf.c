// SPDX-License-Identifier: Apache-2.0
/* ELF kernels and their Xen notes: see elf.h. */
#include "toolstack/build/elf.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xen/elfnote.h>

#define NO_ADDRESS (~0ull)
#define MAX_NOTE_BYTES (1u << 20)

/* What the notes said; numbers absent are NO_ADDRESS. */
struct notes {
	uint64_t entry, hypercall_page, virt_base, paddr_offset, init_p2m, mod_start_pfn,
		suspend_cancel;
	bool found, version_ok;
};

static int refuse(const char **why, const char *text)
{
	*why = text;
	return -ENOEXEC;
}

static bool inside(size_t len, uint64_t offset, uint64_t size)
{
	return offset <= len && size <= len - offset;
}

static void note_number(uint64_t *slot, const uint8_t *desc, size_t size)
{
	if (size == 4) {
		uint32_t v;

		memcpy(&v, desc, 4);
		*slot = v;
	} else if (size == 8) {
		memcpy(slot, desc, 8);
	}
}

static void take_note(struct notes *n, uint32_t type, const uint8_t *desc, size_t size)
{
	switch (type) {
	case XEN_ELFNOTE_ENTRY:
		note_number(&n->entry, desc, size);
		break;
	case XEN_ELFNOTE_HYPERCALL_PAGE:
		note_number(&n->hypercall_page, desc, size);
		break;
	case XEN_ELFNOTE_VIRT_BASE:
		note_number(&n->virt_base, desc, size);
		break;
	case XEN_ELFNOTE_PADDR_OFFSET:
		note_number(&n->paddr_offset, desc, size);
		break;
	case XEN_ELFNOTE_INIT_P2M:
		note_number(&n->init_p2m, desc, size);
		break;
	case XEN_ELFNOTE_MOD_START_PFN:
		note_number(&n->mod_start_pfn, desc, size);
		break;
	case XEN_ELFNOTE_SUSPEND_CANCEL:
		note_number(&n->suspend_cancel, desc, size);
		break;
	case XEN_ELFNOTE_XEN_VERSION:
		n->version_ok = size == 8 && !memcmp(desc, "xen-3.0", 8);
		break;
	default:
		break;
	}
}

static size_t align4(size_t n)
{
	return (n + 3) & ~(size_t)3;
}

/* Walk one note segment; a note that does not fit ends the walk. */
static void take_notes(struct notes *n, const uint8_t *p, size_t len)
{
	while (len >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr h;
		size_t name_len, desc_len;

		memcpy(&h, p, sizeof(h));
		p += sizeof(h);
		len -= sizeof(h);
		if (h.n_namesz > len || h.n_descsz > len)
			return;
		name_len = align4(h.n_namesz);
		desc_len = align4(h.n_descsz);
		if (name_len > len || h.n_descsz > len - name_len)
			return;
		if (h.n_namesz == 4 && !memcmp(p, "Xen", 4)) {
			n->found = true;
			take_note(n, h.n_type, p + name_len, h.n_descsz);
		}
		if (desc_len > len - name_len)
			return;
		p += name_len + desc_len;
		len -= name_len + desc_len;
	}
}

static int check_header(const Elf64_Ehdr *h, size_t len, const char **why)
{
	if (memcmp(h->e_ident, ELFMAG, SELFMAG))
		return refuse(why, "not an ELF file");
	if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB ||
	    h->e_machine != EM_X86_64)
		return refuse(why, "an ELF file, but not for x86-64");
	if (h->e_type != ET_EXEC && h->e_type != ET_DYN)
		return refuse(why, "an ELF file, but not an executable");
	if (h->e_phentsize != sizeof(Elf64_Phdr) || h->e_phnum == 0 || h->e_phnum > 128 ||
	    !inside(len, h->e_phoff, (uint64_t)h->e_phnum * sizeof(Elf64_Phdr)))
		return refuse(why, "an ELF file with a damaged program header table");
	return 0;
}

static int add_segment(struct elf_kernel *k, const uint8_t *file, size_t len,
		       const Elf64_Phdr *ph, const char **why)
{
	struct elf_segment *s = &k->segments[k->nr_segments];

	if (ph->p_memsz == 0)
		return 0;
	if (k->nr_segments == ELF_MAX_SEGMENTS)
		return refuse(why, "an ELF file with too many segments");
	if (ph->p_filesz > ph->p_memsz || !inside(len, ph->p_offset, ph->p_filesz))
		return refuse(why, "an ELF file with a segment outside the file");
	*s = (struct elf_segment){
		.paddr = ph->p_paddr,
		.memsz = ph->p_memsz,
		.filesz = ph->p_filesz,
		.data = file + ph->p_offset,
	};
	k->nr_segments++;
	return 0;
}

static int by_paddr(const void *a, const void *b)
{
	const struct elf_segment *x = a, *y = b;

	return x->paddr < y->paddr ? -1 : x->paddr > y->paddr;
}

/* Take the physical offset off, sort, and refuse what overlaps or runs away. */
static int place_segments(struct elf_kernel *k, uint64_t paddr_offset, const char **why)
{
	uint64_t end = 0;
	size_t i;

	for (i = 0; i < k->nr_segments; i++) {
		struct elf_segment *s = &k->segments[i];

		if (s->paddr < paddr_offset)
			return refuse(why, "an ELF file with a segment below PADDR_OFFSET");
		s->paddr -= paddr_offset;
		if (s->paddr >= ELF_MAX_PADDR || s->memsz > ELF_MAX_PADDR - s->paddr)
			return refuse(why, "an ELF file with a segment beyond 1 GiB");
	}
	qsort(k->segments, k->nr_segments, sizeof(k->segments[0]), by_paddr);
	for (i = 0; i < k->nr_segments; i++) {
		if (k->segments[i].paddr < end)
			return refuse(why, "an ELF file with overlapping segments");
		end = k->segments[i].paddr + k->segments[i].memsz;
	}
	k->paddr_start = k->segments[0].paddr;
	k->paddr_end = end;
	return 0;
}

/* A kernel address to its physical one; NO_ADDRESS if it is not in the kernel. */
static uint64_t to_paddr(const struct elf_kernel *k, uint64_t va)
{
	if (va < k->virt_base || va - k->virt_base < k->paddr_start ||
	    va - k->virt_base >= k->paddr_end)
		return NO_ADDRESS;
	return va - k->virt_base;
}

static int apply_notes(struct elf_kernel *k, const struct notes *n, const char **why)
{
	if (!n->found || !n->version_ok)
		return refuse(why, "a kernel without Xen PV support (no Xen notes)");
	if (n->virt_base == NO_ADDRESS || n->entry == NO_ADDRESS)
		return refuse(why, "a kernel whose Xen notes lack VIRT_BASE or ENTRY");
	/* The first GiB above virt_base must not wrap; builder pages follow there. */
	if (n->virt_base & 0xfff || n->virt_base > ~0ull - 2 * ELF_MAX_PADDR + 1)
		return refuse(why, "a kernel with an impossible VIRT_BASE");
	k->virt_base = n->virt_base;
	k->entry = n->entry;
	k->init_p2m = n->init_p2m;
	k->mod_start_pfn = n->mod_start_pfn == 1;
	k->suspend_cancel = n->suspend_cancel == 1;
	if (to_paddr(k, k->entry) == NO_ADDRESS)
		return refuse(why, "a kernel whose entry lies outside its segments");
	k->hypercall_page = NO_ADDRESS;
	if (n->hypercall_page != NO_ADDRESS) {
		k->hypercall_page = to_paddr(k, n->hypercall_page);
		if (k->hypercall_page == NO_ADDRESS || k->hypercall_page & 0xfff)
			return refuse(why, "a kernel with an impossible HYPERCALL_PAGE");
	}
	return 0;
}

int elf_parse(const uint8_t *file, size_t len, struct elf_kernel *k, const char **why)
{
	struct notes n = {
		.entry = NO_ADDRESS,
		.hypercall_page = NO_ADDRESS,
		.virt_base = NO_ADDRESS,
		.init_p2m = NO_ADDRESS,
	};
	Elf64_Ehdr h;
	unsigned int i;
	int ret;

	memset(k, 0, sizeof(*k));
	if (len < sizeof(h))
		return refuse(why, "too short for an ELF file");
	memcpy(&h, file, sizeof(h));
	ret = check_header(&h, len, why);
	for (i = 0; !ret && i < h.e_phnum; i++) {
		Elf64_Phdr ph;

		memcpy(&ph, file + h.e_phoff + i * sizeof(ph), sizeof(ph));
		if (ph.p_type == PT_LOAD)
			ret = add_segment(k, file, len, &ph, why);
		else if (ph.p_type == PT_NOTE && inside(len, ph.p_offset, ph.p_filesz) &&
			 ph.p_filesz <= MAX_NOTE_BYTES)
			take_notes(&n, file + ph.p_offset, ph.p_filesz);
	}
	if (!ret && k->nr_segments == 0)
		ret = refuse(why, "an ELF file without segments");
	if (!ret)
		ret = place_segments(k, n.paddr_offset, why);
	if (!ret)
		ret = apply_notes(k, &n, why);
	return ret;
}
