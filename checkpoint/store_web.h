/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to a web server, for the HTTP and S3 stores: one libcurl handle, its
 * time limits, retries with back-off, and no trust in what the server says.
 *
 * Invariant: a request takes no more memory than its caller gave, and ends: a
 * connection is made within 10 s, then less than 64 bytes/s for the stall time is
 * the end of the attempt.  Redirects are not followed (credentials would be), and
 * certificates are verified.
 */
#ifndef CHECKPOINT_STORE_WEB_H
#define CHECKPOINT_STORE_WEB_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "checkpoint/store_cred.h"
#include "checkpoint/store_priv.h"

#define WEB_URL_MAX	4096u
#define WEB_HEADERS_MAX	8u

/** An address taken apart; the path has only unreserved characters, so needs no encoding. */
struct web_base {
	char url[1600];				/* "SCHEME://HOST[:PORT]/PATH/" */
	char host[260];				/* without port and brackets */
	const char *path;			/* in url, from its first slash */
	bool tls;
	bool loopback;
};

/** What it takes to talk to one server. */
struct web {
	CURL *easy;
	struct store *s;
	struct store_cred cred;
	char sigv4[128];			/* "aws:amz:REGION:s3", "" without */
	char token[2200];			/* "x-amz-security-token: ...", "" without */
	long stall_s;
	long stale_s;				/* leftovers older than this have no writer */
	unsigned int retries;
	char curl_error[CURL_ERROR_SIZE];
};

/** One request.  All zero but what is needed. */
struct web_request {
	const char *method;
	const char *url;
	const char *headers[WEB_HEADERS_MAX];	/* "Name: value" */
	const void *body;			/* sent whole, again at each attempt */
	size_t body_len;
	uint64_t offset, len;			/* len 0: no range */
	/*
	 * Repeating it changes the answer: a connection of its own, as libcurl repeats
	 * by itself what breaks on one that was used before, and attempts would not tell.
	 */
	bool counted;
	/* Bytes of a 2xx answer; 0 or -errno.  begin() comes before each attempt's first. */
	int (*begin)(void *arg);
	int (*sink)(void *arg, const void *data, size_t len);
	void *arg;

	/* The answer. */
	long status;
	unsigned int attempts;
	int sink_err;
	int64_t length;				/* Content-Length, -1 if none */
	int64_t mtime_s;			/* Last-Modified, -1 if none */
	bool has_range;				/* Content-Range: */
	uint64_t first, last, total;		/* "bytes FIRST-LAST/TOTAL" */
	bool unsatisfied;			/* "bytes * /TOTAL" */
	char etag[130];				/* quotes and all */
	char text[1024];			/* start of an answer that is not 2xx */
	size_t text_len;
};

/**
 * web_base_parse() - judge "http(s)://HOST[:PORT][/PATH]".
 * @out: with a slash at the path's end
 * @why: one line on failure
 * Return: 0; -EINVAL.
 */
int web_base_parse(const char *address, struct web_base *out, char why[200]);

/** web_encode() - percent-encode @in as SigV4 wants it (RFC 3986).  0; -ENAMETOOLONG. */
int web_encode(const char *in, char *out, size_t size);

/** web_decode() - undo percent-encoding in place.  0; -EINVAL a NUL or a bad escape. */
int web_decode(char *text);

/**
 * web_open() - a handle with the limits of the environment: GODWIT_STORE_TIMEOUT_S
 * (stall time, default 30), GODWIT_STORE_RETRIES (default 5), GODWIT_STORE_STALE_S
 * (default a day), GODWIT_STORE_CA (file).
 * Return: 0; -EINVAL a variable; -ENOMEM.
 */
int web_open(struct web *w, struct store *s, char why[200]);

/** web_close() - end it, credentials wiped; fine on zeroes. */
void web_close(struct web *w);

/** web_setup() - the options every handle gets; for a second handle of the same server. */
int web_setup(struct web *w, CURL *easy);

/**
 * web_perform() - send a request, again where that is safe and may help.
 *
 * Again after: no connection, one that broke, 408, 429, 500, 502, 503, 504; up to
 * the number of retries, pausing 0.1 s, 0.2 s ... 5 s with a random part.  Not
 * after a time-out: the caller waited long enough.
 * Return: 0 and the last status, whatever it is; -EPROTO the server lied about a
 * length; -ETIMEDOUT; -ECONNREFUSED; -EACCES certificate; -errno of the sink.
 */
int web_perform(struct web *w, struct web_request *r);

/** web_check() - 0 for a 2xx, else its errno with the store's error line set. */
int web_check(struct web *w, const struct web_request *r, const char *what);

/**
 * web_forget() - DELETE something that failed anyway: one attempt, the error line
 * stays what it was.  Return: whether the server took it.
 */
bool web_forget(struct web *w, const char *url);

/** web_curl_errno() - a curl code as errno. */
int web_curl_errno(CURLcode code);

/**
 * web_get_range() - bytes of an object; every length of the answer is checked.
 * Return: as store_get().
 */
ssize_t web_get_range(struct web *w, const char *url, const char *name, uint64_t offset,
		      void *buf, size_t len);

/** web_stat() - size and time by HEAD.  0; -ENOENT; -EPROTO no length; -errno. */
int web_stat(struct web *w, const char *url, const char *name, struct store_object *out);

#endif
