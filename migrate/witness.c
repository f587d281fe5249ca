// SPDX-License-Identifier: Apache-2.0
/* See witness.h. */
#include "migrate/witness.h"

#include <curl/curl.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "migrate/wire.h"
#include "toolstack/lib/io.h"

#define RECORD_MAX	4096u
#define CLEAN_BEHIND	2u		/* old versions of a file that stay */

struct witness {
	char where[WITNESS_WHERE_MAX + 1];
	unsigned int timeout_ms;
	CURL *curl;			/* NULL: a file */
};

/* --- the record ---------------------------------------------------------------------- */

static char *lease_format(const struct witness_lease *l)
{
	json_t *j = json_pack("{s:i, s:s, s:b, s:s, s:s, s:I, s:i}", "godwit-lease", 1,
			      "holder", l->standby ? "standby" : "source", "released",
			      l->released, "session", l->session, "host", l->host, "renewal",
			      (json_int_t)l->renewal, "lease_ms", (int)l->lease_ms);
	char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;

	json_decref(j);
	return text;
}

static int lease_parse(const char *text, size_t len, struct witness_lease *l)
{
	json_t *j = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	json_int_t ms = json_integer_value(json_object_get(j, "lease_ms"));
	const char *holder = wire_text(j, "holder", "");
	bool known = !strcmp(holder, "standby") || !strcmp(holder, "source");

	*l = (struct witness_lease) { 0 };
	snprintf(l->session, sizeof(l->session), "%s", wire_text(j, "session", ""));
	snprintf(l->host, sizeof(l->host), "%s", wire_text(j, "host", ""));
	l->standby = !strcmp(holder, "standby");
	l->released = json_is_true(json_object_get(j, "released"));
	l->renewal = (uint64_t)json_integer_value(json_object_get(j, "renewal"));
	l->lease_ms = ms > 0 && ms <= WITNESS_LEASE_MAX_MS ? (unsigned int)ms : 0;
	json_decref(j);
	return l->lease_ms && known ? 0 : -EBADMSG;
}

/* --- a file --------------------------------------------------------------------------- */

static int split_path(const struct witness *w, char dir[WITNESS_WHERE_MAX + 1], const char **base)
{
	char *slash;

	strcpy(dir, w->where);
	slash = strrchr(dir, '/');
	*base = w->where + (slash - dir) + 1;
	slash[slash == dir] = '\0';
	return **base ? 0 : -EINVAL;
}

/* Highest version there is, 0: none. */
static int file_newest(const struct witness *w, uint64_t *newest)
{
	char dir[WITNESS_WHERE_MAX + 1], *end;
	const char *base;
	struct dirent *e;
	size_t len;
	DIR *d;
	int ret = split_path(w, dir, &base);

	*newest = 0;
	if (ret)
		return ret;
	d = opendir(dir);
	if (!d)
		return -errno;
	len = strlen(base);
	while ((e = readdir(d))) {
		unsigned long long n;

		if (strncmp(e->d_name, base, len) || e->d_name[len] != '.')
			continue;
		n = strtoull(e->d_name + len + 1, &end, 10);
		if (!*end && n > *newest)
			*newest = n;
	}
	closedir(d);
	return 0;
}

static void file_name(const struct witness *w, uint64_t n, char path[WITNESS_WHERE_MAX + 32])
{
	snprintf(path, WITNESS_WHERE_MAX + 32, "%s.%llu", w->where, (unsigned long long)n);
}

static int file_read(struct witness *w, struct witness_lease *l, struct witness_version *v)
{
	char path[WITNESS_WHERE_MAX + 32], *text;
	uint64_t n;
	size_t len;
	int ret;

	/* The newest may be replaced, and removed, while it is looked at. */
	for (int tries = 0; tries < 5; tries++) {
		ret = file_newest(w, &n);
		if (ret)
			return ret;
		if (!n)
			return -ENOENT;
		file_name(w, n, path);
		ret = io_read_file(path, RECORD_MAX, &text, &len);
		if (ret == -ENOENT || ret == -ESTALE)
			continue;
		if (ret)
			return ret;
		snprintf(v->tag, sizeof(v->tag), "%llu", (unsigned long long)n);
		ret = lease_parse(text, len, l);
		free(text);
		return ret;
	}
	return -EAGAIN;
}

