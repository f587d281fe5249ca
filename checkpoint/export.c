/* SPDX-License-Identifier: Apache-2.0 */
/* See checkpoint/export.h. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <unistd.h>

#include "checkpoint/export.h"
#include "checkpoint/ptables.h"
#include "checkpoint/vcpu_regs.h"
#include "toolstack/lib/io.h"

#define PAGE		4096u
#define FRAME_RUNS_MAX	30000u	/* together below PN_XNUM, 65535 */
#define KERNEL_RUNS_MAX	30000u
#define NOTE_ALIGN(n)	(((n) + 3) & ~3ull)
#define INFO_NAME	"VMCOREINFO"

/* Frames that lie side by side, in the guest and in the file. */
struct frames {
	uint64_t pfn, nr;
	uint64_t at;			/* pages of the file's data before it */
};

struct core {
	struct chain *c;
	struct export_report *rep;
	int fd;
	struct frames *frames;
	size_t nr_frames;
	uint64_t pages;			/* in the file's data */
	struct ptables_runs kernel;
	Elf64_Phdr *ph;
	size_t nr_ph, cap_ph;
	uint64_t notes_at, data_at;
	uint8_t *notes;
	size_t notes_len, notes_cap;
	char info[PAGE + 1];		/* VMCOREINFO */
	size_t info_len;
};

/* --- frames ---------------------------------------------------------------------- */

static bool has_frame(const struct chain *c, uint64_t pfn)
{
	uint8_t type = chain_page_type(c, pfn);

	return type != CHAIN_NO_PAGE && type != GODWIT_PAGE_ABSENT;
}

/* Runs of frames, passing over holes of up to @gap pfns.  Return: how many there are. */
static size_t find_frames(struct core *k, uint64_t gap)
{
	uint64_t pfn, limit = chain_pfn_limit(k->c);
	struct frames *f = NULL;

	k->nr_frames = 0;
	k->pages = 0;
	for (pfn = chain_next_page(k->c, 0); pfn < limit; pfn = chain_next_page(k->c, pfn + 1)) {
		if (!has_frame(k->c, pfn))
			continue;
		if (f && pfn - (f->pfn + f->nr) <= gap) {
			k->pages += pfn + 1 - (f->pfn + f->nr);
			f->nr = pfn + 1 - f->pfn;
			continue;
		}
		if (k->nr_frames == FRAME_RUNS_MAX)
			return FRAME_RUNS_MAX + 1;
		f = &k->frames[k->nr_frames++];
		*f = (struct frames){ pfn, 1, k->pages };
		k->pages++;
	}
	return k->nr_frames;
}

static int collect_frames(struct core *k)
{
	uint64_t gap = 0;

	k->frames = calloc(FRAME_RUNS_MAX, sizeof(*k->frames));
	if (!k->frames)
		return -ENOMEM;
	/* A guest full of holes gets runs with holes in them, rather than no core. */
	while (find_frames(k, gap) > FRAME_RUNS_MAX)
		gap = gap * 2 + 1;
	return 0;
}

/* The run that holds @pfn, NULL if none does. */
static const struct frames *frames_of(const struct core *k, uint64_t pfn)
{
	size_t low = 0, high = k->nr_frames;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (pfn < k->frames[mid].pfn)
			high = mid;
		else if (pfn >= k->frames[mid].pfn + k->frames[mid].nr)
			low = mid + 1;
		else
			return &k->frames[mid];
	}
	return NULL;
}

/* --- addresses ------------------------------------------------------------------- */

static int by_base(const void *a, const void *b)
{
	const struct ptables_run *x = a, *y = b;
	uint64_t i = x->va - x->pfn * PAGE, j = y->va - y->pfn * PAGE;

	return i < j ? -1 : i > j;
}

/* The direct map is where most frames have the same distance to their address. */
static int find_direct(struct core *k)
{
	struct ptables_run *run;
	uint64_t sum = 0, best = 0, base = 0;
	size_t i;

	if (!k->kernel.nr)
		return 0;
	run = calloc(k->kernel.nr, sizeof(*run));
	if (!run)
		return -ENOMEM;
	memcpy(run, k->kernel.run, k->kernel.nr * sizeof(*run));
	qsort(run, k->kernel.nr, sizeof(*run), by_base);
	for (i = 0; i < k->kernel.nr; i++) {
		uint64_t b = run[i].va - run[i].pfn * PAGE;

		sum = i && b == base ? sum + run[i].nr : run[i].nr;
		base = b;
		if (sum > best) {
			best = sum;
			k->rep->direct = b;
		}
	}
	free(run);
	k->rep->has_direct = best >= k->rep->frames / 2 && best > 0;
	return 0;
}

