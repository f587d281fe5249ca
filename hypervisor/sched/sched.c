// SPDX-License-Identifier: Apache-2.0
/*
 * Borrowed virtual time.
 *
 * Every vCPU has an actual virtual time (avt) that advances while it runs, slower the more
 * weight its domain has.  The runnable vCPU with the earliest effective virtual time (evt)
 * runs; evt is avt, moved back by WARP_NS while the vCPU is warped, which it may be for
 * warp_limit_ns of run time after a wake-up, and again only warp_renew_ns later.  So a woken
 * vCPU runs at once, and what it borrowed it pays back: warping changes evt, never avt.
 *
 * There is one run queue for all CPUs, sorted by evt.  Each CPU takes the first; that keeps
 * shares exact over CPUs and no CPU idle while somebody waits, without balancing.
 *
 * Invariants, all under rq.lock:
 *  - a vCPU is in one of three places: current of a CPU (cpus[].curr), in the queue, or
 *    neither, and then it is not runnable.  Idle vCPUs are never queued.
 *  - `running` outlives being curr: it is cleared, after the registers are saved, by
 *    sched_switched_out().  No other CPU picks a vCPU that is `running`.
 *  - rq.svt, the scheduler's virtual time, never goes back.  Nobody becomes runnable with an
 *    avt more than wake_credit_ns before it, so sleeping saves up no claim.
 *  - rq.idle_mask: CPUs that have nothing to run and were not sent for yet.
 *
 * Virtual times are added and compared by vt_*(), so that they may wrap.
 */
#include <pv/domain.h>
#include <pv/errno.h>
#include <pv/lib.h>
#include <pv/percpu.h>
#include <pv/platform.h>
#include <pv/sched.h>

#define USEC		1000L
#define MSEC		1000000L
#define WARP_NS		(50 * MSEC)	/* how far a warped vCPU may be ahead of its share */
#define LAG_MAX_NS	(50 * MSEC)	/* how far behind svt a claim is remembered */

struct sched_cpu {
	struct vcpu *curr;
	struct timer slice;
	s_time_t slice_end;		/* when ->slice expires, 0 = not armed */
	bool preempt;			/* a woken vCPU is due now: no allowance for curr */
} __aligned(64);

static struct {
	struct spinlock lock;
	struct vcpu *first;
	int64_t svt;
	uint64_t idle_mask;
} rq __aligned(64);

static struct sched_cpu cpus[MAX_CPUS];
struct vcpu *idle_vcpu[MAX_CPUS];
static struct domain idle_domain = { .id = 0x7fff, .state = DOM_ALIVE };

/* Options, in ns after sched_init(); docs/scheduling.md says how they were chosen. */
static int64_t allowance_ns;	/* curr may get so far ahead of the first in the queue */
static int64_t min_run_ns;	/* a woken vCPU lets curr run at least so long */
static int64_t warp_limit_ns;
static int64_t warp_renew_ns;
static int64_t wake_credit_ns;

static int64_t vt_add(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

static int64_t vt_diff(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a - (uint64_t)b);
}

static bool vt_before(int64_t a, int64_t b)
{
	return vt_diff(a, b) < 0;
}

static bool vcpu_runnable(const struct vcpu *v)
{
	return !ACCESS_ONCE(v->sched.pause_flags) && !ACCESS_ONCE(v->sched.pause_count);
}

/* --- accounts ---------------------------------------------------------------------------- */

static uint32_t vcpu_weight(const struct vcpu *v)
{
	return v->domain->sched_weight ?: SCHED_WEIGHT_DEFAULT;
}

static int64_t to_virtual(const struct vcpu *v, int64_t real_ns)
{
	return real_ns * SCHED_WEIGHT_DEFAULT / vcpu_weight(v);
}

static int64_t to_real(const struct vcpu *v, int64_t virtual_ns)
{
	return virtual_ns * vcpu_weight(v) / SCHED_WEIGHT_DEFAULT;
}

