// SPDX-License-Identifier: Apache-2.0
/* godwit list, godwit top: the same table at one instant, or as rates. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "toolstack/cmd.h"
#include "toolstack/domain.h"
#include "toolstack/lib/io.h"
#include "toolstack/lib/log.h"
#include "toolstack/lib/uuid.h"

#define LIST_MAX 1024u
#define PAGES_PER_MB 256u

struct snapshot {
	struct xen_domctl_getdomaininfo infos[LIST_MAX];
	int nr;
	uint64_t taken_ns;
};

/* The letters xl has taught everybody: running blocked paused shut-down crashed dying. */
static void state_letters(uint32_t flags, char text[7])
{
	uint32_t reason = flags >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask;
	bool down = flags & XEN_DOMINF_shutdown;

	snprintf(text, 7, "%c%c%c%c%c%c", flags & XEN_DOMINF_running ? 'r' : '-',
		 flags & XEN_DOMINF_blocked ? 'b' : '-', flags & XEN_DOMINF_paused ? 'p' : '-',
		 down ? 's' : '-', down && reason == 3 ? 'c' : '-',
		 flags & XEN_DOMINF_dying ? 'd' : '-');
}

static const char *state_word(uint32_t flags)
{
	if (flags & XEN_DOMINF_dying)
		return "dying";
	if (flags & XEN_DOMINF_shutdown)
		return (flags >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask) == 3 ?
			"crashed" : "shutdown";
	if (flags & XEN_DOMINF_paused)
		return "paused";
	return flags & XEN_DOMINF_blocked ? "blocked" : "running";
}

static int take_snapshot(struct toolstack *ts, struct snapshot *s)
{
	s->taken_ns = io_now_ns();
	s->nr = hcall_domain_list(ts->hcall, 0, s->infos, LIST_MAX);
	if (s->nr < 0)
		log_errno(s->nr, "cannot list the domains");
	return s->nr < 0 ? s->nr : 0;
}

static json_t *domain_to_json(struct toolstack *ts, const struct xen_domctl_getdomaininfo *i)
{
	char name[CONFIG_MAX_NAME + 1], uuid[UUID_TEXT_BYTES];

	domain_get_name(ts, i->domain, name);
	uuid_format(i->handle, uuid);
	return json_pack("{s:i, s:s, s:s, s:I, s:i, s:s, s:f}", "domid", (int)i->domain, "name",
			 name, "uuid", uuid, "memory_mb",
			 (json_int_t)(i->tot_pages / PAGES_PER_MB), "vcpus",
			 (int)i->nr_online_vcpus, "state", state_word(i->flags), "cpu_s",
			 (double)i->cpu_time / 1e9);
}

static void print_json(json_t *root)
{
	json_dumpf(root, stdout, JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9));
	putchar('\n');
	fflush(stdout);
	json_decref(root);
}

static void print_list(struct toolstack *ts, const struct snapshot *s, int only, bool json)
{
	json_t *root = json ? json_array() : NULL;
	int i;

	if (!json)
		printf("%-24s %5s %8s %5s %6s %10s\n", "Name", "ID", "Mem(MB)", "VCPUs", "State",
		       "Time(s)");
	for (i = 0; i < s->nr; i++) {
		const struct xen_domctl_getdomaininfo *d = &s->infos[i];
		char name[CONFIG_MAX_NAME + 1], state[7];

		if (only >= 0 && d->domain != only)
			continue;
		if (json) {
			json_array_append_new(root, domain_to_json(ts, d));
			continue;
		}
		domain_get_name(ts, d->domain, name);
		state_letters(d->flags, state);
		printf("%-24s %5u %8llu %5u %6s %10.1f\n", name, d->domain,
		       (unsigned long long)d->tot_pages / PAGES_PER_MB, d->nr_online_vcpus, state,
		       (double)d->cpu_time / 1e9);
	}
	if (json)
		print_json(root);
}

