/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Godwit's own hypercall: what the Xen ABI has no operation for, or has only
 * page by page.  One number, a command and a pointer to that command's
 * structure; dom0 only (-EPERM otherwise).
 *
 *	ret = hypercall2(__HYPERVISOR_godwit_op, cmd, &arg)
 *
 * Return: 0, or a negative errno.  -EINTR-like restarts do not exist: a
 * command that stops early for preemption returns 0 and says in its output
 * how far it came (nr_done, cursor, remaining); the caller calls again.
 *
 * All pfns are pseudo-physical frame numbers of the target domain; a pfn list
 * is an array of uint64_t.  All buffers are dom0 virtual addresses, page
 * buffers page-aligned.  Shapes and limits stand beside each structure.
 */
#ifndef GODWIT_PUBLIC_GODWIT_H
#define GODWIT_PUBLIC_GODWIT_H

#include <stdint.h>

#define __HYPERVISOR_godwit_op		49	/* __HYPERVISOR_arch_1 */
#define GODWIT_ABI_VERSION		1

/* --- 0: who is there ------------------------------------------------------ */
#define GODWIT_OP_version		0
struct godwit_version {
	uint32_t abi;			/* out: GODWIT_ABI_VERSION */
	uint32_t features;		/* out: GODWIT_FEAT_* */
	char build[48];			/* out: NUL-terminated text */
};
#define GODWIT_FEAT_LOGDIRTY		(1u << 0)
#define GODWIT_FEAT_SNAPSHOT		(1u << 1)	/* GODWIT_OP_snapshot */
#define GODWIT_FEAT_LAZY		(1u << 2)	/* GODWIT_OP_lazy */

/* --- 1: log-dirty --------------------------------------------------------- */
/*
 * enable:  the domain goes over to shadow tables, log-dirty starts with every
 *          frame clean (round 0 sends all, so nothing is reported dirty before
 *          it is written).  Preemptible: call until remaining == 0.  The domain
 *          may run meanwhile.
 * collect: fold hardware D bits into the dirty bitmap, clear them, flush TLBs,
 *          then count.  fetch reads the bitmap, it does not look at D bits.
 * fetch:   copy out up to max_pfns dirty pfns from `cursor` on and clean them.
 *          cursor == end_pfn when the bitmap is exhausted.  -EBUSY while a snapshot
 *          is open; makes its cookie 0, since the bitmap then lacks what was taken.
 * disable: back to direct paging, bitmap freed, an open snapshot aborted.  Never
 *          fails on a live domain.
 */
#define GODWIT_OP_logdirty		1
#define GODWIT_LOGDIRTY_ENABLE		1
#define GODWIT_LOGDIRTY_DISABLE		2
#define GODWIT_LOGDIRTY_COLLECT		3
#define GODWIT_LOGDIRTY_FETCH		4
#define GODWIT_LOGDIRTY_STATS		5	/* counters only, nothing changes */
struct godwit_logdirty {
	uint16_t domid;			/* in */
	uint16_t action;		/* in: GODWIT_LOGDIRTY_* */
	uint32_t flags;			/* in: 0 */
	uint64_t cursor;		/* in/out: first pfn to look at */
	uint64_t end_pfn;		/* out: one past the highest pfn known */
	uint64_t nr_dirty;		/* out: dirty pfns left in the bitmap */
	uint64_t remaining;		/* out: work left of enable, 0 = done */
	uint32_t max_pfns;		/* in: capacity of pfns, 1..65536 */
	uint32_t nr_pfns;		/* out: how many were written */
	uint64_t pfns;			/* in: uint64_t[max_pfns] */
	uint64_t stat_faults;		/* out: shadow faults since enable */
	uint64_t stat_collects;		/* out: collects since enable */
};

/* --- 2, 3: frames in bulk -------------------------------------------------- */
/* What a frame is, in the wire's terms (docs/spec/stream.md uses the same). */
#define GODWIT_PAGE_DATA		0	/* bytes as they are */
#define GODWIT_PAGE_ZERO		1	/* all zero; its buffer slot is not written */
#define GODWIT_PAGE_L1			2	/* page table; present entries hold pfns, */
#define GODWIT_PAGE_L2			3	/*   L4 slots 256..271 are zero */
#define GODWIT_PAGE_L3			4
#define GODWIT_PAGE_L4			5
#define GODWIT_PAGE_P2M			6	/* leaf of the guest's p2m list: never sent as
						 * bytes, the destination makes it anew */
