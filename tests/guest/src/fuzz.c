/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hypercalls at random, with arguments that are nearly right: frames of one's own, entries that name
 * them, handles, ports and counts in and out of bounds, pointers to structures of such words,
 * single and in multicalls.  Whatever they answer, the hypervisor and the guest go on, and the
 * frame table is in order afterwards (the library's audit).  The seed is printed: seed=N repeats
 * a run.
 */
#include "tests/guest/lib/guest.h"

#define WINDOW		0x50000000ul
#define WINDOW_PAGES	16u
#define VICTIMS		24u
#define ARENA_WORDS	(4 * 512u)
#define CALLS		2000000u
#define RUN_NS		5000000000ul

/* What is written behind a structure that lies at its end stays in the room behind it. */
static uint64_t arena[ARENA_WORDS + 16 * 512] __attribute__((aligned(4096)));
static uint64_t victim[VICTIMS];	/* frames that nothing of ours lies in */
static uint64_t state;

static uint64_t roll(uint64_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (state >> 11) % n;
}

static uint64_t frame(void) { return victim[roll(VICTIMS)]; }

static uint64_t odd_address(void)
{
	static const uint64_t odd[] = { 0, 8, 1ul << 47, 1ul << 62, HV_START, HV_START + (6ul << 39), HV_END - 8,
					~0ul - 7, 0x00008300000000ul << 8, 0x123456789000 };

	return odd[roll(ARRAY_SIZE(odd))];
}

static uint64_t window(void) { return WINDOW + roll(WINDOW_PAGES) * PAGE_SIZE; }
static uint64_t in_arena(void) { return (uint64_t)&arena[roll(ARENA_WORDS - 64)]; }
static uint64_t pointer(void) { return roll(16) ? in_arena() : odd_address(); }

static uint64_t entry(void)
{
	static const uint64_t flags[] = { RW_PAGE, RO_PAGE, TABLE, TABLE | PTE_NX, RW_PAGE | PTE_PSE, 0, 0x18 | RW_PAGE,
					  PTE_P, PTE_RW };

	return frame() * PAGE_SIZE | flags[roll(ARRAY_SIZE(flags))];
}

/* A word as structures have them. */
static uint64_t word(void)
{
	switch (roll(12)) {
	case 0: return frame();
	case 1: return frame() * PAGE_SIZE + roll(512) * 8 + roll(4);
	case 2: return entry();
	case 3: return roll(8);
	case 4: return roll(64) | roll(64) << 32;
	case 5: return pointer();
	case 6: return window();
	case 7: return DOMID_SELF | roll(8) << 16 | roll(64) << 32;
	case 8: return roll(4096) << (20 + roll(33));	/* never a frame of our own image */
	case 9: return odd_address();
	case 10: return frame() | frame() << 32;
	default: return ~0ul << roll(64);
	}
}

static void stir(void)
{
	for (unsigned int n = roll(48); n; n--)
		arena[roll(ARENA_WORDS)] = word();
}

static unsigned int count(void) { return roll(8) ? roll(5) : roll(2) ? roll(300) : 0x80000000u | roll(9); }

/* A structure of words for one call.  Apart from the arena: no answer of another call may make a
 * NEW_BASEPTR of it, which is the one request that a guest does not survive. */
static uint64_t *head(void)
{
	static uint64_t heads[8][16];
	static unsigned int next;
	uint64_t *h = heads[next++ % ARRAY_SIZE(heads)];

	for (unsigned int i = 0; i < ARRAY_SIZE(heads[0]); i++)
		h[i] = word();
	return h;
}

static unsigned int make(uint64_t a[5])
{
	uint64_t *h = head();

	switch (roll(17)) {
	case 0:
	case 1:
		for (unsigned int i = 0; i < 4; i++)
			h[2 * i] = frame() * PAGE_SIZE + roll(6) * 8 + roll(4);
		a[0] = (uint64_t)h, a[1] = roll(5), a[2] = roll(3) ? 0 : pointer(), a[3] = DOMID_SELF;
		return __HYPERVISOR_mmu_update;
	case 2:
	case 3:
		do
			h[0] = roll(20);
		while (h[0] == MMUEXT_NEW_BASEPTR);
		h[1] = roll(4) ? frame() : word();
		a[0] = (uint64_t)h, a[1] = 1, a[2] = 0, a[3] = DOMID_SELF;
		return __HYPERVISOR_mmuext_op;
	case 4:
	case 5:
		a[0] = roll(8) ? window() : odd_address(), a[1] = roll(4) ? entry() : word(), a[2] = roll(8);
		return __HYPERVISOR_update_va_mapping;
	case 6:
		h[0] = pointer(), h[1] = count(), h[2] = roll(10) | roll(40) << 32, h[3] = DOMID_SELF;
		a[0] = roll(3) ? roll(7) : roll(1u << 20), a[1] = (uint64_t)h;
		return __HYPERVISOR_memory_op;
	case 7:
		h[0] = pointer(), h[1] = roll(5), h[2] = roll(3), h[3] = DOMID_SELF;
		h[4] = pointer(), h[5] = roll(5), h[6] = roll(3), h[7] = DOMID_SELF, h[8] = roll(9) ? 0 : word();
		a[0] = XENMEM_exchange, a[1] = (uint64_t)h;
		return __HYPERVISOR_memory_op;
	case 8:
		h[0] = roll(2) ? window() : frame() * PAGE_SIZE + roll(512) * 8;
		h[1] = (GNTMAP_host_map | roll(64)) | roll(40) << 32, h[2] = DOMID_SELF;
		a[0] = GNTTABOP_map_grant_ref, a[1] = (uint64_t)h, a[2] = roll(9) ? 1 : count();
		return __HYPERVISOR_grant_table_op;
	case 9:
		h[0] = window(), h[2] = roll(24);
		a[0] = GNTTABOP_unmap_grant_ref, a[1] = (uint64_t)h, a[2] = 1;
		return __HYPERVISOR_grant_table_op;
	case 10:
		a[0] = roll(13), a[1] = pointer(), a[2] = count();
		return __HYPERVISOR_grant_table_op;
	case 11:
		do	/* an ordinary guest needs its console's port to tell how it went */
			a[0] = roll(14);
		while (!privileged() && (a[0] == EVTCHNOP_close || a[0] == EVTCHNOP_reset));
		a[1] = pointer();
		return __HYPERVISOR_event_channel_op;
	case 12:
		a[0] = frame() * PAGE_SIZE + roll(512) * 8, a[1] = word();
		return __HYPERVISOR_update_descriptor;
	case 13:
		a[0] = (uint64_t)h, a[1] = roll(4) ? roll(1600) : word();
		return __HYPERVISOR_set_gdt;
	case 14:
		do
			a[0] = roll(16);
		while (a[0] == VCPUOP_down || a[0] == VCPUOP_register_vcpu_info || a[0] == VCPUOP_up);
		a[1] = roll(3), a[2] = pointer();
		return __HYPERVISOR_vcpu_op;
	case 15:
		a[0] = roll(4), a[1] = roll(4);
		return roll(2) ? __HYPERVISOR_vm_assist : __HYPERVISOR_fpu_taskswitch;
	default:
		a[0] = roll(12), a[1] = pointer();
		return __HYPERVISOR_xen_version;
	}
}

static void one(void)
{
	static struct multicall_entry e[6];
	uint64_t a[5] = { 0 };
	unsigned int nr, i;

	stir();
	if (roll(6)) {
		nr = make(a);
		hypercall(nr, a[0], a[1], a[2], a[3], a[4]);
		return;
	}
	for (i = 0; i < ARRAY_SIZE(e); i++) {
		e[i].op = make(a);
		memcpy(e[i].args, a, sizeof(a));
	}
	HC2(multicall, e, ARRAY_SIZE(e));
}

static void grants_make(void)
{
	struct gnttab_setup_table t = { .dom = DOMID_SELF, .nr_frames = 1 };
	uint64_t mfn = 0;
	struct grant_entry_v1 *g = (void *)(WINDOW + WINDOW_PAGES * PAGE_SIZE);

	set_xen_guest_handle(t.frame_list, &mfn);
	EXPECT(HC3(grant_table_op, GNTTABOP_setup_table, &t, 1), 0);
	map_page((uint64_t)g, mfn, RW_PAGE);
	for (unsigned int i = GNTTAB_NR_RESERVED_ENTRIES; i < 40; i++) {
		g[i].frame = frame();
		g[i].domid = privileged() ? 0 : roll(4);
		g[i].flags = GTF_permit_access | (roll(2) ? GTF_readonly : 0);
	}
}

/* Breakpoints and the like may have been asked for: go on. */
static bool ignore_debug(struct regs *r) { return r->vector == 1; }

static void random_calls(void)
{
	uint64_t end = now_ns() + RUN_NS;
	const char *s = cmdline;
	unsigned int n;

	state = now_ns() | 1;
	for (; *s; s++)
		if (!memcmp(s, "seed=", 5)) {
			for (state = 0, s += 5; *s >= '0' && *s <= '9'; s++)
				state = state * 10 + (uint64_t)(*s - '0');
			break;
		}
	printf_("seed=%lu\n", state);
	trap_hook = ignore_debug;
	for (n = 0; n < VICTIMS; n++)
		victim[n] = mfn_of(pt_new());
	for (n = 0; n < WINDOW_PAGES; n++)
		map_page(WINDOW + n * PAGE_SIZE, frame(), RO_PAGE);
	grants_make();
	for (n = 0; n < CALLS && now_ns() < end; n++)
		one();
	CHECK(n > 1000, "only %u calls", n);
}

const struct test tests[] = {
	{ "fuzz.random_calls", random_calls },
	{ NULL },
};
