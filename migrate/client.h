/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other host, over HTTP: source_peer_ops on libcurl.
 *
 * Control requests share one kept-alive connection.  The data connection is
 * another one: HTTP Upgrade, then a raw duplex stream on its socket, so no
 * request ever queues behind pages.
 */
#ifndef MIGRATE_CLIENT_H
#define MIGRATE_CLIENT_H

#include "migrate/source.h"

/** The protocol that is asked for in the Upgrade header. */
#define CLIENT_UPGRADE "godwit-stream/1"

/** Where standbys are asked about (migrate/api.h). */
#define CLIENT_STANDBYS "/v1/standbys"

struct client;

/**
 * client_new() - a client of one host.
 * @url:        "http://host:port"
 * @timeout_ms: for a control request (a prepare may take longer as long as the
 *              host is there), for connecting, and for the data connection to
 *              make progress
 * Return: 0; -ENOMEM; -EIO libcurl does not start.
 */
int client_new(const char *url, unsigned int timeout_ms, struct client **out);

/** client_set_cancel() - a flag that, once nonzero, ends a prepare with -ECANCELED. */
void client_set_cancel(struct client *c, const volatile sig_atomic_t *cancel);

/** client_use_standbys() - connect() is to the stream of a standby, not of a move. */
void client_use_standbys(struct client *c);

/** client_free() - close all; NULL is allowed. */
void client_free(struct client *c);

/**
 * client_url() - "HOST", "HOST:PORT", "[v6]:PORT" or a URL to a URL.
 * @text: as the user wrote it
 * @url:  gets it
 * @len:  its size
 * Return: 0; -EINVAL for anything that is no such thing.
 */
int client_url(const char *text, char *url, size_t len);

/**
 * client_request() - one control request outside a session.
 * @body:  POSTed; NULL: a GET
 * @reply: gets a JSON object
 *
 * Return: 0 when there was an answer; -errno with @why, -ECONNREFUSED nobody is there.
 */
int client_request(struct client *c, const char *path, const json_t *body, int *status,
		   json_t **reply, char why[200]);

/** The operations; their ctx is a struct client. */
extern const struct source_peer_ops client_ops;

#endif
