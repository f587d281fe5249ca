/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the S3 store, a bucket reached path style.  PREFIX/DOMAIN/OBJECT.
 *
 * Invariant: S3 shows an object when its PUT, or the completion of its multipart
 * upload, is done, and not before; this store adds that it is never replaced
 * knowingly (HEAD first, If-None-Match: * where the server has it) and that its
 * length is asked for afterwards.  One part is in memory at a time, so each part
 * can be sent again.  An upload that fails is aborted; what a dead writer left is
 * aborted at a later open, when it is old enough to have no writer.
 *
 * Signatures are libcurl's.  7.88 signs path and query as they are written, so
 * both are written canonically here: unreserved characters or %XX, parameters
 * sorted, "name=" for one without a value (curl issues 8107, 9717, 11794).  It
 * sends no x-amz-content-sha256 either; store_web.c does.
 */
#ifndef CHECKPOINT_STORE_S3_H
#define CHECKPOINT_STORE_S3_H

#include "checkpoint/store_web.h"

struct s3 {
	struct web web;
	char bucket_url[WEB_URL_MAX / 2];	/* "ENDPOINT/BUCKET/" */
	char prefix[1026];			/* "" or with its slash */
	bool no_condition;			/* the server refused If-None-Match */
};

/** s3_url() - an object's URL; @query as written, "" without.  0; -ENAMETOOLONG. */
int s3_url(struct s3 *z, const char *name, const char *query, char url[WEB_URL_MAX]);

/** s3_abort_upload() - best effort, one attempt.  Return: whether the server took it. */
bool s3_abort_upload(struct s3 *z, const char *object_url, const char *encoded_id);

/* checkpoint/store_s3_put.c: as the entries of struct store_ops. */
int s3_put_begin(struct store_put *p);
int s3_put_write(struct store_put *p, const void *buf, size_t len);
int s3_put_commit(struct store_put *p);
void s3_put_abort(struct store_put *p);

#endif
