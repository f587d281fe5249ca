/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sending side of a move.  States: migrate/session.h.
 *
 * Invariant: until HANDED_OVER is durable, whatever fails, the guest goes on
 * here (resumed in place if it stood) and the target is told to abort.  After
 * it, only the target's word decides.  A journal holds the state, so that
 * source_recover() can do the same for a process that died.
 *
 * It runs inside the `migrate` process, not in a daemon: one process fewer
 * between the user and the guest, progress and Ctrl-C without a protocol of
 * their own, and a crash is noticed by the kernel, which drops the journal's
 * lock; godwitd then does what `migrate --recover` does.
 *
 * The guest and the other host are reached through tables, so that tests can
 * put fakes there and cut the line at any byte.
 */
#ifndef MIGRATE_SOURCE_H
#define MIGRATE_SOURCE_H

#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "checkpoint/save.h"
#include "checkpoint/stream.h"
#include "migrate/ledger.h"
#include "migrate/policy.h"
#include "migrate/progress.h"
#include "migrate/session.h"
#include "toolstack/config.h"

/** What the source does to its guest; all but suspend() may be repeated. */
struct source_guest_ops {
	/** check() - can it suspend, as far as one can see before it is asked? */
	int (*check)(void *ctx, char why[200]);
	/** suspend() - bring it to its suspend hypercall; -errno: it runs on. */
	int (*suspend)(void *ctx, char why[200]);
	/** resume() - end log-dirty; if it stands suspended, let it go on in place. */
	int (*resume)(void *ctx);
	/** destroy() - the copy here is no longer wanted. */
	int (*destroy)(void *ctx);
	/** exists() - is the domain still there? */
	bool (*exists)(void *ctx);
};

/** How the source reaches the target. */
struct source_peer_ops {
	/**
	 * post() - POST a JSON body and take the JSON answer.
	 * @path: "/v1/sessions" ...
	 * @status: gets the HTTP status
	 * Return: 0 when there was an HTTP answer; -errno with @why otherwise.
	 */
	int (*post)(void *ctx, const char *path, const json_t *body, int *status,
		    json_t **reply, char why[200]);
	/** connect() - open the data connection of a session. */
	int (*connect)(void *ctx, const char *session, const struct stream_io **out,
		       const struct stream_io **in, char why[200]);
	/** disconnect() - close it; harmless twice. */
	void (*disconnect)(void *ctx);
	/**
	 * hurry() - from now on all posts together take at most @ms; what comes
	 * later fails with -ETIMEDOUT.  Replaces what an earlier call said.
	 * May be NULL.
	 */
	void (*hurry)(void *ctx, unsigned int ms);
};

struct source_params {
	struct hcall *hcall;
	domid_t domid;
	const struct domain_config *cfg;
	const char *peer_name;		/* URL, for the journal and messages */
	const char *journal_dir;	/* must exist */
	const struct source_guest_ops *guest;
	void *guest_ctx;
	const struct source_peer_ops *peer;
	void *peer_ctx;
	struct policy_limits limits;
	struct policy_costs costs;
	struct progress *progress;
	unsigned int decide_timeout_ms;	/* for all that is asked after a failure */
	bool dry_run;
	bool leave_memory;		/* save_params' */
	const volatile sig_atomic_t *cancel; /* nonzero: stop and keep the guest here */
};

enum source_outcome {
	SOURCE_OUT_MOVED,		/* runs at the target, copy here destroyed */
	SOURCE_OUT_KEPT,		/* runs here as before */
	SOURCE_OUT_IN_DOUBT,		/* stands here; recover when the target answers */
	SOURCE_OUT_DRY,			/* dry run: see forecast */
};

/** Why a move did not happen, for exit codes. */
enum source_cause {
	SOURCE_CAUSE_NONE,
	SOURCE_CAUSE_REFUSED,		/* the target said no */
	SOURCE_CAUSE_UNREACHABLE,	/* no target there */
	SOURCE_CAUSE_POLICY,		/* --abort-if-over */
	SOURCE_CAUSE_CANCELLED,
	SOURCE_CAUSE_SUSPEND,		/* the guest did not suspend */
	SOURCE_CAUSE_FAILED,		/* anything else */
};

struct source_result {
	enum source_outcome outcome;
	enum source_cause cause;
	char why[256];			/* one line, "" on success */
	char session[SESSION_ID_BYTES];
	unsigned int nr_rounds;		/* live ones */
	struct policy_round rounds[POLICY_MAX_ROUNDS];
	uint64_t last_pages;		/* of the last round, the guest standing */
	struct policy_forecast forecast; /* dry run */
	uint64_t total_us;
	uint64_t bytes;
	struct ledger ledger;		/* both sides' */
	int domid_there;		/* -1 unknown */
};

/**
 * source_move() - move a domain, or find out what it would cost.
 * @p:   see above
 * @out: what became of it
 *
 * Return: 0 (moved, or dry run done) or -errno with out->why.
 */
int source_move(const struct source_params *p, struct source_result *out);

/**
 * source_journal_peek() - the newest record about a guest, for whoever recovers.
 * @dir:  of the journals
 * @uuid: the guest's
 * @rec:  gets a new reference: "peer", "session", "state", "name", "domid" ...
 *
 * Return: 0; -ENOENT there is none; -EBUSY a living process has it; -errno.
 */
int source_journal_peek(const char *dir, const uint8_t uuid[16], json_t **rec);

/**
 * source_recover() - finish what a move of this guest left behind.
 * @p:   guest, peer, journal_dir and decide_timeout_ms are used
 * @out: outcome: MOVED, KEPT or IN_DOUBT
 * @force_local: the operator swears that the target is gone for good: resume
 *       the copy here although the target may have had it
 *
 * Without a journal it only makes sure that the guest is not left suspended.
 * Return: 0; -EBUSY a process is moving it now; -EAGAIN still in doubt; -errno.
 */
int source_recover(const struct source_params *p, bool force_local,
		   struct source_result *out);

#endif
