/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A domain that runs before all of its memory is there (GODWIT_OP_lazy).
 *
 * At first it gets its page tables, its p2m list, its vCPUs and the few pages that
 * somebody reads without asking; every other page with bytes is an empty frame that
 * the hypervisor knows to be missing.  It runs, and lazy_fill() brings what it
 * touches at once and the rest behind its back.
 *
 * Invariant: a page that lazy_fill() has not brought yet is marked missing, so the
 * guest waits for it and never sees the empty frame.  If the one that fills dies,
 * the guest waits for ever: it can only be destroyed and restored again.
 */
#ifndef CHECKPOINT_LAZY_H
#define CHECKPOINT_LAZY_H

#include "checkpoint/chain.h"
#include "toolstack/lib/hcall.h"

struct lazy;

struct lazy_stats {
	uint64_t pages;			/* brought after the guest ran */
	uint64_t asked;			/* of these, because it waited for them */
	uint64_t waits, wait_us, wait_max_us; /* of its vCPUs */
};

/**
 * lazy_new() - find out which pages can wait.
 * @c:   must stay; used by nobody else while lazy_write() or lazy_fill() runs
 * @out: lazy_free() it
 * @why: one line on failure
 *
 * Return: 0; -ENOMEM; -EBADMSG a context or start_info that is not understood;
 * errors of chain_read_pages().
 */
int lazy_new(struct chain *c, struct lazy **out, char why[CHAIN_WHY]);

void lazy_free(struct lazy *l);

/** lazy_write() - the stream that makes the domain; a chain_write_fn, @ctx the lazy. */
int lazy_write(struct chain *c, struct stream_writer *w, void *ctx);

/**
 * lazy_mark() - tell the hypervisor what is missing.
 * @domid: complete and never run
 *
 * Return: 0; -ENOMEM; -EINVAL; errors of the hypercalls.
 */
int lazy_mark(struct lazy *l, struct hcall *h, domid_t domid);

/**
 * lazy_fill() - bring it all; returns when nothing is missing any more.
 * @st: totals
 * @why: one line on failure
 *
 * Return: 0; -ESRCH the domain is gone; errors of chain_read_pages() and of the hypercalls.
 */
int lazy_fill(struct lazy *l, struct hcall *h, domid_t domid, struct lazy_stats *st,
	      char why[CHAIN_WHY]);

#endif
