// SPDX-License-Identifier: Apache-2.0
/*
 * toolstack/build/pv.c and guest_memory.c against a machine in memory: after a
 * build every frame holds what the start-of-day ABI promises; where any
 * operation fails, the build fails with that error and every map is undone.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <xen/grant_table.h>

#include "toolstack/build/kcache.h"
#include "toolstack/build/layout.h"
#include "toolstack/domain.h"
#include "toolstack/lib/log.h"

#define PAGE 4096u
#define MEMORY_MB 32u
#define NR_PAGES (MEMORY_MB * 256u)
#define NR_MFNS (NR_PAGES * 2)		/* the machine; the guest gets odd places */
#define SHARED_MFN 3u
#define GRANT_MFN 5u
#define DOMID 7u
#define KERNEL_PFN 0x100u
#define VIRT_BASE 0xffffffff80000000ull

/* --- the machine ---------------------------------------------------------------------- */

static uint8_t *machine;
static uint64_t pfn_to_mfn[NR_PAGES];
static unsigned int next_super, next_small, maps_open, calls, fail_at;
static uint64_t pinned_mfn, memory_map_bytes;
static struct vcpu_guest_context context;
static bool refuse_super;
static long populate_limit;

/* Any call may be the one that fails. */
static int maybe_fail(void)
{
	return ++calls == fail_at ? -EIO : 0;
}

long hcall_memory_populate(struct hcall *h, domid_t domid, xen_pfn_t *pfns, size_t nr,
			   unsigned int order)
{
	int ret = maybe_fail();
	size_t i, j;

	assert_int_equal(domid, DOMID);
	assert_true(order == 0 || order == 9);
	if (ret || (order && refuse_super))
		return order ? -ENOMEM : ret;
	for (i = 0; i < nr && (long)i < populate_limit; i++) {
		uint64_t pfn = pfns[i];

		/* 2 MiB extents at the top going down, single frames scattered. */
		pfns[i] = order ? NR_MFNS - 512 * ++next_super : 16 + 2 * next_small++;
		for (j = 0; j < 1u << order; j++)
			pfn_to_mfn[pfn + j] = pfns[i] + j;
	}
	return (long)i;
}

int hcall_domain_get_info(struct hcall *h, domid_t domid, struct xen_domctl_getdomaininfo *info)
{
	*info = (struct xen_domctl_getdomaininfo){ .domain = domid,
						   .shared_info_frame = SHARED_MFN };
	return maybe_fail();
}

int hcall_gnttab_first_frame(struct hcall *h, domid_t domid, uint64_t *mfn)
{
	*mfn = GRANT_MFN;
	return maybe_fail();
}

int hcall_mmu_pin_l4(struct hcall *h, domid_t domid, uint64_t mfn)
{
	/* A mapped table would be writable somewhere. */
	assert_int_equal(maps_open, 0);
	pinned_mfn = mfn;
	return maybe_fail();
}

int hcall_vcpu_set_context(struct hcall *h, domid_t domid, unsigned int vcpu,
			   const struct vcpu_guest_context *ctx)
{
	assert_int_equal(vcpu, 0);
	context = *ctx;
	return maybe_fail();
}

int hcall_memory_set_map(struct hcall *h, domid_t domid, uint64_t size_bytes)
{
	memory_map_bytes = size_bytes;
	return maybe_fail();
}

/* A map is a copy that is written back; its frames are remembered. */
struct copy {
	void *addr;
	size_t nr;
	xen_pfn_t mfns[2048];
};
static struct copy copies[4];

int fmap_map(struct fmap *f, domid_t domid, int prot, const xen_pfn_t *mfns, size_t nr,
	     void **addr)
{
	struct copy *c = copies;
	size_t i;
	int ret = maybe_fail();

	if (ret)
		return ret;
	assert_int_equal(prot, PROT_READ | PROT_WRITE);
	assert_true(nr <= 2048);
	while (c->addr)
		assert_true(++c < copies + 4);
	c->addr = malloc(nr * PAGE);
	assert_non_null(c->addr);
	c->nr = nr;
	for (i = 0; i < nr; i++) {
		assert_true(mfns[i] < NR_MFNS);
		c->mfns[i] = mfns[i];
		memcpy((char *)c->addr + i * PAGE, machine + mfns[i] * PAGE, PAGE);
	}
	maps_open++;
	*addr = c->addr;
	return 0;
}