#define GODWIT_PAGE_ABSENT		7	/* no frame at this pfn */
#define GODWIT_PAGE_RETRY		8	/* read: a table that does not translate now;
						 * it stays dirty (never when paused) */
#define GODWIT_PAGE_DELTA		10	/* write only: XOR with the bytes the frame holds now */
#define GODWIT_PAGE_TYPE_MASK		0x0fu
#define GODWIT_PAGE_PINNED		0x80u	/* with L1..L4 */

#define GODWIT_BATCH_MAX		1024	/* frames in one call */

/*
 * read_frames: nr pfns in, types[] and bytes out; buffer slot i (4096 bytes at
 * buffer + 4096 * i) belongs to pfns[i].  Entries of tables are canonical:
 * the frame field of a present entry holds the pfn, all other bits as the
 * guest would read them.  While a snapshot is open: see GODWIT_OP_snapshot.
 * write_frames: the inverse on a domain that never ran: frames are allocated
 * where absent (ABSENT gives the frame back), M2P set, table entries localised
 * (frames they name are allocated too), nothing is validated yet.
 * A domain that runs takes missing frames only: GODWIT_OP_lazy.
 * Both may stop early: nr_done.
 */
#define GODWIT_OP_read_frames		2
#define GODWIT_OP_write_frames		3
struct godwit_frames {
	uint16_t domid;			/* in */
	uint16_t pad;
	uint32_t nr;			/* in: 1..GODWIT_BATCH_MAX */
	uint32_t nr_done;		/* out */
	uint32_t pad2;
	uint64_t pfns;			/* in: uint64_t[nr] */
	uint64_t types;			/* read: out, write: in; uint8_t[nr] */
	uint64_t buffer;		/* read: out, write: in; nr * 4096 bytes */
};

/* --- 4: where the guest's p2m list is --------------------------------------- */
/*
 * p2m_frames: for leaf i (pfns 512*i .. 512*i+511), the pfn of the frame that
 * holds it, ~0 where the list shares a "missing" page.  The hypervisor walks
 * shared_info.arch.p2m_cr3/p2m_vaddr (Xen public arch-x86/xen.h), or the
 * three-level list where the guest keeps that one.  Each such frame then
 * reads as GODWIT_PAGE_P2M.  max_pfn is shared_info's, cut at trailing
 * shared leaves.  -EAGAIN while p2m_generation is odd.
 */
#define GODWIT_OP_p2m_frames		4
struct godwit_p2m_frames {
	uint16_t domid;			/* in */
	uint16_t pad;
	uint32_t max_leaves;		/* in: capacity of pfns */
	uint32_t nr_leaves;		/* out */
	uint32_t pad2;
	uint64_t max_pfn;		/* out: number of pfns the list covers */
	uint64_t generation;		/* out: p2m_generation at the walk */
	uint64_t pfns;			/* in: uint64_t[max_leaves]; may be 0 to ask nr_leaves */
};

/* --- 5, 6: the state of a domain beside its memory --------------------------- */
/*
 * get_context: one vCPU (paused or shut down), all frame numbers as pfns.
 * The structure is versioned and travels in the stream as opaque bytes inside
 * a record of its own; set_context refuses a size or version it does not know
 * and CPU features (xcr0, xsave size) the host lacks with -EOPNOTSUPP.  get is -EAGAIN
 * while the vCPU waits for a frame on its way into its kernel (GODWIT_OP_lazy).
 */
#define GODWIT_OP_get_context		5
#define GODWIT_OP_set_context		6
struct godwit_context {
	uint16_t domid;			/* in */
	uint16_t vcpu;			/* in */
	uint32_t size;			/* in: capacity / size; out: bytes used */
	uint64_t buffer;		/* in: bytes; 0 with get asks the size */
};

/* --- 7: make a restored domain runnable --------------------------------------- */
/*
 * After the last write_frames, in this order inside the hypervisor:
 * start_info is rewritten (nr_pages kept, shared_info, store/console mfn and
 * port, flags kept), the p2m leaves are made, shared_info gets the page sent as
 * `shared_info` (arch and vcpu_info kept; pending, mask and time reset, upcalls
 * masked), grant entries 0 and 1 are seeded for domain 0, tables are pinned
 * (L4s first).  Any failure leaves the domain unrunnable: destroy it.
 */
