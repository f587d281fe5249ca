/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Store: a bucket of an S3 server, path style: addresses, reading, lists,
 * leftovers.  Writing is in store_s3_put.c; the invariant in store_s3.h.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "checkpoint/store_s3.h"
#include "checkpoint/store_s3_xml.h"

#define PAGES_MAX	1024u			/* of one list */

/* --- opening --------------------------------------------------------------------- */

static int judge_bucket(const char *address, char why[200])
{
	size_t len;

	if (!strncmp(address, "s3://", 5)) {
		len = strcspn(address + 5, "/");
		if (len >= 3 && len <= 63 &&
		    strspn(address + 5, "abcdefghijklmnopqrstuvwxyz0123456789.-") == len)
			return 0;
	}
	snprintf(why, 200, "an address has the form s3://BUCKET/PREFIX");
	return -EINVAL;
}

static int parse_bucket(struct s3 *z, const char *address, const char *endpoint, char why[200])
{
	struct web_base base;
	char url[sizeof(base.url)];
	const char *prefix;
	size_t len;
	int n, ret = judge_bucket(address, why);

	if (ret)
		return ret;
	len = strcspn(address + 5, "/");
	prefix = address + 5 + len + (address[5 + len] == '/');
	n = snprintf(url, sizeof(url), "%s%s%.*s/%s", endpoint,
		     endpoint[strlen(endpoint) - 1] == '/' ? "" : "/", (int)len, address + 5, prefix);
	if (n >= (int)sizeof(url))
		return -ENAMETOOLONG;
	if (web_base_parse(url, &base, why))
		return -EINVAL;
	snprintf(z->bucket_url, sizeof(z->bucket_url), "%.*s", n - (int)strlen(prefix), url);
	len = strlen(prefix);
	n = snprintf(z->prefix, sizeof(z->prefix), "%s%s", prefix,
		     len && prefix[len - 1] != '/' ? "/" : "");
	return n < (int)sizeof(z->prefix) ? 0 : -ENAMETOOLONG;
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

int s3_url(struct s3 *z, const char *name, const char *query, char url[WEB_URL_MAX])
{
	int n = snprintf(url, WEB_URL_MAX, "%s%s%s%s%s", z->bucket_url, z->prefix, name,
			 *query ? "?" : "", query);

	return n < (int)WEB_URL_MAX ? 0 : -ENAMETOOLONG;
}

/* --- leftovers ------------------------------------------------------------------- */

bool s3_abort_upload(struct s3 *z, const char *object_url, const char *encoded_id)
{
	char url[WEB_URL_MAX];

	return snprintf(url, sizeof(url), "%s?uploadId=%s", object_url, encoded_id) <
	       (int)sizeof(url) && web_forget(&z->web, url);
}

static bool abort_stale(struct s3 *z, const struct s3_upload *u)
{
	char url[WEB_URL_MAX], id[3 * S3_TOKEN_MAX + 1];

	return !web_encode(u->id, id, sizeof(id)) && !s3_url(z, u->key, "", url) &&
	       s3_abort_upload(z, url, id);
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

/* --- reading --------------------------------------------------------------------- */

static ssize_t s3_get(struct store *s, const char *name, uint64_t offset, void *buf, size_t len)
{
	struct s3 *z = s->priv;
	char url[WEB_URL_MAX];
	int ret = s3_url(z, name, "", url);

	return ret ? ret : web_get_range(&z->web, url, name, offset, buf, len);
}

static int s3_stat(struct store *s, const char *name, struct store_object *out)
{
	struct s3 *z = s->priv;
	char url[WEB_URL_MAX];
	int ret = s3_url(z, name, "", url);

	return ret ? ret : web_stat(&z->web, url, name, out);
}

/* S3 calls it a success to delete what is not there: so ask first. */
static int s3_remove(struct store *s, const char *name)
{
	struct s3 *z = s->priv;
	char url[WEB_URL_MAX];
	struct web_request r = { .method = "DELETE", .url = url, .counted = true };
	struct store_object o;
	int ret = s3_url(z, name, "", url);

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