void fmap_unmap(struct fmap *f, void *addr, size_t nr)
{
	struct copy *c = copies;
	size_t i;

	while (c->addr != addr)
		assert_true(++c < copies + 4);
	assert_int_equal(c->nr, nr);
	for (i = 0; i < nr; i++)
		memcpy(machine + c->mfns[i] * PAGE, (char *)addr + i * PAGE, PAGE);
	free(addr);
	c->addr = NULL;
	maps_open--;
}

/* The cache is root's and has a test of its own. */
int kcache_get(const char *dir, const struct stat *st, uint8_t **elf, size_t *elf_len)
{
	return -ENOENT;
}

void kcache_put(const char *dir, const struct stat *st, const uint8_t *elf, size_t elf_len)
{
}

/* --- a kernel, a ramdisk ---------------------------------------------------------------- */

static char kernel_path[] = "/tmp/test_pv_kernel.XXXXXX";
static char ramdisk_path[] = "/tmp/test_pv_ramdisk.XXXXXX";
static uint8_t kernel_file[16384], ramdisk[10000];

static size_t note(uint8_t *p, uint32_t type, uint64_t value)
{
	Elf64_Nhdr h = { 4, 8, type };

	memcpy(p, &h, sizeof(h));
	memcpy(p + sizeof(h), "Xen", 4);
	memcpy(p + sizeof(h) + 4, &value, 8);
	return sizeof(h) + 12;
}

static void make_files(void)
{
	Elf64_Ehdr eh = { .e_ident = "\177ELF\2\1\1", .e_type = ET_EXEC, .e_machine = EM_X86_64,
			  .e_phoff = 64, .e_phentsize = 56, .e_phnum = 2 };
	/* Starts and ends inside a page; 5000 bytes and then a bss. */
	Elf64_Phdr load = { .p_type = PT_LOAD, .p_offset = 8192,
			    .p_paddr = KERNEL_PFN * PAGE + 0x123, .p_filesz = 5000,
			    .p_memsz = 20000 };
	Elf64_Phdr notes = { .p_type = PT_NOTE, .p_offset = 512 };
	uint8_t *p = kernel_file + 512;
	uint64_t version;
	size_t i;

	memcpy(&version, "xen-3.0", 8);
	p += note(p, 5, version);
	p += note(p, 3, VIRT_BASE);
	p += note(p, 1, VIRT_BASE + KERNEL_PFN * PAGE + 0x200);
	p += note(p, 2, VIRT_BASE + (KERNEL_PFN + 2) * PAGE);
	p += note(p, 15, 0x8000000000);
	p += note(p, 16, 1);
	notes.p_filesz = (uint64_t)(p - kernel_file) - 512;
	memcpy(kernel_file, &eh, sizeof(eh));
	memcpy(kernel_file + 64, &load, sizeof(load));
	memcpy(kernel_file + 120, &notes, sizeof(notes));
	for (i = 0; i < 5000; i++)
		kernel_file[8192 + i] = (uint8_t)(i * 13 + 1);
	for (i = 0; i < sizeof(ramdisk); i++)
		ramdisk[i] = (uint8_t)(i * 31 + 7);
}

static int write_temp(char *path, const void *data, size_t len)
{
	int fd = mkstemp(path);
	bool ok = fd >= 0 && write(fd, data, len) == (ssize_t)len;

	if (fd >= 0)
		close(fd);
	return ok ? 0 : -1;
}

static int group_setup(void **state)
{
	log_init("test", LOG_LEVEL_ERR);
	machine = malloc((size_t)NR_MFNS * PAGE);
	make_files();
	return machine && !write_temp(kernel_path, kernel_file, sizeof(kernel_file)) &&
		       !write_temp(ramdisk_path, ramdisk, sizeof(ramdisk)) ? 0 : -1;
}

static int group_teardown(void **state)
{
	free(machine);
	unlink(kernel_path);
	unlink(ramdisk_path);
	return 0;
}

