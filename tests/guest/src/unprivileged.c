/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An ordinary guest is refused what belongs to domain 0 or to other domains: tools' hypercalls,
 * foreign frames by domain id, others' event channels and grants, the machine's ports, memory beyond
 * its allowance.  (Run as a domU by tests/system/micro_guests.py; as domain 0 there is nothing to
 * refuse, and only the harmless parts run.)
 * Source: Xen public xen.h, domctl.h, sysctl.h, platform.h, event_channel.h, grant_table.h.
 */
#include "tests/guest/lib/guest.h"

#define WINDOW	0x40000000ul

static uint8_t page[PAGE_SIZE] __attribute__((aligned(4096)));

static void ordinary(void)
{
	if (privileged())
		test_done();
}

static void tools_calls(void)
{
	static uint8_t op[256] __attribute__((aligned(8)));
	static const unsigned int versions[] = { 0x15, 0x14, 0 };

	ordinary();
	for (unsigned int cmd = 0; cmd < 100; cmd++)
		for (unsigned int i = 0; i < ARRAY_SIZE(versions); i++) {
			((uint32_t *)op)[0] = cmd;
			((uint32_t *)op)[1] = versions[i];
			((uint32_t *)op)[2] = 0;		/* about domain 0 */
			REFUSED(hypercall(__HYPERVISOR_domctl, (uint64_t)op, 0, 0, 0, 0));
			REFUSED(hypercall(__HYPERVISOR_sysctl, (uint64_t)op, 0, 0, 0, 0));
			((uint32_t *)op)[1] = XENPF_INTERFACE_VERSION;
			REFUSED(HC1(platform_op, op));
			for (unsigned int nr = __HYPERVISOR_arch_0; nr < __HYPERVISOR_arch_0 + 8; nr++)
				if (cmd)	/* 0 of our own call may tell the version to all */
					REFUSED(hypercall(nr, cmd, (uint64_t)op, 0, 0, 0));
		}
	REFUSED(HC3(console_io, CONSOLEIO_write, 4, "bad\n"));
	REFUSED(HC3(console_io, CONSOLEIO_read, 4, op));
}

static void foreign_domains(void)
{
	static const unsigned int ids[] = { 0, 2, 3, 5, 100, 0x7ff1, 0x7ff2, 0x7ff4, 0x7fff };
	struct xen_memory_reservation r = { .nr_extents = 1 };
	struct mmu_update u;
	struct mmuext_op op = { .cmd = MMUEXT_PIN_L1_TABLE };
	unsigned long mfn = 0x1000;

	ordinary();
	map_page(WINDOW, mfn_of(page), RW_PAGE);
	set_xen_guest_handle(r.extent_start, &mfn);
	for (unsigned int i = 0; i < ARRAY_SIZE(ids); i++) {
		u = (struct mmu_update){ pte_maddr(WINDOW, 1), mfn * PAGE_SIZE | RO_PAGE };
		REFUSED(HC4(mmu_update, &u, 1, 0, ids[i]));
		u.val = mfn_of(page) * PAGE_SIZE | RW_PAGE;
		if (ids[i])
			REFUSED(HC4(mmu_update, &u, 1, 0, (ids[i] + 1) << 16 | DOMID_SELF));
		op.arg1.mfn = mfn;
		REFUSED(HC4(mmuext_op, &op, 1, 0, ids[i]));
		REFUSED(HC4(update_va_mapping_otherdomain, WINDOW, mfn * PAGE_SIZE | RO_PAGE, 0, ids[i]));
		r.domid = ids[i];
		REFUSED(HC2(memory_op, XENMEM_decrease_reservation, &r) - 1);
		REFUSED(HC2(memory_op, XENMEM_populate_physmap, &r) - 1);
		REFUSED(HC2(memory_op, XENMEM_current_reservation, &r.domid) - 1);
	}
}

