// SPDX-License-Identifier: Apache-2.0
/*
 * Building a PV domain: the story of domain_build_pv().
 *
 * Files are read and judged before the first frame is asked for, so a bad
 * kernel costs nothing.  Tables are written last of all memory, pinned once,
 * and never mapped writable again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xen/grant_table.h>

#include "toolstack/build/elf.h"
#include "toolstack/build/kcache.h"
#include "toolstack/build/layout.h"
#include "toolstack/build/pv.h"
#include "toolstack/build/start_info.h"
#include "toolstack/build/unpack.h"
#define LOG_PREFIX "build"
#include "toolstack/lib/io.h"
#include "toolstack/lib/log.h"

#define PAGES_PER_MB 256u

struct builder {
	struct toolstack *ts;
	const struct domain_config *cfg;
	struct domain_new *dom;
	char *file;		/* the kernel as on disk */
	uint8_t *elf;		/* unpacked; may be file itself */
	size_t elf_len;
	int ramdisk_fd;
	uint64_t ramdisk_bytes;
	struct elf_kernel kernel;
	struct layout lo;
	struct guest_memory mem;
};

/* --- files ------------------------------------------------------------------------ */

/* The ELF image of the open kernel file: remembered, or unpacked and remembered. */
static int unpack_file(struct builder *b, int fd, const char **why)
{
	struct stat st;
	int ret = 0;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size > (off_t)UNPACK_MAX_FILE) {
		*why = "not a regular file of a kernel's size";
		return -ENOEXEC;
	}
	if (kcache_get(KCACHE_DIR, &st, &b->elf, &b->elf_len) == 0)
		return 0;
	b->file = malloc((size_t)st.st_size + 1);
	if (!b->file)
		return -ENOMEM;
	ret = io_pread_full(fd, b->file, (size_t)st.st_size, 0);
	if (ret)
		return ret;
	ret = unpack_kernel((uint8_t *)b->file, (size_t)st.st_size, &b->elf, &b->elf_len, why);
	if (!ret && b->elf != (uint8_t *)b->file)
		kcache_put(KCACHE_DIR, &st, b->elf, b->elf_len);
	return ret;
}

static int load_kernel(struct builder *b)
{
	const char *path = b->cfg->kernel, *why = "";
	int fd, ret;

	if (!path) {
		log_err("the configuration names no kernel");
		return -EINVAL;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		ret = -errno;
		log_errno(ret, "kernel %s", path);
		return ret;
	}
	ret = unpack_file(b, fd, &why);
	close(fd);
	if (!ret)
		ret = elf_parse(b->elf, b->elf_len, &b->kernel, &why);
	if (ret && why[0])
		log_err("kernel %s: %s", path, why);
	else if (ret)
		log_errno(ret, "kernel %s", path);
	return ret;
}

static int open_ramdisk(struct builder *b)
{
	const char *path = b->cfg->ramdisk;
	struct stat st;
	int ret = 0;

	if (!path)
		return 0;
	b->ramdisk_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (b->ramdisk_fd < 0 || fstat(b->ramdisk_fd, &st) < 0)
		ret = -errno;
	else if (!S_ISREG(st.st_mode) || st.st_size <= 0)
		ret = -EINVAL;
	if (ret)
		log_errno(ret, "ramdisk %s", path);
	else
		b->ramdisk_bytes = (uint64_t)st.st_size;
	return ret;
}

static int plan(struct builder *b)
{
	uint64_t nr_pages = (uint64_t)b->cfg->memory_mb * PAGES_PER_MB;
	const char *why = "";
	int ret = layout_plan(&b->lo, &b->kernel, nr_pages, b->ramdisk_bytes, &why);

	if (ret == -ENOMEM && b->lo.nr_pages > nr_pages)
		log_err("memory = %u is too little: kernel, ramdisk and tables need %llu MB",
			b->cfg->memory_mb,
			(unsigned long long)(b->lo.nr_pages + PAGES_PER_MB - 1) / PAGES_PER_MB);
	else if (ret)
		log_err("kernel %s: %s", b->cfg->kernel, why);
	return ret;
}

/* --- contents ------------------------------------------------------------------------ */

/* Copy what overlaps [start, start + len) of a segment's file part. */
static void copy_segment(const struct elf_segment *s, uint64_t start, uint8_t *window, size_t len)
{
	uint64_t from = s->paddr > start ? s->paddr : start;
	uint64_t end = s->paddr + s->filesz < start + len ? s->paddr + s->filesz : start + len;

	if (from < end)
		memcpy(window + (from - start), s->data + (from - s->paddr), end - from);
}

