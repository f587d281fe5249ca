/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The witness: who may run a guest that has a standby, written where both hosts
 * see it and neither owns it.
 *
 * A lease is a small record with a version.  It is only ever replaced by an
 * exchange that names the version it replaces, so of two that try at the same
 * time one succeeds.
 *
 * No two clocks are compared.  The holder counts from before it asked for a
 * renewal and stops its guest a tenth early; the other side counts from when it
 * first saw a version and waits in full.  So whoever takes the lease does that
 * after the holder has stopped, as long as the two clocks run at rates within a
 * tenth of each other.
 *
 * A file: PATH is a prefix, version N is the file PATH.N, made by link(2), which
 * fails where N exists, on NFS too (open(2), O_EXCL).  A web address: the
 * server must give an ETag and obey If-Match and If-None-Match: * on PUT (RFC
 * 9110, 13.1); one that ignores them is found out by witness_open().
 */
#ifndef MIGRATE_WITNESS_H
#define MIGRATE_WITNESS_H

#include <stdbool.h>
#include <stdint.h>

#include "migrate/session.h"

#define WITNESS_WHERE_MAX	400
#define WITNESS_LEASE_MIN_MS	500u
#define WITNESS_LEASE_MAX_MS	600000u

struct witness;

struct witness_lease {
	bool standby;			/* the standby has taken it */
	bool released;			/* the holder does not run the guest any more */
	char session[SESSION_ID_BYTES];
	char host[65];			/* of the holder */
	uint64_t renewal;		/* counts up, so that no two records are equal */
	unsigned int lease_ms;
};

/** Names one state of the record; "" where there is none. */
struct witness_version {
	char tag[128];
};

/**
 * witness_open() - a handle; asks nothing yet.
 * @where:      absolute path prefix or http URL
 * @timeout_ms: for one request
 * @why:        gets a line on failure
 *
 * A handle serves one thread.  Return: 0; -EINVAL; -ENOMEM.
 */
int witness_open(const char *where, unsigned int timeout_ms, struct witness **out, char why[200]);

/** witness_close() - NULL is fine. */
void witness_close(struct witness *w);

/**
 * witness_check() - does it obey conditions?
 * Tries an exchange that must fail.  Return: 0; -EOPNOTSUPP it does not; -errno.
 */
int witness_check(struct witness *w, char why[200]);

/**
 * witness_read() - the record and its version.
 * Return: 0; -ENOENT there is none (@v is ""); -EBADMSG; -errno with @why.
 */
int witness_read(struct witness *w, struct witness_lease *l, struct witness_version *v,
		 char why[200]);

/**
 * witness_swap() - replace the record if it still is @v.
 * @v: expected version, "" for none; gets the new one
 *
 * Return: 0; -ESTALE it is another one; any other error: it may have happened.
 */
int witness_swap(struct witness *w, const struct witness_lease *l, struct witness_version *v,
		 char why[200]);

#endif
