/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One PUT whose length is not known when it starts, streamed without a copy and
 * without a thread: upload_feed() drives the transfer until its bytes are taken.
 *
 * Invariant: between calls nothing moves and nothing is kept but curl's own
 * buffers.  A started upload is never sent again: its bytes are gone.
 */
#ifndef CHECKPOINT_STORE_UPLOAD_H
#define CHECKPOINT_STORE_UPLOAD_H

#include "checkpoint/store_web.h"

struct upload;

/**
 * upload_start() - prepare PUT @url; nothing is sent yet.
 * @w:      whose server, limits and credentials; has to outlive the upload
 * @header: one more header, or NULL
 * Return: 0; -ENOMEM; -errno.
 */
int upload_start(struct web *w, const char *url, const char *header, struct upload **out);

/**
 * upload_feed() - send @len bytes; returns when the last one was taken.
 * Return: 0; -ETIMEDOUT nothing moved for the stall time; -EPROTO the server
 * answered before the end; -EACCES, -ENOSPC ... its answer; -errno.
 */
int upload_feed(struct upload *u, const void *data, size_t len);

/** upload_finish() - end of the body; 0 when the server said it has it, -errno. */
int upload_finish(struct upload *u);

/** upload_started() - whether the server may have seen any of it. */
bool upload_started(const struct upload *u);

/** upload_close() - free it; what is unfinished is cut off.  NULL is fine. */
void upload_close(struct upload *u);

#endif
