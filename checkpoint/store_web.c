/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to a web server: see checkpoint/store_web.h. */
#include "checkpoint/store_web.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <time.h>

#define CONNECT_S	10L
#define BACKOFF_MS	100u
#define BACKOFF_MAX_MS	5000u

/* --- opening --------------------------------------------------------------------- */

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void curl_once_init(void)
{
	struct sigaction sa;

	curl_global_init(CURL_GLOBAL_DEFAULT);
	/* OpenSSL writes to a socket the server closed; the default would end the program. */
	if (!sigaction(SIGPIPE, NULL, &sa) && sa.sa_handler == SIG_DFL)
		signal(SIGPIPE, SIG_IGN);
}

static int env_number(const char *name, long min, long max, long dflt, long *out, char why[200])
{
	const char *text = getenv(name);
	char *end;

	*out = dflt;
	if (!text || !*text)
		return 0;
	errno = 0;
	*out = strtol(text, &end, 10);
	if (errno || *end || *out < min || *out > max) {
		snprintf(why, 200, "%s is a number from %ld to %ld", name, min, max);
		return -EINVAL;
	}
	return 0;
}

int web_open(struct web *w, struct store *s, char why[200])
{
	long retries;
	int ret;

	pthread_once(&curl_once, curl_once_init);
	w->s = s;
	ret = env_number("GODWIT_STORE_TIMEOUT_S", 1, 3600, 30, &w->stall_s, why);
	if (!ret)
		ret = env_number("GODWIT_STORE_RETRIES", 0, 20, 5, &retries, why);
	if (!ret)
		ret = env_number("GODWIT_STORE_STALE_S", 0, 1000000000, 24 * 3600, &w->stale_s, why);
	if (ret)
		return ret;
	w->retries = (unsigned int)retries;
	w->easy = curl_easy_init();
	return w->easy ? 0 : -ENOMEM;
}

void web_close(struct web *w)
{
	if (w->easy)
		curl_easy_cleanup(w->easy);
	w->easy = NULL;
	store_cred_wipe(&w->cred);
	explicit_bzero(w->token, sizeof(w->token));
}

static CURLcode set_auth(struct web *w, CURL *e)
{
	CURLcode c = CURLE_OK;

	if (!w->cred.user[0])
		return c;
	c = curl_easy_setopt(e, CURLOPT_USERNAME, w->cred.user);
	if (!c)
		c = curl_easy_setopt(e, CURLOPT_PASSWORD, w->cred.secret);
	if (!c && w->sigv4[0])
		return curl_easy_setopt(e, CURLOPT_AWS_SIGV4, w->sigv4);
	return c ? c : curl_easy_setopt(e, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
}

/* A daemon that starts programs must not hand its connections on to them. */
static int on_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? CURL_SOCKOPT_ERROR : CURL_SOCKOPT_OK;
}

int web_setup(struct web *w, CURL *e)
{
	const char *ca = getenv("GODWIT_STORE_CA");
	CURLcode c;

	curl_easy_reset(e);
	w->curl_error[0] = '\0';
	/* What cannot fail, with options libcurl 7.88 has, is not asked. */
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_SOCKOPTFUNCTION, on_socket);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, w->curl_error);
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
	curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(e, CURLOPT_FILETIME, 1L);
	/* Bytes as they are stored: nothing on the way may unpack them. */
	curl_easy_setopt(e, CURLOPT_HTTP_CONTENT_DECODING, 0L);
	c = curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	if (!c && ca && *ca)
		c = curl_easy_setopt(e, CURLOPT_CAINFO, ca);
	if (!c)
		c = curl_easy_setopt(e, CURLOPT_USERAGENT, "godwit");
	if (!c)
		c = set_auth(w, e);
	return c ? web_curl_errno(c) : 0;
}

/* --- answers --------------------------------------------------------------------- */

int web_curl_errno(CURLcode code)
{
	switch (code) {
	case CURLE_OK: return 0;
	case CURLE_OUT_OF_MEMORY: return -ENOMEM;
	case CURLE_URL_MALFORMAT: return -EINVAL;
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_RESOLVE_HOST: return -EHOSTUNREACH;
	case CURLE_COULDNT_CONNECT: return -ECONNREFUSED;
	case CURLE_OPERATION_TIMEDOUT: return -ETIMEDOUT;
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE: return -EACCES;
	case CURLE_PARTIAL_FILE:
	case CURLE_GOT_NOTHING:
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_BAD_CONTENT_ENCODING:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_WRITE_ERROR: return -EPROTO;
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR: return -ECONNRESET;
	default: return -EIO;
	}
}

