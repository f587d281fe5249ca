/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From an HTTP request to a call of the target: routes, bounds, JSON.
 *
 * No socket in here: the daemon hands in method, path and body, tests and the
 * fuzzer do the same.  All of it is hostile.  docs/migration.md lists the
 * routes.
 */
#ifndef MIGRATE_API_H
#define MIGRATE_API_H

#include <stddef.h>

#include "migrate/standby.h"
#include "migrate/target.h"

#define API_BODY_MAX	(512u * 1024)

/** What to do with a request. */
enum api_kind {
	API_REPLY,			/* answer @json with @status */
	API_UPGRADE,			/* hand the connection to session @id */
	API_UPGRADE_STANDBY,		/* ... to standby @id */
};

struct api_answer {
	enum api_kind kind;
	int status;
	json_t *json;			/* caller drops it; may be NULL when out of memory */
	char id[SESSION_ID_BYTES];
};

/**
 * api_handle() - do what a request asks for.
 * @t:      the registry
 * @health: member of the answer to GET /v1/health, borrowed
 * @method: "GET", "POST" ...
 * @path:   without query
 * @body:   may be NULL with @len 0
 * @len:    at most API_BODY_MAX (the daemon refuses more with 413)
 * @out:    the answer
 */
void api_handle(struct target *t, json_t *health, const char *method, const char *path,
		const char *body, size_t len, struct api_answer *out);

/**
 * api_handle_standby() - the same for paths that begin with "/v1/standbys".
 * @t: NULL where there is no such registry: 404
 *
 * Return: false if the path is another one; then @out is untouched.
 */
bool api_handle_standby(struct standbys *t, const char *method, const char *path,
			const char *body, size_t len, struct api_answer *out);

#endif