/* --- building --------------------------------------------------------------------------- */

static struct domain_new dom;

static int build(unsigned int maxmem_mb)
{
	struct toolstack ts = { 0 };
	struct domain_config cfg;
	int ret;

	/* Dirt, so that whatever is not written shows. */
	memset(machine, 0xdb, (size_t)NR_MFNS * PAGE);
	memset(machine + GRANT_MFN * PAGE, 0, PAGE);
	next_super = next_small = calls = 0;
	pinned_mfn = memory_map_bytes = 0;
	memset(&context, 0, sizeof(context));
	config_init(&cfg);
	cfg.memory_mb = MEMORY_MB;
	cfg.maxmem_mb = maxmem_mb;
	cfg.kernel = strdup(kernel_path);
	cfg.ramdisk = strdup(ramdisk_path);
	cfg.cmdline = strdup("console=hvc0");
	dom = (struct domain_new){ .domid = DOMID, .store_port = 1, .console_port = 2 };
	ret = domain_build_pv(&ts, &cfg, &dom);
	config_release(&cfg);
	assert_int_equal(maps_open, 0);
	return ret;
}

static const uint8_t *frame(uint64_t pfn)
{
	assert_true(pfn < NR_PAGES);
	return machine + pfn_to_mfn[pfn] * PAGE;
}

static void check_zero(const uint8_t *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		assert_int_equal(p[i], 0);
}

static void check_kernel(void)
{
	const uint8_t *first = frame(KERNEL_PFN), *second = frame(KERNEL_PFN + 1);

	check_zero(first, 0x123);
	assert_memory_equal(first + 0x123, kernel_file + 8192, PAGE - 0x123);
	assert_memory_equal(second, kernel_file + 8192 + PAGE - 0x123, 5000 - (PAGE - 0x123));
	check_zero(second + 5000 - (PAGE - 0x123), PAGE - (5000 - (PAGE - 0x123)));
	/* The hypercall page lies in the bss here. */
	assert_memory_equal(frame(KERNEL_PFN + 2), "\x51\x41\x53\xb8\0\0\0\0\x0f\x05", 10);
	check_zero(frame(KERNEL_PFN + 3), PAGE);
}

/* Follow the new domain's own tables, as its CPU will. */
static uint64_t walk(uint64_t va)
{
	uint64_t mfn = context.ctrlreg[3] >> 12, entry;
	int level;

	for (level = 3; level >= 0; level--) {
		memcpy(&entry, machine + mfn * PAGE + (va >> (12 + 9 * level) & 511) * 8, 8);
		assert_true(entry & 1);
		mfn = entry >> 12 & 0xffffffffff;
	}
	return mfn;
}

static void check_start(void)
{
	struct start_info si;
	uint64_t i, value, ramdisk_pfn;

	assert_int_equal(context.user_regs.rip, VIRT_BASE + KERNEL_PFN * PAGE + 0x200);
	assert_int_equal(pinned_mfn, context.ctrlreg[3] >> 12);
	assert_int_equal(walk(VIRT_BASE + KERNEL_PFN * PAGE), pfn_to_mfn[KERNEL_PFN]);
	memcpy(&si, machine + walk(context.user_regs.rsi) * PAGE, sizeof(si));
	assert_int_equal(si.nr_pages, NR_PAGES);
	assert_int_equal(si.shared_info, SHARED_MFN * PAGE);
	assert_string_equal((char *)si.cmd_line, "console=hvc0");
	assert_int_equal(si.store_mfn, dom.store_mfn);
	assert_int_equal(si.console.domU.mfn, dom.console_mfn);
	check_zero(machine + dom.store_mfn * PAGE, PAGE);
	check_zero(machine + dom.console_mfn * PAGE, PAGE);
	check_zero(machine + walk(context.user_regs.rsp - 8) * PAGE, PAGE);
	ramdisk_pfn = si.mod_start;
	assert_memory_equal(frame(ramdisk_pfn), ramdisk, PAGE);
	assert_memory_equal(frame(ramdisk_pfn + 2), ramdisk + 2 * PAGE,
			    sizeof(ramdisk) - 2 * PAGE);
	check_zero(frame(ramdisk_pfn + 2) + sizeof(ramdisk) - 2 * PAGE,
		   3 * PAGE - sizeof(ramdisk));
	for (i = 0; i < NR_PAGES; i++) {
		memcpy(&value, machine + walk(si.mfn_list + i * 8) * PAGE + i * 8 % PAGE, 8);
		assert_int_equal(value, pfn_to_mfn[i]);
	}
}

