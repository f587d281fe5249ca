// SPDX-License-Identifier: Apache-2.0
/*
 * See server.h.  libmicrohttpd runs one thread per connection, so a request
 * may take its time and an upgraded connection simply stays in its thread
 * until the guest has arrived.
 */
#define LOG_PREFIX "http"
#include "migrate/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "migrate/api.h"
#include "migrate/client.h"
#include "migrate/schedule_api.h"
#include "toolstack/lib/log.h"

#define MAX_CONNECTIONS	64u
#define MAX_DATA	32u
#define HTTP_IDLE_S	60u
#define SOCKET_BUFFER	(1024 * 1024)
#define DRAIN_TICKS	20

struct server {
	struct target *target;
	struct schedules *scheds;
	struct standbys *standbys;	/* NULL until server_set_standbys(); atomic */
	json_t *health;
	unsigned int idle_ms;
	struct MHD_Daemon *http;
	pthread_mutex_t lock;		/* of data[] and stopping */
	int data[MAX_DATA];		/* sockets of upgraded connections, -1 free */
	char standby[MAX_DATA][SESSION_ID_BYTES]; /* what they feed; "": a move */
	bool stopping;
};

/* --- data connections -------------------------------------------------------------- */

/* A source that connects again is surer than the end of its last line. */
static int data_enter(struct server *s, int fd, const char *standby)
{
	int slot = -1;

	pthread_mutex_lock(&s->lock);
	for (unsigned int i = 0; *standby && i < MAX_DATA; i++)
		if (s->data[i] >= 0 && !strcmp(s->standby[i], standby))
			shutdown(s->data[i], SHUT_RDWR);
	for (unsigned int i = 0; i < MAX_DATA && slot < 0 && !s->stopping; i++)
		if (s->data[i] < 0)
			slot = (int)i;
	if (slot >= 0) {
		s->data[slot] = fd;
		snprintf(s->standby[slot], sizeof(s->standby[slot]), "%s", standby);
	}
	pthread_mutex_unlock(&s->lock);
	return slot;
}

static void data_leave(struct server *s, int slot)
{
	pthread_mutex_lock(&s->lock);
	s->data[slot] = -1;
	pthread_mutex_unlock(&s->lock);
}

static unsigned int data_count(struct server *s)
{
	unsigned int nr = 0;

	pthread_mutex_lock(&s->lock);
	for (unsigned int i = 0; i < MAX_DATA; i++)
		nr += s->data[i] >= 0;
	pthread_mutex_unlock(&s->lock);
	return nr;
}

/* Ends every reception: its thread sees the end of the stream and cleans up. */
static void data_cut_all(struct server *s)
{
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	for (unsigned int i = 0; i < MAX_DATA; i++)
		if (s->data[i] >= 0)
			shutdown(s->data[i], SHUT_RDWR);
	pthread_mutex_unlock(&s->lock);
}

static struct standbys *standbys_of(struct server *s)
{
	return __atomic_load_n(&s->standbys, __ATOMIC_ACQUIRE);
}

static void receive(struct server *s, const char *id, int fd, bool standby)
{
	struct stream_fd in = { 0 }, out = { 0 };
	int one = 1, buffer = SOCKET_BUFFER;
	int ret;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	ret = stream_fd_init(&in, fd, (int)s->idle_ms);
	if (!ret)
		ret = stream_fd_init(&out, fd, (int)s->idle_ms);
	if (!ret)
		ret = standby ? standbys_serve(standbys_of(s), id, &in.io, &out.io)
			      : target_receive(s->target, id, &in.io, &out.io);
	if (ret)
		log_warn_errno(ret, standby ? "standby %s lost its source" :
			       "session %s did not arrive", id);
	stream_fd_release(&in);
	stream_fd_release(&out);
}

/* --- requests ------------------------------------------------------------------------- */

/* A request on its way in. */
struct request {
	char id[SESSION_ID_BYTES];	/* of the session to upgrade to */
	bool standby;			/* ... which is a standby */
	char *body;
	size_t len;
	bool too_long;
};

