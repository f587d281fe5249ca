// SPDX-License-Identifier: Apache-2.0
/*
 * The scheduler under real concurrency: each CPU is a thread, which in the guest
 * or in HLT looks at softirqs only after an interrupt: a kick from another CPU, or
 * its own timer.  vCPUs sleep, block for events, poll, yield, post to each other;
 * one of them pauses the others.
 *
 * A vCPU on two CPUs at once, one whose registers were taken before they were
 * saved, and one that never runs again after a lost wake-up or a lost kick are
 * failures.
 */
#include <pv/lib.h>
#include <pv/platform.h>

#include "tests/unit/fake/fake_sched.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

#define NR_CPUS		3
#define NR_VCPUS	7
#define RUN_NS		SIM_S

/* --- machine ---------------------------------------------------------------------------- */

struct real_cpu_info fake_cpu_info[MAX_CPUS];
__thread unsigned int fake_cpu;
struct percpu percpu[MAX_CPUS];
unsigned int nr_cpus = NR_CPUS;
struct cpu_features cpu_features;
uint64_t tsc_khz, boot_tsc, wallclock_boot_ns;
uint32_t tsc_to_system_mul;
int8_t tsc_shift;
mfn_t idle_l4_mfn;

struct guest {
	struct vcpu v;
	struct vcpu_info info;
	uint32_t on_cpus;	/* how many CPUs are executing it */
	uint64_t steps;		/* must equal its saved rip */
	uint64_t steps_at_half;
	bool waits_for_event;
};
static struct guest guests[NR_VCPUS];
static struct domain dom;
static struct shared_info shared;
static __thread uint64_t cpu_rip;	/* "the registers" of this CPU */
static __thread jmp_buf cpu_exit;
static __thread unsigned int seed;
static s_time_t deadlines[NR_CPUS];
static bool kicked[NR_CPUS], stop;
static uint32_t cpus_up;

s_time_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * SIM_S + ts.tv_nsec;
}
uint64_t rdtsc(void) { return (uint64_t)now_ns(); }
void apic_timer_program(s_time_t deadline) { deadlines[fake_cpu] = deadline; }
void smp_send_kick(unsigned int cpu) { atomic_store(&kicked[cpu], true); }
void smp_poll(void) { sched_yield(); }
void cpu_idle_wait(void) { abort(); }
bool heap_scrub_some(void) { return false; }
void irq_window(void) { abort(); }

void context_switch(struct vcpu *prev, struct vcpu *next)
{
	prev->regs.rip = cpu_rip;
	cpu_rip = 0xdead;
	if (!prev->is_idle)
		sched_leaving(prev);
	current = next;
	cpu_rip = next->regs.rip;
	sched_switched_out(prev);
	sched_switched_in(next);
	longjmp(cpu_exit, 1);
}

/* --- other modules ------------------------------------------------------------------------- */

void *xzalloc(size_t size) { return calloc(1, size); }
void xfree(void *p) { free(p); }
uint64_t cmdline_get_u64(const char *name, uint64_t dflt) { return dflt; }
bool guest_range_ok(uint64_t gva, size_t n) { return true; }
int copy_from_guest(void *dst, uint64_t gva, size_t n) { abort(); }
int copy_to_guest(uint64_t gva, const void *src, size_t n) { abort(); }
void logdirty_mark_mfn(mfn_t m) { }
void vcpu_info_dirty(struct vcpu *v) { }
void domain_shutdown(struct domain *d, unsigned int reason) { abort(); }
struct domain *domain_get(uint16_t domid) { return NULL; }
struct domain *domain_get_next(uint16_t from) { return NULL; }
void domain_put(struct domain *d) { }
int vcpu_set_context(struct vcpu *v, const struct vcpu_guest_context *c) { abort(); }
int vcpu_register_info(struct vcpu *v, mfn_t mfn, uint32_t offset) { abort(); }

void panic(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	abort();
}

/* As event/upcall.c: only the first of several notifies. */
static void post(struct vcpu *v)
{
	if (atomic_xchg(&v->info->evtchn_upcall_pending, 1))
		return;
	vcpu_unblock(v);
	vcpu_kick(v);
}

void evtchn_send_virq(struct vcpu *v, unsigned int virq) { post(v); }

bool evtchn_vcpu_deliverable(struct vcpu *v)
{
	return ACCESS_ONCE(v->info->evtchn_upcall_pending) &&
	       !ACCESS_ONCE(v->info->evtchn_upcall_mask);
}

bool evtchn_port_pending(struct domain *d, uint32_t port) { return false; }

/* --- guests ---------------------------------------------------------------------------------- */

static unsigned int rnd(unsigned int n)
{
	return (unsigned int)rand_r(&seed) % n;
}

static void guest_sleeps(struct guest *g)
{
	uint32_t port = 9;

	timer_set(&g->v.sched.singleshot, now_ns() + rnd(300) * SIM_US);
	if (rnd(2))
		vcpu_poll(&port, 1, now_ns() + rnd(200) * SIM_US);
	else
		vcpu_block();
}

