/* SPDX-License-Identifier: Apache-2.0 */
/* Grant tables, version 1 (grant/). */
#pragma once
#include <pv/abi.h>
#include <pv/spinlock.h>

struct domain;

#define GRANT_MAX_FRAMES	64u	/* 64 * 512 entries */

struct grant_mapping;
struct grant_domain {
	struct spinlock lock;
	uint32_t nr_frames, max_frames;
	struct grant_entry_v1 *frames[GRANT_MAX_FRAMES];	/* shared with the guest */
	struct grant_active *active[GRANT_MAX_FRAMES];		/* our side: pin counts, mfn */
	/* what this domain has mapped of others */
	struct grant_mapping **maptrack;	/* pages of mappings */
	uint32_t nr_maptrack, free_maptrack;
};
int grant_init_domain(struct domain *d, uint32_t max_frames);
/** grant_release_mappings() - @d dies: undo its maps of other domains' frames. */
void grant_release_mappings(struct domain *d);
void grant_destroy_domain(struct domain *d);
/** grant_frame_mfn() - mfn of shared frame @idx of @d, growing the table; INVALID_MFN beyond it. */
mfn_t grant_frame_mfn(struct domain *d, uint32_t idx);
/** grant_seed() - entry @ref := permit_access for @domid, frame @mfn (console 0, xenstore 1). */
int grant_seed(struct domain *d, uint32_t ref, uint16_t domid, mfn_t mfn);
/** grant_mark_rw_dirty() - log-dirty: mark every frame of @d now mapped writable by another. */
void grant_mark_rw_dirty(struct domain *d);
long do_grant_table_op(unsigned int cmd, uint64_t uop, unsigned int count);