static int fill_kernel(void *arg, uint64_t offset, uint8_t *window, size_t len)
{
	const struct elf_kernel *k = arg;
	uint64_t start = (k->paddr_start & ~(uint64_t)(LAYOUT_PAGE - 1)) + offset;
	size_t i;

	for (i = 0; i < k->nr_segments; i++)
		copy_segment(&k->segments[i], start, window, len);
	if (k->hypercall_page >= start && k->hypercall_page < start + len)
		hypercall_page_fill(window + (k->hypercall_page - start));
	return 0;
}

static int write_kernel(struct builder *b)
{
	uint64_t first = b->kernel.paddr_start / LAYOUT_PAGE;
	uint64_t end = (b->kernel.paddr_end + LAYOUT_PAGE - 1) / LAYOUT_PAGE;

	return guest_memory_fill(&b->mem, first, end - first, fill_kernel, &b->kernel);
}

static int fill_ramdisk(void *arg, uint64_t offset, uint8_t *window, size_t len)
{
	const struct builder *b = arg;
	uint64_t left = b->ramdisk_bytes - offset;
	int ret = io_pread_full(b->ramdisk_fd, window, left < len ? (size_t)left : len,
				(off_t)offset);

	if (ret)
		log_errno(ret, "ramdisk %s", b->cfg->ramdisk);
	return ret;
}

static int write_ramdisk(struct builder *b)
{
	if (!b->ramdisk_bytes)
		return 0;
	return guest_memory_fill(&b->mem, b->lo.ramdisk_pfn,
				 (b->ramdisk_bytes + LAYOUT_PAGE - 1) / LAYOUT_PAGE,
				 fill_ramdisk, b);
}

static int fill_zero(void *arg, uint64_t offset, uint8_t *window, size_t len)
{
	return 0;
}

/* The list's last frame ends in invalid entries, as Linux expects. */
static int write_p2m(struct builder *b)
{
	size_t len = b->lo.nr_p2m * LAYOUT_PAGE;
	uint64_t *list = malloc(len);
	int ret;

	if (!list)
		return -ENOMEM;
	memset(list, 0xff, len);
	memcpy(list, b->mem.p2m, b->lo.nr_pages * sizeof(*list));
	ret = guest_memory_write(&b->mem, b->lo.p2m_pfn, list, len);
	free(list);
	return ret;
}

static int write_tables(struct builder *b)
{
	uint8_t *tables = calloc(b->lo.nr_pt + b->lo.nr_p2m_pt, LAYOUT_PAGE);
	uint8_t *extra;
	int ret;

	if (!tables)
		return -ENOMEM;
	extra = tables + b->lo.nr_pt * LAYOUT_PAGE;
	layout_fill_tables(&b->lo, b->mem.p2m, tables, extra);
	ret = guest_memory_write(&b->mem, b->lo.pt_pfn, tables, b->lo.nr_pt * LAYOUT_PAGE);
	if (!ret && b->lo.nr_p2m_pt)
		ret = guest_memory_write(&b->mem, b->lo.p2m_pt_pfn, extra,
					 b->lo.nr_p2m_pt * LAYOUT_PAGE);
	free(tables);
	return ret;
}

static void edit_shared_info(void *arg, void *page)
{
	shared_info_fill(page);
}

static int write_special(struct builder *b)
{
	uint8_t page[LAYOUT_PAGE];
	struct xen_domctl_getdomaininfo info;
	int ret = hcall_domain_get_info(b->ts->hcall, b->dom->domid, &info);

	if (!ret)
		ret = guest_frame_write(b->ts, b->dom->domid, info.shared_info_frame,
					edit_shared_info, NULL);
	if (ret) {
		log_errno(ret, "cannot write shared_info of domain %u", b->dom->domid);
		return ret;
	}
	start_info_fill(page, &b->lo, b->mem.p2m, info.shared_info_frame, b->dom->store_port,
			b->dom->console_port, b->cfg->cmdline);
	ret = guest_memory_write(&b->mem, b->lo.start_info_pfn, page, sizeof(page));
	if (!ret)
		ret = guest_memory_fill(&b->mem, b->lo.store_pfn, 1, fill_zero, NULL);
	if (!ret)
		ret = guest_memory_fill(&b->mem, b->lo.console_pfn, 1, fill_zero, NULL);
	if (!ret)
		ret = guest_memory_fill(&b->mem, b->lo.stack_pfn, 1, fill_zero, NULL);
	return ret;
}

