// SPDX-License-Identifier: Apache-2.0
/*
 * `godwit create` in one call: the steps of domain.h in order, undone as a
 * whole when one fails.
 */
#include <signal.h>

#include "toolstack/domain.h"
#define LOG_PREFIX "create"
#include "toolstack/lib/io.h"
#include "toolstack/lib/log.h"

/* netback makes its interface in milliseconds; a loaded emulator takes seconds. */
#define PLUG_TIMEOUT_MS 20000u

/*
 * The tree comes before the memory, so that dom0's back ends probe while the
 * kernel is being unpacked.
 */
static int run_steps(struct toolstack *ts, const struct domain_config *cfg, bool paused,
		     struct domain_new *dom)
{
	uint64_t start = io_now_ns(), built;
	int ret = domain_xenstore_setup(ts, cfg, dom);

	if (!ret)
		ret = domain_build_pv(ts, cfg, dom);
	built = io_now_ns();
	if (!ret)
		ret = domain_devices_plug(ts, cfg, dom, PLUG_TIMEOUT_MS);
	if (!ret)
		ret = domain_introduce(ts, dom);
	if (!ret && !paused)
		ret = domain_unpause(ts, dom->domid);
	if (!ret)
		log_debug("domain %u: build %llu ms, devices %llu ms", dom->domid,
			  (unsigned long long)(built - start) / 1000000,
			  (unsigned long long)(io_now_ns() - built) / 1000000);
	return ret;
}

int domain_create(struct toolstack *ts, const struct domain_config *cfg, bool paused,
		  domid_t *domid)
{
	struct domain_new dom;
	sigset_t stop, old;
	int ret;

	/* An interrupted creation would leave a half-built domain: finish it first. */
	sigemptyset(&stop);
	sigaddset(&stop, SIGINT);
	sigaddset(&stop, SIGTERM);
	sigaddset(&stop, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &stop, &old);
	ret = domain_check_host(ts, cfg);
	if (!ret)
		ret = domain_create_empty(ts, cfg, &dom);
	if (!ret) {
		ret = run_steps(ts, cfg, paused, &dom);
		if (ret)
			domain_destroy(ts, dom.domid);
		else
			*domid = dom.domid;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return ret;
}