static void set_evt(struct vcpu *v)
{
	v->sched.evt = vt_add(v->sched.avt, v->sched.warp ? -WARP_NS : 0);
}

/* @v runs: charge it for the time since it was last charged. */
static void account(struct vcpu *v, s_time_t now)
{
	struct sched_vcpu *s = &v->sched;
	int64_t ran = now - s->last_run;

	s->last_run = now;
	if (v->is_idle || ran <= 0)
		return;
	ran = min(ran, 1000 * MSEC * 1000);	/* the product below stays in 64 bits */
	s->avt = vt_add(s->avt, to_virtual(v, ran));
	if (vt_diff(rq.svt, s->avt) > LAG_MAX_NS)
		s->avt = vt_add(rq.svt, -LAG_MAX_NS);
	if (s->warp) {
		s->warp_left_ns -= ran;
		s->warp = s->warp_left_ns > 0;
	}
	set_evt(v);
}

static void runstate_change(struct vcpu *v, int state, s_time_t now)
{
	struct vcpu_runstate_info *r = &v->sched.runstate;

	if (r->state == state)
		return;
	if (now > (s_time_t)r->state_entry_time) {
		r->time[r->state] += (uint64_t)now - r->state_entry_time;
		r->state_entry_time = (uint64_t)now;
	}
	r->state = state;
}

/* What a vCPU that is on no CPU is doing (Xen public vcpu.h: blocked dominates offline). */
static int off_cpu_state(const struct vcpu *v)
{
	if (vcpu_runnable(v))
		return RUNSTATE_runnable;
	return test_bit(PAUSE_BLOCKED, &v->sched.pause_flags) ? RUNSTATE_blocked : RUNSTATE_offline;
}

/* --- the queue --------------------------------------------------------------------------- */

/* Behind those with the same evt: equals take turns. */
static void queue_add(struct vcpu *v)
{
	struct vcpu **p = &rq.first;

	while (*p && !vt_before(v->sched.evt, (*p)->sched.evt))
		p = &(*p)->sched.next;
	v->sched.next = *p;
	*p = v;
	v->sched.queued = true;
}

static void queue_del(struct vcpu *v)
{
	struct vcpu **p = &rq.first;

	while (*p != v)
		p = &(*p)->sched.next;
	*p = v->sched.next;
	v->sched.next = NULL;
	v->sched.queued = false;
}

/* The first that this CPU can take: not one whose registers another CPU still saves. */
static struct vcpu *queue_first(unsigned int cpu)
{
	struct vcpu *v = rq.first;

	while (v && atomic_load(&v->sched.running) && v->sched.processor != cpu)
		v = v->sched.next;
	return v;
}

/*
 * svt follows the least avt among those that compete: the queue and @next, which is about to
 * leave it.  The queue is sorted by evt, so the least avt is that of its first unwarped or of
 * its first warped entry.  vCPUs running elsewhere do not count: one that has more weight than
 * a whole CPU is worth lags for ever, and would hold svt back for all who wake.
 */
static void svt_advance(const struct vcpu *next)
{
	bool seen[2] = { false, false }, any = next != NULL;
	int64_t least = next ? next->sched.avt : 0;

	for (struct vcpu *v = rq.first; v && !(seen[0] && seen[1]); v = v->sched.next) {
		if (seen[v->sched.warp])
			continue;
		seen[v->sched.warp] = true;
		if (!any || vt_before(v->sched.avt, least))
			least = v->sched.avt;
		any = true;
	}
	if (any && vt_before(rq.svt, least))
		rq.svt = least;
}

/* --- which CPU should look, and when ----------------------------------------------------- */

static void cpu_reschedule(unsigned int cpu)
{
	softirq_raise_on(cpu, SOFTIRQ_SCHEDULE);
}

