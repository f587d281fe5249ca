/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The source of a standby: live checkpoints, one after another, into a domain that
 * waits on another host (migrate/standby.h).
 *
 * Invariant: the guest pays for a checkpoint with its pause and with nothing else.  Its
 * frozen memory is read at the hypervisor's pace into a bounded pipe; the line's pace
 * and the line's end are the pipe's affair.  The hypervisor's record of changes moves on
 * only when the standby has said that it applied the checkpoint; after anything else
 * the set is dirty again and goes with the next one.
 *
 * Whoever learns that the standby has been activated pauses the guest here: there is one
 * too many, and the other one is newer in the eyes of the world.
 */
#ifndef MIGRATE_PROTECT_H
#define MIGRATE_PROTECT_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "migrate/fence.h"
#include "migrate/source.h"

enum protect_guest {
	PROTECT_GUEST_RUNS,
	PROTECT_GUEST_PAUSED,		/* by somebody */
	PROTECT_GUEST_ENDED,		/* powered off or destroyed: no more to protect */
	PROTECT_GUEST_CRASHED,
};

struct protect_guest_ops {
	/** suspend() - bring it to its suspend hypercall; -errno: it runs on. */
	int (*suspend)(void *ctx, char why[200]);
	/** resume() - let it go on in place. */
	int (*resume)(void *ctx);
	/** state() - what is it doing? */
	enum protect_guest (*state)(void *ctx);
	/**
	 * pause() - from outside, and remember it; or undo a pause that was remembered.
	 * Also called in the fencer's process.
	 */
	int (*pause)(void *ctx, bool on);
	/** cut() - it stands: what it sent goes with the checkpoint in hand; may be NULL. */
	int (*cut)(void *ctx);
	/** commit() - the checkpoint of the last cut() is acknowledged; may be NULL. */
	void (*commit)(void *ctx);
};

/** After each checkpoint, and at each change of the line. */
struct protect_status {
	bool connected;
	bool fenced;			/* the guest is paused: no lease */
	char why[200];			/* last trouble, "" */
	uint64_t count;			/* applied ones */
	uint64_t failed;
	uint64_t cut_us;		/* of the last one applied; CLOCK_MONOTONIC */
	uint64_t pause_us, pause_max_us;
	uint64_t bytes, pages;		/* of the last */
	uint64_t total_bytes;
	uint64_t copy_us;		/* of the last: asked to applied */
	uint64_t rpo_us;		/* worst just before the last was applied */
	uint64_t rpo_median_us, rpo_max_us; /* of these */
	uint64_t pause_median_us;
};

struct protect_params {
	struct hcall *hcall;
	domid_t domid;
	const struct domain_config *cfg;
	const char *peer_name;
	const struct protect_guest_ops *guest;
	void *guest_ctx;
	const struct source_peer_ops *peer;
	void *peer_ctx;
	unsigned int interval_ms;	/* start to start; 0: one after another */
	unsigned int timeout_ms;	/* without a standby this long: given up */
	uint64_t reserve_pages;		/* save_snapshot's */
	const char *witness;		/* NULL: none */
	unsigned int lease_ms;
	unsigned int failover_after_ms;	/* 0: the standby never does it by itself */
	bool keep;			/* leave the standby when it ends */
	const volatile sig_atomic_t *cancel;
	/** report() - may be NULL. */
	void (*report)(void *ctx, const struct protect_status *st);
	void *report_ctx;
};

enum protect_outcome {
	PROTECT_ENDED,			/* cancelled */
	PROTECT_GUEST_GONE,		/* the guest ended, and the standby with it */
	PROTECT_RELEASED,		/* the guest crashed; the standby may be activated */
	PROTECT_REFUSED,		/* the other host, or the witness, said no */
	PROTECT_GIVEN_UP,		/* no standby for too long; the guest runs on */
	PROTECT_TAKEN_OVER,		/* the guest runs there and is paused here */
	PROTECT_FAILED,
};

struct protect_result {
	enum protect_outcome outcome;
	char why[256];			/* one line */
	char session[SESSION_ID_BYTES];
	struct protect_status status;	/* the last */
};

/**
 * protect_run() - keep a standby until cancelled.
 * @p:   see above
 * @out: how it ended
 *
 * Return: 0 when it was cancelled or the guest ended; -errno.
 */
int protect_run(const struct protect_params *p, struct protect_result *out);

#endif