static int status_errno(long status)
{
	switch (status) {
	case 401: case 403: case 407: return -EACCES;
	case 404: case 410: return -ENOENT;
	case 405: case 501: return -EOPNOTSUPP;
	case 412: return -EEXIST;
	case 413: case 507: return -ENOSPC;
	case 408: case 504: return -ETIMEDOUT;
	case 423: case 429: case 503: return -EBUSY;
	default: return status >= 500 ? -EIO : -EPROTO;
	}
}

static const char *status_hint(long status)
{
	switch (status) {
	case 401: case 403: return ": the credentials are missing or not accepted";
	case 405: case 501: return ": it does not support this";
	case 413: case 507: return ": no room for it";
	default: return status >= 300 && status < 400 ? ": redirects are not followed" : "";
	}
}

int web_check(struct web *w, const struct web_request *r, const char *what)
{
	char code[64] = "";
	const char *at = strstr(r->text, "<Code>");

	if (r->status >= 200 && r->status < 300)
		return 0;
	if (at)
		snprintf(code, sizeof(code), ", %.*s", (int)strcspn(at + 6, "<") % 50, at + 6);
	return store_fail(w->s, status_errno(r->status), "%.80s: the server answers %s with %ld%s%s",
			  what, r->method, r->status, code, status_hint(r->status));
}

static bool answer_good(CURL *e, struct web_request *r)
{
	curl_easy_getinfo(e, CURLINFO_RESPONSE_CODE, &r->status);
	return r->status >= 200 && r->status < 300;
}

struct exchange {
	struct web *w;
	struct web_request *r;
	CURL *easy;
};

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;
	struct web_request *r = x->r;
	size_t len = size * n, room;

	if (answer_good(x->easy, r)) {
		if (r->sink && !r->sink_err)
			r->sink_err = r->sink(r->arg, data, len);
		return r->sink_err ? 0 : len;
	}
	/* An error page: its start may say why, the rest is of no use. */
	room = sizeof(r->text) - 1 - r->text_len;
	if (!room)
		return 0;
	if (room > len)
		room = len;
	memcpy(r->text + r->text_len, data, room);
	r->text_len += room;
	r->text[r->text_len] = '\0';
	return len;
}

/* Digits, no sign, no more than an off_t holds. */
static const char *parse_u63(const char *at, uint64_t *out)
{
	const char *start = at;

	for (*out = 0; *at >= '0' && *at <= '9'; at++) {
		if (*out > (INT64_MAX - 9) / 10)
			return NULL;
		*out = *out * 10 + (uint64_t)(*at - '0');
	}
	return at == start ? NULL : at;
}

/* RFC 9110, 14.4: "bytes 0-9/100" or "bytes * /100". */
static void parse_content_range(struct web_request *r, const char *v)
{
	r->has_range = r->unsatisfied = false;
	v += strspn(v, " \t");
	if (strncasecmp(v, "bytes ", 6))
		return;
	v += 6;
	if (!strncmp(v, "*/", 2)) {
		r->unsatisfied = parse_u63(v + 2, &r->total) != NULL;
		return;
	}
	v = parse_u63(v, &r->first);
	if (v && *v == '-' && (v = parse_u63(v + 1, &r->last)) && *v == '/')
		r->has_range = parse_u63(v + 1, &r->total) != NULL;
}

static void take_etag(struct web_request *r, const char *v, size_t len)
{
	size_t n = 0;

	while (len && (*v == ' ' || *v == '\t'))
		v++, len--;
	for (; len && (unsigned char)*v > 0x20 && (unsigned char)*v < 0x7f; v++, len--) {
		if (n + 1 == sizeof(r->etag)) {
			n = 0;
			break;
		}
		r->etag[n++] = *v;
	}
	r->etag[n] = '\0';
}

static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;
	char line[160];
	size_t len = size * n;

	if (len >= 5 && !strncmp(data, "HTTP/", 5)) {
		x->r->has_range = x->r->unsatisfied = false;
		x->r->etag[0] = '\0';
	} else if (len > 14 && len < sizeof(line) && !strncasecmp(data, "content-range:", 14)) {
		memcpy(line, data + 14, len - 14);
		line[len - 14] = '\0';
		parse_content_range(x->r, line);
	} else if (len > 5 && !strncasecmp(data, "etag:", 5)) {
		take_etag(x->r, data + 5, len - 5);
	}
	return len;
}

/* --- one request ----------------------------------------------------------------- */

