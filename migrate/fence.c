// SPDX-License-Identifier: Apache-2.0
/* See fence.h. */
#define LOG_PREFIX "lease"
#include "migrate/fence.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "toolstack/lib/io.h"
#include "toolstack/lib/log.h"

#define RENEWALS_A_LEASE	5
#define POLL_MS			10
#define TELL_TRIES		5

/* Shared with the fencer; each word is written by one side. */
struct shared {
	uint64_t deadline_us;		/* parent */
	uint32_t stop;			/* parent: end; the guest goes on if it is paused */
	uint32_t leave;			/* parent: end, and touch nothing */
	uint32_t fenced;		/* fencer */
};

struct fence {
	struct fence_params p;
	char session[SESSION_ID_BYTES];
	struct witness *w;
	struct witness_version v;
	uint64_t renewal;
	struct shared *sh;
	pid_t fencer;
	pthread_t thread;
	pthread_mutex_t lock;		/* of what follows */
	bool stop, lost;
	char why[200];
};

static uint64_t now_us(void)
{
	return io_now_ns() / 1000;
}

static void nap_ms(unsigned int ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000l };

	nanosleep(&ts, NULL);
}

/* --- the fencer's process -------------------------------------------------------------- */

static void fencer_run(struct shared *sh, const struct fence_params *p, pid_t parent)
{
	bool fenced = false;

	while (!__atomic_load_n(&sh->leave, __ATOMIC_ACQUIRE)) {
		bool stop = __atomic_load_n(&sh->stop, __ATOMIC_ACQUIRE);
		bool due = now_us() >= __atomic_load_n(&sh->deadline_us, __ATOMIC_ACQUIRE);

		if (stop || due != fenced) {
			if (!stop && due)
				log_warn("the lease could not be renewed: the guest is paused");
			if (due && !stop)
				fenced = !p->pause(p->ctx, true);
			else if (fenced && !p->pause(p->ctx, false))
				fenced = false;
			__atomic_store_n(&sh->fenced, fenced, __ATOMIC_RELEASE);
		}
		/* Nobody is left who could renew: it stays paused. */
		if (stop || (fenced && getppid() != parent))
			break;
		nap_ms(POLL_MS);
	}
	_exit(0);
}

static int fork_fencer(struct fence *f)
{
	struct sched_param rt = { .sched_priority = 1 };
	pid_t parent = getpid();

	f->fencer = fork();
	if (f->fencer < 0)
		return -errno;
	if (f->fencer)
		return 0;
	/* Ctrl-C is the parent's affair. */
	setsid();
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	/* Both only make it surer. */
	mlockall(MCL_CURRENT | MCL_FUTURE);
	sched_setscheduler(0, SCHED_FIFO, &rt);
	fencer_run(f->sh, &f->p, parent);
	return 0;
}

/* --- renewing -------------------------------------------------------------------------------- */

static void fill(struct fence *f, struct witness_lease *l)
{
	*l = (struct witness_lease) { .lease_ms = f->p.lease_ms, .renewal = ++f->renewal };
	memcpy(l->session, f->session, sizeof(l->session));
	if (gethostname(l->host, sizeof(l->host) - 1))
		strcpy(l->host, "unknown");
}

static void grant(struct fence *f, uint64_t asked_us)
{
	uint64_t until = asked_us + f->p.lease_ms * UINT64_C(900);

	__atomic_store_n(&f->sh->deadline_us, until, __ATOMIC_RELEASE);
}

/*
 * Whose is it?  0: still ours, the answer to an exchange was lost; -EOWNERDEAD: not any
 * more; -errno: unknown.
 */
static int look(struct fence *f, char why[200])
{
	struct witness_lease l;
	struct witness_version v;
	int ret = witness_read(f->w, &l, &v, why);

	if (ret)
		return ret;
	if (l.standby || strcmp(l.session, f->session)) {
		snprintf(why, 200, "host %s has taken the lease", l.host);
		return -EOWNERDEAD;
	}
	f->v = v;
	if (l.renewal > f->renewal)
		f->renewal = l.renewal;
	return 0;
}

/* An exchange, once more if the first found the answer to an earlier one. */
static int exchange(struct fence *f, struct witness_lease *l, uint64_t *asked_us, char why[200])
{
	int ret;

	*asked_us = now_us();
	ret = witness_swap(f->w, l, &f->v, why);
	if (ret != -ESTALE)
		return ret;
	ret = look(f, why);
	if (ret)
		return ret;
	l->renewal = ++f->renewal;
	*asked_us = now_us();
	return witness_swap(f->w, l, &f->v, why);
}

static int renew(struct fence *f, char why[200])
{
	struct witness_lease l;
	uint64_t asked;
	int ret;

	fill(f, &l);
	ret = exchange(f, &l, &asked, why);
	if (ret)
		return ret;
	grant(f, asked);
	return 0;
}

static void *renew_thread(void *arg)
{
	struct fence *f = arg;

	for (;;) {
		char why[200] = "";
		bool stop;
		int ret = renew(f, why);

		pthread_mutex_lock(&f->lock);
		snprintf(f->why, sizeof(f->why), "%s", ret ? why : "");
		f->lost |= ret == -EOWNERDEAD;
		stop = f->stop || f->lost;
		pthread_mutex_unlock(&f->lock);
		if (ret == -EOWNERDEAD)
			__atomic_store_n(&f->sh->deadline_us, 0, __ATOMIC_RELEASE);
		if (stop)
			return NULL;
		nap_ms(ret ? f->p.lease_ms / 20 : f->p.lease_ms / RENEWALS_A_LEASE);
	}
}