/* Device memory and ACPI tables are domain 0's; the VGA window and the BIOS, too. */
static void device_memory(void)
{
	static const uint64_t at[] = { 0xa0000, 0xb8000, 0xf0000, 0xfec00000, 0xfee00000, 0xfed00000,
				       0xfd000000, 0xe0000000, 0, 0x1000, 0x200000 };

	ordinary();
	map_page(WINDOW, mfn_of(page), RW_PAGE);
	for (unsigned int i = 0; i < ARRAY_SIZE(at); i++) {
		REFUSED(HC3(update_va_mapping, WINDOW, at[i] | RW_PAGE, 0));
		REFUSED(HC3(update_va_mapping, WINDOW, at[i] | RO_PAGE, 0));
	}
}

/* RAM around the cache might not hold what was validated in the cache: not by a new entry, not by a
 * change of an entry's flags alone, not for tables. */
static void caching(void)
{
	static const uint64_t kinds[] = { 0x8, 0x10, 0x18, 0x80 };	/* PWT, PCD, both, PAT */

	ordinary();
	map_page(WINDOW, mfn_of(page), RW_PAGE);
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++) {
		REFUSED(HC3(update_va_mapping, WINDOW, maddr_of(page) | RW_PAGE | kinds[i], UVMF_INVLPG));
		EXPECT(HC3(update_va_mapping, WINDOW, 0, UVMF_INVLPG), 0);
		REFUSED(HC3(update_va_mapping, WINDOW, maddr_of(page) | RO_PAGE | kinds[i], UVMF_INVLPG));
		EXPECT(HC3(update_va_mapping, WINDOW, maddr_of(page) | RW_PAGE, UVMF_INVLPG), 0);
		REFUSED(mmu_update_one(pte_maddr(WINDOW, 2), *pte_of(WINDOW, 2) | kinds[i]));
	}
	CHECK(try_write(WINDOW, 1), "the mapping is gone");
}

static void ports(void)
{
	struct physdev_set_iopl set = { 1 };
	uint64_t cf8 = 0;

	ordinary();
	EXPECT(HC2(physdev_op, PHYSDEVOP_set_iopl, &set), 0);
	/* Reads are all ones and writes go nowhere: PCI configuration, keyboard controller. */
	TRY("mov $0xcf8, %%edx; in %%dx, %%eax; mov %%eax, %%ecx", : "=c"(cf8) :: "rax", "rdx", "r11", "memory");
	CHECK(!caught.any, "vector %lu", caught.r.vector);
	CHECK((uint32_t)cf8 == ~0u, "%lx", cf8);
	TRY("mov $0xfe, %%eax; mov $0x64, %%edx; xor %%ecx, %%ecx", ::: TRY_CLOBBERS, "rdx");
	__asm__ __volatile__("out %%al, %%dx" :: "a"(0xfe), "d"(0x64));	/* would reset the machine */
	__asm__ __volatile__("out %%al, %%dx" :: "a"(6), "d"(0xcf9));
}

static void physdev(void)
{
	static uint8_t arg[128] __attribute__((aligned(8)));

	ordinary();
	for (unsigned int cmd = 0; cmd < 40; cmd++) {
		if (cmd == PHYSDEVOP_set_iopl || cmd == PHYSDEVOP_set_iobitmap || cmd == PHYSDEVOP_eoi ||
		    cmd == PHYSDEVOP_irq_status_query)
			continue;
		memset(arg, 0, sizeof(arg));
		REFUSED(HC2(physdev_op, cmd, arg));
	}
}

static void events(void)
{
	struct evtchn_alloc_unbound a = { .dom = 0, .remote_dom = DOMID_SELF };
	struct evtchn_status s = { .dom = 0, .port = 1 };
	struct evtchn_reset r = { .dom = 0 };
	struct evtchn_bind_virq v = { .virq = VIRQ_DOM_EXC };
	struct evtchn_bind_pirq p = { .pirq = 4 };

	ordinary();
	REFUSED(evtchn_op(EVTCHNOP_alloc_unbound, &a));
	REFUSED(evtchn_op(EVTCHNOP_status, &s));
	REFUSED(evtchn_op(EVTCHNOP_reset, &r));
	REFUSED(evtchn_op(EVTCHNOP_bind_pirq, &p));
	for (unsigned int port = 1; port < 64; port++) {
		struct evtchn_bind_interdomain b = { .remote_dom = 0, .remote_port = port };

		REFUSED(evtchn_op(EVTCHNOP_bind_interdomain, &b));
	}
	/* Binding a global VIRQ is allowed to say no, or never to fire. */
	if (!evtchn_op(EVTCHNOP_bind_virq, &v))
		CHECK(!evtchn_pending(v.port), "an ordinary guest hears of other domains");
}

