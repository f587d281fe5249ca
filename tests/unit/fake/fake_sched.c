// SPDX-License-Identifier: Apache-2.0
/*
 * The simulated machine.  Only one thread: a CPU "runs" when the test makes it
 * the current one.  context_switch() may not return, so it jumps back to where
 * the simulation entered the CPU.
 */
#include <pv/lib.h>
#include <pv/platform.h>

#include "tests/unit/fake/fake_sched.h"

#include <setjmp.h>
#include <stdlib.h>
#include <stdio.h>

#define NO_DEADLINE	INT64_MAX

struct real_cpu_info fake_cpu_info[MAX_CPUS];
__thread unsigned int fake_cpu;
struct percpu percpu[MAX_CPUS];
unsigned int nr_cpus;
struct cpu_features cpu_features = { .tcg = true };
uint64_t tsc_khz = 1000000, boot_tsc = 12345, wallclock_boot_ns;
uint32_t tsc_to_system_mul = 0x80000000;
int8_t tsc_shift = 1;
mfn_t idle_l4_mfn;
enum log_level log_level;

s_time_t sim_now;
unsigned int sim_virqs, sim_kicks, sim_dirty_marks;
int sim_shutdown_reason = -1;
void (*sim_poll_hook)(void);
void (*sim_switch_hook)(struct vcpu *prev);

static s_time_t deadlines[MAX_CPUS];
static jmp_buf *cpu_exit;
static struct sim_vcpu *sims[64];
static unsigned int nr_sims;

/* --- what x86/ would supply --- */

s_time_t now_ns(void) { return sim_now; }
uint64_t rdtsc(void) { return boot_tsc + (uint64_t)sim_now; }

void apic_timer_program(s_time_t deadline)
{
	deadlines[fake_cpu] = deadline ? deadline : NO_DEADLINE;
}

void smp_send_kick(unsigned int cpu)
{
	BUG_ON(cpu == fake_cpu);
	sim_kicks++;
}

void cpu_idle_wait(void) { abort(); }
bool heap_scrub_some(void) { return false; }
void irq_window(void) { abort(); }

void context_switch(struct vcpu *prev, struct vcpu *next)
{
	struct sim_vcpu *s = (struct sim_vcpu *)next;

	void (*hook)(struct vcpu *) = sim_switch_hook;

	BUG_ON(current != prev || prev == next);
	sim_switch_hook = NULL;
	if (hook)
		hook(prev);
	if (!prev->is_idle)
		sched_leaving(prev);
	current = next;
	sched_switched_out(prev);
	sched_switched_in(next);
	if (!next->is_idle && s->woken) {
		s_time_t late = sim_now - s->due;

		s->woken = false;
		s->nr_wakes++;
		if (late > s->worst_wake_ns)
			s->worst_wake_ns = late;
	}
	longjmp(*cpu_exit, 1);
}

void sim_cpu_softirqs(unsigned int cpu)
{
	jmp_buf *outer = cpu_exit, here;
	unsigned int caller = fake_cpu;

	fake_cpu = cpu;
	cpu_exit = &here;
	if (!setjmp(here))
		softirq_run();
	cpu_exit = outer;
	fake_cpu = caller;
}

/* A CPU that waits lets the others get on. */
void smp_poll(void)
{
	if (sim_poll_hook)
		sim_poll_hook();
	for (unsigned int cpu = 0; cpu < nr_cpus; cpu++)
		if (cpu != fake_cpu && percpu[cpu].softirq_pending)
			sim_cpu_softirqs(cpu);
}

/* --- what other modules would supply --- */

void *xzalloc(size_t size) { return calloc(1, size); }
void xfree(void *p) { free(p); }
uint64_t cmdline_get_u64(const char *name, uint64_t dflt) { return dflt; }

void panic(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	abort();
}

static bool fake_gva_ok(uint64_t gva) { return gva >= PAGE_SIZE; }

bool guest_range_ok(uint64_t gva, size_t n) { return gva + n >= gva && (gva + n) >> 47 == 0; }

int copy_from_guest(void *dst, uint64_t gva, size_t n)
{
	if (!fake_gva_ok(gva))
		return n ? -XEN_EFAULT : 0;
	memcpy(dst, (const void *)gva, n);
	return 0;
}

