// SPDX-License-Identifier: Apache-2.0
/*
 * checkpoint DOM STORE --every, checkpoint schedule: what this host's godwitd shall
 * take every so often.  Nothing is done here; it is asked over HTTP
 * (migrate/schedule_api.h), and what it answers is printed.
 */
#define LOG_PREFIX ""
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "checkpoint/cmd_take.h"
#include "checkpoint/store.h"
#include "migrate/client.h"
#include "migrate/schedule.h"
#include "migrate/schedule_api.h"
#include "migrate/session.h"
#include "migrate/wire.h"
#include "toolstack/cmd.h"
#include "toolstack/domain.h"
#include "toolstack/lib/io.h"
#include "toolstack/lib/log.h"
#include "toolstack/lib/uuid.h"

#define TIMEOUT_MS	15000u
#define URL_MAX		256u

/* --- asking --------------------------------------------------------------------------- */

static int daemon_url(const char *given, char url[URL_MAX])
{
	char *text = NULL;
	size_t len;
	int ret;

	if (!given && !io_read_file(SESSION_DAEMON_FILE, URL_MAX - 1, &text, &len))
		text[strcspn(text, "\n")] = '\0';
	ret = client_url(given ? given : text ? text : "127.0.0.1", url, URL_MAX);
	free(text);
	return ret;
}

/* Return: exit code; 0: @reply is an object and the caller's. */
static int ask(const char *daemon, const char *path, json_t *body, json_t **reply)
{
	char url[URL_MAX], why[200] = "";
	struct client *c = NULL;
	int status = 0, ret;

	*reply = NULL;
	if (daemon_url(daemon, url)) {
		log_err("\"%s\" is no address", daemon ? daemon : SESSION_DAEMON_FILE);
		json_decref(body);
		return CMD_USAGE;
	}
	ret = client_new(url, TIMEOUT_MS, &c);
	if (!ret)
		ret = client_request(c, path, body, &status, reply, why);
	client_free(c);
	json_decref(body);
	if (ret) {
		log_err("no answer from godwitd at %s: %s", url, why[0] ? why : strerror(-ret));
		return CMD_NO_HOST;
	}
	if (status == 200)
		return CMD_OK;
	log_err("godwitd: %s", wire_text(*reply, "error", "it refuses without a reason"));
	json_decref(*reply);
	*reply = NULL;
	return status == 404 ? CMD_NO_DOMAIN : CMD_FAILED;
}

static void print_json(json_t *json)
{
	json_dumpf(json, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	putchar('\n');
}

/* --- printing --------------------------------------------------------------------------- */

static json_int_t number(const json_t *json, const char *member)
{
	return json_integer_value(json_object_get(json, member));
}

/* "2026-01-31 12:00:05", local time; "-" for none. */
static const char *when(json_int_t ns, char text[32])
{
	time_t t = (time_t)(ns / 1000000000);
	struct tm tm;

	if (ns <= 0 || !localtime_r(&t, &tm) || !strftime(text, 32, "%Y-%m-%d %H:%M:%S", &tm))
		strcpy(text, "-");
	return text;
}

static const char *every(const json_t *one, char text[16])
{
	json_int_t ms = number(one, "every_ms");

	schedule_format_duration(ms > 0 && ms <= SCHEDULE_EVERY_MAX_MS ? (unsigned int)ms : 0, text);
	return text;
}

static void print_error(const json_t *one, const char *member, const char *what)
{
	const json_t *e = json_object_get(one, member);
	char at[32];

	if (json_is_object(e))
		printf("  %s %s: %s\n", what, when(number(e, "time_ns"), at), wire_text(e, "text", ""));
}

static void print_one(const json_t *one)
{
	const json_t *last = json_object_get(one, "last_success");
	char e[16], at[32];

	printf("%s: every %s into %s\n", wire_text(one, "name", "?"), every(one, e),
	       wire_text(one, "store", "?"));
	printf("  %s, next due %s; keeps %" JSON_INTEGER_FORMAT ", ", wire_text(one, "state", "?"),
	       when(number(one, "next_due_ns"), at), number(one, "keep"));
	if (number(one, "full_every"))
		printf("a full one every %" JSON_INTEGER_FORMAT "\n", number(one, "full_every"));
	else
		printf("full ones only where needed\n");
	printf("  %" JSON_INTEGER_FORMAT " taken, %" JSON_INTEGER_FORMAT " failed, %"
	       JSON_INTEGER_FORMAT " missed\n", number(one, "taken"), number(one, "failed"),
	       number(one, "missed"));
	if (json_is_object(last))
		printf("  last success %s: %s, paused %.1f ms\n", when(number(last, "time_ns"), at),
		       wire_text(last, "id", "?"), (double)number(last, "pause_us") / 1e3);
	print_error(one, "last_error", "last error");
	print_error(one, "prune_error", "old ones stay since");
}

/* --- checkpoint DOM STORE --every ----------------------------------------------------------- */

/*
 * The daemon stands elsewhere: a path becomes absolute.  And whoever types the
 * address wrong, or has no right there, shall know it now.
 */
static int resolve_store(const char *address, char out[PATH_MAX + 8])
{
	const char *path = strncmp(address, "file:", 5) ? address : address + 5;
	char why[200] = "", real[PATH_MAX];
	struct store *s;
	bool folder;
	int ret = store_open(address, &s, why);

	if (ret) {
		log_err("%s: %s", address, why[0] ? why : strerror(-ret));
		return ret;
	}
	folder = !strcmp(s->ops->scheme, "file");
	store_close(s);
	if (!folder) {
		snprintf(out, PATH_MAX + 8, "%s", address);
	} else if (realpath(path, real)) {
		snprintf(out, PATH_MAX + 8, "%s", real);
	} else {
		ret = -errno;
		log_errno(ret, "%s", path);
	}
	return ret;
}

static json_t *make_body(struct toolstack *ts, domid_t domid, const char *store,
			 unsigned int every_ms, const struct schedule_request *rq)
{
	char name[CONFIG_MAX_NAME + 1], uuid[UUID_TEXT_BYTES];
	struct domain_config cfg;
	json_t *body = NULL;

	if (!domain_config_load(ts, domid, &cfg)) {
		domain_get_name(ts, domid, name);
		uuid_format(cfg.uuid, uuid);
		body = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I}", "uuid", uuid, "name", name,
				 "store", store, "every_ms", (json_int_t)every_ms,
				 "keep", (json_int_t)(rq->keep == SCHEDULE_UNSET ?
						      SCHEDULE_KEEP_DEFAULT : rq->keep),
				 "full_every", (json_int_t)(rq->full_every == SCHEDULE_UNSET ?
							    SCHEDULE_FULL_EVERY_DEFAULT :
							    rq->full_every));
		if (!body)
			log_err("%s: cannot be sent: no UTF-8, or no memory", store);
	}
	config_release(&cfg);
	return body;
}

