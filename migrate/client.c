// SPDX-License-Identifier: Apache-2.0
/* See client.h. */
#include "migrate/client.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "migrate/ledger.h"
#include "migrate/wire.h"

#define REPLY_MAX	(1024u * 1024)
#define HEADER_MAX	4096u
#define KEEP_IDLE_S	5
/*
 * Building a domain and plugging its devices may take the other host long, and
 * says nothing meanwhile; that the host lives is TCP's keep-alive to tell.
 */
#define PREPARE_MS	120000u
/* Enough for the line, and little to wait for when the guest stands. */
#define SOCKET_BUFFER	(512 * 1024)

struct client {
	char *url;
	const char *root;		/* of the paths: moves or standbys */
	unsigned int timeout_ms;
	CURLSH *names;			/* a name is looked up once, not per connection */
	CURL *control;
	CURL *data;			/* owns the data connection */
	struct stream_fd in, out;
	bool connected;
	uint64_t hurry_us;		/* when the last answer must be here; 0 any time */
	const volatile sig_atomic_t *cancel; /* ends a prepare; may be NULL */
};

/* --- addresses -------------------------------------------------------------------- */

static bool host_chars(const char *s, size_t len, const char *extra)
{
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)s[i]) && !strchr(extra, s[i]))
			return false;
	return len > 0;
}

static bool port_valid(const char *s)
{
	size_t len = strlen(s);

	return len >= 1 && len <= 5 && strspn(s, "0123456789") == len && atoi(s) > 0 &&
	       atoi(s) <= 65535;
}

int client_url(const char *text, char *url, size_t len)
{
	const char *host = text, *end, *port = "";
	char fallback[8];
	int n;

	if (!strncmp(host, "http://", 7))
		host += 7;
	if (*host == '[') {
		end = strchr(host, ']');
		if (!end || !host_chars(host + 1, end - host - 1, ":."))
			return -EINVAL;
		end++;
	} else {
		end = host + strcspn(host, ":/");
		if (!host_chars(host, end - host, "-._"))
			return -EINVAL;
	}
	snprintf(fallback, sizeof(fallback), "%d", SESSION_DEFAULT_PORT);
	if (*end == ':')
		port = end + 1;
	else if (*end && strcmp(end, "/"))
		return -EINVAL;
	if (!*port)
		port = fallback;
	if (!port_valid(port))
		return -EINVAL;
	n = snprintf(url, len, "http://%.*s:%s", (int)(end - host), host, port);
	return n < 0 || (size_t)n >= len ? -EINVAL : 0;
}

/* --- control ----------------------------------------------------------------------------- */

struct body {
	char *data;
	size_t len;
};

static size_t take_body(char *data, size_t one, size_t n, void *arg)
{
	struct body *b = arg;
	char *more;

	if (b->len + n > REPLY_MAX)
		return 0;
	more = realloc(b->data, b->len + n + 1);
	if (!more)
		return 0;
	memcpy(more + b->len, data, n);
	b->data = more;
	b->len += n;
	b->data[b->len] = '\0';
	return n;
}

static int curl_error(CURLcode rc, const char *text, char why[200])
{
	snprintf(why, 200, "%.190s", text[0] ? text : curl_easy_strerror(rc));
	switch (rc) {
	case CURLE_COULDNT_RESOLVE_HOST:
		return -EHOSTUNREACH;
	case CURLE_COULDNT_CONNECT:
		return -ECONNREFUSED;
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_ABORTED_BY_CALLBACK:
		snprintf(why, 200, "interrupted");
		return -ECANCELED;
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	default:
		return -EIO;
	}
}

/* A peer that acknowledges nothing for the time-out is gone, keep-alive probes included. */
static int on_socket(void *ctx, curl_socket_t fd, curlsocktype purpose)
{
	struct client *c = ctx;
	unsigned int ms = c->timeout_ms;

	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
	return CURL_SOCKOPT_OK;
}