/* An idle CPU comes for what is queued, preferably the one @v ran on.  False: none is idle. */
static bool send_idle_cpu(const struct vcpu *v)
{
	unsigned int cpu = v->sched.processor;

	if (!rq.idle_mask)
		return false;
	if (!(rq.idle_mask & BIT(cpu)))
		cpu = (unsigned int)__builtin_ctzl(rq.idle_mask);
	rq.idle_mask &= ~BIT(cpu);
	cpu_reschedule(cpu);
	return true;
}

static void slice_expired(void *data)
{
	cpu_reschedule((unsigned int)((struct sched_cpu *)data - cpus));
}

static void slice_arm(struct sched_cpu *c, s_time_t when)
{
	if (c->slice_end && c->slice_end <= when)
		return;
	c->slice_end = when;
	timer_set(&c->slice, when);
}

static void slice_disarm(struct sched_cpu *c)
{
	if (!c->slice_end)
		return;
	c->slice_end = 0;
	timer_stop(&c->slice);
}

/* Look again when c->curr is the allowance ahead of @waiting, or its warp ends. */
static void slice_set(struct sched_cpu *c, const struct vcpu *waiting, s_time_t now)
{
	const struct sched_vcpu *s = &c->curr->sched;
	int64_t ahead = vt_diff(waiting->sched.evt, s->evt) + allowance_ns;
	int64_t left = to_real(c->curr, min(ahead, 1000 * MSEC));

	if (s->warp)
		left = min(left, s->warp_left_ns);
	slice_arm(c, now + max(left, allowance_ns / 4));
}

/* Nobody is idle: @v preempts whoever is furthest ahead, or waits for a slice to end. */
static void preempt_for(struct vcpu *v, s_time_t now)
{
	struct sched_cpu *last = NULL;

	for (unsigned int cpu = 0; cpu < nr_cpus; cpu++) {
		struct sched_cpu *c = &cpus[cpu];

		if (!c->curr || c->curr->is_idle || c->preempt)
			continue;	/* on its way to the queue already */
		if (!last || vt_before(last->curr->sched.evt, c->curr->sched.evt))
			last = c;
	}
	if (!last)
		return;
	if (!vt_before(v->sched.evt, last->curr->sched.evt)) {
		for (unsigned int cpu = 0; cpu < nr_cpus; cpu++)
			if (cpus[cpu].curr && !cpus[cpu].curr->is_idle)
				slice_set(&cpus[cpu], v, now);
		return;
	}
	last->preempt = true;
	if (now - last->curr->sched.dispatched >= min_run_ns)
		cpu_reschedule((unsigned int)(last - cpus));
	else
		slice_arm(last, last->curr->sched.dispatched + min_run_ns);
}

/* --- waking ------------------------------------------------------------------------------ */

/* Bring the virtual clocks up to date, before anyone is compared with them. */
static void account_running(s_time_t now)
{
	const struct vcpu *ahead = NULL;

	for (unsigned int cpu = 0; cpu < nr_cpus; cpu++) {
		struct vcpu *v = cpus[cpu].curr;

		if (!v || v->is_idle)
			continue;
		account(v, now);
		if (!ahead || vt_before(ahead->sched.avt, v->sched.avt))
			ahead = v;
	}
	/* With nobody waiting, everyone had all he wanted: what was used up to now is no debt. */
	if (!rq.first && ahead && vt_before(rq.svt, ahead->sched.avt))
		rq.svt = ahead->sched.avt;
	else
		svt_advance(NULL);
}

static void grant_warp(struct vcpu *v, s_time_t now)
{
	struct sched_vcpu *s = &v->sched;

	if (now - s->warp_renewed >= warp_renew_ns) {
		s->warp_renewed = now;
		s->warp_left_ns = warp_limit_ns;
	}
	s->warp = v->domain->sched_warp && s->warp_left_ns > 0;
}

static void make_runnable(struct vcpu *v)
{
	s_time_t now = now_ns();

	account_running(now);
	if (vt_diff(rq.svt, v->sched.avt) > wake_credit_ns)
		v->sched.avt = vt_add(rq.svt, -wake_credit_ns);
	grant_warp(v, now);
	set_evt(v);
	runstate_change(v, RUNSTATE_runnable, now);
	queue_add(v);
	if (!send_idle_cpu(v))
		preempt_for(v, now);
}

