/* SPDX-License-Identifier: Apache-2.0 */
/* Grant tables, version 1 (grant/). */
#pragma once
#include <pv/abi.h>
#include <pv/spinlock.h>

struct domain;

#define GRANT_MAX_FRAMES	64u	/* 64 * 512 entries */
#define GRANT_PER_FRAME		(PAGE_SIZE / sizeof(struct grant_entry_v1))

struct grant_active;
struct grant_mapping;
struct grant_domain {
	struct spinlock lock;
	bool dead;						/* the domain dies: the table grows no more */
	uint32_t nr_frames, max_frames;
	struct grant_entry_v1 *frames[GRANT_MAX_FRAMES];	/* shared with the guest */
	struct grant_active *active[GRANT_MAX_FRAMES];		/* our side: pin counts, mfn */
	/* what this domain has mapped of others */
	struct grant_mapping **maptrack;	/* pages of mappings; made at the first map */
	uint32_t nr_maptrack;			/* mappings in those pages */
	uint32_t free_maptrack;			/* handle + 1 of the first free one, 0 = none */
};

/** grant_init_domain() - set up @d->grant, with no frame yet; @max_frames as createdomain's
 *  max_grant_frames (negative as int: the most there is), cut to 1..64.  Return: 0. */
int grant_init_domain(struct domain *d, uint32_t max_frames);

/** grant_release_mappings() - @d dies: undo its maps of other domains' frames.  Its page tables
 *  may go before or after, and drop their own references; it must not run again. */
void grant_release_mappings(struct domain *d);

/** grant_destroy_domain() - the table of @d goes, after grant_release_mappings().  What others
 *  have mapped of it stays referenced until they unmap it.  Calling it again is fine. */
void grant_destroy_domain(struct domain *d);

/** grant_frame_mfn() - mfn of shared frame @idx of @d, growing the table; INVALID_MFN beyond its
 *  limit, without memory, or when @d dies. */
mfn_t grant_frame_mfn(struct domain *d, uint32_t idx);

/** grant_seed() - entry @ref := permit_access for @domid, frame @mfn (console 0, xenstore 1).
 *  Return: 0, -EINVAL (beyond the table), -EBUSY (somebody uses the entry). */
int grant_seed(struct domain *d, uint32_t ref, uint16_t domid, mfn_t mfn);

/** grant_for_each_rw() - call @fn for every frame of @d now used by another for writing; under
 *  grant.lock of @d. */
void grant_for_each_rw(struct domain *d, void (*fn)(mfn_t m));

/** do_grant_table_op() - HYPERVISOR_grant_table_op: @count operations @cmd at guest address @uop.
 *  Return: 0, each operation has its own status; -EFAULT, -EINVAL, -E2BIG (@count), -ENOSYS. */
long do_grant_table_op(unsigned int cmd, uint64_t uop, unsigned int count);

/** grant_dump() - debug key 'g': entries in use and mappings of @d to the log. */
void grant_dump(struct domain *d);

/* --- inside grant/ --- */
#define GRANT_BATCH	16u		/* operations fetched at once */
#define GRANT_MAX_COUNT	65536u		/* operations in one hypercall */

/** struct domain_cache - the domain the last operation of a batch named, referenced. */
struct domain_cache { struct domain *d; uint16_t domid; };
/** domain_cache_get() - the domain @domid, held by @c until the next call; NULL: none. */
struct domain *domain_cache_get(struct domain_cache *c, uint16_t domid);
void domain_cache_drop(struct domain_cache *c);

/**
 * grant_pin() - domain @user starts to use entry @ref of @granter.
 *
 * The entry must permit it; GTF_reading (GTF_writing) is set in it, and the frame gets a
 * reference (and the writable type).  Takes granter->grant.lock.
 * Return: GNTST_okay with *@mfn, or the status for the operation.
 */
int16_t grant_pin(struct domain *granter, uint32_t ref, uint16_t user, bool write, mfn_t *mfn);
/** grant_unpin() - that use is over; no CPU can reach the frame through it any more. */
void grant_unpin(struct domain *granter, uint32_t ref, bool write, mfn_t mfn);

void grant_maptrack_free(struct domain *d);
void grant_maptrack_dump(struct domain *d);
long grant_op_map(uint64_t uop, unsigned int count);
long grant_op_unmap(uint64_t uop, unsigned int count);
long grant_op_copy(uint64_t uop, unsigned int count);
