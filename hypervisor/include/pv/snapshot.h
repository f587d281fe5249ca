/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The live checkpoint: a domain's memory as it was at an instant, handed out while the domain runs
 * (mm/snapshot.c; public godwit.h, GODWIT_OP_snapshot).
 */
#pragma once
#include <pv/domain.h>

struct snapshot;
struct godwit_snapshot;

/** snapshot_op() - any action of GODWIT_OP_snapshot on @d; the caller holds d->lock.
 *  Return: 0 or the errors documented there. */
int snapshot_op(struct domain *d, struct godwit_snapshot *op);

/** snapshot_is_open() - are there frozen contents to be read? */
bool snapshot_is_open(const struct domain *d);

/** snapshot_drop() - end without a result: what was in the set is dirty again.  d->lock held, or @d
 *  dies; takes mm_lock.  Nothing when there is none. */
void snapshot_drop(struct domain *d);

/**
 * snapshot_take() - the frozen contents of @pfn, once.
 * @page: one page; gets the bytes unless *@aside does
 * @type: gets GODWIT_PAGE_*, with PINNED for a table
 * @aside: gets the frame that holds the bytes, or NULL: snapshot_release() it
 *
 * Return: 0, -EINVAL (not in the set, or taken before), -ESTALE (no snapshot, or it failed).
 */
int snapshot_take(struct domain *d, uint64_t pfn, uint64_t *page, uint8_t *type, struct frame **aside);
void snapshot_release(struct frame *aside);
/** snapshot_lost() - what snapshot_take() gave did not reach its reader: the snapshot failed. */
void snapshot_lost(struct domain *d);

/**
 * snapshot_before_write() - frame @m is about to be written, to change its type or pin, or to go.
 *
 * To be called before, by everybody who does not write through the guest's own translations (those
 * fault).  Copies the frame aside if it is frozen, beyond the reserve if need be; when there is no
 * memory the snapshot fails, never the write.  May be called with any lock but page_lock held.
 */
void snapshot_before_write(mfn_t m);
/** snapshot_before_rename() - frame @m of @d is about to become pfn @p; not under page_lock. */
void snapshot_before_rename(struct domain *d, mfn_t m, pfn_t p);

/** snapshot_is_frozen() - must no translation of @m give the right to write?  mm_lock held. */
bool snapshot_is_frozen(const struct domain *d, mfn_t m);
/** snapshot_before_store() - @v's own store to @m faulted; mm_lock held.  False: @v waits now (only
 *  if @may_wait), and makes the access again when it goes on; true: @m is not frozen any more. */
bool snapshot_before_store(struct vcpu *v, mfn_t m, bool may_wait);

/** snapshot_copies() - frames copied aside now, of all domains: for the audit. */
uint64_t snapshot_copies(void);
