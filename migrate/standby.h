/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Standbys: domains that wait, built and paused, for another host to die.
 *
 *	PREPARING --> EMPTY <--> READY --> OWNER --> RUNNING
 *	     |          |          |         |
 *	     +----------+----------+---------+--> GONE
 *
 *	EMPTY    an empty domain; no checkpoint is complete
 *	READY    holds the last complete checkpoint
 *	OWNER    durable; this side alone may run the guest
 *	RUNNING  it runs here, and this record is only for a source that comes back
 *	GONE     destroyed
 *
 * Invariant: in READY the domain's memory and the state beside it are exactly one
 * checkpoint.  The next one is received whole and checked, framing, hashes, order,
 * parent, every block of every page, before the first frame is touched; what a dying
 * source leaves behind is thrown away.  Should the hypervisor refuse a checked
 * frame, the standby is EMPTY again, and says so.
 *
 * A child may stand on the checkpoint applied last or on the one before: a source
 * that never heard that one had been applied sends all that changed since the one
 * before, which is right on top of either.
 *
 * A standby is activated by failover() or, with a witness, by its own watch.  With a
 * witness the lease is taken first (witness.h); without one, somebody has to say
 * that the source is dead.
 *
 * Locks: standbys.lock; hooks that block are called without it, under the state
 * "applying" or OWNER, which exclude each other.
 */
#ifndef MIGRATE_STANDBY_H
#define MIGRATE_STANDBY_H

#include <jansson.h>

#include "migrate/target.h"
#include "migrate/witness.h"

enum standby_state {
	STANDBY_PREPARING,
	STANDBY_EMPTY,
	STANDBY_READY,
	STANDBY_OWNER,
	STANDBY_RUNNING,
	STANDBY_GONE,
};

struct standbys;

struct standbys_params {
	const struct target_host_ops *ops;
	void *ctx;
	const char *dir;		/* of the journals; must exist */
	const char *state_dir;		/* of state files for people; NULL: none */
	const char *spool_dir;		/* of checkpoints too big for memory */
	const char *address;		/* URL at which this daemon can be asked; may be NULL */
};

/**
 * standbys_open() - the registry; destroys what an earlier daemon left half-built.
 * Return: 0 or -errno.
 */
int standbys_open(const struct standbys_params *p, struct standbys **out);

/** standbys_close() - destroys every standby; no call may be running. */
void standbys_close(struct standbys *t);

/**
 * standbys_prepare() - a source asks for a standby of its guest.
 * @request: body of POST /v1/standbys
 * @reply:   gets the body of the answer, a new reference
 *
 * An idle standby of the same guest is replaced.
 * Return: HTTP status: 201, 400, 409, 422, 500, 507.
 */
int standbys_prepare(struct standbys *t, const json_t *request, json_t **reply);

/**
 * standbys_serve() - take checkpoints from a data connection until it ends.
 * @id: standby
 *
 * Return: 0 it ended between two checkpoints; -ESRCH; -EBUSY it has a source; why it
 * was ended.
 */
int standbys_serve(struct standbys *t, const char *id, const struct stream_io *in,
		   const struct stream_io *out);

/**
 * standbys_ask() - questions and orders.
 * @verb:  "status"; "failover" (body: "force"); "release" (the source will not run
 *         it any more); "drop" (the protection ends)
 * @body:  may be NULL
 *
 * Return: HTTP status: 200; 404; 409 not now, with "error"; 500.
 */
int standbys_ask(struct standbys *t, const char *id, const char *verb, const json_t *body,
		 json_t **reply);

/** standbys_list() - {"standbys": [...]}. */
json_t *standbys_list(struct standbys *t);

#endif
