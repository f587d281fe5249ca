// SPDX-License-Identifier: Apache-2.0
/* checkpoint failover DOM: run the standby that this host keeps. */
#define LOG_PREFIX ""
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "checkpoint/cmd_standby.h"
#include "migrate/client.h"
#include "migrate/ledger.h"
#include "migrate/wire.h"
#include "toolstack/cmd.h"
#include "toolstack/lib/log.h"

#define ANSWER_MS	60000u
#define HELD		".held.json"

static bool is_named(const json_t *j, const char *name)
{
	char waiting[160];

	snprintf(waiting, sizeof(waiting), "%s--standby", wire_text(j, "name", ""));
	return !strcmp(wire_text(j, "name", ""), name) || !strcmp(waiting, name) ||
	       !strcmp(wire_text(j, "uuid", ""), name);
}

/* A new reference to the state of the standby of that name, or NULL. */
static json_t *find_held(const char *name)
{
	DIR *dir = opendir(STANDBY_STATE_DIR);
	json_t *found = NULL;
	struct dirent *e;

	while (dir && !found && (e = readdir(dir))) {
		size_t len = strlen(e->d_name);
		char path[512];

		if (len < strlen(HELD) || strcmp(e->d_name + len - strlen(HELD), HELD))
			continue;
		snprintf(path, sizeof(path), STANDBY_STATE_DIR "/%s", e->d_name);
		found = json_load_file(path, 0, NULL);
		if (found && !is_named(found, name)) {
			json_decref(found);
			found = NULL;
		}
	}
	if (dir)
		closedir(dir);
	return found;
}

static void print_done(const char *name, const json_t *reply, uint64_t us, bool json)
{
	struct ledger l;
	int domid = (int)json_integer_value(json_object_get(reply, "domid"));
	uint64_t run_us = us;

	if (!ledger_from_json(&l, json_object_get(reply, "ledger")) && l.has_run && l.has_stop)
		run_us = l.run_us - l.stop_us;
	if (json) {
		json_dumpf(reply, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
		putchar('\n');
		return;
	}
	printf("%s: runs here as domain %d, unpaused %.0f ms after the decision\n", name, domid,
	       (double)run_us / 1e3);
	for (unsigned int i = 0; !ledger_from_json(&l, json_object_get(reply, "ledger")) &&
	     i < l.nr; i++)
		printf("  %-10s %9" PRIu64 " us\n", l.phases[i].name,
		       l.phases[i].end_us - l.phases[i].begin_us);
}

static int ask(const json_t *held, const char *name, bool force, bool json)
{
	const char *daemon = wire_text(held, "daemon", "http://127.0.0.1:7070");
	char path[128], why[200] = "";
	uint64_t begin = ledger_now_us();
	json_t *body, *reply = NULL;
	struct client *c;
	int status = 0, ret = client_new(daemon, ANSWER_MS, &c);

	if (ret)
		return CMD_FAILED;
	snprintf(path, sizeof(path), CLIENT_STANDBYS "/%.40s/failover", wire_text(held, "id", ""));
	body = json_pack("{s:b}", "force", force);
	ret = client_ops.post(c, path, body, &status, &reply, why);
	json_decref(body);
	if (ret)
		log_err("godwitd at %s: %s", daemon, why);
	else if (status != 200)
		log_err("%s: no fail-over: %s", name, wire_text(reply, "error", "no reason given"));
	else
		print_done(name, reply, ledger_now_us() - begin, json);
	json_decref(reply);
	client_free(c);
	return ret ? CMD_NO_HOST : status == 200 ? CMD_OK :
	       status == 409 ? STANDBY_EXIT_REFUSED : CMD_FAILED;
}

int cmd_failover(int argc, char **argv)
{
	bool json, force = false;
	const struct cmd_option options[] = {
		{ .name = "force", .flag = &force },
		{ 0 },
	};
	json_t *held;
	int code, i = cmd_options(argc, argv, options, &json, 1, 1, &code);

	if (i < 0)
		return code;
	held = find_held(argv[i]);
	if (!held) {
		log_err("this host keeps no standby of \"%s\"", argv[i]);
		return CMD_NO_DOMAIN;
	}
	code = ask(held, argv[i], force, json);
	json_decref(held);
	return code;
}
