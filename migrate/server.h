/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's HTTP side: sockets and threads around api.h.
 *
 * Control requests are answered; GET /v1/sessions/ID/stream is upgraded and its
 * socket given to target_receive() for as long as the guest takes to arrive.
 */
#ifndef MIGRATE_SERVER_H
#define MIGRATE_SERVER_H

#include <jansson.h>

#include "migrate/standby.h"
#include "migrate/target.h"

struct schedules;
struct server;

/**
 * server_start() - listen and serve, in threads of its own.
 * @t:       the registry; stays the caller's and outlives the server
 * @scheds:  for schedule_api.h; likewise; NULL: there are none
 * @health:  answer to GET /v1/health; likewise
 * @listen:  "ADDRESS", "ADDRESS:PORT" or "[v6]:PORT"; port 0 = any
 * @idle_ms: longest silence of a data connection
 * @out:     the server
 *
 * Return: 0; -EINVAL no address; -EADDRINUSE or another errno of bind(2).
 */
int server_start(struct target *t, struct schedules *scheds, json_t *health, const char *listen,
		 unsigned int idle_ms, struct server **out);

/** server_set_standbys() - serve /v1/standbys too; @t outlives the server. */
void server_set_standbys(struct server *s, struct standbys *t);

/** server_port() - the port it listens on. */
unsigned int server_port(struct server *s);

/**
 * server_url() - how programs of this host reach it: "http://ADDRESS:PORT".
 * Return: 0; -errno of getsockname(2).
 */
int server_url(struct server *s, char *url, size_t len);

/** server_stop() - cut the data connections, wait until they are cleaned up, end. */
void server_stop(struct server *s);

#endif
