/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schedules over HTTP, for programs of this host: routes, bounds, JSON, and who
 * may ask.  A schedule makes root write to where its owner says, so a request
 * from another host is refused whatever it asks; docs/security.md.
 *
 * No socket in here, as in api.h.
 */
#ifndef MIGRATE_SCHEDULE_API_H
#define MIGRATE_SCHEDULE_API_H

#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

#include "migrate/schedules.h"

#define SCHEDULE_API_PATH	"/v1/schedules"
#define SCHEDULE_API_BODY_MAX	((size_t)16 * 1024)

/** schedule_api_is_mine() - is this one of the paths below? */
bool schedule_api_is_mine(const char *path);

/**
 * schedule_api_is_local() - does a connection come from this host?
 * @peer: its other end
 * @self: its end here
 *
 * From loopback, or from the very address it goes to, which the kernel takes from
 * nobody else (Linux Documentation/networking/ip-sysctl.rst, accept_local).
 */
bool schedule_api_is_local(const struct sockaddr *peer, const struct sockaddr *self);

/**
 * schedule_api_handle() - GET /v1/schedules, POST /v1/schedules, POST /v1/schedules/stop.
 * @s:     NULL: this daemon has none
 * @local: schedule_api_is_local()
 * @json:  gets the answer; may be NULL when out of memory
 *
 * Return: the HTTP status.
 */
int schedule_api_handle(struct schedules *s, bool local, const char *method, const char *path,
			const char *body, size_t len, json_t **json);

#endif
