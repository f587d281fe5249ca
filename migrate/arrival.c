// SPDX-License-Identifier: Apache-2.0
/* See arrival.h. */
#define LOG_PREFIX "arrival"
#include "migrate/arrival.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "migrate/fdb.h"
#include "migrate/ledger.h"
#include "net-arp/announce.h"
#include "net-arp/rawsock.h"
#include "toolstack/domain.h"
#include "toolstack/lib/log.h"

#define RENAME_TRIES	300
#define RENAME_PAUSE_MS	200

struct arrival {
	struct domain_new dom;
	struct domain_config cfg;
	const char *suffix;		/* constant text */
};

struct voice {
	bool open;
	struct rawsock sock;
	struct announce announce;
};

static void sleep_us(uint64_t us)
{
	struct timespec ts = { .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000 };

	nanosleep(&ts, NULL);
}

/* --- announcing ---------------------------------------------------------------------- */

static int send_frame(void *ctx, const struct arp_frame *f)
{
	return rawsock_send(ctx, f);
}

static void voice_open(struct voice *v, domid_t domid, unsigned int devid,
		       const struct config_vif *vif)
{
	struct announce_station who = { 0 };
	char except[32];
	int ret;

	snprintf(except, sizeof(except), "vif%u.%u", domid, devid);
	memcpy(who.mac.b, vif->mac, 6);
	ret = rawsock_open(&v->sock, vif->bridge, except);
	if (ret) {
		log_warn_errno(ret, "domain %u: %s cannot be announced on %s", domid, except,
			       vif->bridge);
		return;
	}
	ret = announce_init(&v->announce, &who, &announce_default_schedule, 0, ledger_now_us());
	v->open = !ret;
	if (ret)
		rawsock_close(&v->sock);
}

/* Before each round: what still came in late may have taught the old port again. */
static uint64_t voice_step(struct voice *v, const struct config_vif *vif)
{
	uint64_t now = ledger_now_us();

	fdb_forget(v->sock.ports, v->sock.nr_ports, vif->mac);
	return announce_step(&v->announce, now, send_frame, &v->sock);
}

static void announce_all(domid_t domid, const struct domain_config *cfg)
{
	struct voice *voices = calloc(CONFIG_MAX_VIFS, sizeof(*voices));
	uint64_t wait = 1;

	if (!voices)
		return;
	for (unsigned int i = 0; i < cfg->nr_vifs; i++)
		voice_open(&voices[i], domid, i, &cfg->vifs[i]);
	while (wait) {
		wait = 0;
		for (unsigned int i = 0; i < cfg->nr_vifs; i++) {
			uint64_t us;

			if (!voices[i].open)
				continue;
			us = voice_step(&voices[i], &cfg->vifs[i]);
			if (us && (!wait || us < wait))
				wait = us;
		}
		sleep_us(wait);
	}
	for (unsigned int i = 0; i < cfg->nr_vifs; i++)
		if (voices[i].open)
			rawsock_close(&voices[i].sock);
	free(voices);
}

/* --- its own name ---------------------------------------------------------------------- */

static void take_name(struct arrival *a)
{
	size_t len = strlen(a->cfg.name);
	struct toolstack ts = { 0 };

	if (len <= strlen(a->suffix) || toolstack_open(&ts, TOOLSTACK_HCALL | TOOLSTACK_XS))
		return;
	a->cfg.name[len - strlen(a->suffix)] = '\0';
	for (int i = 0; i < RENAME_TRIES; i++) {
		domid_t other;

		/* Asked first: domain_rename() would log each failure. */
		if (domain_find(&ts, a->cfg.name, &other) == -ESRCH) {
			domain_rename(&ts, a->dom.domid, a->cfg.name);
			break;
		}
		sleep_us(RENAME_PAUSE_MS * 1000);
	}
	toolstack_close(&ts);
}

/* --- its console ------------------------------------------------------------------------ */

static void write_ref(struct xs_handle *xs, domid_t domid, const char *dir, uint64_t mfn)
{
	char path[96], text[24];

	snprintf(path, sizeof(path), "/local/domain/%u/%s/ring-ref", domid, dir);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)mfn);
	if (!xs_write(xs, XBT_NULL, path, text, (unsigned int)strlen(text)))
		log_warn_errno(errno, "cannot write %s", path);
}

static void join_console(const struct domain_new *dom)
{
	struct toolstack ts = { 0 };

	if (!dom->store_mfn || toolstack_open(&ts, TOOLSTACK_XS))
		return;
	write_ref(ts.xs, dom->domid, "console", dom->console_mfn);
	write_ref(ts.xs, dom->domid, "store", dom->store_mfn);
	toolstack_close(&ts);
}

static void *arrival_thread(void *arg)
{
	struct arrival *a = arg;

	join_console(&a->dom);
	announce_all(a->dom.domid, &a->cfg);
	domain_monitor_spawn(a->dom.domid);
	if (a->suffix)
		take_name(a);
	config_release(&a->cfg);
	free(a);
	return NULL;
}

void arrival_start(const struct domain_new *dom, const struct domain_config *cfg, const char *suffix)
{
	struct arrival *a = calloc(1, sizeof(*a));
	pthread_t thread;

	if (!a || config_copy(&a->cfg, cfg)) {
		free(a);
		log_warn("domain %u: no memory to announce it", dom->domid);
		return;
	}
	a->dom = *dom;
	a->suffix = suffix;
	if (pthread_create(&thread, NULL, arrival_thread, a)) {
		log_warn("domain %u: no thread to announce it", dom->domid);
		config_release(&a->cfg);
		free(a);
		return;
	}
	pthread_detach(thread);
}
