// SPDX-License-Identifier: Apache-2.0
/* Commands on one domain: pause, unpause, shutdown, reboot, destroy, rename, weight. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/sched.h>

#include "toolstack/cmd.h"
#include "toolstack/domain.h"
#include "toolstack/lib/log.h"

#define SHUTDOWN_TIMEOUT_S 120u
/* After a shutdown, the time a monitor has to remove the domain. */
#define GONE_TIMEOUT_MS 10000u

static int act_weight(struct toolstack *ts, domid_t domid, void *arg);

/* Open, find the domain, do it, close.  Only the weight of domain 0 is ours to touch. */
static int on_domain(const char *text, int (*act)(struct toolstack *ts, domid_t domid, void *arg),
		     void *arg)
{
	struct toolstack ts = { 0 };
	domid_t domid;
	int ret, code = CMD_NO_HOST;

	if (!toolstack_open(&ts, TOOLSTACK_HCALL | TOOLSTACK_XS)) {
		ret = domain_find(&ts, text, &domid);
		if (!ret && domid == 0 && act != act_weight) {
			log_err("domain 0 is this host itself");
			ret = -EINVAL;
		}
		if (!ret)
			ret = act(&ts, domid, arg);
		code = cmd_exit_code(ret);
	}
	toolstack_close(&ts);
	return code;
}

static int plain(int argc, char **argv,
		 int (*act)(struct toolstack *ts, domid_t domid, void *arg))
{
	int code, first = cmd_options(argc, argv, NULL, NULL, 1, 1, &code);

	return first < 0 ? code : on_domain(argv[first], act, NULL);
}

static int act_pause(struct toolstack *ts, domid_t domid, void *arg)
{
	int ret = hcall_domain_pause(ts->hcall, domid);

	if (ret)
		log_errno(ret, "cannot pause domain %u", domid);
	return ret;
}

/* The count must not go below what others hold: only a paused domain is resumed. */
static int act_unpause(struct toolstack *ts, domid_t domid, void *arg)
{
	struct xen_domctl_getdomaininfo info;
	int ret = hcall_domain_get_info(ts->hcall, domid, &info);

	if (!ret && !(info.flags & XEN_DOMINF_paused)) {
		log_info("domain %u is not paused", domid);
		return 0;
	}
	return ret ? ret : domain_unpause(ts, domid);
}

static int act_destroy(struct toolstack *ts, domid_t domid, void *arg)
{
	return domain_destroy(ts, domid);
}

static int act_rename(struct toolstack *ts, domid_t domid, void *arg)
{
	return domain_rename(ts, domid, arg);
}

int cmd_pause(int argc, char **argv)
{
	return plain(argc, argv, act_pause);
}

int cmd_unpause(int argc, char **argv)
{
	return plain(argc, argv, act_unpause);
}

int cmd_destroy(int argc, char **argv)
{
	return plain(argc, argv, act_destroy);
}

int cmd_rename(int argc, char **argv)
{
	int code, first = cmd_options(argc, argv, NULL, NULL, 2, 2, &code);

	if (first < 0)
		return code;
	if (!config_name_valid(argv[first + 1])) {
		log_err("\"%s\" is not a name for a domain", argv[first + 1]);
		return CMD_USAGE;
	}
	return on_domain(argv[first], act_rename, argv[first + 1]);
}

/* --- weight -------------------------------------------------------------------------- */

static int act_weight(struct toolstack *ts, domid_t domid, void *arg)
{
	unsigned int *weight = arg;
	int ret;

	if (*weight) {
		ret = hcall_domain_set_weight(ts->hcall, domid, *weight);
		if (ret)
			log_errno(ret, "cannot set the weight of domain %u", domid);
		return ret;
	}
	ret = hcall_domain_get_weight(ts->hcall, domid, weight);
	if (ret)
		log_errno(ret, "cannot ask for the weight of domain %u", domid);
	else
		printf("%u\n", *weight);
	return ret;
}

int cmd_weight(int argc, char **argv)
{
	int code, first = cmd_options(argc, argv, NULL, NULL, 1, 2, &code);
	unsigned int weight = 0;
	char *end;

	if (first < 0)
		return code;
	if (first + 1 < argc) {
		unsigned long n = strtoul(argv[first + 1], &end, 10);

		if (end == argv[first + 1] || *end || n < 1 || n > UINT16_MAX) {
			log_err("weight \"%s\" is not a number in 1..65535", argv[first + 1]);
			return CMD_USAGE;
		}
		weight = (unsigned int)n;
	}
	return on_domain(argv[first], act_weight, &weight);
}

/* --- shutdown, reboot ---------------------------------------------------------------- */

struct request {
	const char *how;
	bool wait;
	unsigned int timeout_s;
};

/* The guest is down; usually its monitor removes it now, unless it preserves. */
static void wait_removed(struct toolstack *ts, domid_t domid)
{
	struct domain_config cfg;
	bool kept = domain_config_load(ts, domid, &cfg) == 0 &&
		    cfg.on_poweroff == CONFIG_ACTION_PRESERVE;

	config_release(&cfg);
	if (!kept)
		domain_wait_gone(ts, domid, GONE_TIMEOUT_MS);
}

static int act_request(struct toolstack *ts, domid_t domid, void *arg)
{
	const struct request *r = arg;
	unsigned int reason = 0;
	int ret = domain_request_shutdown(ts, domid, r->how);

	if (ret || !r->wait)
		return ret;
	ret = domain_wait_shutdown(ts, domid, (int)r->timeout_s * 1000, &reason);
	if (ret == -ETIMEDOUT)
		log_err("domain %u did not %s within %u s; it goes on running", domid, r->how,
			r->timeout_s);
	else if (!ret && reason == SHUTDOWN_crash)
		log_warn("domain %u crashed while shutting down", domid);
	if (!ret)
		wait_removed(ts, domid);
	/* Gone already is what was asked for. */
	return ret == -ESRCH ? 0 : ret;
}

static int request(int argc, char **argv, const char *how)
{
	struct request r = { .how = how, .timeout_s = SHUTDOWN_TIMEOUT_S };
	const struct cmd_option options[] = {
		{ .name = "wait", .letter = 'w', .flag = &r.wait },
		{ .name = "timeout", .letter = 't', .number = &r.timeout_s },
		{ 0 },
	};
	int code, first = cmd_options(argc, argv, options, NULL, 1, 1, &code);

	return first < 0 ? code : on_domain(argv[first], act_request, &r);
}

int cmd_shutdown(int argc, char **argv)
{
	return request(argc, argv, "poweroff");
}

int cmd_reboot(int argc, char **argv)
{
	return request(argc, argv, "reboot");
}
