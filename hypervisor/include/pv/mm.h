/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames, their references and types, the heap, M2P (mm/).  The rules are on
 * top of mm/frame.c and mm/ptype.c.
 */
#pragma once
#include <pv/platform.h>
#include <pv/spinlock.h>

struct domain;

struct frame {
	uint64_t count;		/* FRAME_* flags | number of references */
	union {
		uint64_t type;		/* FTYPE_* | flags | number of type references */
		struct {
			uint32_t no_type;
			uint32_t twin_gen;	/* a twin: see mm/shadow.c, "Write protection" */
		};
	};
	uint16_t owner;		/* domid; DOMID_XEN: hypervisor, DOMID_INVALID: free */
	uint8_t order;		/* free: buddy order of the block this frame heads */
	uint8_t aside;		/* a copy for a snapshot: what of, see mm/snapshot.c; else 0 */
	uint32_t next, prev;	/* mfn links: owner's list, or free list; 0 ends */
	union {
		uint32_t twin;		/* validated table: mfn of its shadow twin, 0 = none (mm/shadow.c) */
		uint32_t tlb_stamp;	/* no type in use: tlb_clock when the last type went (mm/tlb.c) */
	};
};
static_assert(sizeof(struct frame) == 32, "one cache line holds two");
extern struct frame *frame_table;

#define FRAME_ALLOCATED		BIT(63)	/* the owner's own reference is held */
#define FRAME_FREE		BIT(62)	/* on the heap's free list */
#define FRAME_HV		BIT(61)	/* hypervisor page that a guest may map (shared_info, grants) */
#define FRAME_STALE		BIT(60)	/* free: a guest's TLB entries may remain, see tlb_stamp */
#define FRAME_DIRTY		BIT(59)	/* free: not zeroed yet */
#define FRAME_COUNT_MASK	0xffffffffUL

#define FTYPE_SHIFT		60
#define FTYPE_NONE		0UL
#define FTYPE_L1		1UL
#define FTYPE_L2		2UL
#define FTYPE_L3		3UL
#define FTYPE_L4		4UL
#define FTYPE_SEGDESC		5UL
#define FTYPE_WRITABLE		6UL
#define FTYPE_MASK		(0xfUL << FTYPE_SHIFT)
#define FTYPE_VALIDATED		BIT(59)
#define FTYPE_PINNED		BIT(58)
#define FTYPE_COUNT_MASK	0xffffffffUL
static inline unsigned int frame_type(const struct frame *f) { return (unsigned int)(f->type >> FTYPE_SHIFT); }

static inline bool mfn_valid(mfn_t m) { return m.mfn < max_mfn; }
static inline struct frame *mfn_to_frame(mfn_t m) { return &frame_table[m.mfn]; }
static inline mfn_t frame_to_mfn(const struct frame *f) { return _mfn((uint64_t)(f - frame_table)); }
static inline void *frame_to_virt(const struct frame *f) { return mfn_to_virt(frame_to_mfn(f)); }

/* --- heap (mm/alloc.c) --- */
void heap_init(void);
/** heap_add_range() - boot: frames [start, end) of the hypervisor become free memory, whatever is
 *  in them: they are zeroed when they are allocated. */
void heap_add_range(mfn_t start, mfn_t end);
/** heap_alloc() - 2^@order contiguous, zeroed, naturally aligned frames of the hypervisor,
 *  below @limit_maddr bytes (0: anywhere).  NULL when there are none. */
struct frame *heap_alloc(unsigned int order, uint64_t limit_maddr);
void heap_free(struct frame *f, unsigned int order);
uint64_t heap_free_frames(void);
/** heap_scrub_some() - an idle CPU zeroes a few free frames; false: nothing to do now. */
bool heap_scrub_some(void);
/** page_alloc()/page_free() - one zeroed hypervisor page as memory. */
void *page_alloc(void);
void page_free(void *p);
/** xzalloc() - zeroed memory of @size bytes (8-aligned); large sizes take whole pages.
 *  NULL when there is none.  xfree(NULL) is fine. */
void *xzalloc(size_t size);
void xfree(void *p);
#define xzalloc_array(type, n)	((type *)((size_t)(n) > SIZE_MAX / sizeof(type) ? NULL : xzalloc(sizeof(type) * (n))))

/* --- references (mm/frame.c) --- */
/** frame_get() - take a reference on @f if @d owns it.  False: it does not, or it is dying. */
bool frame_get(struct frame *f, const struct domain *d) __must_check;
/** frame_put() - drop one; the last one frees the frame (scrubbed by the heap). */
void frame_put(struct frame *f);
/** frame_get_type()/frame_put_type() - type references (mm/ptype.c), return 0 or -EINVAL
 *  (other type in use), -EBUSY, or the cause why a table does not validate.  Writable and
 *  segdesc need no lock; table types need the owner's mm_lock. */
int frame_get_type(struct frame *f, unsigned int type) __must_check;
void frame_put_type(struct frame *f);
/** frame_get_rw()/frame_put_rw() - reference and writable type together. */
bool frame_get_rw(struct frame *f, const struct domain *d) __must_check;
void frame_put_rw(struct frame *f);
/** frame_share() - let guest @d map hypervisor page @page (shared_info, grant frames):
 *  owner becomes @d, FRAME_HV set, one reference kept by the hypervisor. */