static void common_options(struct client *c, CURL *h, char *errbuf)
{
	errbuf[0] = '\0';
	curl_easy_setopt(h, CURLOPT_ERRORBUFFER, errbuf);
	curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(h, CURLOPT_SHARE, c->names);
	curl_easy_setopt(h, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http");
	curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, (long)c->timeout_ms);
	curl_easy_setopt(h, CURLOPT_TCP_NODELAY, 1L);
	curl_easy_setopt(h, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(h, CURLOPT_TCP_KEEPIDLE, (long)KEEP_IDLE_S);
	curl_easy_setopt(h, CURLOPT_TCP_KEEPINTVL, (long)KEEP_IDLE_S);
	curl_easy_setopt(h, CURLOPT_SOCKOPTFUNCTION, on_socket);
	curl_easy_setopt(h, CURLOPT_SOCKOPTDATA, c);
}

static bool is_prepare(const char *path)
{
	return !strcmp(path, "/v1/sessions") || !strcmp(path, CLIENT_STANDBYS);
}

/* 0: there is no time left. */
static unsigned int request_ms(const struct client *c, const char *path)
{
	unsigned int ms = is_prepare(path) && c->timeout_ms < PREPARE_MS ? PREPARE_MS
									 : c->timeout_ms;
	uint64_t now = ledger_now_us();
	uint64_t left_ms = c->hurry_us > now ? (c->hurry_us - now) / 1000 : 0;

	return c->hurry_us && left_ms < ms ? (unsigned int)left_ms : ms;
}

static void client_hurry(void *ctx, unsigned int ms)
{
	struct client *c = ctx;

	c->hurry_us = ledger_now_us() + ms * UINT64_C(1000);
}

/* libcurl asks about once a second. */
static int on_progress(void *ctx, curl_off_t dltotal, curl_off_t dlnow, curl_off_t ultotal,
		       curl_off_t ulnow)
{
	struct client *c = ctx;

	return c->cancel && *c->cancel;
}

static int perform(struct client *c, const char *path, const char *text, int *status,
		   struct body *got, char why[200])
{
	struct curl_slist *headers = NULL;
	char errbuf[CURL_ERROR_SIZE], url[512];
	unsigned int ms = request_ms(c, path);
	CURLcode rc;
	long code = 0;

	if (!ms) {
		snprintf(why, 200, "no answer in time");
		return -ETIMEDOUT;
	}
	snprintf(url, sizeof(url), "%s%s", c->url, path);
	headers = curl_slist_append(headers, "Content-Type: application/json");
	/* No "Expect: 100-continue": it would cost a round trip. */
	headers = curl_slist_append(headers, "Expect:");
	common_options(c, c->control, errbuf);
	curl_easy_setopt(c->control, CURLOPT_URL, url);
	curl_easy_setopt(c->control, CURLOPT_HTTPHEADER, headers);
	if (text)
		curl_easy_setopt(c->control, CURLOPT_POSTFIELDS, text);
	else
		curl_easy_setopt(c->control, CURLOPT_HTTPGET, 1L);
	curl_easy_setopt(c->control, CURLOPT_TIMEOUT_MS, (long)ms);
	/* Only a prepare: what settles a move must get through. */
	curl_easy_setopt(c->control, CURLOPT_NOPROGRESS, is_prepare(path) ? 0L : 1L);
	curl_easy_setopt(c->control, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(c->control, CURLOPT_XFERINFODATA, c);
	curl_easy_setopt(c->control, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(c->control, CURLOPT_WRITEDATA, got);
	rc = curl_easy_perform(c->control);
	curl_slist_free_all(headers);
	if (rc != CURLE_OK)
		return curl_error(rc, errbuf, why);
	curl_easy_getinfo(c->control, CURLINFO_RESPONSE_CODE, &code);
	*status = (int)code;
	return 0;
}

int client_request(struct client *c, const char *path, const json_t *body, int *status,
		   json_t **reply, char why[200])
{
	struct body got = { 0 };
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	json_error_t err;
	int ret;

	*reply = NULL;
	if (body && !text)
		return -ENOMEM;
	ret = perform(c, path, text, status, &got, why);
	free(text);
	if (!ret) {
		*reply = got.data ? json_loadb(got.data, got.len, 0, &err) : NULL;
		if (!json_is_object(*reply)) {
			json_decref(*reply);
			*reply = NULL;
			snprintf(why, 200, "the answer (HTTP status %d) is not a Godwit daemon's",
				 *status);
			ret = -EPROTO;
		}
	}
	free(got.data);
	return ret;
}

static int client_post(void *ctx, const char *path, const json_t *body, int *status,
		       json_t **reply, char why[200])
{
	if (!body)
		return -ENOMEM;
	return client_request(ctx, path, body, status, reply, why);
}

/* --- data ---------------------------------------------------------------------------------- */

static int wait_io(struct client *c, int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };
	int n = poll(&p, 1, (int)c->timeout_ms);

	return n > 0 ? 0 : n ? -errno : -ETIMEDOUT;
}

static int send_all(struct client *c, int fd, const char *text)
{
	size_t len = strlen(text);

	while (len) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n < 0) {
			int ret = wait_io(c, fd, POLLOUT);

			if (ret)
				return ret;
			continue;
		}
		text += n;
		len -= n;
	}
	return 0;
}

/* Byte by byte to the blank line: what follows it is not ours to take. */
static int read_header(struct client *c, int fd, char *buf, size_t size)
{
	size_t len = 0;

	while (len < size - 1) {
		ssize_t n = recv(fd, buf + len, 1, 0);

		if (!n)
			return -ECONNRESET;
		if (n < 0) {
			int ret = errno == EAGAIN || errno == EINTR ? wait_io(c, fd, POLLIN) : -errno;

			if (ret)
				return ret;
			continue;
		}
		buf[++len] = '\0';
		if (len >= 4 && !strcmp(buf + len - 4, "\r\n\r\n"))
			return 0;
	}
	return -EMSGSIZE;
}