void vcpu_wake(struct vcpu *v)
{
	struct sched_cpu *c;

	spin_lock(&rq.lock);
	c = &cpus[v->sched.processor];
	if (vcpu_runnable(v)) {
		if (c->curr != v && !v->sched.queued)
			make_runnable(v);
	} else if (c->curr == v) {
		cpu_reschedule(v->sched.processor);
	} else {
		if (v->sched.queued)
			queue_del(v);
		runstate_change(v, off_cpu_state(v), now_ns());
	}
	spin_unlock(&rq.lock);
}

void vcpu_set_pause(struct vcpu *v, unsigned int bit)
{
	if (!test_and_set_bit(bit, &v->sched.pause_flags))
		vcpu_wake(v);
}

void vcpu_clear_pause(struct vcpu *v, unsigned int bit)
{
	if (test_and_clear_bit(bit, &v->sched.pause_flags))
		vcpu_wake(v);
}

/* --- the schedule handler ---------------------------------------------------------------- */

static struct vcpu *choose(unsigned int cpu, struct vcpu *prev)
{
	struct sched_cpu *c = &cpus[cpu];
	struct vcpu *first = queue_first(cpu);
	int64_t allowance = c->preempt ? 0 : allowance_ns;

	if (prev->is_idle || !vcpu_runnable(prev))
		return first ?: idle_vcpu[cpu];
	if (!first)
		return prev;
	if (prev->sched.yielded) {
		/* It gives up its claim on what lies between, within reason. */
		int64_t give = vt_diff(first->sched.avt, prev->sched.avt);

		if (give > 0)
			prev->sched.avt = vt_add(prev->sched.avt, min(give, allowance_ns));
		prev->sched.warp = false;
		set_evt(prev);
		return first;
	}
	if (vt_diff(prev->sched.evt, first->sched.evt) > allowance)
		return first;
	return prev;
}

/* @next replaces @prev in all accounts of @cpu. */
static void replace(unsigned int cpu, struct vcpu *prev, struct vcpu *next, s_time_t now)
{
	if (next->sched.queued)
		queue_del(next);
	if (!prev->is_idle && vcpu_runnable(prev))
		queue_add(prev);
	runstate_change(prev, prev->is_idle ? RUNSTATE_runnable : off_cpu_state(prev), now);
	runstate_change(next, RUNSTATE_running, now);
	cpus[cpu].curr = next;
	next->sched.processor = cpu;
	next->sched.last_run = next->sched.dispatched = now;
	next->sched.running = true;
}

static void schedule(void)
{
	unsigned int cpu = cpu_id();
	struct sched_cpu *c = &cpus[cpu];
	struct vcpu *prev = c->curr, *next, *waiting;
	s_time_t now;

	spin_lock(&rq.lock);
	now = now_ns();
	account(prev, now);
	next = choose(cpu, prev);
	c->preempt = false;
	prev->sched.yielded = false;
	slice_disarm(c);
	if (next != prev)
		replace(cpu, prev, next, now);
	if (next->is_idle) {
		rq.idle_mask |= BIT(cpu);
	} else {
		rq.idle_mask &= ~BIT(cpu);
		svt_advance(next);
		waiting = rq.first;
		if (waiting)
			slice_set(c, waiting, now);
	}
	spin_unlock(&rq.lock);
	if (next != prev)
		context_switch(prev, next);
}

void sched_leaving(struct vcpu *prev)
{
	/* A guest that waits for a lock wants to know that its holder lost the CPU. */
	if (!prev->is_idle && prev->kernel_mode &&
	    ACCESS_ONCE(prev->sched.runstate.state) == RUNSTATE_runnable)
		runstate_area_update(prev);
}