void frame_share(void *page, struct domain *d);
void frame_unshare(void *page);

/** domain_alloc_frame() - a zeroed frame owned by @d, on its list, with its own reference;
 *  below @limit_maddr (0: anywhere).  NULL: no memory, or max_pages reached. */
struct frame *domain_alloc_frames(struct domain *d, unsigned int order, uint64_t limit_maddr);
struct frame *domain_alloc_frame(struct domain *d);
/** domain_assign_frames() - give @nr hypervisor frames from @f on to @d (dom0's boot memory). */
void domain_assign_frames(struct domain *d, struct frame *f, uint64_t nr);
/** frame_release() - drop the owner's own reference; false: it is gone already. */
bool frame_release(struct frame *f);
/** frame_table_init() - owners after boot: RAM is the hypervisor's, all else DOMID_IO. */
void frame_table_init(void);

/** frame_audit() - walk the frame table and count what contradicts its rules (mm/audit.c). */
void frame_audit(struct godwit_audit *a);

/* --- stale translations (mm/tlb.c) --- */
/** tlb_write_cr3() - load CR3 and note that this CPU holds no older translation of a guest's. */
void tlb_write_cr3(uint64_t cr3);
/** tlb_guest_tables() - this CPU is about to load a guest's tables, or has just loaded idle_l4. */
void tlb_guest_tables(bool loaded);
uint32_t tlb_stamp(void);
/** tlb_flush_stale() - flush those CPUs of @mask that did not flush since @stamp. */
void tlb_flush_stale(uint64_t mask, uint32_t stamp);

/* --- M2P (mm/m2p.c): what guests read at HV_M2P_BASE --- */
extern uint64_t *m2p;			/* writable alias, max_mfn entries */
static inline void m2p_set(mfn_t m, pfn_t p) { if (mfn_valid(m)) m2p[m.mfn] = p.pfn; }
static inline pfn_t m2p_get(mfn_t m) { return mfn_valid(m) ? _pfn(m2p[m.mfn]) : INVALID_PFN; }

/* --- a guest's memory by its virtual addresses (mm/guest_copy.c) --- */
/** copy_from_guest()/copy_to_guest() - @n bytes between the hypervisor and guest virtual
 *  address @gva of the current vCPU (its kernel tables are loaded).  0 or -EFAULT: not
 *  mapped, not writable, or touching the hypervisor's slots; bytes before the fault may have
 *  been written.  Marks what it writes dirty by the hardware's own D bits. */
int copy_from_guest(void *dst, uint64_t gva, size_t n) __must_check;
int copy_to_guest(uint64_t gva, const void *src, size_t n) __must_check;
bool guest_range_ok(uint64_t gva, size_t n);

/* --- log-dirty hook (mm/logdirty.c): every write to guest memory that does not go through
 * the guest's own hardware translation must be told; cheap when log-dirty is off. --- */
void logdirty_mark_mfn(mfn_t m);
/** logdirty_disable() - back to direct paging; nothing when it is off.  The domain is paused. */
void logdirty_disable(struct domain *d);
/** logdirty_frame_gone() - @m leaves @d; its pfn has no frame any more. */
void logdirty_frame_gone(struct domain *d, mfn_t m);
/** logdirty_m2p_changed() - before @m of @d gets the new pfn @p in M2P. */
void logdirty_m2p_changed(struct domain *d, mfn_t m, pfn_t p);

/* --- L1 entries written on behalf of grants (mm/mmu.c) --- */
/** mmu_install_foreign() - put a present L1 entry for @mfn into a table of @d.  The entry takes
 *  references of its own (plain, or writable when @pte_flags has RW), so that a guest that
 *  overwrites the entry harms no count; the caller holds its own as well.
 *  @host_addr: virtual address in the current address space, or machine address of the
 *  entry when @is_pte.  Fails (-EINVAL) when there is no such L1 or the entry is present.
 *  mmu_remove_foreign() clears the entry if it still maps @mfn (-EINVAL otherwise); the caller
 *  flushes the TLB and drops its own references afterwards.  Takes the domain's mm_lock. */
int mmu_install_foreign(struct domain *d, uint64_t host_addr, bool is_pte, mfn_t mfn, uint64_t pte_flags);
int mmu_remove_foreign(struct domain *d, uint64_t host_addr, bool is_pte, mfn_t mfn);

#define PTE_P		0x001UL
#define PTE_RW		0x002UL
#define PTE_US		0x004UL
#define PTE_PWT		0x008UL
#define PTE_PCD		0x010UL
#define PTE_A		0x020UL
#define PTE_D		0x040UL
#define PTE_PSE		0x080UL	/* L2, L3; PAT in an L1 */
#define PTE_PAT		0x080UL
#define PTE_G		0x100UL
#define PTE_NX		BIT(63)
#define PTE_ADDR_MASK	0x000ffffffffff000UL
static inline mfn_t pte_mfn(uint64_t e) { return _mfn((e & PTE_ADDR_MASK) >> PAGE_SHIFT); }
static inline unsigned int pt_index(uint64_t va, int level) { return (va >> (12 + 9 * (level - 1))) & 511; }