static CURLcode set_method(CURL *e, struct web_request *r)
{
	CURLcode c;

	if (!strcmp(r->method, "HEAD"))
		return curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
	if (!r->body)
		return curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, r->method);
	/* As "POST fields" the body is hashed by libcurl's SigV4, and sent from where it lies. */
	c = curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_len);
	if (!c)
		c = curl_easy_setopt(e, CURLOPT_POSTFIELDS, r->body);
	return c ? c : curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, r->method);
}

static int add_header(struct curl_slist **list, const char *header)
{
	struct curl_slist *more = curl_slist_append(*list, header);

	if (!more)
		return -ENOMEM;
	*list = more;
	return 0;
}

/*
 * S3 wants the payload's hash in a header of its own; libcurl 7.88 takes it from
 * there for the signature, later ones would make it themselves.
 */
static int add_payload_hash(struct web_request *r, struct curl_slist **list)
{
	static const char name[] = "x-amz-content-sha256: ";
	char header[sizeof(name) + 2 * EVP_MAX_MD_SIZE];
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned int len, i;

	if (!EVP_Digest(r->body ? r->body : "", r->body_len, md, &len, EVP_sha256(), NULL))
		return -ENOMEM;
	strcpy(header, name);
	for (i = 0; i < len; i++)
		snprintf(header + sizeof(name) - 1 + 2 * i, 3, "%02x", md[i]);
	return add_header(list, header);
}

static int set_headers(struct web *w, struct web_request *r, struct curl_slist **list)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < WEB_HEADERS_MAX; i++)
		ret = r->headers[i] ? add_header(list, r->headers[i]) : 0;
	if (!ret && w->token[0])
		ret = add_header(list, w->token);
	if (!ret && w->sigv4[0])
		ret = add_payload_hash(r, list);
	return ret;
}

static CURLcode attempt(struct exchange *x, struct curl_slist *headers)
{
	struct web_request *r = x->r;
	CURL *e = x->easy;
	char range[64];
	CURLcode c = curl_easy_setopt(e, CURLOPT_URL, r->url);

	curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 64L);
	curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, x->w->stall_s);
	/* Bodies of requests are 8 MiB at most: even the slowest useful line ends by then. */
	curl_easy_setopt(e, CURLOPT_TIMEOUT, x->w->stall_s * 20);
	curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, (long)r->counted);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, x);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, x);
	if (!c)
		c = set_method(e, r);
	if (!c && r->len) {
		snprintf(range, sizeof(range), "%" PRIu64 "-%" PRIu64, r->offset,
			 r->offset + r->len - 1);
		c = curl_easy_setopt(e, CURLOPT_RANGE, range);
	}
	return c ? c : curl_easy_perform(e);
}

static void take_answer(struct exchange *x)
{
	curl_off_t v;

	answer_good(x->easy, x->r);
	x->r->length = x->r->mtime_s = -1;
	if (!curl_easy_getinfo(x->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &v))
		x->r->length = v;
	if (!curl_easy_getinfo(x->easy, CURLINFO_FILETIME_T, &v))
		x->r->mtime_s = v;
}

static int attempt_once(struct web *w, struct web_request *r)
{
	struct exchange x = { w, r, w->easy };
	struct curl_slist *headers = NULL;
	CURLcode c = CURLE_OK;
	int ret;

	r->status = 0;
	r->text_len = 0;
	r->text[0] = '\0';
	r->has_range = r->unsatisfied = false;
	r->sink_err = r->begin ? r->begin(r->arg) : 0;
	if (r->sink_err)
		return r->sink_err;
	ret = web_setup(w, w->easy);
	if (!ret)
		ret = set_headers(w, r, &headers);
	if (!ret) {
		c = attempt(&x, headers);
		take_answer(&x);
		ret = r->sink_err ? r->sink_err : web_curl_errno(c);
	}
	/* Enough of a long error page was read: the status is the answer. */
	if (ret && c == CURLE_WRITE_ERROR && !r->sink_err && r->status >= 300)
		ret = 0;
	/* The handle keeps pointers into this stack frame otherwise. */
	curl_easy_setopt(w->easy, CURLOPT_HTTPHEADER, NULL);
	curl_slist_free_all(headers);
	return ret;
}

static bool worth_again(const struct web_request *r, int ret)
{
	if (r->sink_err)
		return false;
	switch (ret) {
	case 0:
		return r->status == 408 || r->status == 429 || r->status == 500 ||
		       r->status == 502 || r->status == 503 || r->status == 504;
	case -ECONNREFUSED: case -ECONNRESET: case -EHOSTUNREACH: case -EPROTO:
		return true;
	default:
		return false;
	}
}

