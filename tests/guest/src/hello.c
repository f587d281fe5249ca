/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest boots and the first hypercalls that Linux makes answer what it insists on: the version
 * of the ABI, feature bits 5 and 7 (without them Linux panics), a machine-to-physical table that
 * agrees with the p2m list, a start_info within the ABI's promises.
 */
#include "tests/guest/lib/guest.h"

static void version(void)
{
	char extra[XEN_EXTRAVERSION_LEN];

	EXPECT(HC2(xen_version, XENVER_version, 0), 4 << 16 | 17);
	EXPECT(HC2(xen_version, XENVER_extraversion, extra), 0);
	CHECK(strlen(extra) < sizeof(extra), "extraversion without end");
	EXPECT(HC2(xen_version, 9999, 0), -XEN_ENOSYS);
}

static void features(void)
{
	struct xen_feature_info f = { .submap_idx = 0 };

	EXPECT(HC2(xen_version, XENVER_get_features, &f), 0);
	CHECK(f.submap & 1u << XENFEAT_mmu_pt_update_preserve_ad, "%x", f.submap);
	CHECK(f.submap & 1u << XENFEAT_gnttab_map_avail_bits, "%x", f.submap);
	CHECK(!(f.submap & 1u << XENFEAT_auto_translated_physmap), "%x", f.submap);
	CHECK(!(f.submap & 1u << XENFEAT_writable_page_tables), "%x", f.submap);
}

static void start(void)
{
	struct xen_machphys_mapping m;

	CHECK(!memcmp(start_info->magic, "xen-3.0-x86_64", 14), "%s", start_info->magic);
	CHECK(start_info->nr_pages >= 1024, "%lu pages", start_info->nr_pages);
	CHECK(start_info->first_p2m_pfn + start_info->nr_p2m_frames <= start_info->nr_pages, "%lu + %lu",
	      start_info->first_p2m_pfn, start_info->nr_p2m_frames);
	EXPECT(HC2(memory_op, XENMEM_machphys_mapping, &m), 0);
	CHECK(m.v_start == HV_START && m.v_end <= HV_END, "%lx..%lx", m.v_start, m.v_end);
	for (uint64_t pfn = 0; pfn < start_info->nr_pages; pfn++) {
		CHECK(p2m[pfn] <= m.max_mfn, "pfn %lx is mfn %lx", pfn, p2m[pfn]);
		CHECK(M2P[p2m[pfn]] == pfn, "pfn %lx -> mfn %lx -> pfn %lx", pfn, p2m[pfn], M2P[p2m[pfn]]);
	}
}

static void unknown(void)
{
	for (unsigned int nr = 41; nr < 64; nr++)
		if (nr < __HYPERVISOR_arch_0)
			EXPECT(hypercall(nr, 0, 0, 0, 0, 0), -XEN_ENOSYS);
	EXPECT(hypercall(0xffffffff, 0, 0, 0, 0, 0), -XEN_ENOSYS);
}

/* All registers but rax, rcx and r11 survive a hypercall. */
static void registers(void)
{
	uint64_t bad = 0;

	__asm__ __volatile__(
		"mov $17, %%eax; xor %%edi, %%edi; mov $2, %%esi; mov $3, %%edx; mov $4, %%ebx\n\t"
		"mov $8, %%r8d; mov $9, %%r9d; mov $10, %%r10d; mov $12, %%r12d; mov $13, %%r13d\n\t"
		"mov $14, %%r14d; mov $15, %%r15d; push %%rbp; mov $5, %%ebp\n\t"
		"syscall\n\t"
		"sub $5, %%rbp; or %%rbp, %[bad]; pop %%rbp\n\t"
		"or %%rdi, %[bad]; sub $2, %%rsi; or %%rsi, %[bad]; sub $3, %%rdx; or %%rdx, %[bad]\n\t"
		"sub $4, %%rbx; or %%rbx, %[bad]; sub $8, %%r8; or %%r8, %[bad]; sub $9, %%r9; or %%r9, %[bad]\n\t"
		"sub $10, %%r10; or %%r10, %[bad]; sub $12, %%r12; or %%r12, %[bad]\n\t"
		"sub $13, %%r13; or %%r13, %[bad]; sub $14, %%r14; or %%r14, %[bad]; sub $15, %%r15; or %%r15, %[bad]"
		: [bad] "+m"(bad)
		:: "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
		   "memory", "cc");
	CHECK(!bad, "%lx", bad);
}

const struct test tests[] = {
	{ "hello.version", version },
	{ "hello.features", features },
	{ "hello.start_info", start },
	{ "hello.unknown", unknown },
	{ "hello.registers", registers },
	{ NULL },
};
