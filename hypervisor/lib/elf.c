/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ELF64 images of PV kernels.  Every offset is checked against the image before it
 * is used; the image is trusted no further than that.
 * Sources: System V ABI, chapters 4 and 5; Xen public elfnote.h.
 */
#include <pv/elf.h>
#include <pv/errno.h>
#include <pv/lib.h>
#include <xen/elfnote.h>

struct ehdr {
	uint8_t ident[16];
	uint16_t type, machine;
	uint32_t version;
	uint64_t entry, phoff, shoff;
	uint32_t flags;
	uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
struct phdr {
	uint32_t type, flags;
	uint64_t offset, vaddr, paddr, filesz, memsz, align;
};
struct note { uint32_t namesz, descsz, type; };

#define PT_LOAD		1
#define PT_NOTE		4
#define EM_X86_64	62
#define PADDR_MAX	(1UL << 40)

static bool in_range(uint64_t off, uint64_t len, uint64_t size) { return off <= size && len <= size - off; }

static const struct phdr *phdr_at(const void *image, const struct ehdr *h, unsigned int i)
{
	return (const struct phdr *)((const char *)image + h->phoff) + i;
}

static void take_note(uint32_t type, uint64_t val, struct elf_kernel *k)
{
	switch (type) {
	case XEN_ELFNOTE_VIRT_BASE: k->virt_base = val; break;
	case XEN_ELFNOTE_ENTRY: k->entry = val; break;
	case XEN_ELFNOTE_INIT_P2M: k->init_p2m = val; break;
	case XEN_ELFNOTE_HYPERCALL_PAGE: k->hypercall_page = val; break;
	}
}

static void parse_notes(const char *p, uint64_t size, struct elf_kernel *k)
{
	struct note n;

	while (size >= sizeof(n)) {
		uint64_t name, desc, val = 0;

		memcpy(&n, p, sizeof(n));
		name = ROUND_UP((uint64_t)n.namesz, 4UL);
		desc = ROUND_UP((uint64_t)n.descsz, 4UL);
		if (!in_range(sizeof(n) + name, desc, size))
			return;
		if (n.namesz == 4 && !memcmp(p + sizeof(n), "Xen", 4) && n.descsz <= 8) {
			memcpy(&val, p + sizeof(n) + name, n.descsz);
			take_note(n.type, val, k);
		}
		p += sizeof(n) + name + desc;
		size -= sizeof(n) + name + desc;
	}
}

int elf_parse(const void *image, size_t size, struct elf_kernel *k)
{
	const struct ehdr *h = image;
	unsigned int i;

	memset(k, 0, sizeof(*k));
	if (size < sizeof(*h) || memcmp(h->ident, "\177ELF\2\1", 6) || h->machine != EM_X86_64 ||
	    h->phentsize != sizeof(struct phdr) || !in_range(h->phoff, (uint64_t)h->phnum * sizeof(struct phdr), size))
		return -ENOEXEC;
	k->start_paddr = ~0UL;
	for (i = 0; i < h->phnum; i++) {
		const struct phdr *p = phdr_at(image, h, i);

		if (!in_range(p->offset, p->filesz, size))
			return -ENOEXEC;
		if (p->type == PT_NOTE)
			parse_notes((const char *)image + p->offset, p->filesz, k);
		if (p->type != PT_LOAD || !p->memsz)
			continue;
		if (p->filesz > p->memsz || p->paddr >= PADDR_MAX || p->memsz >= PADDR_MAX)
			return -ENOEXEC;
		k->start_paddr = min(k->start_paddr, p->paddr);
		k->end_paddr = max(k->end_paddr, p->paddr + p->memsz);
	}
	if (!k->entry || !k->virt_base || !k->init_p2m || !k->end_paddr || (k->init_p2m & ((1UL << 39) - 1)) ||
	    (k->hypercall_page && (k->hypercall_page < k->virt_base ||
				   k->hypercall_page - k->virt_base >= k->end_paddr)))
		return -ENOEXEC;
	return 0;
}

void elf_load(const void *image, size_t size,
	      void (*put)(void *, uint64_t, const void *, uint64_t, uint64_t), void *ctx)
{
	const struct ehdr *h = image;
	unsigned int i;

	for (i = 0; i < h->phnum; i++) {
		const struct phdr *p = phdr_at(image, h, i);

		if (p->type == PT_LOAD && p->memsz)
			put(ctx, p->paddr, (const char *)image + p->offset, p->filesz, p->memsz);
	}
}
