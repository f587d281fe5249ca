// SPDX-License-Identifier: Apache-2.0
/*
 * godwitd: one per dom0.  Receives guests (target.h) and settles moves whose
 * `migrate` process died (recover.h).
 *
 * libmicrohttpd runs one thread per connection, so a request may take its time
 * and an upgraded connection simply stays in its thread until the guest has
 * arrived.  The main thread keeps the time-outs.
 *
 * Exit codes: 0 ended by a signal, 1 could not start, 2 wrong command line.
 */
#define LOG_PREFIX "godwitd"
#include <errno.h>
#include <getopt.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "migrate/api.h"
#include "migrate/client.h"
#include "migrate/host.h"
#include "migrate/recover.h"
#include "toolstack/lib/io.h"
#include "toolstack/lib/log.h"

#define MAX_CONNECTIONS	64u
#define MAX_DATA	32u
#define HTTP_IDLE_S	60u
#define SOCKET_BUFFER	(1024 * 1024)
#define SWEEP_TICKS	5		/* seconds between two looks for dead processes */
#define SWEEP_TIMEOUT_MS 3000u
#define DRAIN_TICKS	20

struct daemon {
	struct target *target;
	json_t *health;
	unsigned int idle_ms;
	pthread_mutex_t lock;		/* of data[] */
	int data[MAX_DATA];		/* sockets of upgraded connections, -1 free */
	bool stopping;
};

static volatile sig_atomic_t stop_signal;

static void on_signal(int sig)
{
	stop_signal = sig;
}

/* --- data connections -------------------------------------------------------------- */

static int data_enter(struct daemon *d, int fd)
{
	int slot = -1;

	pthread_mutex_lock(&d->lock);
	for (unsigned int i = 0; i < MAX_DATA && slot < 0 && !d->stopping; i++)
		if (d->data[i] < 0)
			slot = (int)i;
	if (slot >= 0)
		d->data[slot] = fd;
	pthread_mutex_unlock(&d->lock);
	return slot;
}

static void data_leave(struct daemon *d, int slot)
{
	pthread_mutex_lock(&d->lock);
	d->data[slot] = -1;
	pthread_mutex_unlock(&d->lock);
}

static unsigned int data_count(struct daemon *d)
{
	unsigned int nr = 0;

	pthread_mutex_lock(&d->lock);
	for (unsigned int i = 0; i < MAX_DATA; i++)
		nr += d->data[i] >= 0;
	pthread_mutex_unlock(&d->lock);
	return nr;
}

/* Ends every reception: its thread sees the end of the stream and cleans up. */
static void data_cut_all(struct daemon *d)
{
	pthread_mutex_lock(&d->lock);
	d->stopping = true;
	for (unsigned int i = 0; i < MAX_DATA; i++)
		if (d->data[i] >= 0)
			shutdown(d->data[i], SHUT_RDWR);
	pthread_mutex_unlock(&d->lock);
}

static void receive(struct daemon *d, const char *id, int fd)
{
	struct stream_fd in = { 0 }, out = { 0 };
	int one = 1, buffer = SOCKET_BUFFER;
	int ret;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	ret = stream_fd_init(&in, fd, (int)d->idle_ms);
	if (!ret)
		ret = stream_fd_init(&out, fd, (int)d->idle_ms);
	if (!ret)
		ret = target_receive(d->target, id, &in.io, &out.io);
	if (ret)
		log_warn_errno(ret, "session %s did not arrive", id);
	stream_fd_release(&in);
	stream_fd_release(&out);
}

/* --- requests ------------------------------------------------------------------------- */

/* A request on its way in. */
struct request {
	char id[SESSION_ID_BYTES];	/* of the session to upgrade to */
	char *body;
	size_t len;
	bool too_long;
};

