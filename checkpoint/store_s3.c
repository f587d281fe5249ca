/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Store: a bucket of an S3 server, path style.  PREFIX/DOMAIN/OBJECT.
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
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "checkpoint/store_s3_xml.h"
#include "checkpoint/store_web.h"

#define PART_SIZE	(8u << 20)
#define PARTS_MAX	10000u			/* S3's limit; so an object has up to 78 GiB */
#define PAGES_MAX	1024u			/* of one list */
#define ETAG_MAX	130u
#define READ_BACK	(1u << 20)

struct s3 {
	struct web web;
	char bucket_url[WEB_URL_MAX / 2];	/* "ENDPOINT/BUCKET/" */
	char prefix[1026];			/* "" or with its slash */
	bool no_condition;			/* the server refused If-None-Match */
};

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

/* --- opening --------------------------------------------------------------------- */

static int parse_bucket(struct s3 *z, const char *address, const char *endpoint, char why[200])
{
	const char *bucket = address + 5, *rest = strchr(bucket, '/');
	size_t len = rest ? (size_t)(rest - bucket) : strlen(bucket);
	struct web_base base;
	char url[sizeof(base.url)];
	int n = snprintf(url, sizeof(url), "%s%s%.*s/%s", endpoint,
			 endpoint[strlen(endpoint) - 1] == '/' ? "" : "/", (int)len, bucket,
			 rest ? rest + 1 : "");

	if (strncmp(address, "s3://", 5) || len < 3 || len > 63 ||
	    strspn(bucket, "abcdefghijklmnopqrstuvwxyz0123456789.-") < len) {
		snprintf(why, 200, "an address has the form s3://BUCKET/PREFIX");
		return -EINVAL;
	}
	if (n >= (int)sizeof(url))
		return -ENAMETOOLONG;
	if (web_base_parse(url, &base, why))
		return -EINVAL;
	snprintf(z->bucket_url, sizeof(z->bucket_url), "%.*s",
		 (int)(strlen(url) - strlen(rest ? rest + 1 : "")), url);
	snprintf(z->prefix, sizeof(z->prefix), "%s%s", rest ? rest + 1 : "",
		 !rest || !rest[1] || rest[strlen(rest) - 1] == '/' ? "" : "/");
	return 0;
}

static const char *env_or(const char *name, const char *dflt)
{
	const char *v = getenv(name);

	return v && *v ? v : dflt;
}

static int set_keys(struct s3 *z, const char *region, const char *machine, char why[200])
{
	const char *token = getenv("AWS_SESSION_TOKEN");
	int ret = store_cred_find(machine, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
				  &z->web.cred, why);

	if (ret)
		return ret;
	if (!z->web.cred.user[0]) {
		snprintf(why, 200, "no keys for %.100s: AWS_ACCESS_KEY_ID, or the credentials file",
			 machine);
		return -EACCES;
	}
	if (!*region || strlen(region) > 64 ||
	    strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-") < strlen(region)) {
		snprintf(why, 200, "AWS_REGION is no region's name");
		return -EINVAL;
	}
	snprintf(z->web.sigv4, sizeof(z->web.sigv4), "aws:amz:%s:s3", region);
	if (!token || !*token)
		return 0;
	if (strlen(token) > 2048 || strpbrk(token, "\r\n"))
		return -EINVAL;
	snprintf(z->web.token, sizeof(z->web.token), "x-amz-security-token: %s", token);
	return 0;
}

static void sweep(struct s3 *z);