static void check_grants(void)
{
	struct grant_entry_v1 entries[3];

	memcpy(entries, machine + GRANT_MFN * PAGE, sizeof(entries));
	assert_int_equal(entries[0].flags, GTF_permit_access);
	assert_int_equal(entries[0].domid, 0);
	assert_int_equal(entries[0].frame, dom.console_mfn);
	assert_int_equal(entries[1].flags, GTF_permit_access);
	assert_int_equal(entries[1].frame, dom.store_mfn);
	assert_int_equal(entries[2].flags, 0);
}

static void whole_build(void **state)
{
	struct shared_info shared;

	fail_at = 0;
	populate_limit = NR_PAGES;
	for (refuse_super = false;; refuse_super = true) {
		assert_int_equal(build(MEMORY_MB), 0);
		check_kernel();
		check_start();
		check_grants();
		memcpy(&shared, machine + SHARED_MFN * PAGE, sizeof(shared));
		assert_int_equal(shared.vcpu_info[31].evtchn_upcall_mask, 1);
		assert_int_equal(memory_map_bytes, 0);
		if (refuse_super)
			break;
	}
	/* Some extents come, then no more: the rest is made of single frames. */
	refuse_super = false;
	assert_int_equal(build(MEMORY_MB * 2), 0);
	assert_int_equal(memory_map_bytes, (uint64_t)MEMORY_MB * 2 << 20);
}

static void host_runs_out(void **state)
{
	fail_at = 0;
	refuse_super = true;
	populate_limit = NR_PAGES - 1;
	assert_int_equal(build(MEMORY_MB), -ENOMEM);
	assert_int_equal(pinned_mfn, 0);
	populate_limit = NR_PAGES;
}

static void each_failure_is_reported(void **state)
{
	unsigned int total, n;

	refuse_super = true;
	populate_limit = NR_PAGES;
	fail_at = 0;
	assert_int_equal(build(MEMORY_MB * 2), 0);
	total = calls;
	assert_true(total > 10);
	/* Call 1 asks for 2 MiB extents; its failure only means single frames. */
	for (n = 2; n <= total; n++) {
		fail_at = n;
		assert_int_equal(build(MEMORY_MB * 2), -EIO);
	}
	fail_at = 0;
}

static void bad_files(void **state)
{
	struct toolstack ts = { 0 };
	struct domain_config cfg;

	config_init(&cfg);
	cfg.memory_mb = MEMORY_MB;
	cfg.maxmem_mb = MEMORY_MB;
	cfg.cmdline = strdup("");
	calls = 0;
	assert_int_equal(domain_build_pv(&ts, &cfg, &dom), -EINVAL);
	cfg.kernel = strdup("/nonexistent");
	assert_int_equal(domain_build_pv(&ts, &cfg, &dom), -ENOENT);
	free(cfg.kernel);
	cfg.kernel = strdup(ramdisk_path);
	assert_int_equal(domain_build_pv(&ts, &cfg, &dom), -ENOEXEC);
	free(cfg.kernel);
	cfg.kernel = strdup("/tmp");
	assert_int_equal(domain_build_pv(&ts, &cfg, &dom), -ENOEXEC);
	free(cfg.kernel);
	cfg.kernel = strdup(kernel_path);
	cfg.ramdisk = strdup("/dev/null");
	assert_int_equal(domain_build_pv(&ts, &cfg, &dom), -EINVAL);
	/* Bad files cost the hypervisor nothing. */
	assert_int_equal(calls, 0);
	config_release(&cfg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_build),
		cmocka_unit_test(host_runs_out),
		cmocka_unit_test(each_failure_is_reported),
		cmocka_unit_test(bad_files),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
