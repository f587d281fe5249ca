/* SPDX-License-Identifier: Apache-2.0 */
/* Writing to S3, in one PUT or in parts: see checkpoint/store_s3.h. */
#include "checkpoint/store_s3.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/store_s3_xml.h"

#define PART_SIZE	(8u << 20)
#define PARTS_MAX	10000u			/* S3's limit; so an object has up to 78 GiB */
#define ETAG_MAX	130u
#define READ_BACK	(1u << 20)

struct s3_put {
	char url[WEB_URL_MAX];
	char id[3 * S3_TOKEN_MAX + 1];		/* of the upload, encoded; "" before there is one */
	char *part;				/* PART_SIZE */
	size_t len;				/* bytes in it */
	uint64_t bytes;				/* in all */
	unsigned int nr_parts;			/* sent */
	char (*etags)[ETAG_MAX];
	unsigned int cap;
};

static void put_free(struct s3_put *sp)
{
	free(sp->part);
	free(sp->etags);
	free(sp);
}

int s3_put_begin(struct store_put *p)
{
	struct s3 *z = p->store->priv;
	struct s3_put *sp = calloc(1, sizeof(*sp));
	struct store_object o;
	int ret;

	if (sp)
		sp->part = malloc(PART_SIZE);
	if (!sp || !sp->part) {
		free(sp);
		return store_fail(p->store, -ENOMEM, "%s: %s", p->name, strerror(ENOMEM));
	}
	ret = s3_url(z, p->name, "", sp->url);
	if (!ret) {
		ret = web_stat(&z->web, sp->url, p->name, &o);
		if (!ret)
			ret = store_fail(p->store, -EEXIST, "%s: exists already", p->name);
		else if (ret == -ENOENT)
			ret = 0;
	}
	if (ret) {
		put_free(sp);
		return ret;
	}
	p->store->error[0] = '\0';
	p->priv = sp;
	return 0;
}

static int initiate(struct s3 *z, struct s3_put *sp, const char *name)
{
	char url[WEB_URL_MAX];
	struct s3_answer a = { .prefix = z->prefix };
	struct web_request r = {
		.method = "POST", .url = url, .body = "",
		.headers = { "Content-Type: application/octet-stream" },
		.begin = s3_answer_begin, .sink = s3_answer_sink, .arg = &a,
	};
	int ret = snprintf(url, sizeof(url), "%s?uploads=", sp->url) < (int)sizeof(url) ?
		  0 : -ENAMETOOLONG;

	if (!ret)
		ret = web_perform(&z->web, &r);
	if (!ret)
		ret = web_check(&z->web, &r, name);
	if (!ret) {
		ret = s3_answer_finish(&a, "InitiateMultipartUploadResult");
		if (!ret && !a.upload_id[0])
			ret = -EPROTO;
		if (!ret)
			ret = web_encode(a.upload_id, sp->id, sizeof(sp->id));
		if (ret)
			store_fail(z->web.s, ret, "%s: the server gives no upload id", name);
	}
	s3_answer_free(&a);
	return ret;
}

static int keep_etag(struct s3 *z, struct s3_put *sp, const char *etag, const char *name)
{
	if (!*etag || strpbrk(etag, "<>&"))
		return store_fail(z->web.s, -EPROTO, "%s: the server gives no ETag for a part", name);
	if (sp->nr_parts == sp->cap) {
		unsigned int cap = sp->cap ? sp->cap * 2 : 64;
		void *bigger = reallocarray(sp->etags, cap, ETAG_MAX);

		if (!bigger)
			return store_fail(z->web.s, -ENOMEM, "%s: %s", name, strerror(ENOMEM));
		sp->etags = bigger;
		sp->cap = cap;
	}
	strcpy(sp->etags[sp->nr_parts++], etag);
	return 0;
}