static int collect_kernel(struct core *k)
{
	struct vcpu_regs regs;
	uint32_t i;
	int ret = 0;

	for (i = 0; i < chain_domain(k->c)->vcpus; i++) {
		const Stream__VcpuContext *v = chain_vcpu(k->c, i);

		if (!vcpu_regs_get(v->context.data, v->context.len, &regs))
			continue;
		ret = ptables_kernel_runs(k->c, regs.kernel_root, KERNEL_RUNS_MAX, &k->kernel);
		if (ret != -EBADMSG || chain_error(k->c)[0])
			break;
		ret = 0;	/* a vCPU that was never started has no tables */
	}
	k->rep->truncated = k->kernel.truncated;
	return ret ? ret : find_direct(k);
}

/* --- program headers --------------------------------------------------------------- */

static int add_load(struct core *k, uint64_t va, const struct frames *f, uint64_t pfn,
		    uint64_t nr)
{
	if (k->nr_ph == k->cap_ph) {
		size_t cap = k->cap_ph ? k->cap_ph * 2 : 64;
		Elf64_Phdr *p = realloc(k->ph, cap * sizeof(*p));

		if (!p)
			return -ENOMEM;
		k->ph = p;
		k->cap_ph = cap;
	}
	/* p_offset counts from the beginning of the data until its place is known. */
	k->ph[k->nr_ph++] = (Elf64_Phdr){
		.p_type = PT_LOAD, .p_flags = PF_R | PF_W | PF_X,
		.p_offset = (f->at + pfn - f->pfn) * PAGE, .p_vaddr = va,
		.p_paddr = pfn * PAGE, .p_filesz = nr * PAGE, .p_memsz = nr * PAGE,
		.p_align = PAGE,
	};
	return 0;
}

static int add_loads(struct core *k)
{
	size_t i;
	int ret = 0;

	for (i = 0; !ret && i < k->nr_frames; i++) {
		const struct frames *f = &k->frames[i];
		uint64_t base = k->rep->has_direct ? k->rep->direct : 0;

		ret = add_load(k, base + f->pfn * PAGE, f, f->pfn, f->nr);
	}
	for (i = 0; !ret && i < k->kernel.nr; i++) {
		struct ptables_run r = k->kernel.run[i];

		if (k->rep->has_direct && r.va - r.pfn * PAGE == k->rep->direct)
			continue;
		while (!ret && r.nr) {	/* cut where the file is cut */
			const struct frames *f = frames_of(k, r.pfn);
			uint64_t n = f ? f->pfn + f->nr - r.pfn : 1;

			n = n < r.nr ? n : r.nr;
			if (k->nr_ph + 2 >= PN_XNUM)
				k->rep->truncated = true;
			else if (f)
				ret = add_load(k, r.va, f, r.pfn, n);
			r.va += n * PAGE;
			r.pfn += n;
			r.nr -= n;
		}
	}
	k->rep->loads = (unsigned int)k->nr_ph;
	return ret;
}

/* --- notes ----------------------------------------------------------------------------- */

/* There is room: notes_cap was counted before. */
static void add_note(struct core *k, const char *name, uint32_t type, const void *data,
		     size_t len)
{
	Elf64_Nhdr h = { (uint32_t)strlen(name) + 1, (uint32_t)len, type };
	uint8_t *p = k->notes + k->notes_len;

	memcpy(p, &h, sizeof(h));
	memcpy(p + sizeof(h), name, h.n_namesz);
	memcpy(p + sizeof(h) + NOTE_ALIGN(h.n_namesz), data, len);
	k->notes_len += sizeof(h) + NOTE_ALIGN(h.n_namesz) + NOTE_ALIGN(len);
}

static int make_notes(struct core *k)
{
	uint32_t i, vcpus = chain_domain(k->c)->vcpus;
	struct vcpu_regs regs;

	k->notes_cap = (size_t)vcpus * (sizeof(Elf64_Nhdr) + 8 + sizeof(struct elf_prstatus) + 8) +
		       sizeof(Elf64_Nhdr) + 16 + PAGE + 8;
	k->notes = calloc(1, k->notes_cap);
	if (!k->notes)
		return -ENOMEM;
	for (i = 0; i < vcpus; i++) {
		const Stream__VcpuContext *v = chain_vcpu(k->c, i);
		struct elf_prstatus st = { .pr_pid = (int)i + 1 };

		if (!vcpu_regs_get(v->context.data, v->context.len, &regs))
			continue;
		memcpy(&st.pr_reg, &regs.regs, sizeof(st.pr_reg));
		add_note(k, "CORE", NT_PRSTATUS, &st, sizeof(st));
		k->rep->vcpus++;
	}
	return 0;
}

/* --- the file -------------------------------------------------------------------------- */