#define GODWIT_OP_finish_restore	7
struct godwit_finish_restore {
	uint16_t domid;			/* in */
	uint16_t pad;
	uint32_t nr_leaves;		/* in */
	uint64_t p2m_leaves;		/* in: uint64_t[nr_leaves], as p2m_frames gave */
	uint64_t max_pfn;		/* in */
	uint64_t nr_pins;		/* in */
	uint64_t pins;			/* in: uint64_t[nr_pins], pfn | level << 60 (1..4) */
	uint64_t shared_info;		/* in: 4096 bytes, as get_shared_info gave */
	uint64_t start_info_pfn;	/* in: from the vCPU 0 context (see get_misc) */
	uint32_t store_evtchn;		/* in: ports allocated in the new domain */
	uint32_t console_evtchn;	/* in */
	uint64_t store_mfn;		/* out: for xs_introduce_domain */
	uint64_t console_mfn;		/* out */
	uint64_t restore_us;		/* out: microseconds spent pinning */
};

/* --- 8: small facts of a domain -------------------------------------------------- */
#define GODWIT_OP_domain_facts		8
struct godwit_domain_facts {
	uint16_t domid;			/* in */
	uint16_t nr_vcpus;		/* out */
	uint32_t flags;			/* out: XEN_DOMINF_* as getdomaininfo */
	uint64_t tot_pages;		/* out */
	uint64_t max_pages;		/* out */
	uint64_t end_pfn;		/* out: one past the highest pfn that has a frame */
	uint64_t start_info_pfn;	/* out: ~0 unless suspended (vCPU 0's third argument) */
	uint64_t tsc_khz;		/* out */
	uint64_t nr_l1, nr_l2, nr_l3, nr_l4; /* out: table frames by type */
	uint64_t shared_info;		/* in: 0 or 4096-byte buffer that gets shared_info */
	uint8_t uuid[16];		/* out */
};

/* --- 9: frame-table audit, for tests ----------------------------------------------- */
/* Walks every frame; counts what contradicts the rules in docs/memory-layout.md. */
#define GODWIT_OP_audit			9
struct godwit_audit {
	uint64_t total_frames;		/* out */
	uint64_t free_frames;		/* out */
	uint64_t hypervisor_frames;	/* out */
	uint64_t domain_frames;		/* out */
	uint64_t errors;		/* out: 0 on a healthy host */
};

/* --- 10: live checkpoint ------------------------------------------------------------- */
/*
 * Freeze a domain's memory at an instant, let it run on, read the frozen memory in the
 * background.  Frames are copied aside before the domain's first write to them.
 *
 * PREPARE: log-dirty must be on (-EINVAL).  Allocates all that BEGIN needs (-ENOMEM); an older
 *	snapshot is aborted first.  reserve_pages bounds the frames copied aside for the
 *	domain's own stores.
 * BEGIN:   the domain must stand, suspended or paused (-EBUSY), with its state taken (get_context,
 *	domain_facts, p2m_frames) before it is let go.  FULL: the set is every pfn; DELTA: the
 *	pfns dirty now, a collect included.  The dirty bitmap is emptied into the set, whose
 *	pfns are frozen from then on.  Costs a bitmap copy and the top level of tables, with DELTA
 *	the collect too (little, after a collect just before the domain was stopped); frames that
 *	others have mapped writable are copied aside at once.
 * FETCH:   up to max_pfns pfns of the set not read yet, from `cursor` on; cursor == end_pfn
 *	at the end.  Nothing is consumed.
 * COMMIT:  the snapshot ends; the cookie becomes `cookie`.  -EBUSY while pfns are left to read,
 *	-ESTALE if it failed: nothing changes then.
 * ABORT:   the snapshot ends; the whole set is dirty again, the cookie stays.
 * STATUS:  the outputs only.
 *
 * While a snapshot is open, read_frames gives the frozen contents and type of pfns of the set, each
 * once; any other pfn is -EINVAL.  A pfn that had no frame at the instant is ABSENT.  A table that
 * did not translate then is RETRY, and never will.  p2m_frames must not be called
 * between the domain's going on and the snapshot's end.
 *
 * A vCPU whose store finds the reserve used up waits until frames are read.  Hypercalls and
 * backends do not wait: they may exceed the reserve.  When there is no memory at all, or a vCPU
 * waited while nothing was read for 2 s, the snapshot fails: the domain goes on unhindered,
 * reads are -ESTALE, ABORT cleans up.
 *
 * The cookie names the checkpoint since which the dirty bitmap holds every change: 0 from the
 * enabling of log-dirty on, and after a fetch of the dirty bitmap.
 */