void sched_switched_out(struct vcpu *prev)
{
	/* Release: who sees it false sees the saved registers (vcpu_sync(), queue_first()), and
	 * may free prev, which is therefore not looked at any more. */
	atomic_store(&prev->sched.running, false);
	smp_mb();
	/* An idle CPU that came for prev meanwhile had to leave it in the queue. */
	if (!ACCESS_ONCE(rq.first) || !ACCESS_ONCE(rq.idle_mask))
		return;
	spin_lock(&rq.lock);
	if (rq.first)
		send_idle_cpu(rq.first);
	spin_unlock(&rq.lock);
}

void sched_switched_in(struct vcpu *next)
{
	/* `running` is visible before the return path reads what is pending: vcpu_kick(). */
	smp_mb();
	if (next->is_idle)
		return;
	pvclock_update(next);
	if (next->kernel_mode)
		sched_update_areas(next);
	else
		next->sched.areas_stale = next->sched.runstate_gva != 0;
}

/* --- blocking ---------------------------------------------------------------------------- */

void vcpu_block(void)
{
	struct vcpu *v = current;

	/* Set first, looked second; who posts does it the other way round (vcpu_unblock()). */
	set_bit(PAUSE_BLOCKED, &v->sched.pause_flags);
	smp_mb();
	if (evtchn_vcpu_deliverable(v))
		clear_bit(PAUSE_BLOCKED, &v->sched.pause_flags);
	else
		softirq_raise(SOFTIRQ_SCHEDULE);
}

static bool poll_satisfied(struct vcpu *v, const uint32_t *ports, unsigned int nr,
			   s_time_t deadline)
{
	for (unsigned int i = 0; i < nr; i++)
		if (evtchn_port_pending(v->domain, ports[i]))
			return true;
	return evtchn_vcpu_deliverable(v) || (deadline && deadline <= now_ns());
}

void vcpu_poll(const uint32_t *ports, unsigned int nr, s_time_t deadline)
{
	struct vcpu *v = current;

	BUG_ON(nr > SCHED_POLL_PORTS);
	memcpy(v->poll_ports, ports, nr * sizeof(*ports));
	atomic_store(&v->poll_mask_ports, (uint64_t)nr);	/* after the ports it counts */
	set_bit(PAUSE_BLOCKED, &v->sched.pause_flags);
	smp_mb();
	if (poll_satisfied(v, ports, nr, deadline)) {
		vcpu_unblock(v);
		return;
	}
	if (deadline)
		timer_set(&v->sched.poll, deadline);
	softirq_raise(SOFTIRQ_SCHEDULE);
}

void vcpu_unblock(struct vcpu *v)
{
	smp_mb();	/* the caller's pending bit before our look at the flag: vcpu_block() */
	if (!test_bit(PAUSE_BLOCKED, &v->sched.pause_flags))
		return;
	atomic_store(&v->poll_mask_ports, (uint64_t)0);
	if (timer_is_pending(&v->sched.poll))
		timer_stop(&v->sched.poll);
	vcpu_clear_pause(v, PAUSE_BLOCKED);
}

void vcpu_yield(void)
{
	struct vcpu *v = current;

	if (!ACCESS_ONCE(rq.first))
		return;
	v->sched.yielded = true;
	softirq_raise(SOFTIRQ_SCHEDULE);
}

void vcpu_kick(struct vcpu *v)
{
	uint32_t cpu;

	smp_mb();	/* the caller's pending bit before our look: sched_switched_in() */
	if (!atomic_load(&v->sched.running))
		return;
	/* Should it have moved since, it has passed the return path on its way. */
	cpu = ACCESS_ONCE(v->sched.processor);
	if (cpu != cpu_id())
		smp_send_kick(cpu);
}

/* --- pausing ----------------------------------------------------------------------------- */

void vcpu_pause_nosync(struct vcpu *v)
{
	if (atomic_add(&v->sched.pause_count, 1) == 1)
		vcpu_wake(v);
}

void vcpu_sync(struct vcpu *v)
{
	while (atomic_load(&v->sched.running))
		smp_poll();
}