/* Linux keeps the text in a page of its own (kernel/crash_core.c, vmcoreinfo_data). */
static void look_for_info(struct core *k, const uint8_t *page)
{
	if (k->info_len || memcmp(page, "OSRELEASE=", 10) ||
	    !memmem(page, PAGE, "\nPAGESIZE=4096\n", 15))
		return;
	memcpy(k->info, page, PAGE);
	k->info_len = strlen(k->info);
	k->rep->has_vmcoreinfo = true;
}

static int put_at(struct core *k, uint64_t offset, const void *buf, size_t len)
{
	const uint8_t *p = buf;

	while (len) {
		ssize_t n = pwrite(k->fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int put_page(void *ctx, uint64_t pfn, uint8_t type, const uint8_t *bytes)
{
	static const uint8_t zeros[PAGE];
	struct core *k = ctx;
	const struct frames *f;

	if (!bytes || !memcmp(bytes, zeros, PAGE))
		return 0;
	look_for_info(k, bytes);
	f = frames_of(k, pfn);
	return f ? put_at(k, k->data_at + (f->at + pfn - f->pfn) * PAGE, bytes, PAGE) : 0;
}

static int put_front(struct core *k)
{
	Elf64_Ehdr e = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			     EV_CURRENT },
		.e_type = ET_CORE, .e_machine = EM_X86_64, .e_version = EV_CURRENT,
		.e_phoff = sizeof(Elf64_Ehdr), .e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr), .e_phnum = (uint16_t)(k->nr_ph + 1),
	};
	Elf64_Phdr note = { .p_type = PT_NOTE, .p_offset = k->notes_at, .p_align = 4 };
	size_t i;
	int ret;

	if (k->info_len)
		add_note(k, INFO_NAME, 0, k->info, k->info_len);
	note.p_filesz = k->notes_len;
	for (i = 0; i < k->nr_ph; i++)
		k->ph[i].p_offset += k->data_at;
	ret = put_at(k, 0, &e, sizeof(e));
	if (!ret)
		ret = put_at(k, sizeof(e), &note, sizeof(note));
	if (!ret)
		ret = put_at(k, sizeof(e) + sizeof(note), k->ph, k->nr_ph * sizeof(*k->ph));
	return ret ? ret : put_at(k, k->notes_at, k->notes, k->notes_len);
}

static int put_file(struct core *k)
{
	int ret;

	k->notes_at = sizeof(Elf64_Ehdr) + (k->nr_ph + 1) * sizeof(Elf64_Phdr);
	k->data_at = (k->notes_at + k->notes_cap + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	k->rep->bytes = k->data_at + k->pages * PAGE;
	if (ftruncate(k->fd, (off_t)k->rep->bytes))
		return -errno;
	ret = chain_each_page(k->c, put_page, k);
	if (!ret)
		ret = put_front(k);
	return !ret && fsync(k->fd) ? -errno : ret;
}

static int write_file(struct core *k, const char *path)
{
	char tmp[PATH_MAX];
	int ret;

	if (snprintf(tmp, sizeof(tmp), "%s.new", path) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	/* Memory of a guest: nobody else's to read. */
	k->fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (k->fd < 0)
		return -errno;
	ret = put_file(k);
	if (close(k->fd) && !ret)
		ret = -errno;
	if (!ret && rename(tmp, path))
		ret = -errno;
	if (ret) {
		unlink(tmp);
		return ret;
	}
	ret = io_sync_dir_of(path);
	return ret == -EINVAL ? 0 : ret;
}

static void count_frames(struct core *k)
{
	uint64_t by_type[GODWIT_PAGE_TYPE_MASK + 1], pinned;
	unsigned int i;

	chain_count_types(k->c, by_type, &pinned);
	for (i = 0; i <= GODWIT_PAGE_TYPE_MASK; i++)
		k->rep->frames += i == GODWIT_PAGE_ABSENT ? 0 : by_type[i];
}

int export_core(struct chain *c, const char *path, struct export_report *rep,
		char why[CHAIN_WHY])
{
	struct core *k = calloc(1, sizeof(*k));
	int ret = k ? 0 : -ENOMEM;

	*rep = (struct export_report){ 0 };
	if (k) {
		k->c = c;
		k->rep = rep;
		count_frames(k);
		ret = collect_frames(k);
		if (!ret)
			ret = collect_kernel(k);
		if (!ret)
			ret = add_loads(k);
		if (!ret)
			ret = make_notes(k);
		if (!ret)
			ret = write_file(k, path);
		free(k->frames);
		free(k->kernel.run);
		free(k->ph);
		free(k->notes);
	}
	free(k);
	if (ret && chain_error(c)[0])
		snprintf(why, CHAIN_WHY, "%s", chain_error(c));
	else if (ret)
		snprintf(why, CHAIN_WHY, "%s: %s", path, strerror(-ret));
	return ret;
}