#define GODWIT_OP_snapshot		10
#define GODWIT_SNAPSHOT_PREPARE		1
#define GODWIT_SNAPSHOT_BEGIN		2
#define GODWIT_SNAPSHOT_FETCH		3
#define GODWIT_SNAPSHOT_COMMIT		4
#define GODWIT_SNAPSHOT_ABORT		5
#define GODWIT_SNAPSHOT_STATUS		6

#define GODWIT_SNAPSHOT_FULL		1u	/* flags of BEGIN: exactly one */
#define GODWIT_SNAPSHOT_DELTA		2u

#define GODWIT_SNAPSHOT_IS_NONE		0u	/* states */
#define GODWIT_SNAPSHOT_IS_PREPARED	1u
#define GODWIT_SNAPSHOT_IS_OPEN		2u
#define GODWIT_SNAPSHOT_IS_FAILED	3u
struct godwit_snapshot {
	uint16_t domid;			/* in */
	uint16_t action;		/* in: GODWIT_SNAPSHOT_* */
	uint32_t flags;			/* in: BEGIN: FULL or DELTA; else 0 */
	uint64_t reserve_pages;		/* in PREPARE: bound of frames copied aside */
	uint64_t cookie;		/* in COMMIT; out always: the present one */
	uint64_t nr_pfns;		/* out: pfns in the set */
	uint64_t nr_left;		/* out: of these, not read yet */
	uint64_t cursor;		/* in/out FETCH: first pfn to look at */
	uint64_t end_pfn;		/* out: one past the highest pfn of any set */
	uint32_t max_pfns;		/* in FETCH: capacity of pfns, 1..65536 */
	uint32_t nr_out;		/* out FETCH: how many were written */
	uint64_t pfns;			/* in FETCH: uint64_t[max_pfns] */
	uint64_t copied;		/* out: frames copied aside so far */
	uint64_t copies_now;		/* out: of these, still held */
	uint64_t copies_max;		/* out: most held at once */
	uint64_t waits;			/* out: times a vCPU had to wait */
	uint64_t wait_us;		/* out: how long, all together */
	uint64_t begin_us;		/* out: time BEGIN took, vCPUs standing */
	uint32_t state;			/* out: GODWIT_SNAPSHOT_IS_* */
	uint32_t pad;
};

/* --- 11: lazy restore ----------------------------------------------------------------- */
/*
 * Let a restored domain run before the contents of all its frames are there.
 *
 * MARK:   the frames of these pfns are missing: they exist (write_frames of ZERO, or by a table that
 *	names them) and get their bytes later.  Log-dirty must be on, the domain must never have run;
 *	may be called many times.  -EINVAL at the first (nr_done) that has no frame, is a
 *	page table or descriptor page, is mapped by grant or is marked already.  What finish_restore writes (start_info,
 *	p2m leaves) must not be marked.  `port` is an event channel of domain 0 (0: none) that is
 *	signalled whenever a pfn is asked for.
 * FETCH:  pfns that are asked for and not fetched yet, oldest first, at most nr and 64.
 * STATUS: the outputs only.
 *
 * write_frames gives a missing pfn its bytes, also while the domain runs: DATA or ZERO, once;
 * -EINVAL for others.  A vCPU that touches a missing frame waits for it, in a hypercall, too; the
 * domain's use of it by frame number waits likewise.  Grant operations of others give
 * GNTST_eagain, foreign maps -EAGAIN, and ask for it.  read_frames says RETRY.  While anything
 * is missing log-dirty cannot be disabled and no snapshot begun (-EBUSY).  Destroying the domain ends it.
 */
#define GODWIT_OP_lazy			11
#define GODWIT_LAZY_MARK		1
#define GODWIT_LAZY_FETCH		2
#define GODWIT_LAZY_STATUS		3
struct godwit_lazy {
	uint16_t domid;			/* in */
	uint16_t action;		/* in: GODWIT_LAZY_* */
	uint32_t flags;			/* in: 0 */
	uint32_t port;			/* in MARK */
	uint32_t nr;			/* in: pfns in the list, or room for; at most 65536 */
	uint64_t pfns;			/* MARK in, FETCH out: uint64_t[nr] */
	uint32_t nr_done;		/* out: pfns marked, or fetched */
	uint32_t waiting;		/* out: vCPUs that wait now */
	uint64_t nr_left;		/* out: pfns still missing */
	uint64_t waits;			/* out: times a vCPU waited */
	uint64_t wait_us;		/* out: how long, all that are over */
	uint64_t wait_max_us;		/* out: the longest */
};

#endif