static int s3_open(struct store *s, const char *address, char why[200])
{
	const char *region = env_or("AWS_REGION", env_or("AWS_DEFAULT_REGION", "us-east-1"));
	char dflt[128], machine[80];
	struct s3 *z = calloc(1, sizeof(*z));
	int ret;

	if (!z)
		return -ENOMEM;
	snprintf(dflt, sizeof(dflt), "https://s3.%.64s.amazonaws.com/", region);
	ret = parse_bucket(z, address, env_or("GODWIT_S3_ENDPOINT", dflt), why);
	if (!ret)
		ret = web_open(&z->web, s, why);
	if (!ret) {
		snprintf(machine, sizeof(machine), "s3:%.*s", (int)strcspn(address + 5, "/"),
			 address + 5);
		ret = set_keys(z, region, machine, why);
	}
	if (ret) {
		web_close(&z->web);
		free(z);
		return ret;
	}
	s->priv = z;
	sweep(z);
	s->error[0] = '\0';
	return 0;
}

static void s3_close(struct store *s)
{
	struct s3 *z = s->priv;

	web_close(&z->web);
	free(z);
}

static int url_of(struct s3 *z, const char *name, const char *query, char url[WEB_URL_MAX])
{
	int n = snprintf(url, WEB_URL_MAX, "%s%s%s%s%s", z->bucket_url, z->prefix, name,
			 *query ? "?" : "", query);

	return n < (int)WEB_URL_MAX ? 0 : -ENAMETOOLONG;
}

/* --- leftovers ------------------------------------------------------------------- */

static bool abort_upload(struct s3 *z, const char *object_url, const char *encoded_id)
{
	char url[WEB_URL_MAX];

	return snprintf(url, sizeof(url), "%s?uploadId=%s", object_url, encoded_id) <
	       (int)sizeof(url) && web_forget(&z->web, url);
}

static bool abort_stale(struct s3 *z, const struct s3_upload *u)
{
	char url[WEB_URL_MAX], id[3 * S3_TOKEN_MAX + 1];

	return !web_encode(u->id, id, sizeof(id)) && !url_of(z, u->key, "", url) &&
	       abort_upload(z, url, id);
}

/*
 * Best effort, one attempt: a server without lists of uploads, or one that is
 * down, is the business of the first real request.
 */
static void sweep(struct s3 *z)
{
	char url[WEB_URL_MAX], prefix[3 * sizeof(z->prefix)];
	struct s3_answer a = { .prefix = z->prefix, .before_s = time(NULL) - z->web.stale_s };
	struct web_request r = {
		.method = "GET", .url = url, .begin = s3_answer_begin, .sink = s3_answer_sink,
		.arg = &a,
	};
	unsigned int retries = z->web.retries, i;

	if (web_encode(z->prefix, prefix, sizeof(prefix)) ||
	    snprintf(url, sizeof(url), "%s?prefix=%s&uploads=", z->bucket_url, prefix) >=
	    (int)sizeof(url))
		return;
	z->web.retries = 0;
	if (!web_perform(&z->web, &r) && r.status == 200 &&
	    !s3_answer_finish(&a, "ListMultipartUploadsResult")) {
		for (i = 0; i < a.nr_uploads && abort_stale(z, &a.uploads[i]); i++)
			;
	}
	z->web.retries = retries;
	s3_answer_free(&a);
}

/* --- writing --------------------------------------------------------------------- */

static void put_free(struct s3_put *sp)
{
	free(sp->part);
	free(sp->etags);
	free(sp);
}

static int s3_put_begin(struct store_put *p)
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
	ret = url_of(z, p->name, "", sp->url);
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
static int s3_put_write(struct store_put *p, const void *buf, size_t len)
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

static int s3_put_commit(struct store_put *p)
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
		abort_upload(z, sp->url, sp->id);
	put_free(sp);
	return ret;
}

static void s3_put_abort(struct store_put *p)
{
	struct s3_put *sp = p->priv;

	if (sp->id[0])
		abort_upload(p->store->priv, sp->url, sp->id);
	put_free(sp);
}

/* --- reading --------------------------------------------------------------------- */

static ssize_t s3_get(struct store *s, const char *name, uint64_t offset, void *buf, size_t len)
{
	struct s3 *z = s->priv;
	char url[WEB_URL_MAX];
	int ret = url_of(z, name, "", url);

	return ret ? ret : web_get_range(&z->web, url, name, offset, buf, len);
}