/* Many hosts that lost one server must not come back at the same instant. */
static void pause_before(unsigned int retry)
{
	unsigned int ms = retry < 6 ? BACKOFF_MS << retry : BACKOFF_MAX_MS, random = 0;
	struct timespec ts;

	if (ms > BACKOFF_MAX_MS)
		ms = BACKOFF_MAX_MS;
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		random = 0;
	ms = ms / 2 + random % (ms / 2 + 1);
	ts.tv_sec = ms / 1000;
	ts.tv_nsec = (long)(ms % 1000) * 1000000;
	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

int web_perform(struct web *w, struct web_request *r)
{
	int ret;

	for (r->attempts = 1;; r->attempts++) {
		ret = attempt_once(w, r);
		if (!worth_again(r, ret) || r->attempts > w->retries)
			break;
		pause_before(r->attempts - 1);
	}
	if (ret)
		store_fail(w->s, ret, "%s %.60s: %s (%u attempt%s)", r->method, r->url,
			   w->curl_error[0] ? w->curl_error : strerror(-ret), r->attempts,
			   r->attempts == 1 ? "" : "s");
	return ret;
}

bool web_forget(struct web *w, const char *url)
{
	struct web_request r = { .method = "DELETE", .url = url };
	unsigned int retries = w->retries;
	char error[sizeof(w->s->error)];
	bool taken;

	memcpy(error, w->s->error, sizeof(error));
	w->retries = 0;
	taken = !web_perform(w, &r) && r.status >= 200 && r.status < 300;
	w->retries = retries;
	memcpy(w->s->error, error, sizeof(error));
	return taken;
}

/* --- ranges and sizes ------------------------------------------------------------ */

struct into {
	char *buf;
	size_t len, got;
};

static int into_begin(void *arg)
{
	((struct into *)arg)->got = 0;
	return 0;
}

/* More bytes than were asked for are a lie, not a gift. */
static int into_sink(void *arg, const void *data, size_t len)
{
	struct into *i = arg;

	if (len > i->len - i->got)
		return -EPROTO;
	memcpy(i->buf + i->got, data, len);
	i->got += len;
	return 0;
}

/* A 206 has to be exactly the part of the object that was asked for. */
static bool range_honest(const struct web_request *r, size_t got)
{
	uint64_t want_last = r->offset + r->len - 1;

	if (!r->has_range || r->total == 0 || r->first != r->offset || r->last < r->first)
		return false;
	if (want_last > r->total - 1)
		want_last = r->total - 1;
	return r->last == want_last && got == r->last - r->first + 1;
}

ssize_t web_get_range(struct web *w, const char *url, const char *name, uint64_t offset,
		      void *buf, size_t len)
{
	struct into into = { buf, len, 0 };
	struct web_request r = {
		.method = "GET", .url = url, .offset = offset, .len = len,
		.begin = into_begin, .sink = into_sink, .arg = &into,
	};
	struct store_object o;
	int ret = web_perform(w, &r);

	if (r.sink_err == -EPROTO)
		return store_fail(w->s, -EPROTO, "%s: the server sends more than the %zu bytes asked "
				  "for", name, len);
	if (ret)
		return ret;
	if (r.status == 206 && range_honest(&r, into.got))
		return (ssize_t)into.got;
	/* All of it is as good as the part, when that is what was asked. */
	if (r.status == 200 && r.length == (int64_t)into.got && (!offset || !into.got))
		return (ssize_t)into.got;
	if (r.status == 416) {
		if (!r.unsatisfied) {
			ret = web_stat(w, url, name, &o);
			if (ret)
				return ret;
			r.total = o.size;
		}
		if (offset >= r.total)
			return 0;
	} else if (r.status < 200 || r.status > 299) {
		return web_check(w, &r, name);
	}
	return store_fail(w->s, -EPROTO, "%s: asked for %zu bytes at %" PRIu64 ", the server's answer "
			  "(%ld, %zu bytes) does not fit", name, len, offset, r.status, into.got);
}

int web_stat(struct web *w, const char *url, const char *name, struct store_object *out)
{
	struct web_request r = { .method = "HEAD", .url = url };
	int ret = web_perform(w, &r);

	if (!ret)
		ret = web_check(w, &r, name);
	if (ret)
		return ret;
	if (r.length < 0)
		return store_fail(w->s, -EPROTO, "%s: the server does not say its length", name);
	out->size = (uint64_t)r.length;
	out->mtime_ns = r.mtime_s > 0 && r.mtime_s < INT64_MAX / 1000000000 ?
			r.mtime_s * 1000000000 : 0;
	return 0;
}
