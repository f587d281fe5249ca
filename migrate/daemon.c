// SPDX-License-Identifier: Apache-2.0
/*
 * godwitd: one per dom0.  Receives guests (target.h, server.h) and settles
 * moves whose `migrate` process died (recover.h), and has checkpoints taken on
 * schedule (schedules.h).  The main thread keeps the time-outs; server and
 * schedules have threads of their own.
 *
 * Exit codes: 0 ended by a signal, 1 could not start, 2 wrong command line.
 */
#define LOG_PREFIX ""
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "checkpoint/cmd_standby.h"
#include "migrate/host.h"
#include "migrate/recover.h"
#include "migrate/schedule_job.h"
#include "migrate/server.h"
#include "migrate/session.h"
#include "toolstack/lib/io.h"
#include "toolstack/lib/log.h"

#define STANDBY_DIR	"/var/lib/godwit/standby"
#define STANDBY_SPOOL_DIR "/var/lib/godwit"

#define SWEEP_TICKS	5		/* seconds between two looks for dead processes */
#define SWEEP_TIMEOUT_MS 3000u

static volatile sig_atomic_t stop_signal;

static void on_signal(int sig)
{
	stop_signal = sig;
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

static int open_target(unsigned int idle_ms, unsigned int ready_ms, struct target **out)
{
	struct target_params p = {
		.ops = &host_ops, .dir = RECOVER_TARGET_DIR,
		.prepared_timeout_ms = idle_ms, .ready_timeout_ms = ready_ms,
	};
	int ret = make_dirs();

	if (!ret)
		ret = target_open(&p, out);
	if (ret)
		log_errno(ret, "cannot use %s", RECOVER_TARGET_DIR);
	return ret;
}

static int open_schedules(struct schedule_world *w, unsigned int timeout_s, struct schedules **out)
{
	struct schedules_params p = {
		.dir = SCHEDULES_DIR, .job_timeout_s = timeout_s, .ops = &schedule_job_ops,
		.ctx = w,
	};
	int ret;

	schedule_world_init(w, timeout_s);
	ret = schedules_open(&p, out);
	if (ret)
		log_errno(ret, "cannot use %s", SCHEDULES_DIR);
	return ret;
}

/* Where programs of this host find us; without it they try the default. */
static void write_url(struct server *s)
{
	char url[128];
	int ret = server_url(s, url, sizeof(url));

	if (!ret)
		ret = io_mkdir_parents(SESSION_DAEMON_FILE);
	if (!ret)
		ret = io_write_file_atomic(SESSION_DAEMON_FILE, url, strlen(url), 0644);
	if (ret)
		log_warn_errno(ret, "cannot write %s", SESSION_DAEMON_FILE);
}

static int open_standbys(const char *url, struct standbys **out)
{
	struct standbys_params p = {
		.ops = &host_ops, .dir = STANDBY_DIR, .state_dir = STANDBY_STATE_DIR,
		.spool_dir = STANDBY_SPOOL_DIR, .address = url,
	};
	int ret = io_mkdir_parents(STANDBY_DIR "/x");

	if (!ret)
		ret = io_mkdir_parents(STANDBY_STATE_DIR "/x");
	if (!ret)
		ret = standbys_open(&p, out);
	if (ret)
		log_errno(ret, "cannot use %s", STANDBY_DIR);
	return ret;
}

static void loop(struct target *t)
{
	struct timespec second = { .tv_sec = 1 };

	for (unsigned int tick = 0; !stop_signal; tick++) {
		target_tick(t);
		if (tick % SWEEP_TICKS == 0)
			recover_sweep(SWEEP_TIMEOUT_MS);
		nanosleep(&second, NULL);
	}
}

static void usage(FILE *to)
{
	fprintf(to,
		"usage: godwitd [--listen ADDRESS[:PORT]] [--idle-timeout S] [--ready-timeout S]\n"
		"Receives guests from other Godwit hosts, and has checkpoints taken on schedule.\n"
		"See godwitd(8).\n"
		"  --listen ADDRESS[:PORT]  where to listen (127.0.0.1:%d)\n"
		"  --idle-timeout S         end a move whose source is silent this long (60)\n"
		"  --ready-timeout S        give a complete guest back if no go comes (30)\n"
		"  --checkpoint-timeout S   end a scheduled checkpoint that takes longer (1800)\n"
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
	unsigned int idle_ms, ready_ms, checkpoint_ms;
	enum log_level level;
};

/* Return: -1 go on, else the exit code. */
static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{ "listen", required_argument, NULL, 'l' },
		{ "idle-timeout", required_argument, NULL, 'i' },
		{ "ready-timeout", required_argument, NULL, 'r' },
		{ "checkpoint-timeout", required_argument, NULL, 'c' },
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
		} else if (c == 'c') {
			ok = parse_seconds(optarg, &o->checkpoint_ms);
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
		.listen = "127.0.0.1", .idle_ms = 60000, .ready_ms = 30000,
		.checkpoint_ms = 1800000, .level = LOG_LEVEL_INFO,
	};
	struct sigaction sa = { .sa_handler = on_signal };
	struct schedule_world world;
	struct schedules *scheds;
	struct target *target;
	struct server *server;
	struct standbys *standbys = NULL;
	char url[300];
	json_t *health;
	int ret, code = parse_options(argc, argv, &o);

	if (code >= 0)
		return code;
	log_init("godwitd", o.level);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	health = make_health();
	if (!health || open_schedules(&world, o.checkpoint_ms / 1000, &scheds))
		return 1;
	if (open_target(o.idle_ms, o.ready_ms, &target)) {
		schedules_close(scheds);
		return 1;
	}
	host_warm_up();
	ret = server_start(target, scheds, health, o.listen, o.idle_ms, &server);
	if (ret) {
		log_errno(ret, "cannot listen on %s", o.listen);
		schedules_close(scheds);
		target_close(target);
		return 1;
	}
	/* Without standbys moves still work. */
	if (!server_url(server, url, sizeof(url)) && !open_standbys(url, &standbys))
		server_set_standbys(server, standbys);
	log_info("listening on %s, port %u", o.listen, server_port(server));
	write_url(server);
	ret = schedules_run(scheds);
	if (ret)
		log_errno(ret, "no checkpoints will be taken on schedule");
	loop(target);
	log_info("ending on signal %d", (int)stop_signal);
	unlink(SESSION_DAEMON_FILE);
	server_stop(server);
	schedules_close(scheds);
	standbys_close(standbys);
	target_close(target);
	json_decref(health);
	return 0;
}