static int send_part(struct s3 *z, struct s3_put *sp, const char *name)
{
	char url[WEB_URL_MAX];
	struct web_request r = {
		.method = "PUT", .url = url, .body = sp->part, .body_len = sp->len,
		.headers = { "Content-Type: application/octet-stream" },
	};
	int ret = sp->id[0] ? 0 : initiate(z, sp, name);

	if (ret)
		return ret;
	if (sp->nr_parts == PARTS_MAX)
		return store_fail(z->web.s, -EFBIG, "%s: longer than %u parts of %u MiB", name,
				  PARTS_MAX, PART_SIZE >> 20);
	if (snprintf(url, sizeof(url), "%s?partNumber=%u&uploadId=%s", sp->url, sp->nr_parts + 1,
		     sp->id) >= (int)sizeof(url))
		return store_fail(z->web.s, -EPROTO, "%s: the upload id is too long", name);
	ret = web_perform(&z->web, &r);
	if (!ret)
		ret = web_check(&z->web, &r, name);
	if (!ret)
		ret = keep_etag(z, sp, r.etag, name);
	sp->len = 0;
	return ret;
}

/* A full part waits for one byte more: an object of exactly one part is a plain PUT. */
int s3_put_write(struct store_put *p, const void *buf, size_t len)
{
	struct s3_put *sp = p->priv;

	while (len) {
		size_t n = PART_SIZE - sp->len;

		if (!n) {
			int ret = send_part(p->store->priv, sp, p->name);

			if (ret)
				return ret;
			continue;
		}
		if (n > len)
			n = len;
		memcpy(sp->part + sp->len, buf, n);
		sp->len += n;
		sp->bytes += n;
		buf = (const char *)buf + n;
		len -= n;
	}
	return 0;
}

/* With the condition first; a server that does not know it says so once. */
static int perform_new(struct s3 *z, struct web_request *r)
{
	int ret;

	r->headers[1] = z->no_condition ? NULL : "If-None-Match: *";
	ret = web_perform(&z->web, r);
	if (!ret && r->status == 501 && r->headers[1]) {
		z->no_condition = true;
		r->headers[1] = NULL;
		ret = web_perform(&z->web, r);
	}
	return ret;
}

static int taken(struct s3 *z, const char *name)
{
	return store_fail(z->web.s, -EEXIST, "%s: exists already", name);
}

static int check_length(struct s3 *z, struct s3_put *sp, const char *name)
{
	struct store_object o;
	int ret = web_stat(&z->web, sp->url, name, &o);

	if (!ret && o.size != sp->bytes)
		ret = store_fail(z->web.s, -EPROTO, "%s: %" PRIu64 " bytes were sent, the server has %"
				 PRIu64, name, sp->bytes, o.size);
	return ret;
}

/* Whether the object is what the part holds: then a lost answer was a success. */
static bool holds_part(struct s3 *z, struct s3_put *sp, const char *name)
{
	struct store_object o;
	size_t at = 0;
	bool same;
	char *buf;

	if (web_stat(&z->web, sp->url, name, &o) || o.size != sp->len)
		return false;
	buf = malloc(READ_BACK);
	same = buf;
	while (same && at < sp->len) {
		size_t want = sp->len - at < READ_BACK ? sp->len - at : READ_BACK;

		same = web_get_range(&z->web, sp->url, name, at, buf, want) == (ssize_t)want &&
		       !memcmp(buf, sp->part + at, want);
		at += want;
	}
	free(buf);
	return same;
}

static int put_whole(struct s3 *z, struct s3_put *sp, const char *name)
{
	struct web_request r = {
		.method = "PUT", .url = sp->url, .body = sp->part, .body_len = sp->len,
		.headers = { "Content-Type: application/octet-stream" }, .counted = true,
	};
	int ret = perform_new(z, &r);

	if (!ret && r.status == 412)
		return r.attempts > 1 && holds_part(z, sp, name) ? 0 : taken(z, name);
	return ret ? ret : web_check(&z->web, &r, name);
}

