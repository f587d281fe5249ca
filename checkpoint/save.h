/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A domain into a stream: one loop for save, live migration and checkpoint.
 *
 * Invariant: a pfn whose bytes in the stream may be older than the guest's is
 * always remembered somewhere: in the hypervisor's dirty bitmap, in the set of
 * tables that did not translate, or in the batch in hand.  The last round runs
 * on a stopped guest and empties all three, so after it the stream holds the
 * guest's last memory.
 *
 * Until the stream is complete nothing here changes the guest, except through
 * the stop_guest hook: whoever supplies that hook also supplies the way back.
 * Log-dirty is always switched off again before save_domain() returns, unless
 * the domain is then only waiting to be destroyed (params.leave_logdirty).
 * A snapshot leaves log-dirty on: it is what the next one of the chain stands on.
 */
#ifndef CHECKPOINT_SAVE_H
#define CHECKPOINT_SAVE_H

#include <stdbool.h>
#include <stdint.h>

#include "checkpoint/stream.h"
#include "toolstack/lib/hcall.h"

/** What one round was, or, in the batch hook, what it is so far. */
struct save_round {
	unsigned int number;		/* from 0 */
	bool last;			/* the guest stands */
	uint64_t todo;			/* pfns this round was expected to look at */
	uint64_t pages;			/* pfns sent, whatever their type */
	uint64_t data_pages;		/* of these, with bytes */
	uint64_t zero_pages;		/* of these, zero */
	uint64_t retry_pages;		/* left over: tables in motion */
	uint64_t bytes;			/* in the stream */
	uint64_t dirty;			/* waiting when the round was over */
	uint64_t duration_us;
	uint64_t throttled_us;		/* part of it spent waiting for the limit */
};

enum save_next {
	SAVE_NEXT_ROUND,
	SAVE_STOP_GUEST,
	SAVE_END_EARLY,			/* leave save_domain() with -ECANCELED, guest untouched */
};

/** Callbacks; each gets params.ctx.  NULL means "nothing to do". */
struct save_hooks {
	/**
	 * stop_guest() - bring the guest to a stop at its suspend hypercall.
	 * Required.  0, or -errno with the guest running on.
	 */
	int (*stop_guest)(void *ctx);
	/**
	 * resume_guest() - let it go on in place, its suspend cancelled.
	 * Required with a snapshot, which calls it whenever stop_guest() gave 0.
	 */
	int (*resume_guest)(void *ctx);
	/** round_end() - a live round is over: enum save_next or -errno. */
	int (*round_end)(void *ctx, const struct save_round *r);
	/** stopped() - the guest stands and @pages are left: 0 or -errno to give up. */
	int (*stopped)(void *ctx, uint64_t pages);
	/** batch() - after each batch; -errno (e.g. -ECANCELED) ends the save. */
	int (*batch)(void *ctx, const struct save_round *so_far);
	/**
	 * sent() - the stream is out, END and all: 0 or -errno.
	 * Giving the memory of a live save back takes long; what the standing guest
	 * waits for is done here, before that.
	 */
	int (*sent)(void *ctx);
	/** phase() - a named phase begins now (for the ledger). */
	void (*phase)(void *ctx, const char *name);
};

/** A live checkpoint: the guest stands for a moment only. */
struct save_snapshot {
	bool delta;			/* only what changed since the parent */
	const Stream__Parent *parent;	/* with delta */
	uint64_t reserve_pages;		/* bound of pages copied aside at once */
};

struct save_params {
	struct hcall *hcall;
	domid_t domid;
	struct stream_writer *writer;	/* nothing written to it yet */
	const Stream__StreamInfo *info;
	const Stream__DomainInfo *domain; /* pfn_limit from save_get_facts() */
	bool live;			/* false: stop first, one round */
	const struct save_snapshot *snapshot; /* NULL: stop for as long as it takes */
	bool leave_logdirty;		/* success ends the domain: skip the way back */
	bool leave_memory;		/* the process ends soon, and exit gives it back
					 * cheaper: a PV kernel unpins first */
	uint64_t bandwidth_bytes_per_s;	/* of live rounds, 0 = no limit */
	uint64_t delta_pages;		/* pages kept to send deltas against, 0 = none */
	const struct save_hooks *hooks;
	void *ctx;
};

struct save_result {
	unsigned int rounds;
	uint64_t pages;			/* pfns, all rounds */
	uint64_t bytes;			/* of the stream */
	bool stopped;			/* the guest was brought to a stop, and stands */
	uint64_t pause_us;		/* snapshot: asked to suspend until resumed */
	struct godwit_snapshot snapshot; /* its figures at the end */
	char error[200];		/* "" or the cause, one line */
};

/** What is asked about a domain before anything is sent. */
struct save_facts {
	struct godwit_domain_facts facts;
	uint64_t pfn_limit;		/* every pfn it may come to have is below */
};

/**
 * save_get_facts() - measure a domain.
 * @h:     handle
 * @domid: the domain; may run
 * @out:   facts and, for DOMAIN_INFO, the bound of its pfns
 *
 * The guest may balloon up to max_pages while it is copied, and its p2m list
 * may grow: the bound leaves room for both.
 * Return: 0; -EAGAIN the guest keeps changing its p2m list; -errno.
 */
int save_get_facts(struct hcall *h, domid_t domid, struct save_facts *out);

/**
 * save_domain() - write a whole stream, header to END.
 * @p:   all pointers stay valid during the call
 * @out: totals and, on failure, the cause
 *
 * On failure the guest is as the hooks left it: running if it was never
 * stopped; stopped (out->stopped) if it was, and then the caller resumes it
 * and ends log-dirty.
 * Memory: 4 MiB of hypercall memory and two bytes per pfn, whatever happens; live,
 * four more bytes per pfn and up to params.delta_pages pages (checkpoint/delta.h).
 *
 * With params.snapshot and success the snapshot is read out but still open: the
 * caller commits it once the stream is durable, or aborts it (GODWIT_OP_snapshot).
 * After a failure it has been aborted.
 *
 * Return: 0; -ENOMEM; an error of a hook, of the writer or of a hypercall;
 * -ERANGE if the guest grew beyond pfn_limit; -EIO if a stopped guest's table
 * names a frame that is not its own (such a guest cannot be moved).
 */
int save_domain(const struct save_params *p, struct save_result *out);

/** save_tracked_since() - the checkpoint since which the hypervisor knows every change; 0: none. */
uint64_t save_tracked_since(struct hcall *h, domid_t domid);

/**
 * save_settle_snapshot() - the record of changes moves on, or back.
 * @hash:    stream hash of the checkpoint
 * @durable: commit; otherwise abort
 *
 * Return: 0; errors of GODWIT_OP_snapshot, after which the next checkpoint is a full one.
 */
int save_settle_snapshot(struct hcall *h, domid_t domid, uint64_t hash, bool durable);

/** save_default_reserve() - pages that may be copied aside of a domain of @tot_pages. */
uint64_t save_default_reserve(uint64_t tot_pages);

#endif