int cmd_list(int argc, char **argv)
{
	static struct snapshot s;
	struct toolstack ts = { 0 };
	domid_t only = 0;
	bool json;
	int code, ret, first = cmd_options(argc, argv, NULL, &json, 0, 1, &code);

	if (first < 0)
		return code;
	code = CMD_NO_HOST;
	if (!toolstack_open(&ts, TOOLSTACK_HCALL | TOOLSTACK_XS)) {
		ret = first < argc ? domain_find(&ts, argv[first], &only) : 0;
		if (!ret)
			ret = take_snapshot(&ts, &s);
		if (!ret)
			print_list(&ts, &s, first < argc ? only : -1, json);
		code = cmd_exit_code(ret);
	}
	toolstack_close(&ts);
	return code;
}

/* --- top ------------------------------------------------------------------------------------ */

/* CPU percent of one domain between two snapshots; 0 for one that is new. */
static double cpu_percent(const struct snapshot *old, const struct snapshot *now, int index)
{
	const struct xen_domctl_getdomaininfo *d = &now->infos[index];
	uint64_t span = now->taken_ns - old->taken_ns;
	int i;

	for (i = 0; i < old->nr; i++)
		if (old->infos[i].domain == d->domain &&
		    !memcmp(old->infos[i].handle, d->handle, sizeof(d->handle)) &&
		    d->cpu_time >= old->infos[i].cpu_time && span)
			return 100.0 * (double)(d->cpu_time - old->infos[i].cpu_time) /
			       (double)span;
	return 0;
}

static void print_top(struct toolstack *ts, const struct snapshot *old,
		      const struct snapshot *now, bool json)
{
	json_t *root = json ? json_array() : NULL;
	int i;

	if (!json && isatty(STDOUT_FILENO))
		printf("\033[H\033[J");
	if (!json)
		printf("%-24s %5s %8s %6s %8s %10s\n", "Name", "ID", "Mem(MB)", "State", "CPU%",
		       "Time(s)");
	for (i = 0; i < now->nr; i++) {
		const struct xen_domctl_getdomaininfo *d = &now->infos[i];
		double percent = cpu_percent(old, now, i);
		char name[CONFIG_MAX_NAME + 1], state[7];

		if (json) {
			json_t *entry = domain_to_json(ts, d);

			json_object_set_new(entry, "cpu_percent", json_real(percent));
			json_array_append_new(root, entry);
			continue;
		}
		domain_get_name(ts, d->domain, name);
		state_letters(d->flags, state);
		printf("%-24s %5u %8llu %6s %8.1f %10.1f\n", name, d->domain,
		       (unsigned long long)d->tot_pages / PAGES_PER_MB, state, percent,
		       (double)d->cpu_time / 1e9);
	}
	if (json)
		print_json(root);
	else
		fflush(stdout);
}

int cmd_top(int argc, char **argv)
{
	static struct snapshot snaps[2];
	unsigned int delay_s = 2, times = 0, round;
	bool json;
	const struct cmd_option options[] = {
		{ .name = "delay", .letter = 'd', .number = &delay_s },
		{ .name = "times", .letter = 'n', .number = &times },
		{ 0 },
	};
	struct toolstack ts = { 0 };
	int code, ret = 0, first = cmd_options(argc, argv, options, &json, 0, 0, &code);

	if (first < 0)
		return code;
	code = CMD_NO_HOST;
	if (!toolstack_open(&ts, TOOLSTACK_HCALL | TOOLSTACK_XS)) {
		ret = take_snapshot(&ts, &snaps[0]);
		for (round = 1; !ret && (!times || round <= times); round++) {
			struct timespec span = { .tv_sec = (time_t)(delay_s ? delay_s : 1) };

			nanosleep(&span, NULL);
			ret = take_snapshot(&ts, &snaps[round % 2]);
			if (!ret)
				print_top(&ts, &snaps[!(round % 2)], &snaps[round % 2], json);
			if (ferror(stdout))
				break;
		}
		code = cmd_exit_code(ret);
	}
	toolstack_close(&ts);
	return code;
}