static void grants_of_others(void)
{
	struct gnttab_map_grant_ref m = { .host_addr = WINDOW, .flags = GNTMAP_host_map | GNTMAP_readonly };
	struct gnttab_setup_table t = { .dom = 0, .nr_frames = 1 };
	struct gnttab_query_size q = { .dom = 0 };
	unsigned long frame;

	ordinary();
	map_page(WINDOW, mfn_of(page), RW_PAGE);
	EXPECT(HC3(update_va_mapping, WINDOW, 0, UVMF_INVLPG), 0);
	for (unsigned int ref = 0; ref < 64; ref++) {
		m.ref = ref;
		EXPECT(HC3(grant_table_op, GNTTABOP_map_grant_ref, &m, 1), 0);
		CHECK(m.status < 0, "domain 0's ref %u was mapped", ref);
	}
	set_xen_guest_handle(t.frame_list, &frame);
	EXPECT(HC3(grant_table_op, GNTTABOP_setup_table, &t, 1), 0);
	CHECK(t.status < 0, "domain 0's table: %d", t.status);
	EXPECT(HC3(grant_table_op, GNTTABOP_query_size, &q, 1), 0);
	CHECK(q.status < 0, "domain 0's table: %d", q.status);
}

/* All that the guest may have it has: nothing more comes, and what it gives back comes again. */
static void allowance(void)
{
	static unsigned long frames[64];
	static uint8_t spare[PAGE_SIZE] __attribute__((aligned(4096)));
	struct xen_memory_reservation r = { .nr_extents = 64, .domid = DOMID_SELF };
	unsigned long mfn = mfn_of(spare), pfn = M2P[mfn];
	long first, n, sum = 0;

	ordinary();
	set_xen_guest_handle(r.extent_start, frames);
	first = HC2(memory_op, XENMEM_current_reservation, &r.domid);
	while ((n = HC2(memory_op, XENMEM_increase_reservation, &r)) > 0) {
		sum += n;
		CHECK(sum < 4096, "no end of memory");
		for (long i = 0; i < n; i++)
			CHECK(M2P[frames[i]] == ~0ul || M2P[frames[i]] < 1ul << 40, "%lx", M2P[frames[i]]);
	}
	EXPECT(HC2(memory_op, XENMEM_current_reservation, &r.domid), first + sum);
	/* A page that is mapped nowhere can be given back, and is gone from the table. */
	EXPECT(HC3(update_va_mapping, spare, 0, UVMF_INVLPG), 0);
	r.nr_extents = 1;
	set_xen_guest_handle(r.extent_start, &mfn);
	EXPECT(HC2(memory_op, XENMEM_decrease_reservation, &r), 1);
	CHECK(M2P[mfn] != pfn, "the M2P still says %lx", pfn);
	REFUSED(HC3(update_va_mapping, spare, mfn * PAGE_SIZE | RW_PAGE, 0));
	mfn = pfn;
	EXPECT(HC2(memory_op, XENMEM_populate_physmap, &r), 1);
	CHECK(M2P[mfn] == pfn, "%lx", M2P[mfn]);
	EXPECT(HC3(update_va_mapping, spare, mfn * PAGE_SIZE | RW_PAGE, UVMF_INVLPG), 0);
	for (unsigned int i = 0; i < 512; i++)
		CHECK(((volatile uint64_t *)spare)[i] == 0, "a new page with something in it");
	p2m[pfn] = mfn;
}

const struct test tests[] = {
	{ "unprivileged.tools_calls", tools_calls },
	{ "unprivileged.foreign_domains", foreign_domains },
	{ "unprivileged.device_memory", device_memory },
	{ "unprivileged.caching", caching },
	{ "unprivileged.ports", ports },
	{ "unprivileged.physdev", physdev },
	{ "unprivileged.events", events },
	{ "unprivileged.grants_of_others", grants_of_others },
	{ "unprivileged.allowance", allowance },
	{ NULL },
};