static int s3_stat(struct store *s, const char *name, struct store_object *out)
{
	struct s3 *z = s->priv;
	char url[WEB_URL_MAX];
	int ret = url_of(z, name, "", url);

	return ret ? ret : web_stat(&z->web, url, name, out);
}

/* S3 calls it a success to delete what is not there: so ask first. */
static int s3_remove(struct store *s, const char *name)
{
	struct s3 *z = s->priv;
	char url[WEB_URL_MAX];
	struct web_request r = { .method = "DELETE", .url = url, .counted = true };
	struct store_object o;
	int ret = url_of(z, name, "", url);

	if (!ret)
		ret = web_stat(&z->web, url, name, &o);
	if (!ret)
		ret = web_perform(&z->web, &r);
	if (!ret && r.status == 404 && r.attempts > 1)
		return 0;
	return ret ? ret : web_check(&z->web, &r, name);
}

static int list_url(struct s3 *z, const char *domain, const char *token, char url[WEB_URL_MAX])
{
	char prefix[3 * (sizeof(z->prefix) + STORE_NAME_MAX) + 1], plain[1300];
	char encoded[3 * S3_TOKEN_MAX + 1];
	int n;

	snprintf(plain, sizeof(plain), "%s%s%s", z->prefix, domain ? domain : "", domain ? "/" : "");
	if (web_encode(plain, prefix, sizeof(prefix)) || web_encode(token, encoded, sizeof(encoded)))
		return -ENAMETOOLONG;
	n = snprintf(url, WEB_URL_MAX, "%s?%s%s%slist-type=2&max-keys=1000&prefix=%s", z->bucket_url,
		     *token ? "continuation-token=" : "", encoded, *token ? "&" : "", prefix);
	return n < (int)WEB_URL_MAX ? 0 : -ENAMETOOLONG;
}

/* One page behind @token, which becomes the next page's, or "". */
static int list_page(struct s3 *z, const char *domain, char token[S3_TOKEN_MAX + 1],
		     struct store_list *list)
{
	char url[WEB_URL_MAX];
	struct s3_answer a = { .prefix = z->prefix, .list = list };
	struct web_request r = {
		.method = "GET", .url = url, .begin = s3_answer_begin, .sink = s3_answer_sink,
		.arg = &a,
	};
	int ret = list_url(z, domain, token, url);

	if (!ret)
		ret = web_perform(&z->web, &r);
	if (!ret)
		ret = web_check(&z->web, &r, "listing");
	if (!ret)
		ret = s3_answer_finish(&a, "ListBucketResult");
	if (!ret && a.truncated && (!a.token[0] || !strcmp(a.token, token)))
		ret = -EPROTO;
	if (ret == -EPROTO)
		store_fail(z->web.s, ret, "listing: the server's list is not as S3 has it");
	strcpy(token, !ret && a.truncated ? a.token : "");
	s3_answer_free(&a);
	return ret;
}

static int s3_list(struct store *s, const char *domain, struct store_object **out, size_t *nr)
{
	struct store_list list = { 0 };
	char token[S3_TOKEN_MAX + 1] = "";
	unsigned int pages = 0;
	int ret;

	do {
		ret = pages++ < PAGES_MAX ? list_page(s->priv, domain, token, &list) : -E2BIG;
	} while (!ret && token[0]);
	if (ret == -E2BIG)
		store_fail(s, ret, "listing: more than %u objects, or no end of pages",
			   STORE_OBJECTS_MAX);
	if (ret) {
		free(list.objects);
		return ret;
	}
	*out = list.objects;
	*nr = list.nr;
	return 0;
}

const struct store_ops store_s3_ops = {
	.scheme = "s3",
	.open = s3_open,
	.close = s3_close,
	.put_begin = s3_put_begin,
	.put_write = s3_put_write,
	.put_commit = s3_put_commit,
	.put_abort = s3_put_abort,
	.get = s3_get,
	.stat = s3_stat,
	.list = s3_list,
	.remove = s3_remove,
};