static char *part_list(struct s3_put *sp, size_t *len)
{
	FILE *f;
	char *text = NULL;
	unsigned int i;
	bool bad;

	f = open_memstream(&text, len);
	if (!f)
		return NULL;
	fprintf(f, "<CompleteMultipartUpload>");
	for (i = 0; i < sp->nr_parts; i++)
		fprintf(f, "<Part><PartNumber>%u</PartNumber><ETag>%s</ETag></Part>", i + 1,
			sp->etags[i]);
	fprintf(f, "</CompleteMultipartUpload>");
	bad = ferror(f);
	if (fclose(f) || bad) {
		free(text);
		return NULL;
	}
	return text;
}

/* Aborting tells: 404 if there was nothing to abort. */
static bool upload_gone(struct s3 *z, struct s3_put *sp)
{
	char url[WEB_URL_MAX];
	struct web_request r = { .method = "DELETE", .url = url };

	return snprintf(url, sizeof(url), "%s?uploadId=%s", sp->url, sp->id) < (int)sizeof(url) &&
	       !web_perform(&z->web, &r) && r.status == 404;
}

/* The answer may be an error in spite of its 200: S3 sends that before it knows. */
static int judge_complete(struct s3 *z, struct s3_put *sp, struct web_request *r,
			  struct s3_answer *a, const char *name)
{
	/* Repeated after a lost answer: the upload is gone, its object is there. */
	if (r->attempts > 1 && (r->status == 404 || (r->status == 412 && upload_gone(z, sp))))
		return 0;
	if (r->status == 412)
		return taken(z, name);
	if (r->status != 200)
		return web_check(&z->web, r, name);
	if (!s3_answer_finish(a, "CompleteMultipartUploadResult"))
		return 0;
	return store_fail(z->web.s, a->code[0] ? -EIO : -EPROTO,
			  "%s: the server did not put the parts together: %s", name,
			  a->code[0] ? a->code : "no proper answer");
}

static int complete(struct s3 *z, struct s3_put *sp, const char *name)
{
	char url[WEB_URL_MAX];
	struct s3_answer a = { .prefix = z->prefix };
	struct web_request r = {
		.method = "POST", .url = url, .headers = { "Content-Type: application/xml" },
		.counted = true, .begin = s3_answer_begin, .sink = s3_answer_sink, .arg = &a,
	};
	char *body = part_list(sp, &r.body_len);
	int ret = body ? 0 : store_fail(z->web.s, -ENOMEM, "%s: %s", name, strerror(ENOMEM));

	if (!ret) {
		r.body = body;
		ret = snprintf(url, sizeof(url), "%s?uploadId=%s", sp->url, sp->id) <
		      (int)sizeof(url) ? 0 : -ENAMETOOLONG;
	}
	if (!ret)
		ret = perform_new(z, &r);
	if (!ret)
		ret = judge_complete(z, sp, &r, &a, name);
	s3_answer_free(&a);
	free(body);
	return ret;
}

int s3_put_commit(struct store_put *p)
{
	struct s3 *z = p->store->priv;
	struct s3_put *sp = p->priv;
	int ret = 0;
	bool made = false;

	if (!sp->id[0]) {
		ret = put_whole(z, sp, p->name);
	} else {
		if (sp->len)
			ret = send_part(z, sp, p->name);
		if (!ret)
			ret = complete(z, sp, p->name);
	}
	made = !ret;
	if (!ret)
		ret = check_length(z, sp, p->name);
	if (ret && made)
		web_forget(&z->web, sp->url);
	else if (ret && sp->id[0])
		s3_abort_upload(z, sp->url, sp->id);
	put_free(sp);
	return ret;
}

void s3_put_abort(struct store_put *p)
{
	struct s3_put *sp = p->priv;

	if (sp->id[0])
		s3_abort_upload(p->store->priv, sp->url, sp->id);
	put_free(sp);
}