/* The first guest keeps the others going, for these may wait for events alone. */
static void guest_prods(struct guest *g)
{
	struct guest *other = &guests[1 + rnd(NR_VCPUS - 1)];

	if (rnd(4)) {
		post(&other->v);
		return;
	}
	vcpu_pause(&other->v);
	BUG_ON(atomic_load(&other->on_cpus));
	BUG_ON(other->v.regs.rip != atomic_load(&other->steps));
	vcpu_unpause(&other->v);
}

/* One turn in the guest.  True: it made a hypercall, so it passes the return path. */
static bool guest_step(struct guest *g)
{
	bool hypercall = true;

	BUG_ON(atomic_add(&g->on_cpus, 1) != 1);
	atomic_xchg(&g->info.evtchn_upcall_pending, 0);
	cpu_rip++;
	BUG_ON(atomic_add(&g->steps, 1) != cpu_rip);
	BUG_ON(atomic_sub(&g->on_cpus, 1) != 0);
	switch (rnd(6)) {
	case 0:
		hypercall = false;	/* computes */
		break;
	case 1:
		vcpu_yield();
		break;
	case 2:
		guest_sleeps(g);
		break;
	case 3:
		post(&guests[rnd(NR_VCPUS)].v);
		break;
	default:
		if (g == guests)
			guest_prods(g);
		else if (g->waits_for_event)
			vcpu_block();
		break;
	}
	return hypercall;
}

static bool interrupted(unsigned int cpu)
{
	bool any = atomic_xchg(&kicked[cpu], false);

	if (deadlines[cpu] && deadlines[cpu] <= now_ns()) {
		deadlines[cpu] = 0;
		softirq_raise(SOFTIRQ_TIMER);
		any = true;
	}
	return any;
}

/* Also what a vCPU that was just entered passes: its own way back to the guest. */
static void return_path(unsigned int cpu)
{
	while (atomic_load(&percpu[cpu].softirq_pending))
		if (!setjmp(cpu_exit))
			softirq_run();
}

static void cpu_turn(unsigned int cpu)
{
	bool enter = false;

	if (current->is_idle)
		sched_yield();
	else
		enter = guest_step((struct guest *)current);
	if (interrupted(cpu) || enter)
		return_path(cpu);
}

static void *cpu_thread(void *arg)
{
	unsigned int cpu = (unsigned int)(uintptr_t)arg;

	fake_cpu = cpu;
	fake_cpu_info[cpu].cpu = cpu;
	seed = cpu + 1;
	sched_init_cpu(cpu);
	atomic_add(&cpus_up, 1);
	while (!atomic_load(&stop))
		cpu_turn(cpu);
	return NULL;
}

static void guests_create(void)
{
	dom.shared_info = &shared;
	dom.sched_warp = true;
	dom.sched_weight = 256;
	for (unsigned int i = 0; i < NR_VCPUS; i++) {
		struct guest *g = &guests[i];

		g->v.domain = &dom;
		g->v.id = i;
		g->v.info = &g->info;
		g->v.kernel_mode = true;
		g->waits_for_event = i % 2;
		dom.vcpu[i] = &g->v;
		assert_int_equal(sched_vcpu_init(&g->v), 0);
	}
	dom.max_vcpus = NR_VCPUS;
}

static void test_threads(void **state)
{
	pthread_t threads[NR_CPUS];
	const struct timespec half = { .tv_nsec = RUN_NS / 2 };

	timer_subsys_init();
	sched_init();
	for (uintptr_t cpu = 0; cpu < NR_CPUS; cpu++)
		pthread_create(&threads[cpu], NULL, cpu_thread, (void *)cpu);
	while (atomic_load(&cpus_up) < NR_CPUS)
		sched_yield();
	fake_cpu = MAX_CPUS - 1;	/* this thread is none of them: it only raises */
	fake_cpu_info[fake_cpu].cpu = MAX_CPUS - 1;
	guests_create();
	for (unsigned int i = 0; i < NR_VCPUS; i++) {
		guests[i].v.sched.processor = i % NR_CPUS;
		vcpu_clear_pause(&guests[i].v, PAUSE_DOWN);
	}
	nanosleep(&half, NULL);
	for (unsigned int i = 0; i < NR_VCPUS; i++)
		guests[i].steps_at_half = atomic_load(&guests[i].steps);
	nanosleep(&half, NULL);
	atomic_store(&stop, true);
	for (unsigned int cpu = 0; cpu < NR_CPUS; cpu++)
		pthread_join(threads[cpu], NULL);
	for (unsigned int i = 0; i < NR_VCPUS; i++) {
		const struct guest *g = &guests[i];

		print_message("vCPU %u: %lu steps, %lu in the second half\n", i, g->steps,
			      g->steps - g->steps_at_half);
		assert_true(g->steps_at_half > 0);
		assert_true(g->steps > g->steps_at_half);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_threads) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