static int write_new(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int ret;

	if (fd < 0)
		return -errno;
	ret = io_write_full(fd, text, strlen(text));
	if (!ret && fsync(fd))
		ret = -errno;
	close(fd);
	return ret;
}

static int file_swap(struct witness *w, const char *text, struct witness_version *v)
{
	char path[WITNESS_WHERE_MAX + 32], fresh[WITNESS_WHERE_MAX + 64];
	uint64_t old = strtoull(v->tag, NULL, 10), newest;
	int ret;

	snprintf(fresh, sizeof(fresh), "%s.new-%d-%llx", w->where, (int)getpid(),
		 (unsigned long long)io_now_ns());
	ret = write_new(fresh, text);
	file_name(w, old + 1, path);
	if (!ret && link(fresh, path))
		ret = errno == EEXIST ? -ESTALE : -errno;
	unlink(fresh);
	if (ret)
		return ret;
	/* A version so old that its successors have been removed leaves its place free. */
	ret = file_newest(w, &newest);
	if (ret)
		return ret;
	if (newest != old + 1) {
		unlink(path);
		return -ESTALE;
	}
	if (old >= CLEAN_BEHIND) {
		file_name(w, old + 1 - CLEAN_BEHIND, path);
		unlink(path);
	}
	snprintf(v->tag, sizeof(v->tag), "%llu", (unsigned long long)old + 1);
	return 0;
}

/* --- a web address ----------------------------------------------------------------------- */

struct reply {
	char body[RECORD_MAX];
	size_t len;
	char etag[128];
	long status;
};

static size_t on_body(char *data, size_t one, size_t n, void *arg)
{
	struct reply *r = arg;

	if (n > sizeof(r->body) - r->len)
		return 0;
	memcpy(r->body + r->len, data, n);
	r->len += n;
	return n;
}

static size_t on_header(char *data, size_t one, size_t n, void *arg)
{
	struct reply *r = arg;
	size_t len;

	if (n < 6 || strncasecmp(data, "ETag:", 5))
		return n;
	for (data += 5, len = n - 5; len && (*data == ' ' || *data == '\t'); len--)
		data++;
	while (len && strchr("\r\n \t", data[len - 1]))
		len--;
	if (len && len < sizeof(r->etag))
		snprintf(r->etag, sizeof(r->etag), "%.*s", (int)len, data);
	return n;
}