int copy_to_guest(uint64_t gva, const void *src, size_t n)
{
	if (!fake_gva_ok(gva))
		return -XEN_EFAULT;
	memcpy((void *)gva, src, n);
	return 0;
}

void logdirty_mark_mfn(mfn_t m) { sim_dirty_marks++; }
void vcpu_info_dirty(struct vcpu *v) { sim_dirty_marks++; }

void sim_event(struct vcpu *v)
{
	v->info->evtchn_upcall_pending = 1;
	vcpu_unblock(v);
	vcpu_kick(v);
}

void evtchn_send_virq(struct vcpu *v, unsigned int virq)
{
	struct sim_vcpu *s = (struct sim_vcpu *)v;

	sim_virqs++;
	if (s->period_ns)
		s->woken = true;
	sim_event(v);
}

bool evtchn_vcpu_deliverable(struct vcpu *v)
{
	return v->info->evtchn_upcall_pending && !v->info->evtchn_upcall_mask;
}

bool evtchn_port_pending(struct domain *d, uint32_t port)
{
	return test_bit(port, d->shared_info->evtchn_pending);
}

void domain_shutdown(struct domain *d, unsigned int reason)
{
	sim_shutdown_reason = (int)reason;
	for (unsigned int i = 0; i < d->max_vcpus; i++)
		vcpu_set_pause(d->vcpu[i], PAUSE_SHUTDOWN);
}

struct domain *domain_get(uint16_t domid)
{
	for (unsigned int i = 0; i < nr_sims; i++)
		if (sims[i]->d.id == domid)
			return &sims[i]->d;
	return NULL;
}

struct domain *domain_get_next(uint16_t from)
{
	for (unsigned int i = 0; i < nr_sims; i++)
		if (sims[i]->d.id >= from)
			return &sims[i]->d;
	return NULL;
}

void domain_put(struct domain *d) { }

int vcpu_set_context(struct vcpu *v, const struct vcpu_guest_context *c)
{
	v->regs.rip = c->user_regs.rip;
	return c->user_regs.rip ? 0 : -XEN_EINVAL;
}

int vcpu_register_info(struct vcpu *v, mfn_t mfn, uint32_t offset)
{
	return mfn_x(mfn) ? 0 : -XEN_EINVAL;
}

/* --- the machine --- */

void sim_start(unsigned int ncpus, s_time_t start)
{
	sim_now = start;
	sim_virqs = sim_kicks = sim_dirty_marks = 0;
	sim_shutdown_reason = -1;
	nr_cpus = ncpus;
	timer_subsys_init();
	sched_init();
	for (fake_cpu = 0; fake_cpu < ncpus; fake_cpu++) {
		fake_cpu_info[fake_cpu].cpu = fake_cpu;
		percpu[fake_cpu].softirq_pending = 0;
		deadlines[fake_cpu] = NO_DEADLINE;
		free(idle_vcpu[fake_cpu]);
		sched_init_cpu(fake_cpu);
	}
	fake_cpu = 0;
}

void sim_stop(void)
{
	for (unsigned int i = 0; i < nr_sims; i++)
		vcpu_set_pause(&sims[i]->v, PAUSE_SHUTDOWN);
	sim_settle();
	for (unsigned int i = 0; i < nr_sims; i++) {
		sched_vcpu_destroy(&sims[i]->v);
		free(sims[i]);
	}
	nr_sims = 0;
}

struct sim_vcpu *sim_add(uint32_t weight, int64_t burst_ns, void (*done)(struct sim_vcpu *))
{
	struct sim_vcpu *s = calloc(1, sizeof(*s));

	BUG_ON(!s || nr_sims == ARRAY_SIZE(sims));
	s->d.id = (uint16_t)(nr_sims + 1);
	s->d.max_vcpus = 1;
	s->d.vcpu[0] = &s->v;
	s->d.shared_info = &s->shared;
	s->d.sched_weight = weight;
	s->d.sched_warp = true;
	s->v.domain = &s->d;
	s->v.info = &s->info;
	s->v.kernel_mode = true;
	s->burst_ns = s->left_ns = burst_ns;
	s->done = done;
	BUG_ON(sched_vcpu_init(&s->v));
	sims[nr_sims++] = s;
	return s;
}