/* Runs in the connection's own thread and may block there (microhttpd.h). */
static void on_upgrade(void *cls, struct MHD_Connection *c, void *con_cls, const char *extra,
		       size_t extra_len, MHD_socket sock, struct MHD_UpgradeResponseHandle *urh)
{
	const struct request *rq = con_cls;
	struct server *s = cls;
	char id[SESSION_ID_BYTES];
	bool standby = rq->standby;
	int slot = data_enter(s, sock, standby ? rq->id : "");

	/* A source waits for the 101 before it sends: there is nothing extra. */
	if (slot >= 0 && !extra_len) {
		memcpy(id, rq->id, sizeof(id));
		receive(s, id, sock, standby);
	}
	if (slot >= 0)
		data_leave(s, slot);
	shutdown(sock, SHUT_RDWR);
	MHD_upgrade_action(urh, MHD_UPGRADE_ACTION_CLOSE);
}

static enum MHD_Result reply_json(struct MHD_Connection *c, int status, json_t *json)
{
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	struct MHD_Response *r;
	enum MHD_Result ret;

	json_decref(json);
	if (!text)
		return MHD_NO;
	r = MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
	if (!r) {
		free(text);
		return MHD_NO;
	}
	MHD_add_response_header(r, "Content-Type", "application/json");
	ret = MHD_queue_response(c, (unsigned int)status, r);
	MHD_destroy_response(r);
	return ret;
}

static enum MHD_Result reply_upgrade(struct server *s, struct MHD_Connection *c)
{
	const char *want = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Upgrade");
	struct MHD_Response *r;
	enum MHD_Result ret;

	if (!want || strcmp(want, CLIENT_UPGRADE))
		return reply_json(c, MHD_HTTP_UPGRADE_REQUIRED,
				  json_pack("{s:s}", "error", "ask for Upgrade: " CLIENT_UPGRADE));
	r = MHD_create_response_for_upgrade(on_upgrade, s);
	if (!r)
		return MHD_NO;
	MHD_add_response_header(r, "Upgrade", CLIENT_UPGRADE);
	ret = MHD_queue_response(c, MHD_HTTP_SWITCHING_PROTOCOLS, r);
	MHD_destroy_response(r);
	return ret;
}

static enum MHD_Result take_body(struct request *rq, const char *data, size_t *size)
{
	char *more;

	if (rq->len + *size > API_BODY_MAX)
		rq->too_long = true;
	if (!rq->too_long) {
		more = realloc(rq->body, rq->len + *size);
		if (!more)
			return MHD_NO;
		memcpy(more + rq->len, data, *size);
		rq->body = more;
		rq->len += *size;
	}
	*size = 0;
	return MHD_YES;
}

static bool is_local(struct MHD_Connection *c)
{
	const union MHD_ConnectionInfo *peer, *fd;
	struct sockaddr_storage self;
	socklen_t len = sizeof(self);

	peer = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	fd = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
	return peer && fd && !getsockname(fd->connect_fd, (struct sockaddr *)&self, &len) &&
	       schedule_api_is_local(peer->client_addr, (struct sockaddr *)&self);
}

static enum MHD_Result serve_schedules(struct server *s, struct MHD_Connection *c,
				       const char *method, const char *path,
				       const struct request *rq)
{
	json_t *json;
	int status = schedule_api_handle(s->scheds, is_local(c), method, path, rq->body, rq->len,
					 &json);

	return reply_json(c, status, json);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *c, const char *path,
				  const char *method, const char *version, const char *data,
				  size_t *size, void **con_cls)
{
	struct server *s = cls;
	struct request *rq = *con_cls;
	struct api_answer answer;

	if (!rq) {
		*con_cls = calloc(1, sizeof(*rq));
		return *con_cls ? MHD_YES : MHD_NO;
	}
	if (*size)
		return take_body(rq, data, size);
	if (rq->too_long)
		return reply_json(c, MHD_HTTP_CONTENT_TOO_LARGE,
				  json_pack("{s:s}", "error", "the body is too long"));
	if (schedule_api_is_mine(path))
		return serve_schedules(s, c, method, path, rq);
	if (!api_handle_standby(standbys_of(s), method, path, rq->body, rq->len, &answer))
		api_handle(s->target, s->health, method, path, rq->body, rq->len, &answer);
	if (answer.kind != API_REPLY) {
		rq->standby = answer.kind == API_UPGRADE_STANDBY;
		memcpy(rq->id, answer.id, sizeof(rq->id));
		return reply_upgrade(s, c);
	}
	return reply_json(c, answer.status, answer.json);
}

static void on_completed(void *cls, struct MHD_Connection *c, void **con_cls,
			 enum MHD_RequestTerminationCode why)
{
	struct request *rq = *con_cls;