static int http(struct witness *w, const char *condition, const char *put, struct reply *r,
		char why[200])
{
	struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
	char error[CURL_ERROR_SIZE] = "", line[200];
	CURLcode rc;

	*r = (struct reply) { .status = 0 };
	curl_easy_reset(w->curl);
	if (put) {
		headers = curl_slist_append(headers, "Content-Type: application/json");
		snprintf(line, sizeof(line), "%s%s", *condition ? "If-Match: " : "If-None-Match: *",
			 condition);
		headers = curl_slist_append(headers, line);
		curl_easy_setopt(w->curl, CURLOPT_CUSTOMREQUEST, "PUT");
		curl_easy_setopt(w->curl, CURLOPT_POSTFIELDS, put);
	}
	curl_easy_setopt(w->curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(w->curl, CURLOPT_URL, w->where);
	curl_easy_setopt(w->curl, CURLOPT_ERRORBUFFER, error);
	curl_easy_setopt(w->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(w->curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(w->curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(w->curl, CURLOPT_TIMEOUT_MS, (long)w->timeout_ms);
	curl_easy_setopt(w->curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(w->curl, CURLOPT_WRITEDATA, r);
	curl_easy_setopt(w->curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(w->curl, CURLOPT_HEADERDATA, r);
	rc = curl_easy_perform(w->curl);
	curl_slist_free_all(headers);
	if (rc != CURLE_OK) {
		snprintf(why, 200, "the witness: %.150s", error[0] ? error : curl_easy_strerror(rc));
		return rc == CURLE_OPERATION_TIMEDOUT ? -ETIMEDOUT : -EIO;
	}
	curl_easy_getinfo(w->curl, CURLINFO_RESPONSE_CODE, &r->status);
	return 0;
}

static int http_read(struct witness *w, struct witness_lease *l, struct witness_version *v,
		     char why[200])
{
	struct reply r;
	int ret = http(w, "", NULL, &r, why);

	if (ret)
		return ret;
	if (r.status == 404)
		return -ENOENT;
	if (r.status != 200 || !r.etag[0]) {
		snprintf(why, 200, "the witness answers %ld%s", r.status,
			 r.etag[0] ? "" : " without an ETag");
		return -EPROTO;
	}
	snprintf(v->tag, sizeof(v->tag), "%s", r.etag);
	return lease_parse(r.body, r.len, l);
}

static int http_swap(struct witness *w, const char *text, const struct witness_lease *l,
		     struct witness_version *v, char why[200])
{
	struct witness_version now = { "" };
	struct witness_lease there;
	struct reply r;
	int ret = http(w, v->tag, text, &r, why);

	if (ret)
		return ret;
	if (r.status == 412 || r.status == 409)
		return -ESTALE;
	if (r.status != 200 && r.status != 201 && r.status != 204) {
		snprintf(why, 200, "the witness answers a PUT with %ld", r.status);
		return -EPROTO;
	}
	if (r.etag[0]) {
		snprintf(v->tag, sizeof(v->tag), "%s", r.etag);
		return 0;
	}
	/* It need not say the new one; then it is asked, and has to be ours. */
	ret = http_read(w, &there, &now, why);
	if (ret)
		return ret;
	if (there.renewal != l->renewal || strcmp(there.session, l->session))
		return -ESTALE;
	*v = now;
	return 0;
}

/* --- both --------------------------------------------------------------------------------- */

int witness_open(const char *where, unsigned int timeout_ms, struct witness **out, char why[200])
{
	bool web = !strncmp(where, "http://", 7) || !strncmp(where, "https://", 8);
	struct witness *w;

	*out = NULL;
	if (strlen(where) > WITNESS_WHERE_MAX || (!web && where[0] != '/') ||
	    where[strlen(where) - 1] == '/' || strpbrk(where, "\r\n")) {
		snprintf(why, 200, "a witness is http://..., or the absolute path of a file");
		return -EINVAL;
	}
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	strcpy(w->where, where);
	w->timeout_ms = timeout_ms;
	if (web) {
		curl_global_init(CURL_GLOBAL_DEFAULT);
		w->curl = curl_easy_init();
		if (!w->curl) {
			free(w);
			return -ENOMEM;
		}
	}
	*out = w;
	return 0;
}

void witness_close(struct witness *w)
{
	if (w && w->curl)
		curl_easy_cleanup(w->curl);
	free(w);
}

int witness_read(struct witness *w, struct witness_lease *l, struct witness_version *v,
		 char why[200])
{
	int ret;

	v->tag[0] = why[0] = '\0';
	ret = w->curl ? http_read(w, l, v, why) : file_read(w, l, v);
	if (ret && !why[0])
		snprintf(why, 200, "the witness %.120s: %s", w->where,
			 ret == -EBADMSG ? "no record of a lease" : strerror(-ret));
	return ret;
}

int witness_swap(struct witness *w, const struct witness_lease *l, struct witness_version *v,
		 char why[200])
{
	char *text = lease_format(l);
	int ret;

	why[0] = '\0';
	if (!text)
		return -ENOMEM;
	ret = w->curl ? http_swap(w, text, l, v, why) : file_swap(w, text, v);
	free(text);
	if (ret && !why[0])
		snprintf(why, 200, "the witness %.120s: %s", w->where,
			 ret == -ESTALE ? "somebody else has written it" : strerror(-ret));
	return ret;
}

int witness_check(struct witness *w, char why[200])
{
	static const struct witness_lease nobody = { .session = "check", .lease_ms = 1 };
	struct witness_version v = { "\"godwit-no-such-version\"" };
	int ret;

	if (!w->curl)
		return 0;
	ret = witness_swap(w, &nobody, &v, why);
	if (!ret) {
		snprintf(why, 200, "the witness's server ignores If-Match on PUT");
		return -EOPNOTSUPP;
	}
	return ret == -ESTALE ? 0 : ret;
}