static int upgrade(struct client *c, int fd, const char *session, char why[200])
{
	char text[512], header[HEADER_MAX];
	int ret;

	snprintf(text, sizeof(text),
		 "GET %s/%s/stream HTTP/1.1\r\nHost: %s\r\n"
		 "Connection: Upgrade\r\nUpgrade: " CLIENT_UPGRADE "\r\n\r\n",
		 c->root, session, c->url + strlen("http://"));
	ret = send_all(c, fd, text);
	if (!ret)
		ret = read_header(c, fd, header, sizeof(header));
	if (ret) {
		snprintf(why, 200, "no answer to the upgrade: %s", strerror(-ret));
		return ret;
	}
	if (strncmp(header, "HTTP/1.1 101", 12)) {
		header[strcspn(header, "\r\n")] = '\0';
		snprintf(why, 200, "the upgrade was refused: %.150s", header);
		return -ECONNREFUSED;
	}
	return 0;
}

static void tune(struct client *c, int fd)
{
	int one = 1, buffer = SOCKET_BUFFER;

	/* Each may be refused; the move only gets slower. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
}

static int open_data(struct client *c, curl_socket_t *fd, char why[200])
{
	char errbuf[CURL_ERROR_SIZE];
	CURLcode rc;

	c->data = curl_easy_init();
	if (!c->data)
		return -ENOMEM;
	common_options(c, c->data, errbuf);
	curl_easy_setopt(c->data, CURLOPT_URL, c->url);
	curl_easy_setopt(c->data, CURLOPT_CONNECT_ONLY, 1L);
	rc = curl_easy_perform(c->data);
	if (rc == CURLE_OK)
		rc = curl_easy_getinfo(c->data, CURLINFO_ACTIVESOCKET, fd);
	curl_easy_setopt(c->data, CURLOPT_ERRORBUFFER, NULL);
	if (rc != CURLE_OK)
		return curl_error(rc, errbuf, why);
	return *fd == CURL_SOCKET_BAD ? -EIO : 0;
}

static int client_connect(void *ctx, const char *session, const struct stream_io **out,
			  const struct stream_io **in, char why[200])
{
	struct client *c = ctx;
	curl_socket_t fd = CURL_SOCKET_BAD;
	int ret;

	ret = open_data(c, &fd, why);
	if (ret)
		return ret;
	tune(c, fd);
	ret = upgrade(c, fd, session, why);
	if (!ret)
		ret = stream_fd_init(&c->out, fd, (int)c->timeout_ms);
	if (!ret)
		ret = stream_fd_init(&c->in, fd, (int)c->timeout_ms);
	if (ret) {
		if (!why[0])
			snprintf(why, 200, "%s", strerror(-ret));
		return ret;
	}
	c->connected = true;
	*out = &c->out.io;
	*in = &c->in.io;
	return 0;
}

static void client_disconnect(void *ctx)
{
	struct client *c = ctx;

	stream_fd_release(&c->in);
	stream_fd_release(&c->out);
	c->in = c->out = (struct stream_fd) { 0 };
	c->connected = false;
	if (c->data)
		curl_easy_cleanup(c->data);
	c->data = NULL;
}

const struct source_peer_ops client_ops = {
	.post = client_post, .connect = client_connect, .disconnect = client_disconnect,
	.hurry = client_hurry,
};

/* --- life ------------------------------------------------------------------------------------- */

int client_new(const char *url, unsigned int timeout_ms, struct client **out)
{
	struct client *c;

	/* Without TLS, which nothing here speaks yet and which takes long to set up. */
	if (curl_global_init(CURL_GLOBAL_NOTHING))
		return -EIO;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->url = strdup(url);
	c->root = "/v1/sessions";
	c->timeout_ms = timeout_ms;
	c->names = curl_share_init();
	c->control = curl_easy_init();
	if (!c->url || !c->control || !c->names ||
	    curl_share_setopt(c->names, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS)) {
		client_free(c);
		return -ENOMEM;
	}
	*out = c;
	return 0;
}

void client_set_cancel(struct client *c, const volatile sig_atomic_t *cancel)
{
	c->cancel = cancel;
}

void client_use_standbys(struct client *c)
{
	c->root = CLIENT_STANDBYS;
}

void client_free(struct client *c)
{
	if (!c)
		return;
	client_disconnect(c);
	if (c->control)
		curl_easy_cleanup(c->control);
	curl_share_cleanup(c->names);	/* after its users; NULL is allowed */
	free(c->url);
	free(c);
}