/* --- taking it ---------------------------------------------------------------------------------- */

/* A lease of another host has to stand still for as long as it says. */
static int outwait(struct fence *f, const struct witness_lease *l, char why[200])
{
	uint64_t until = now_us() + l->lease_ms * UINT64_C(1000);
	struct witness_version v;
	struct witness_lease again;

	while (now_us() < until) {
		int ret;

		nap_ms(l->lease_ms / RENEWALS_A_LEASE);
		ret = witness_read(f->w, &again, &v, why);
		if (ret)
			return ret;
		if (strcmp(v.tag, f->v.tag)) {
			snprintf(why, 200, "host %s holds the lease", again.host);
			return -EBUSY;
		}
	}
	return 0;
}

static int take(struct fence *f, char why[200])
{
	struct witness_lease l = { 0 }, mine;
	uint64_t asked;
	int ret = witness_check(f->w, why);

	if (!ret)
		ret = witness_read(f->w, &l, &f->v, why);
	if (ret && ret != -ENOENT)
		return ret;
	f->renewal = l.renewal;
	fill(f, &mine);
	if (!ret && l.standby && strcmp(l.host, mine.host)) {
		snprintf(why, 200, "host %s has taken the guest over; this copy must not run", l.host);
		return -EOWNERDEAD;
	}
	if (!ret && !l.standby && !l.released && l.session[0] && strcmp(l.host, mine.host))
		ret = outwait(f, &l, why);
	if (ret && ret != -ENOENT)
		return ret;
	asked = now_us();
	ret = witness_swap(f->w, &mine, &f->v, why);
	if (!ret)
		grant(f, asked);
	return ret;
}

static void fence_free(struct fence *f)
{
	witness_close(f->w);
	munmap(f->sh, sizeof(*f->sh));
	pthread_mutex_destroy(&f->lock);
	free(f);
}

int fence_start(const struct fence_params *p, struct fence **out, char why[200])
{
	struct fence *f = calloc(1, sizeof(*f));
	int ret;

	if (!f)
		return -ENOMEM;
	f->p = *p;
	snprintf(f->session, sizeof(f->session), "%s", p->session);
	pthread_mutex_init(&f->lock, NULL);
	f->sh = mmap(NULL, sizeof(*f->sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (f->sh == MAP_FAILED) {
		free(f);
		return -ENOMEM;
	}
	ret = witness_open(p->where, p->lease_ms / 4, &f->w, why);
	if (!ret)
		ret = take(f, why);
	if (!ret)
		ret = fork_fencer(f);
	if (!ret)
		ret = -pthread_create(&f->thread, NULL, renew_thread, f);
	if (ret) {
		__atomic_store_n(&f->sh->leave, 1, __ATOMIC_RELEASE);
		if (f->fencer > 0)
			waitpid(f->fencer, NULL, 0);
		fence_free(f);
		return ret;
	}
	*out = f;
	return 0;
}

enum fence_state fence_state(struct fence *f, char why[200])
{
	bool lost;

	pthread_mutex_lock(&f->lock);
	lost = f->lost;
	snprintf(why, 200, "%s", f->why);
	pthread_mutex_unlock(&f->lock);
	if (lost)
		return FENCE_LOST;
	return __atomic_load_n(&f->sh->fenced, __ATOMIC_ACQUIRE) ||
	       now_us() >= __atomic_load_n(&f->sh->deadline_us, __ATOMIC_ACQUIRE) ?
	       FENCE_OVERDUE : FENCE_HELD;
}

/* The answer to our last word was lost, and it is the one that stands. */
static bool has_ended(struct fence *f)
{
	struct witness_version v;
	struct witness_lease l;
	char why[200];

	return !witness_read(f->w, &l, &v, why) && !l.standby && l.released &&
	       l.renewal <= f->renewal;
}

/* The last record: of no session, so that no standby can take it; or released. */
static int tell_end(struct fence *f, enum fence_end end, char why[200])
{
	int ret = -ETIMEDOUT;

	for (int i = 0; i < TELL_TRIES && ret && ret != -EOWNERDEAD; i++) {
		struct witness_lease l;
		uint64_t asked;

		if (i)
			nap_ms(f->p.lease_ms / RENEWALS_A_LEASE);
		fill(f, &l);
		l.released = true;
		if (end == FENCE_END_PROTECTION)
			l.session[0] = '\0';
		ret = exchange(f, &l, &asked, why);
		if (ret == -EOWNERDEAD && has_ended(f))
			ret = 0;
	}
	return ret;
}

int fence_stop(struct fence *f, enum fence_end end, char why[200])
{
	int ret = 0;

	why[0] = '\0';
	pthread_mutex_lock(&f->lock);
	f->stop = true;
	pthread_mutex_unlock(&f->lock);
	pthread_join(f->thread, NULL);
	if (end != FENCE_END_LOST)
		ret = tell_end(f, end, why);
	if (end == FENCE_END_LOST) {
		/* Paused it must be before nobody watches any more. */
		for (int i = 0; i < 200 && !__atomic_load_n(&f->sh->fenced, __ATOMIC_ACQUIRE); i++)
			nap_ms(POLL_MS);
		__atomic_store_n(&f->sh->leave, 1, __ATOMIC_RELEASE);
	} else if (!ret) {
		__atomic_store_n(&f->sh->stop, 1, __ATOMIC_RELEASE);
	}
	/* Otherwise the fencer goes on alone and pauses the guest when it is time. */
	if (!ret)
		waitpid(f->fencer, NULL, 0);
	fence_free(f);
	return ret;
}