static void edit_grants(void *arg, void *page)
{
	const struct domain_new *dom = arg;
	struct grant_entry_v1 *entry = page;

	entry[GNTTAB_RESERVED_CONSOLE].domid = 0;
	entry[GNTTAB_RESERVED_CONSOLE].frame = (uint32_t)dom->console_mfn;
	entry[GNTTAB_RESERVED_XENSTORE].domid = 0;
	entry[GNTTAB_RESERVED_XENSTORE].frame = (uint32_t)dom->store_mfn;
	/* The hypervisor looks at the rest of an entry once its flags permit. */
	__atomic_store_n(&entry[GNTTAB_RESERVED_CONSOLE].flags, GTF_permit_access,
			 __ATOMIC_RELEASE);
	__atomic_store_n(&entry[GNTTAB_RESERVED_XENSTORE].flags, GTF_permit_access,
			 __ATOMIC_RELEASE);
}

/* Grant entries 0 and 1 let xenconsoled and xenstored map the two rings. */
static int seed_grants(struct builder *b)
{
	uint64_t mfn;
	int ret;

	b->dom->store_mfn = b->mem.p2m[b->lo.store_pfn];
	b->dom->console_mfn = b->mem.p2m[b->lo.console_pfn];
	if (b->dom->store_mfn > UINT32_MAX || b->dom->console_mfn > UINT32_MAX) {
		log_err("a ring of domain %u lies above 16 TiB", b->dom->domid);
		return -ERANGE;
	}
	ret = hcall_gnttab_first_frame(b->ts->hcall, b->dom->domid, &mfn);
	if (!ret)
		ret = guest_frame_write(b->ts, b->dom->domid, mfn, edit_grants, b->dom);
	if (ret)
		log_errno(ret, "cannot seed the grant table of domain %u", b->dom->domid);
	return ret;
}

static int start_vcpu(struct builder *b)
{
	struct vcpu_guest_context ctx;
	int ret = hcall_mmu_pin_l4(b->ts->hcall, b->dom->domid, b->mem.p2m[b->lo.pt_pfn]);

	if (ret) {
		log_errno(ret, "the hypervisor refuses the page tables of domain %u",
			  b->dom->domid);
		return ret;
	}
	start_context_fill(&ctx, &b->kernel, &b->lo, b->mem.p2m);
	ret = hcall_vcpu_set_context(b->ts->hcall, b->dom->domid, 0, &ctx);
	if (ret)
		log_errno(ret, "cannot set the registers of domain %u", b->dom->domid);
	return ret;
}

/* Without a map of its own a domain sees the memory it was built with. */
static int set_memory_map(struct builder *b)
{
	int ret;

	if (b->cfg->maxmem_mb <= b->cfg->memory_mb)
		return 0;
	ret = hcall_memory_set_map(b->ts->hcall, b->dom->domid,
				   (uint64_t)b->cfg->maxmem_mb << 20);
	if (ret)
		log_errno(ret, "cannot set the memory map of domain %u", b->dom->domid);
	return ret;
}

static int build(struct builder *b)
{
	int (*const steps[])(struct builder *b) = {
		set_memory_map, write_kernel, write_ramdisk, write_special, seed_grants,
		write_p2m,	write_tables, start_vcpu,
	};
	size_t i;
	int ret = guest_memory_populate(&b->mem);

	for (i = 0; !ret && i < sizeof(steps) / sizeof(steps[0]); i++) {
		ret = steps[i](b);
		if (ret == -ENOMEM && !log_last_error()[0])
			log_err("out of memory while building domain %u", b->dom->domid);
	}
	return ret;
}

int domain_build_pv(struct toolstack *ts, const struct domain_config *cfg,
		    struct domain_new *dom)
{
	struct builder b = {
		.ts = ts,
		.cfg = cfg,
		.dom = dom,
		.ramdisk_fd = -1,
		.mem = { .ts = ts, .domid = dom->domid },
	};
	int ret = load_kernel(&b);

	if (!ret)
		ret = open_ramdisk(&b);
	if (!ret)
		ret = plan(&b);
	if (!ret) {
		b.mem.nr_pages = b.lo.nr_pages;
		ret = build(&b);
	}
	guest_memory_release(&b.mem);
	if (b.ramdisk_fd >= 0)
		close(b.ramdisk_fd);
	if (b.elf != (uint8_t *)b.file)
		free(b.elf);
	free(b.file);
	return ret;
}