	if (rq) {
		free(rq->body);
		free(rq);
	}
	*con_cls = NULL;
}

/* --- start and end ------------------------------------------------------------------------ */

static int resolve(const char *listen, struct addrinfo **out)
{
	char host[256] = "", port[8];
	const char *colon = strrchr(listen, ':');
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
	size_t len = colon && !strchr(colon, ']') ? (size_t)(colon - listen) : strlen(listen);

	snprintf(port, sizeof(port), "%.7s", len < strlen(listen) ? colon + 1 : "");
	if (!port[0])
		snprintf(port, sizeof(port), "%d", SESSION_DEFAULT_PORT);
	if (len >= 2 && listen[0] == '[' && listen[len - 1] == ']') {
		listen++;
		len -= 2;
	}
	if (!len || len >= sizeof(host))
		return -EINVAL;
	memcpy(host, listen, len);
	return getaddrinfo(host, port, &hints, out) ? -EINVAL : 0;
}

static int start_http(struct server *s, const struct addrinfo *ai)
{
	unsigned int flags = MHD_ALLOW_UPGRADE | MHD_USE_THREAD_PER_CONNECTION |
			     MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL;

	if (ai->ai_family == AF_INET6)
		flags |= MHD_USE_IPv6;
	s->http = MHD_start_daemon(flags, 0, NULL, NULL, on_request, s,
				   MHD_OPTION_SOCK_ADDR, ai->ai_addr,
				   MHD_OPTION_CONNECTION_LIMIT, MAX_CONNECTIONS,
				   MHD_OPTION_CONNECTION_TIMEOUT, HTTP_IDLE_S,
				   MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u,
				   MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
				   MHD_OPTION_END);
	return s->http ? 0 : errno ? -errno : -EADDRINUSE;
}

int server_start(struct target *t, struct schedules *scheds, json_t *health, const char *listen,
		 unsigned int idle_ms, struct server **out)
{
	struct server *s = calloc(1, sizeof(*s));
	struct addrinfo *ai;
	int ret;

	if (!s)
		return -ENOMEM;
	s->target = t;
	s->scheds = scheds;
	s->health = health;
	s->idle_ms = idle_ms;
	pthread_mutex_init(&s->lock, NULL);
	for (unsigned int i = 0; i < MAX_DATA; i++)
		s->data[i] = -1;
	ret = resolve(listen, &ai);
	if (!ret) {
		ret = start_http(s, ai);
		freeaddrinfo(ai);
	}
	if (ret) {
		pthread_mutex_destroy(&s->lock);
		free(s);
		return ret;
	}
	*out = s;
	return 0;
}

void server_set_standbys(struct server *s, struct standbys *t)
{
	__atomic_store_n(&s->standbys, t, __ATOMIC_RELEASE);
}

unsigned int server_port(struct server *s)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->http, MHD_DAEMON_INFO_BIND_PORT);

	return info ? info->port : 0;
}

int server_url(struct server *s, char *url, size_t len)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->http, MHD_DAEMON_INFO_LISTEN_FD);
	struct sockaddr_in6 sa;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&sa;
	socklen_t size = sizeof(sa);
	char text[INET6_ADDRSTRLEN];

	if (!info || getsockname(info->listen_fd, (struct sockaddr *)&sa, &size))
		return info ? -errno : -ENOTCONN;
	if (sa.sin6_family == AF_INET6) {
		if (IN6_IS_ADDR_UNSPECIFIED(&sa.sin6_addr))
			sa.sin6_addr = in6addr_loopback;
		inet_ntop(AF_INET6, &sa.sin6_addr, text, sizeof(text));
		snprintf(url, len, "http://[%s]:%u", text, ntohs(sa.sin6_port));
	} else {
		struct in_addr a = v4->sin_addr;

		if (a.s_addr == htonl(INADDR_ANY))
			a.s_addr = htonl(INADDR_LOOPBACK);
		inet_ntop(AF_INET, &a, text, sizeof(text));
		snprintf(url, len, "http://%s:%u", text, ntohs(v4->sin_port));
	}
	return 0;
}

void server_stop(struct server *s)
{
	struct timespec nap = { .tv_nsec = 50000000 };

	data_cut_all(s);
	for (int i = 0; i < DRAIN_TICKS * 20 && data_count(s); i++)
		nanosleep(&nap, NULL);
	MHD_stop_daemon(s->http);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
