/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The receiving side of moves: sessions, from "may I?" to a running guest.
 * States and the proof that two never run: migrate/session.h.
 *
 * Invariant: a domain made for a session is either handed to its owner (OWNER,
 * RUNNING) or destroyed when the session ends, whoever ends it: the source, a
 * time-out, a dead connection, a restart of the daemon.  A state changes only
 * under the registry's lock; the transition decides who acts, the acting comes
 * after it.
 *
 * What a session does to its host goes through struct target_host_ops, so that
 * tests can put a fake host below it.
 */
#ifndef MIGRATE_TARGET_H
#define MIGRATE_TARGET_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "checkpoint/restore.h"
#include "checkpoint/stream.h"
#include "migrate/session.h"
#include "toolstack/config.h"

struct target;

/** Why a prepare was refused; the text is for people, this for programs. */
enum target_refusal {
	TARGET_REFUSED_INVALID,		/* "invalid": the request makes no sense */
	TARGET_REFUSED_VERSION,		/* "version" */
	TARGET_REFUSED_MEMORY,		/* "memory": too little is free */
	TARGET_REFUSED_NAME,		/* "name": taken by another domain */
	TARGET_REFUSED_CPU,		/* "cpu": features missing */
	TARGET_REFUSED_BUSY,		/* "busy": session exists, or too many */
	TARGET_REFUSED_HOST,		/* "host": building the domain failed */
};

/** target_refusal_name() - the word in quotes above. */
const char *target_refusal_name(enum target_refusal r);

/** target_refusal_status() - the HTTP status that goes with it. */
int target_refusal_status(enum target_refusal r);

/** target_refuse() - the answer's body: {"error": @why, "reason": name}; NULL out of memory. */
json_t *target_refuse(enum target_refusal r, const char *why);

/** target_id_valid() - is it a UUID in its canonical form?  It becomes a file name.  NULL is not. */
bool target_id_valid(const char *id);

/** What a new session needs to know about its guest. */
struct target_demand {
	struct domain_config cfg;
	uint64_t tot_pages;
	bool dry_run;			/* only ask, build nothing */
	bool standby;			/* it gets its own name when it is activated */
};

/**
 * What a session does to its host.  @host is per session, from prepare(); calls
 * for one session never overlap, except alive().
 */
struct target_host_ops {
	/**
	 * prepare() - check memory and name, build the empty domain with devices.
	 * 0 with @host (NULL for a dry run) and @ids, or -errno with @why, @refusal
	 * and nothing left behind.
	 */
	int (*prepare)(void *ctx, const struct target_demand *demand, void **host,
		       struct restore_domain_ids *ids, char why[200],
		       enum target_refusal *refusal);
	/** hcall() - the handle to restore with. */
	struct hcall *(*hcall)(void *host);
	/** introduce() - rings to xenstored and xenconsoled. */
	int (*introduce)(void *host, const struct restore_result *r);
	/** unpause() - run it. */
	int (*unpause)(void *host);
	/** announce() - start telling the network, return at once; the guest runs. */
	void (*announce)(void *host);
	/** destroy() - remove the domain and all that belongs to it. */
	void (*destroy)(void *host);
	/** release() - free @host; the domain stays as it is. */
	void (*release)(void *host);
	/**
	 * alive() - is there a domain with this id and uuid?  domid 0 = any.
	 * 1, 0, or -EBUSY: with domid 0 only one was found that stands suspended,
	 * which may be the source's own copy when both sides are one host.
	 */
	int (*alive)(void *ctx, domid_t domid, const uint8_t uuid[16]);
	/** unpause_found() - after a restart: the guest is ours and may still be paused. */
	void (*unpause_found)(void *ctx, domid_t domid, const uint8_t uuid[16]);
	/** reap() - after a restart: destroy what an earlier daemon left half-built. */
	void (*reap)(void *ctx, domid_t domid, const uint8_t uuid[16]);
};

struct target_params {
	const struct target_host_ops *ops;
	void *ctx;
	const char *dir;		/* of the journals; must exist */
	unsigned int prepared_timeout_ms; /* for the connection to come */
	unsigned int ready_timeout_ms;	/* for go to come */
};

/**
 * target_open() - the registry; judges the journals an earlier daemon left.
 *
 * A journal that says OWNER or RUNNING keeps answering for its session.  Any
 * other means a half-built domain: it is reaped and the session is ABORTED.
 * Return: 0 or -errno.
 */
int target_open(const struct target_params *p, struct target **out);

/** target_close() - no call may be running; half-built domains are destroyed. */
void target_close(struct target *t);

/**
 * target_prepare() - a source asks.
 * @request: body of POST /v1/sessions
 * @reply:   gets the body of the answer, a new reference
 *
 * Return: HTTP status: 201, 200 (dry run would succeed), 400, 409, 422, 500, 507.
 */
int target_prepare(struct target *t, const json_t *request, json_t **reply);

/**
 * target_receive() - take the stream of a prepared session; blocks to its end.
 * @id: session
 * @in: the connection; its time-out ends a silent one
 * @out: the same, for answers
 *
 * Return: 0 if the guest runs here now; -ESRCH unknown session; -EBUSY not in
 * PREPARED; else why it was aborted.
 */
int target_receive(struct target *t, const char *id, const struct stream_io *in,
		   const struct stream_io *out);

/**
 * target_ask() - questions and decisions about a session, all idempotent.
 * @id:    session
 * @verb:  "status"; "commit" (READY becomes RUNNING); "abort" (whatever does
 *         not own yet becomes ABORTED; waits for the clean-up); "forget" (the
 *         source has destroyed its copy: the journal may go)
 * @uuid:  the guest's, for a session that is not known (any more): if it lives
 *         here the answer is "running", else "aborted"; NULL: 404
 * @reply: gets {"session", "state", "alive", "error"?, "clock_us", ...}
 *
 * Return: HTTP status: 200, 404, 409 (the verb comes too early), 500.
 */
int target_ask(struct target *t, const char *id, const char *verb, const uint8_t *uuid,
	       json_t **reply);

/** target_list() - {"sessions": [...]}, newest first. */
json_t *target_list(struct target *t);

/** target_tick() - enforce time-outs; call about once a second. */
void target_tick(struct target *t);

#endif