struct sim_vcpu *sim_add_hog(uint32_t weight)
{
	return sim_add(weight, 0, NULL);
}

static void sleeper_done(struct sim_vcpu *s)
{
	s->left_ns = s->burst_ns;
	s->due += s->period_ns;
	if (s->due <= sim_now)		/* overrun: start the next at once */
		return;
	s->info.evtchn_upcall_pending = 0;
	timer_set(&s->v.sched.singleshot, s->due);
	BUG_ON(do_sched_op(SCHEDOP_block, 0, 0));
}

struct sim_vcpu *sim_add_sleeper(uint32_t weight, s_time_t period_ns, int64_t burst_ns)
{
	struct sim_vcpu *s = sim_add(weight, burst_ns, sleeper_done);

	s->period_ns = period_ns;
	s->due = sim_now;
	return s;
}

void sim_up(struct sim_vcpu *s)
{
	s->v.initialised = true;
	vcpu_clear_pause(&s->v, PAUSE_DOWN);
}

struct vcpu *sim_on_cpu(unsigned int cpu)
{
	unsigned int caller = fake_cpu;
	struct vcpu *v;

	fake_cpu = cpu;
	v = current;
	fake_cpu = caller;
	return v;
}

static void check_invariants(void)
{
	unsigned int idle = 0, waiting = 0, on_cpu = 0;

	for (unsigned int cpu = 0; cpu < nr_cpus; cpu++) {
		struct vcpu *v = sim_on_cpu(cpu);

		BUG_ON(!v->sched.running || v->sched.processor != cpu || v->sched.queued);
		idle += v->is_idle;
		on_cpu += !v->is_idle;
	}
	for (unsigned int i = 0; i < nr_sims; i++) {
		struct sched_vcpu *s = &sims[i]->v.sched;
		bool runnable = !s->pause_flags && !s->pause_count;

		BUG_ON(s->running && s->queued);
		BUG_ON(runnable != (s->running || s->queued));
		BUG_ON((s->runstate.state == RUNSTATE_running) != s->running);
		BUG_ON((s->runstate.state == RUNSTATE_runnable) != s->queued);
		waiting += s->queued;
		on_cpu -= s->running;
	}
	BUG_ON(on_cpu);			/* none on two CPUs, none unknown */
	BUG_ON(idle && waiting);	/* work-conserving */
}

void sim_settle(void)
{
	bool again = true;

	while (again) {
		again = false;
		for (unsigned int cpu = 0; cpu < nr_cpus; cpu++) {
			if (!percpu[cpu].softirq_pending)
				continue;
			again = true;
			sim_cpu_softirqs(cpu);
		}
	}
	check_invariants();
}

static s_time_t next_event(s_time_t until)
{
	for (unsigned int cpu = 0; cpu < nr_cpus; cpu++) {
		struct sim_vcpu *s = (struct sim_vcpu *)sim_on_cpu(cpu);

		if (deadlines[cpu] < until)
			until = max(deadlines[cpu], sim_now);
		if (!s->v.is_idle && s->done)
			until = min(until, sim_now + s->left_ns);
	}
	return until;
}

static void cpu_pass(unsigned int cpu, s_time_t ns)
{
	struct sim_vcpu *s = (struct sim_vcpu *)sim_on_cpu(cpu);

	fake_cpu = cpu;
	if (!s->v.is_idle) {
		s->ran_ns += ns;
		s->left_ns -= ns;
		if (s->done && s->left_ns <= 0)
			s->done(s);
	}
	if (deadlines[cpu] <= sim_now) {
		deadlines[cpu] = NO_DEADLINE;
		softirq_raise(SOFTIRQ_TIMER);
	}
}

void sim_run_for(s_time_t ns)
{
	s_time_t until = sim_now + ns;

	sim_settle();
	while (sim_now < until) {
		s_time_t step = next_event(until) - sim_now;

		sim_now += step;
		for (unsigned int cpu = 0; cpu < nr_cpus; cpu++)
			cpu_pass(cpu, step);
		fake_cpu = 0;
		sim_settle();
	}
}
