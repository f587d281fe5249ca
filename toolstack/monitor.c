// SPDX-License-Identifier: Apache-2.0
/*
 * What happens when a domain ends by itself: on_poweroff, on_reboot, on_crash.
 *
 * One process watches one domain.  A reboot is a destroy and a create with the
 * remembered configuration, and the process goes on with the new domain.  A
 * suspended domain belongs to whoever suspended it (save, migration): it is
 * left alone until it runs again or is gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xen/sched.h>

#include "toolstack/domain.h"
#define LOG_PREFIX "monitor"
#include "toolstack/lib/io.h"
#include "toolstack/lib/log.h"

#define LOG_FILE "/var/log/godwit/monitor.log"
/* A guest that reboots at once must not keep dom0 busy for ever. */
#define MIN_LIFE_NS 5000000000ull
#define NAP_NS 200000000

static void nap(uint64_t ns)
{
	struct timespec ts = { .tv_sec = (time_t)(ns / 1000000000),
			       .tv_nsec = (long)(ns % 1000000000) };

	nanosleep(&ts, NULL);
}

static enum config_action action_for(const struct domain_config *cfg, unsigned int reason)
{
	switch (reason) {
	case SHUTDOWN_poweroff:
		return cfg->on_poweroff;
	case SHUTDOWN_reboot:
		return cfg->on_reboot;
	default:
		return cfg->on_crash;
	}
}

static const char *reason_name(unsigned int reason)
{
	static const char *const names[] = {
		[SHUTDOWN_poweroff] = "powered off",
		[SHUTDOWN_reboot] = "asks for a reboot",
		[SHUTDOWN_suspend] = "suspended",
		[SHUTDOWN_crash] = "crashed",
		[SHUTDOWN_watchdog] = "was shot by its watchdog",
	};

	return reason < sizeof(names) / sizeof(names[0]) ? names[reason] : "shut down";
}

/* Wait for an end that is ours to handle; -ESRCH when there is nothing left. */
static int wait_end(struct toolstack *ts, domid_t domid, unsigned int *reason)
{
	int ret;

	while ((ret = domain_wait_shutdown(ts, domid, -1, reason)) == 0 &&
	       *reason == SHUTDOWN_suspend)
		nap(NAP_NS);
	return ret;
}

static int restart(struct toolstack *ts, const struct domain_config *cfg, domid_t *domid)
{
	int ret = domain_destroy(ts, *domid);

	if (!ret)
		ret = domain_create(ts, cfg, false, domid);
	if (ret)
		log_err("%s is not restarted", cfg->name);
	return ret;
}

int domain_monitor_run(struct toolstack *ts, domid_t domid)
{
	struct domain_config cfg;
	unsigned int reason = 0;
	uint64_t born;
	int ret = domain_config_load(ts, domid, &cfg);

	while (!ret) {
		enum config_action action;

		born = io_now_ns();
		ret = wait_end(ts, domid, &reason);
		if (ret)
			break;
		action = action_for(&cfg, reason);
		log_info("%s (domain %u) %s: %s", cfg.name, domid, reason_name(reason),
			 config_action_name(action));
		if (action == CONFIG_ACTION_PRESERVE)
			break;
		if (action == CONFIG_ACTION_DESTROY) {
			ret = domain_destroy(ts, domid);
			break;
		}
		if (io_now_ns() - born < MIN_LIFE_NS)
			nap(MIN_LIFE_NS);
		ret = restart(ts, &cfg, &domid);
	}
	config_release(&cfg);
	return ret == -ESRCH ? 0 : ret;
}

/* --- the process -------------------------------------------------------------------------- */

/* Beside the running program first: an uninstalled build finds its own. */
static void exec_godwit(const char *id)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - sizeof("godwit"));
	char *slash;

	if (n > 0) {
		path[n] = '\0';
		slash = strrchr(path, '/');
		if (slash) {
			strcpy(slash + 1, "godwit");
			execl(path, "godwit", "monitor", id, (char *)NULL);
		}
	}
	execlp("godwit", "godwit", "monitor", id, (char *)NULL);
}

static void become_daemon(const char *id)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), out;

	setsid();
	io_mkdir_parents(LOG_FILE);
	out = open(LOG_FILE, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	if (out < 0)
		out = null;
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
	    dup2(out, STDERR_FILENO) < 0 || chdir("/") < 0)
		_exit(126);
	exec_godwit(id);
	_exit(127);
}

int domain_monitor_spawn(domid_t domid)
{
	char id[16];
	int status;
	pid_t pid;

	snprintf(id, sizeof(id), "%u", domid);
	/* Two forks: the monitor becomes init's child and needs no one to reap it. */
	pid = fork();
	if (pid == 0) {
		pid = fork();
		if (pid == 0)
			become_daemon(id);
		_exit(pid < 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0) {
		int err = errno ? errno : EIO;

		log_errno(err, "no monitor for domain %u", domid);
		return -err;
	}
	return 0;
}