int schedule_request(struct toolstack *ts, unsigned int domid, const char *address,
		     const struct schedule_request *rq)
{
	char store[PATH_MAX + 8], at[32], e[16];
	unsigned int every_ms = 0;
	json_t *body, *reply;
	int code, ret = schedule_parse_duration(rq->every, &every_ms);

	if (ret || every_ms < SCHEDULE_EVERY_MIN_MS) {
		log_err("--every %s: %s", rq->every, ret == -EINVAL ?
			"a number with ms, s, m, h or d behind it" : "1s to 7d");
		return CMD_USAGE;
	}
	ret = resolve_store(address, store);
	if (ret)
		return cmd_exit_code(ret);
	body = make_body(ts, (domid_t)domid, store, every_ms, rq);
	if (!body)
		return CMD_FAILED;
	code = ask(rq->daemon, SCHEDULE_API_PATH, body, &reply);
	if (code)
		return code;
	if (rq->json)
		print_json(reply);
	else
		printf("%s: every %s into %s, next due %s\n", wire_text(reply, "name", "?"),
		       every(reply, e), wire_text(reply, "store", "?"),
		       when(number(reply, "next_due_ns"), at));
	json_decref(reply);
	return CMD_OK;
}

/* --- checkpoint schedule ------------------------------------------------------------------------ */

static int run_list(const char *daemon, bool json)
{
	json_t *reply, *one;
	size_t i;
	int code = ask(daemon, SCHEDULE_API_PATH, NULL, &reply);

	if (code)
		return code;
	if (json) {
		print_json(reply);
	} else {
		json_array_foreach(json_object_get(reply, "schedules"), i, one)
			print_one(one);
	}
	json_decref(reply);
	return CMD_OK;
}

static int run_stop(const char *daemon, const char *domain, bool json)
{
	json_t *reply;
	int code = ask(daemon, SCHEDULE_API_PATH "/stop", json_pack("{s:s}", "domain", domain),
		       &reply);

	if (code)
		return code;
	if (json)
		print_json(reply);
	else
		printf("%s: no more checkpoints\n", domain);
	json_decref(reply);
	return CMD_OK;
}

int cmd_schedule(int argc, char **argv)
{
	const char *daemon = NULL;
	const struct cmd_option options[] = {
		{ .name = "daemon", .text = &daemon },
		{ 0 },
	};
	bool json;
	int code, i = cmd_options(argc, argv, options, &json, 1, 2, &code);

	if (i < 0)
		return code;
	if (!strcmp(argv[i], "list") && argc - i == 1)
		return run_list(daemon, json);
	if (!strcmp(argv[i], "stop") && argc - i == 2)
		return run_stop(daemon, argv[i + 1], json);
	return cmd_usage_error(argv[0]);
}