void vcpu_pause(struct vcpu *v)
{
	BUG_ON(v == current);
	vcpu_pause_nosync(v);
	vcpu_sync(v);
}

void vcpu_unpause(struct vcpu *v)
{
	if (atomic_sub(&v->sched.pause_count, 1) == 0)
		vcpu_wake(v);
}

void domain_pause(struct domain *d)
{
	BUG_ON(d == current->domain);
	/* All are sent for before any is waited for. */
	for (unsigned int i = 0; i < d->max_vcpus; i++)
		if (d->vcpu[i])
			vcpu_pause_nosync(d->vcpu[i]);
	for (unsigned int i = 0; i < d->max_vcpus; i++)
		if (d->vcpu[i])
			vcpu_sync(d->vcpu[i]);
}

void domain_unpause(struct domain *d)
{
	for (unsigned int i = 0; i < d->max_vcpus; i++)
		if (d->vcpu[i])
			vcpu_unpause(d->vcpu[i]);
}

/* --- what the guest sees ----------------------------------------------------------------- */

void runstate_get(struct vcpu *v, struct vcpu_runstate_info *out)
{
	s_time_t now;

	spin_lock(&rq.lock);
	now = now_ns();
	*out = v->sched.runstate;
	spin_unlock(&rq.lock);
	if (now > (s_time_t)out->state_entry_time)
		out->time[out->state] += (uint64_t)now - out->state_entry_time;
}

uint64_t vcpu_cpu_time_ns(struct vcpu *v)
{
	struct vcpu_runstate_info r;

	runstate_get(v, &r);
	return r.time[RUNSTATE_running];
}

uint64_t sched_cpu_idle_ns(unsigned int cpu)
{
	return cpu < nr_cpus && idle_vcpu[cpu] ? vcpu_cpu_time_ns(idle_vcpu[cpu]) : 0;
}

void runstate_area_update(struct vcpu *v)
{
	const uint64_t stamp = offsetof(struct vcpu_runstate_info, state_entry_time);
	uint64_t gva = v->sched.runstate_gva, entry;
	bool flagged = v->domain->vm_assist & BIT(VMASST_TYPE_runstate_update_flag);
	struct vcpu_runstate_info r;

	if (!gva)
		return;
	spin_lock(&rq.lock);
	r = v->sched.runstate;
	spin_unlock(&rq.lock);
	/* Readers on other vCPUs take what they read only if the flag is clear before and after
	 * (Xen public vcpu.h, XEN_RUNSTATE_UPDATE).  A page that went away is the guest's loss. */
	entry = r.state_entry_time;
	if (flagged) {
		r.state_entry_time |= XEN_RUNSTATE_UPDATE;
		if (copy_to_guest(gva + stamp, &r.state_entry_time, sizeof(entry)))
			return;
		smp_wmb();
	}
	if (copy_to_guest(gva, &r, sizeof(r)))
		return;
	if (flagged) {
		smp_wmb();
		if (copy_to_guest(gva + stamp, &entry, sizeof(entry)))
			return;
	}
}

void sched_update_areas(struct vcpu *v)
{
	v->sched.areas_stale = false;
	runstate_area_update(v);
}

/* --- life -------------------------------------------------------------------------------- */

static void singleshot_expired(void *data)
{
	evtchn_send_virq(data, VIRQ_TIMER);
}

static void periodic_expired(void *data)
{
	struct vcpu *v = data;
	s_time_t period = ACCESS_ONCE(v->sched.period_ns), next, now = now_ns();

	if (!period)
		return;		/* stopped meanwhile */
	next = v->sched.periodic.expires + period;
	if (next <= now)	/* ticks that were missed are not made up for */
		next = now + period;
	timer_set(&v->sched.periodic, next);
	evtchn_send_virq(v, VIRQ_TIMER);
}

static void poll_expired(void *data)
{
	vcpu_unblock(data);
}

