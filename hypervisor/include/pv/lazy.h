/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lazy restore: a domain runs before all of its memory is there (mm/lazy.c; public godwit.h,
 * GODWIT_OP_lazy).
 */
#pragma once
#include <pv/domain.h>

struct lazy;
struct godwit_lazy;

/** lazy_op() - any action of GODWIT_OP_lazy on @d; the caller holds d->lock. */
int lazy_op(struct domain *d, struct godwit_lazy *op);
/** lazy_is_active() - is any frame of @d still missing? */
bool lazy_is_active(const struct domain *d);
/** lazy_drop() - @d dies, or nothing is missing any more: nobody waits from here on.  Takes mm_lock. */
void lazy_drop(struct domain *d);

/** lazy_is_missing() - must no translation of @m, a frame of @d, exist?  mm_lock or snap_lock held. */
bool lazy_is_missing(const struct domain *d, mfn_t m);
/** lazy_pfn_is_missing() - the same by pfn, while the domain does not run. */
bool lazy_pfn_is_missing(const struct domain *d, uint64_t pfn);

/**
 * lazy_blocks() - the contents of @m are about to be read or written by its frame number, or its type
 * is to change.  True: they are missing, and are asked for; the caller fails with nothing done.
 *
 * If current is of the domain that owns @m it waits, and makes its hypercall again
 * (hypercall_must_wait()).  Not under page_lock.
 */
bool lazy_blocks(mfn_t m);

/** lazy_before_access() - @v's access to @m faulted; mm_lock held.  False: the frame is there.  True: @v
 *  waits and makes the access again, or the hypercall if @in_hypercall. */
bool lazy_before_access(struct vcpu *v, mfn_t m, bool in_hypercall);

/** lazy_forget() - @m leaves @d, or @pfn gets another frame: nothing is to come for it.  Not under page_lock. */
void lazy_forget(struct domain *d, mfn_t m);
void lazy_forget_pfn(struct domain *d, uint64_t pfn);

/** lazy_fill() - the bytes of missing @pfn are at @page (NULL: zeros); who waits goes on.
 *  Return: 0, or -EINVAL: nothing is missing there. */
int lazy_fill(struct domain *d, uint64_t pfn, const void *page);