/* Runs in the connection's own thread and may block there (microhttpd.h). */
static void on_upgrade(void *cls, struct MHD_Connection *c, void *con_cls, const char *extra,
		       size_t extra_len, MHD_socket sock, struct MHD_UpgradeResponseHandle *urh)
{
	const struct request *rq = con_cls;
	struct daemon *d = cls;
	char id[SESSION_ID_BYTES];
	int slot = data_enter(d, sock);

	/* A source waits for the 101 before it sends: there is nothing extra. */
	if (slot >= 0 && !extra_len) {
		memcpy(id, rq->id, sizeof(id));
		receive(d, id, sock);
	}
	if (slot >= 0)
		data_leave(d, slot);
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

static enum MHD_Result reply_upgrade(struct daemon *d, struct MHD_Connection *c)
{
	const char *want = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Upgrade");
	struct MHD_Response *r;
	enum MHD_Result ret;

	if (!want || strcmp(want, CLIENT_UPGRADE))
		return reply_json(c, MHD_HTTP_UPGRADE_REQUIRED,
				  json_pack("{s:s}", "error", "ask for Upgrade: " CLIENT_UPGRADE));
	r = MHD_create_response_for_upgrade(on_upgrade, d);
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

static enum MHD_Result on_request(void *cls, struct MHD_Connection *c, const char *path,
				  const char *method, const char *version, const char *data,
				  size_t *size, void **con_cls)
{
	struct daemon *d = cls;
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
	api_handle(d->target, d->health, method, path, rq->body, rq->len, &answer);
	if (answer.kind == API_UPGRADE) {
		memcpy(rq->id, answer.id, sizeof(rq->id));
		return reply_upgrade(d, c);
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

/* --- start -------------------------------------------------------------------------------- */

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

static struct MHD_Daemon *start_http(struct daemon *d, const char *listen)
{
	struct addrinfo *ai;
	struct MHD_Daemon *m;
	unsigned int flags = MHD_ALLOW_UPGRADE | MHD_USE_THREAD_PER_CONNECTION |
			     MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL;

	if (resolve(listen, &ai)) {
		log_err("--listen %s is no address", listen);
		return NULL;
	}
	if (ai->ai_family == AF_INET6)
		flags |= MHD_USE_IPv6;
	m = MHD_start_daemon(flags, 0, NULL, NULL, on_request, d,
			     MHD_OPTION_SOCK_ADDR, ai->ai_addr,
			     MHD_OPTION_CONNECTION_LIMIT, MAX_CONNECTIONS,
			     MHD_OPTION_CONNECTION_TIMEOUT, HTTP_IDLE_S,
			     MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u,
			     MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
			     MHD_OPTION_END);
	if (!m)
		log_errno(errno, "cannot listen on %s", listen);
	freeaddrinfo(ai);
	return m;
}

static json_t *make_health(void)
{
	struct godwit_version v = { 0 };
	struct toolstack ts = { 0 };
	char host[65] = "";
	json_t *j;

	gethostname(host, sizeof(host) - 1);
	if (toolstack_open(&ts, TOOLSTACK_HCALL) || hcall_godwit_get_version(ts.hcall, &v)) {
		log_err("the hypervisor below is not Godwit");
		toolstack_close(&ts);
		return NULL;
	}
	v.build[sizeof(v.build) - 1] = '\0';
	j = json_pack("{s:s, s:s, s:i, s:i, s:i, s:s}", "status", "ok", "host", host,
		      "protocol", 1, "stream_version", (int)STREAM_VERSION,
		      "abi", (int)v.abi, "hypervisor", v.build);
	toolstack_close(&ts);
	return j;
}

static int make_dirs(void)
{
	int ret = io_mkdir_parents(RECOVER_SOURCE_DIR "/x");

	return ret ? ret : io_mkdir_parents(RECOVER_TARGET_DIR "/x");
}

static int open_target(struct daemon *d, unsigned int ready_ms)
{
	struct target_params p = {
		.ops = &host_ops, .dir = RECOVER_TARGET_DIR,
		.prepared_timeout_ms = d->idle_ms, .ready_timeout_ms = ready_ms,
	};
	int ret = make_dirs();

	if (!ret)
		ret = target_open(&p, &d->target);
	if (ret)
		log_errno(ret, "cannot use %s", RECOVER_TARGET_DIR);
	return ret;
}

static void loop(struct daemon *d)
{
	struct timespec second = { .tv_sec = 1 };

	for (unsigned int tick = 0; !stop_signal; tick++) {
		target_tick(d->target);
		if (tick % SWEEP_TICKS == 0)
			recover_sweep(SWEEP_TIMEOUT_MS);
		nanosleep(&second, NULL);
	}
}

static void drain(struct daemon *d)
{
	struct timespec second = { .tv_sec = 1 };

	data_cut_all(d);
	for (int i = 0; i < DRAIN_TICKS && data_count(d); i++)
		nanosleep(&second, NULL);
}

static void usage(FILE *to)
{
	fprintf(to,
		"usage: godwitd [--listen ADDRESS[:PORT]] [--idle-timeout S] [--ready-timeout S]\n"
		"Receives guests from other Godwit hosts.  See godwitd(8).\n"
		"  --listen ADDRESS[:PORT]  where to listen (127.0.0.1:%d)\n"
		"  --idle-timeout S         end a move whose source is silent this long (60)\n"
		"  --ready-timeout S        give a complete guest back if no go comes (30)\n"
		"  --verbose                more messages\n"
		"  --help, --version\n", SESSION_DEFAULT_PORT);
}

static bool parse_seconds(const char *text, unsigned int *ms)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (end == text || *end || n < 1 || n > 3600)
		return false;
	*ms = (unsigned int)n * 1000;
	return true;
}

struct options {
	const char *listen;
	unsigned int idle_ms, ready_ms;
	enum log_level level;
};

/* Return: -1 go on, else the exit code. */
static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{ "listen", required_argument, NULL, 'l' },
		{ "idle-timeout", required_argument, NULL, 'i' },
		{ "ready-timeout", required_argument, NULL, 'r' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "l:vh", longs, NULL)) != -1) {
		bool ok = true;

		if (c == 'h' || c == 'V') {
			if (c == 'h')
				usage(stdout);
			else
				printf("godwitd 0.1\n");
			return 0;
		} else if (c == 'l') {
			o->listen = optarg;
		} else if (c == 'i') {
			ok = parse_seconds(optarg, &o->idle_ms);
		} else if (c == 'r') {
			ok = parse_seconds(optarg, &o->ready_ms);
		} else if (c == 'v') {
			o->level = LOG_LEVEL_DEBUG;
		} else {
			ok = false;
		}
		if (!ok) {
			usage(stderr);
			return 2;
		}
	}
	if (optind == argc)
		return -1;
	usage(stderr);
	return 2;
}

int main(int argc, char **argv)
{
	struct options o = {
		.listen = "127.0.0.1", .idle_ms = 60000, .ready_ms = 30000, .level = LOG_LEVEL_INFO,
	};
	struct sigaction sa = { .sa_handler = on_signal };
	struct daemon d = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct MHD_Daemon *http;
	int code = parse_options(argc, argv, &o);

	if (code >= 0)
		return code;
	log_init("godwitd", o.level);
	for (unsigned int i = 0; i < MAX_DATA; i++)
		d.data[i] = -1;
	d.idle_ms = o.idle_ms;
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	d.health = make_health();
	if (!d.health || open_target(&d, o.ready_ms))
		return 1;
	http = start_http(&d, o.listen);
	if (!http) {
		target_close(d.target);
		return 1;
	}
	log_info("listening on %s", o.listen);
	loop(&d);
	log_info("ending on signal %d", (int)stop_signal);
	drain(&d);
	MHD_stop_daemon(http);
	target_close(d.target);
	json_decref(d.health);
	return 0;
}
