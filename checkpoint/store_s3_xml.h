/* SPDX-License-Identifier: Apache-2.0 */
/*
 * S3's XML answers, read as they arrive into what the store needs of them.
 * Invariant: of a list only names that are valid objects below the prefix come out.
 */
#ifndef CHECKPOINT_STORE_S3_XML_H
#define CHECKPOINT_STORE_S3_XML_H

#include <stdbool.h>
#include <stdint.h>

#include "checkpoint/store_priv.h"
#include "checkpoint/store_xml.h"

#define S3_TOKEN_MAX	1024u			/* upload ids, continuation tokens, markers */

/** One incomplete upload that may be aborted. */
struct s3_upload {
	char key[2 * STORE_NAME_MAX + 2];	/* below the prefix */
	char id[S3_TOKEN_MAX + 1];
};

#define S3_UPLOADS_MAX	64u			/* of one answer; the next open takes more */

/** One answer.  The caller sets what is marked <, the rest is the result. */
struct s3_answer {
	const char *prefix;			/* < of keys, "" or with its slash */
	struct store_list *list;		/* < NULL unless objects are listed */
	int64_t before_s;			/* < uploads initiated earlier are taken */

	char root[64];				/* name of the outermost element */
	char upload_id[S3_TOKEN_MAX + 1];	/* InitiateMultipartUploadResult */
	char code[64];				/* Error */
	bool truncated;
	char token[S3_TOKEN_MAX + 1];		/* NextContinuationToken */
	struct s3_upload *uploads;		/* malloc()ed, nr_uploads of them */
	unsigned int nr_uploads;

	/* while reading */
	struct store_xml *xml;
	size_t list_start;			/* list->nr before this answer */
	unsigned int depth;
	char key[2 * STORE_NAME_MAX + 2], id[S3_TOKEN_MAX + 1];
	bool key_valid, has_size;
	uint64_t size;
	int64_t time_s;
};

/** s3_answer_begin() - for struct web_request: start over.  @arg: the answer. */
int s3_answer_begin(void *arg);

/** s3_answer_sink() - for struct web_request: its next bytes. */
int s3_answer_sink(void *arg, const void *data, size_t len);

/** s3_answer_finish() - all bytes came.  0; -EPROTO not whole, or @root is another. */
int s3_answer_finish(struct s3_answer *a, const char *root);

/** s3_answer_free() - what it allocated; fine on zeroes. */
void s3_answer_free(struct s3_answer *a);

/** s3_time_parse() - "2026-11-20T15:00:00.000Z" as seconds since 1970; 0 if it is none. */
int64_t s3_time_parse(const char *text);

#endif