int sched_vcpu_init(struct vcpu *v)
{
	v->poll_ports = xzalloc_array(uint32_t, SCHED_POLL_PORTS);
	if (!v->poll_ports)
		return -ENOMEM;
	v->sched = (struct sched_vcpu){
		.pause_flags = BIT(PAUSE_DOWN),
		.processor = cpu_id(),
		.avt = rq.svt,
		.evt = rq.svt,
		.warp_renewed = now_ns() - warp_renew_ns,
		.runstate = { .state = RUNSTATE_offline, .state_entry_time = (uint64_t)now_ns() },
	};
	if (!v->domain->sched_weight) {
		v->domain->sched_weight = SCHED_WEIGHT_DEFAULT;
		v->domain->sched_warp = true;
	}
	timer_init(&v->sched.singleshot, singleshot_expired, v);
	timer_init(&v->sched.periodic, periodic_expired, v);
	timer_init(&v->sched.poll, poll_expired, v);
	return 0;
}

void sched_vcpu_destroy(struct vcpu *v)
{
	v->sched.period_ns = 0;
	timer_kill(&v->sched.singleshot);
	timer_kill(&v->sched.periodic);
	timer_kill(&v->sched.poll);
	vcpu_set_pause(v, PAUSE_DOWN);
	vcpu_sync(v);
	xfree(v->poll_ports);
	v->poll_ports = NULL;
}

int sched_set_params(struct domain *d, uint32_t weight, bool warp)
{
	if (weight < 1 || weight > SCHED_WEIGHT_MAX)
		return -EINVAL;
	spin_lock(&rq.lock);
	account_running(now_ns());	/* what has been run was run at the old weight */
	d->sched_weight = weight;
	d->sched_warp = warp;
	spin_unlock(&rq.lock);
	return 0;
}

static int64_t option_ns(const char *name, uint64_t dflt_us, uint64_t max_us)
{
	uint64_t us = cmdline_get_u64(name, dflt_us);

	return (int64_t)min(us, max_us) * USEC;
}

void sched_init(void)
{
	allowance_ns = max(option_ns("sched_slice_us", 2000, 100000), 100 * USEC);
	min_run_ns = option_ns("sched_min_run_us", 100, 10000);
	warp_limit_ns = option_ns("sched_warp_limit_us", 2000, 100000);
	warp_renew_ns = option_ns("sched_warp_renew_us", 10000, 1000000);
	wake_credit_ns = option_ns("sched_wake_credit_us", 1000, 20000);
	rq.first = NULL;
	rq.idle_mask = 0;	/* a CPU enters with sched_init_cpu() */
	softirq_register(SOFTIRQ_SCHEDULE, schedule);
}

void sched_init_cpu(unsigned int cpu)
{
	struct vcpu *v = xzalloc(sizeof(*v));

	if (!v)
		panic("no memory for the idle vCPU of CPU %u", cpu);
	v->domain = &idle_domain;
	v->id = cpu;
	v->is_idle = true;
	v->kernel_mode = true;
	v->kernel_l4 = idle_l4_mfn;
	v->user_l4 = INVALID_MFN;
	v->info_mfn = INVALID_MFN;
	v->sched.processor = cpu;
	v->sched.running = true;
	v->sched.runstate.state = RUNSTATE_running;
	v->sched.runstate.state_entry_time = (uint64_t)now_ns();
	v->sched.last_run = now_ns();
	timer_init(&cpus[cpu].slice, slice_expired, &cpus[cpu]);
	idle_vcpu[cpu] = v;
	current = v;
	spin_lock(&rq.lock);
	cpus[cpu].curr = v;
	rq.idle_mask |= BIT(cpu);
	spin_unlock(&rq.lock);
}

void idle_loop(void)
{
	for (;;) {
		softirq_run();
		/* Interrupts are off from here to the halt, so nothing is raised in between. */
		if (atomic_load(&this_cpu()->softirq_pending))
			continue;
		if (heap_scrub_some())
			irq_window();
		else
			cpu_idle_wait();
	}
}

void sched_start(void)
{
	softirq_raise(SOFTIRQ_SCHEDULE);
	idle_loop();
}
