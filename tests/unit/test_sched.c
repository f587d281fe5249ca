// SPDX-License-Identifier: Apache-2.0
/*
 * The scheduler on a simulated machine: shares, latency, no idle CPU while
 * somebody waits, pausing, and the lost-wake-up races, each written out in the
 * order in which it would go wrong.
 */
#include <pv/errno.h>
#include <pv/lib.h>
#include <pv/platform.h>

#include "tests/unit/fake/fake_sched.h"

#include <setjmp.h>
#include <stdlib.h>
#include <cmocka.h>

#define assert_share(ran, total, permille, tolerance) \
	assert_in_range((uint64_t)(ran) * 1000 / (uint64_t)(total), (permille) - (tolerance), \
			(permille) + (tolerance))

static int machine_stop(void **state)
{
	sim_stop();
	return 0;
}

/* --- shares --------------------------------------------------------------------------- */

static void test_equal_shares(void **state)
{
	struct sim_vcpu *s[3];

	sim_start(1, SIM_S);
	for (int i = 0; i < 3; i++)
		sim_up(s[i] = sim_add_hog(256));
	sim_run_for(10 * SIM_S);
	for (int i = 0; i < 3; i++)
		assert_share(s[i]->ran_ns, 10 * SIM_S, 333, 2);
}

static void test_weights(void **state)
{
	struct sim_vcpu *a, *b, *c;

	sim_start(1, SIM_S);
	sim_up(a = sim_add_hog(256));
	sim_up(b = sim_add_hog(512));
	sim_run_for(9 * SIM_S);
	assert_share(a->ran_ns, 9 * SIM_S, 333, 2);
	assert_share(b->ran_ns, 9 * SIM_S, 667, 2);
	/* changed while they run */
	assert_int_equal(sched_set_params(&a->d, 0, true), -EINVAL);
	assert_int_equal(sched_set_params(&a->d, 65536, true), -EINVAL);
	assert_int_equal(sched_set_params(&a->d, 1536, true), 0);
	sim_up(c = sim_add_hog(1024));
	a->ran_ns = b->ran_ns = 0;
	sim_run_for(12 * SIM_S);
	assert_share(a->ran_ns, 12 * SIM_S, 500, 5);
	assert_share(b->ran_ns, 12 * SIM_S, 167, 5);
	assert_share(c->ran_ns, 12 * SIM_S, 333, 5);
}

static void test_two_cpus_three_hogs(void **state)
{
	struct sim_vcpu *s[3];

	sim_start(2, SIM_S);
	for (int i = 0; i < 3; i++)
		sim_up(s[i] = sim_add_hog(256));
	sim_run_for(9 * SIM_S);
	for (int i = 0; i < 3; i++)
		assert_share(s[i]->ran_ns, 9 * SIM_S, 667, 4);
	assert_true(sched_cpu_idle_ns(0) + sched_cpu_idle_ns(1) < SIM_MS);
}

/* More weight than one CPU is worth must not save up a claim against who comes later. */
static void test_too_heavy_for_one_cpu(void **state)
{
	struct sim_vcpu *heavy, *b, *c, *late;

	sim_start(2, SIM_S);
	sim_up(heavy = sim_add_hog(4096));
	sim_up(b = sim_add_hog(256));
	sim_up(c = sim_add_hog(256));
	sim_run_for(20 * SIM_S);
	assert_share(heavy->ran_ns, 20 * SIM_S, 1000, 10);
	assert_share(b->ran_ns, 20 * SIM_S, 500, 10);
	sim_up(late = sim_add_hog(256));
	b->ran_ns = c->ran_ns = 0;
	sim_run_for(3 * SIM_S);
	assert_share(b->ran_ns, 3 * SIM_S, 333, 30);
	assert_share(c->ran_ns, 3 * SIM_S, 333, 30);
	assert_share(late->ran_ns, 3 * SIM_S, 333, 30);
	/* and when it is heavy no more, it is not owed 20 seconds */
	assert_int_equal(sched_set_params(&heavy->d, 256, true), 0);
	heavy->ran_ns = b->ran_ns = 0;
	sim_run_for(2 * SIM_S);
	assert_share(heavy->ran_ns, 2 * SIM_S, 500, 30);
	assert_share(b->ran_ns, 2 * SIM_S, 500, 30);
}

/* Who ran alone for long owes nobody anything for that; who slept has saved up nothing. */
static void test_late_comer(void **state)
{
	struct sim_vcpu *a, *b, *c;

	sim_start(1, SIM_S);
	c = sim_add_hog(256);
	sim_up(a = sim_add_hog(256));
	sim_run_for(100 * SIM_S);
	sim_up(b = sim_add_hog(256));
	a->ran_ns = 0;
	sim_run_for(SIM_S);
	assert_share(a->ran_ns, SIM_S, 500, 20);
	sim_up(c);
	a->ran_ns = b->ran_ns = 0;
	sim_run_for(SIM_S);
	assert_share(a->ran_ns, SIM_S, 333, 20);
	assert_share(b->ran_ns, SIM_S, 333, 20);
}

static void run_a_bit(struct sim_vcpu *s)
{
	s->left_ns = s->burst_ns;
	assert_int_equal(do_sched_op(SCHEDOP_yield, 0, 0), 0);
}

static void test_yield(void **state)
{
	struct sim_vcpu *spinner, *holder;

	sim_start(1, SIM_S);
	sim_up(spinner = sim_add(256, 10 * SIM_US, run_a_bit));
	sim_run_for(SIM_MS);
	assert_true(spinner->ran_ns == SIM_MS);	/* alone, yielding costs nothing */
	sim_up(holder = sim_add_hog(256));
	sim_run_for(SIM_S);
	assert_true(holder->ran_ns > 950 * SIM_MS);
	assert_true(spinner->ran_ns > SIM_MS);	/* but it gets its turns */
}

/* --- latency ---------------------------------------------------------------------------- */

static void test_sleeper_beside_hogs(void **state)
{
	struct sim_vcpu *tick;

	sim_start(1, SIM_S);
	for (int i = 0; i < 3; i++)
		sim_up(sim_add_hog(256));
	sim_up(tick = sim_add_sleeper(256, 2 * SIM_MS, 100 * SIM_US));
	sim_run_for(5 * SIM_S);
	assert_in_range(tick->nr_wakes, 2490, 2501);
	assert_true(tick->worst_wake_ns <= 200 * SIM_US);
}

static void test_sleeper_on_idle_cpu(void **state)
{
	struct sim_vcpu *tick;

	sim_start(2, SIM_S);
	sim_up(sim_add_hog(256));
	sim_up(tick = sim_add_sleeper(256, 2 * SIM_MS, 100 * SIM_US));
	sim_run_for(SIM_S);
	assert_in_range(tick->nr_wakes, 499, 501);
	assert_true(tick->worst_wake_ns == 0);
}

/* A guest with a 2 ms tick beside a domain 0 that is woken for each packet and busy nine tenths
 * of the time, as while it sends a guest's memory. */
static void test_sleeper_beside_busy_dom0(void **state)
{
	struct sim_vcpu *tick, *busy;

	sim_start(1, SIM_S);
	sim_up(busy = sim_add_sleeper(256, SIM_MS, 900 * SIM_US));
	sim_up(tick = sim_add_sleeper(256, 2 * SIM_MS, 150 * SIM_US));
	sim_run_for(5 * SIM_S);
	assert_in_range(tick->nr_wakes, 2490, 2501);
	assert_true(tick->worst_wake_ns <= 1500 * SIM_US);
	assert_share(busy->ran_ns, 5 * SIM_S, 900, 30);
}

/* Waking often is no way to get more than one's share. */
static void test_warp_is_paid_back(void **state)
{
	struct sim_vcpu *greedy, *hog;

	sim_start(1, SIM_S);
	sim_up(hog = sim_add_hog(256));
	sim_up(greedy = sim_add_sleeper(256, SIM_MS, 990 * SIM_US));
	sim_run_for(10 * SIM_S);
	assert_share(hog->ran_ns, 10 * SIM_S, 500, 15);
	assert_share(greedy->ran_ns, 10 * SIM_S, 500, 15);
}

static s_time_t last_progress, longest_gap;

static void note_progress(struct sim_vcpu *s)
{
	longest_gap = max(longest_gap, sim_now - last_progress);
	last_progress = sim_now;
	s->left_ns = s->burst_ns;
}

/* Someone who is woken for long work does not keep the CPU for all of it. */
static void test_warp_is_limited(void **state)
{
	struct sim_vcpu *hog;

	sim_start(1, SIM_S);
	hog = sim_add(256, 50 * SIM_US, note_progress);
	assert_int_equal(sched_set_params(&hog->d, 256, false), 0);
	sim_up(hog);
	sim_run_for(SIM_MS);
	sim_up(sim_add_sleeper(256, 100 * SIM_MS, 40 * SIM_MS));
	longest_gap = 0;
	sim_run_for(5 * SIM_S);
	assert_true(longest_gap > SIM_MS);
	assert_true(longest_gap <= 6 * SIM_MS);
}

static void test_two_sleepers_share_one_cpu(void **state)
{
	struct sim_vcpu *s[4];

	sim_start(1, SIM_S);
	for (int i = 0; i < 4; i++)
		sim_up(s[i] = sim_add_sleeper(256, 2 * SIM_MS, 200 * SIM_US));
	sim_up(sim_add_hog(256));
	sim_run_for(4 * SIM_S);
	for (int i = 0; i < 4; i++) {
		assert_in_range(s[i]->nr_wakes, 1990, 2001);
		assert_true(s[i]->worst_wake_ns <= 1100 * SIM_US);
	}
}

/* --- anything goes ---------------------------------------------------------------------- */

/* sim_settle() checks after every step: nobody on two CPUs, no CPU idle beside a waiting vCPU. */
static void test_random(void **state)
{
	struct sim_vcpu *s[12];
	s_time_t start;

	srand(7);
	sim_start(3, SIM_S);
	start = sim_now;
	for (int i = 0; i < 12; i++)
		s[i] = i % 3 ? sim_add_sleeper(64u << (i % 5), (1 + i) * SIM_MS, i * 150 * SIM_US) :
			sim_add_hog(64u << (i % 5));
	for (int round = 0; round < 20000; round++) {
		struct sim_vcpu *v = s[rand() % 12];

		fake_cpu = (unsigned int)rand() % 3;
		switch (rand() % 6) {
		case 0:
			sim_up(v);
			break;
		case 1:
			vcpu_set_pause(&v->v, PAUSE_DOWN);
			break;
		case 2:
			if (&v->v != current)
				vcpu_pause(&v->v);
			else
				vcpu_pause_nosync(&v->v);
			sim_run_for(rand() % 50 * SIM_US);
			assert_false(v->v.sched.running);
			vcpu_unpause(&v->v);
			break;
		case 3:
			sched_set_params(&v->d, 1u << rand() % 16, rand() % 2);
			break;
		default:
			sim_event(&v->v);
			break;
		}
		fake_cpu = 0;
		sim_run_for(rand() % 400 * SIM_US);
	}
	for (int i = 0; i < 12; i++) {
		struct vcpu_runstate_info r;

		runstate_get(&s[i]->v, &r);
		assert_int_equal(r.time[0] + r.time[1] + r.time[2] + r.time[3], sim_now - start);
		assert_int_equal(r.time[RUNSTATE_running], s[i]->ran_ns);
	}
}

/* --- pausing ------------------------------------------------------------------------------ */

static void test_pause_counts(void **state)
{
	struct sim_vcpu *a;

	sim_start(2, SIM_S);
	sim_up(a = sim_add_hog(256));
	sim_run_for(SIM_MS);
	assert_true(a->v.sched.running);
	fake_cpu = a->v.sched.processor ^ 1;
	domain_pause(&a->d);
	assert_false(a->v.sched.running);	/* at once: its CPU was waited for */
	vcpu_pause(&a->v);
	vcpu_unpause(&a->v);
	sim_run_for(SIM_MS);
	assert_false(a->v.sched.running);
	domain_unpause(&a->d);
	sim_run_for(SIM_MS);
	assert_true(a->v.sched.running);
	assert_int_equal(a->ran_ns, 2 * SIM_MS);
}

/* --- blocking ------------------------------------------------------------------------------ */

static struct sim_vcpu *lone(void)
{
	struct sim_vcpu *a;

	sim_start(2, SIM_S);
	sim_up(a = sim_add_hog(256));
	sim_settle();
	fake_cpu = a->v.sched.processor;
	assert_ptr_equal(current, &a->v);
	return a;
}

static void test_block_and_event(void **state)
{
	struct sim_vcpu *a = lone();

	a->info.evtchn_upcall_mask = 1;
	assert_int_equal(do_sched_op(SCHEDOP_block, 0, 0), 0);
	assert_int_equal(a->info.evtchn_upcall_mask, 0);
	sim_run_for(SIM_MS);
	assert_false(a->v.sched.running);
	assert_int_equal(a->v.sched.runstate.state, RUNSTATE_blocked);
	sim_event(&a->v);
	sim_settle();
	assert_true(a->v.sched.running);
}

/* The event comes before the block, masked: unmasking must find it. */
static void test_block_finds_pending(void **state)
{
	struct sim_vcpu *a = lone();

	a->info.evtchn_upcall_mask = 1;
	sim_event(&a->v);
	assert_int_equal(do_sched_op(SCHEDOP_block, 0, 0), 0);
	sim_settle();
	assert_true(a->v.sched.running);
}

/* The event comes after the mark but before the CPU has been given up. */
static void test_event_between_mark_and_schedule(void **state)
{
	struct sim_vcpu *a = lone();
	unsigned int cpu = fake_cpu;

	assert_int_equal(do_sched_op(SCHEDOP_block, 0, 0), 0);
	fake_cpu = cpu ^ 1;
	sim_event(&a->v);
	sim_settle();
	assert_true(a->v.sched.running);
}

/*
 * Woken while its CPU has chosen another but not yet saved its registers: an idle CPU that comes
 * for it has to leave it, and must be told when it can be had.
 */
static struct sim_vcpu *blocker, *neighbour;

static void wake_in_the_window(struct vcpu *prev)
{
	assert_ptr_equal(prev, &blocker->v);
	fake_cpu = neighbour->v.sched.processor;
	assert_int_not_equal(fake_cpu, prev->sched.processor);
	sim_event(prev);
	assert_true(prev->sched.queued && prev->sched.running);
	neighbour->info.evtchn_upcall_pending = 0;
	assert_int_equal(do_sched_op(SCHEDOP_block, 0, 0), 0);
	sim_cpu_softirqs(fake_cpu);
	assert_true(current->is_idle);
	fake_cpu = prev->sched.processor;
}

static void test_wake_before_registers_are_saved(void **state)
{
	struct sim_vcpu *third;

	sim_start(2, SIM_S);
	sim_up(blocker = sim_add_hog(256));
	sim_up(neighbour = sim_add_hog(256));
	sim_settle();
	sim_up(third = sim_add_hog(256));
	sim_settle();
	assert_true(blocker->v.sched.running && neighbour->v.sched.running);
	assert_true(third->v.sched.queued);
	fake_cpu = blocker->v.sched.processor;
	assert_int_equal(do_sched_op(SCHEDOP_block, 0, 0), 0);
	sim_switch_hook = wake_in_the_window;
	sim_settle();
	assert_true(third->v.sched.running);
	assert_true(blocker->v.sched.running);
	assert_int_equal(blocker->v.sched.processor, neighbour->v.sched.processor);
}

/* Not blocked, in the guest on another CPU: it must be interrupted to see the event. */
static void test_event_kicks_running(void **state)
{
	struct sim_vcpu *a = lone();
	unsigned int before = sim_kicks;

	sim_event(&a->v);
	assert_int_equal(sim_kicks, before);	/* on its own CPU it passes the return path */
	fake_cpu ^= 1;
	sim_event(&a->v);
	assert_int_equal(sim_kicks, before + 1);
}

static long poll_ports(evtchn_port_t *ports, unsigned int nr, uint64_t timeout)
{
	struct sched_poll p = { .nr_ports = nr, .timeout = timeout };

	p.ports.p = ports;
	return do_sched_op(SCHEDOP_poll, (uint64_t)&p, 0);
}

static void test_poll(void **state)
{
	struct sim_vcpu *a = lone();
	evtchn_port_t ports[2] = { 70, 3 };
	unsigned int cpu = fake_cpu;

	/* pending already, though masked: no wait */
	a->info.evtchn_upcall_mask = 1;
	set_bit(3, a->shared.evtchn_pending);
	assert_int_equal(poll_ports(ports, 2, 0), 0);
	sim_settle();
	assert_true(a->v.sched.running);
	assert_int_equal(a->v.poll_mask_ports, 0);

	/* not pending: waits, and says which ports */
	clear_bit(3, a->shared.evtchn_pending);
	assert_int_equal(poll_ports(ports, 2, 0), 0);
	sim_run_for(SIM_S);
	assert_false(a->v.sched.running);
	assert_int_equal(a->v.poll_mask_ports, 2);
	assert_int_equal(a->v.poll_ports[0], 70);
	set_bit(70, a->shared.evtchn_pending);
	vcpu_unblock(&a->v);
	sim_settle();
	assert_true(a->v.sched.running);
	assert_int_equal(a->v.poll_mask_ports, 0);

	/* the time-out ends it, not earlier; and is forgotten when an event was first */
	clear_bit(70, a->shared.evtchn_pending);
	fake_cpu = cpu;
	assert_int_equal(poll_ports(ports, 2, (uint64_t)sim_now + SIM_MS), 0);
	sim_run_for(SIM_MS - 1);
	assert_false(a->v.sched.running);
	sim_run_for(1);
	assert_true(a->v.sched.running);
	fake_cpu = a->v.sched.processor;
	assert_int_equal(poll_ports(ports, 2, (uint64_t)sim_now + SIM_MS), 0);
	sim_settle();
	vcpu_unblock(&a->v);
	sim_settle();
	assert_false(timer_is_pending(&a->v.sched.poll));

	/* a time-out in the past does not wait */
	fake_cpu = a->v.sched.processor;
	assert_int_equal(poll_ports(ports, 2, 1), 0);
	sim_settle();
	assert_true(a->v.sched.running);
}

static void test_poll_refuses(void **state)
{
	struct sim_vcpu *a = lone();
	evtchn_port_t bad = EVTCHN_MAX_PORTS;

	assert_int_equal(poll_ports(&bad, 1, 0), -EINVAL);
	assert_int_equal(poll_ports(&bad, 129, 0), -EINVAL);
	assert_int_equal(poll_ports(&bad, ~0u, 0), -EINVAL);
	assert_int_equal(poll_ports(NULL, 1, 0), -EFAULT);
	assert_int_equal(do_sched_op(SCHEDOP_poll, 0, 0), -EFAULT);
	assert_int_equal(do_sched_op(SCHEDOP_watchdog, 0, 0), -ENOSYS);
	assert_int_equal(do_sched_op(12345, 0, 0), -ENOSYS);
	assert_int_equal(a->v.sched.pause_flags, 0);
}

static void test_shutdown(void **state)
{
	struct sim_vcpu *a = lone();
	struct sched_shutdown s = { .reason = SHUTDOWN_suspend };
	struct sched_remote_shutdown r = { .domain_id = a->d.id, .reason = SHUTDOWN_crash };

	assert_int_equal(do_sched_op(SCHEDOP_remote_shutdown, (uint64_t)&r, 0), -EPERM);
	a->d.privileged = true;
	r.domain_id = 999;
	assert_int_equal(do_sched_op(SCHEDOP_remote_shutdown, (uint64_t)&r, 0), -ESRCH);
	assert_int_equal(sim_shutdown_reason, -1);
	assert_int_equal(do_sched_op(SCHEDOP_shutdown, (uint64_t)&s, 0x1234), 0);
	assert_int_equal(sim_shutdown_reason, SHUTDOWN_suspend);
	sim_settle();
	assert_false(a->v.sched.running);
	assert_int_equal(a->v.sched.runstate.state, RUNSTATE_offline);
	sim_event(&a->v);	/* events do not revive it */
	sim_run_for(SIM_MS);
	assert_false(a->v.sched.running);
	vcpu_clear_pause(&a->v, PAUSE_SHUTDOWN);
	sim_settle();
	assert_true(a->v.sched.running);
}

/* --- vcpu_op ------------------------------------------------------------------------------- */

static void test_vcpu_life(void **state)
{
	struct sim_vcpu *a = lone();
	struct vcpu_guest_context ctx = { .user_regs.rip = 0x1000 };
	struct sim_vcpu *second = sim_add_hog(256);

	/* a second vCPU of the same domain */
	second->v.domain = &a->d;
	second->v.id = 1;
	a->d.vcpu[1] = &second->v;
	a->d.max_vcpus = 2;
	assert_int_equal(do_vcpu_op(VCPUOP_is_up, 0, 0), 1);
	assert_int_equal(do_vcpu_op(VCPUOP_is_up, 1, 0), 0);
	assert_int_equal(do_vcpu_op(VCPUOP_is_up, 2, 0), -ENOENT);
	assert_int_equal(do_vcpu_op(VCPUOP_is_up, 8191, 0), -ENOENT);
	assert_int_equal(do_vcpu_op(VCPUOP_up, 1, 0), -EINVAL);
	assert_int_equal(do_vcpu_op(VCPUOP_initialise, 1, 0), -EFAULT);
	assert_int_equal(do_vcpu_op(VCPUOP_initialise, 1, (uint64_t)&ctx), 0);
	assert_int_equal(do_vcpu_op(VCPUOP_initialise, 1, (uint64_t)&ctx), -EEXIST);
	assert_int_equal(do_vcpu_op(VCPUOP_up, 1, 0), 0);
	assert_int_equal(do_vcpu_op(VCPUOP_is_up, 1, 0), 1);
	sim_run_for(SIM_MS);
	assert_true(second->ran_ns == SIM_MS);
	fake_cpu = a->v.sched.processor;
	assert_int_equal(do_vcpu_op(VCPUOP_down, 1, 0), 0);
	assert_int_equal(do_vcpu_op(VCPUOP_is_up, 1, 0), 0);
	sim_settle();
	assert_false(second->v.sched.running);
	assert_int_equal(sim_shutdown_reason, -1);
	/* the last one down turns the domain off */
	fake_cpu = a->v.sched.processor;
	assert_int_equal(do_vcpu_op(VCPUOP_down, 0, 0), 0);
	assert_int_equal(sim_shutdown_reason, SHUTDOWN_poweroff);
	a->d.max_vcpus = 1;
}

static void test_vcpu_timers(void **state)
{
	struct sim_vcpu *a = lone();
	struct vcpu_set_singleshot_timer one = { .timeout_abs_ns = (uint64_t)sim_now + SIM_MS };
	struct vcpu_set_periodic_timer every = { .period_ns = 999999 };

	assert_int_equal(do_vcpu_op(VCPUOP_set_singleshot_timer, 0, (uint64_t)&one), 0);
	sim_run_for(SIM_MS - 1);
	assert_int_equal(sim_virqs, 0);
	sim_run_for(1);
	assert_int_equal(sim_virqs, 1);

	fake_cpu = a->v.sched.processor;
	assert_int_equal(do_vcpu_op(VCPUOP_set_singleshot_timer, 0, (uint64_t)&one), 0);
	assert_int_equal(sim_virqs, 2);		/* past: fired at once */
	one.flags = VCPU_SSHOTTMR_future;
	assert_int_equal(do_vcpu_op(VCPUOP_set_singleshot_timer, 0, (uint64_t)&one), -XEN_ETIME);
	one.timeout_abs_ns = (uint64_t)sim_now + SIM_MS;
	assert_int_equal(do_vcpu_op(VCPUOP_set_singleshot_timer, 0, (uint64_t)&one), 0);
	assert_int_equal(do_vcpu_op(VCPUOP_stop_singleshot_timer, 0, 0), 0);
	sim_run_for(2 * SIM_MS);
	assert_int_equal(sim_virqs, 2);

	fake_cpu = a->v.sched.processor;
	assert_int_equal(do_set_timer_op((uint64_t)sim_now + SIM_MS), 0);
	sim_run_for(SIM_MS);
	assert_int_equal(sim_virqs, 3);
	fake_cpu = a->v.sched.processor;
	assert_int_equal(do_set_timer_op((uint64_t)sim_now + SIM_MS), 0);
	assert_int_equal(do_set_timer_op(0), 0);
	assert_int_equal(do_vcpu_op(VCPUOP_set_periodic_timer, 0, (uint64_t)&every), -EINVAL);
	every.period_ns = ~0UL;
	assert_int_equal(do_vcpu_op(VCPUOP_set_periodic_timer, 0, (uint64_t)&every), -EINVAL);
	sim_run_for(2 * SIM_MS);
	assert_int_equal(sim_virqs, 3);
	every.period_ns = 2 * SIM_MS;
	fake_cpu = a->v.sched.processor;
	assert_int_equal(do_vcpu_op(VCPUOP_set_periodic_timer, 0, (uint64_t)&every), 0);
	sim_run_for(20 * SIM_MS);
	assert_int_equal(sim_virqs, 13);
	fake_cpu = a->v.sched.processor;
	assert_int_equal(do_vcpu_op(VCPUOP_stop_periodic_timer, 0, 0), 0);
	sim_run_for(20 * SIM_MS);
	assert_int_equal(sim_virqs, 13);
}

static void test_runstate_area(void **state)
{
	struct sim_vcpu *a = lone();
	struct vcpu_runstate_info area = { .state = 77 };
	struct vcpu_register_runstate_memory_area reg = { .addr.v = &area };

	assert_int_equal(do_vcpu_op(VCPUOP_register_runstate_memory_area, 0, (uint64_t)&reg), 0);
	assert_int_equal(area.state, RUNSTATE_running);
	a->d.vm_assist = BIT(VMASST_TYPE_runstate_update_flag);

	/* in user mode it cannot be written: later, when the kernel's tables are back */
	do_sched_op(SCHEDOP_block, 0, 0);
	sim_run_for(SIM_MS);
	a->v.kernel_mode = false;
	sim_event(&a->v);
	sim_settle();
	assert_true(a->v.sched.areas_stale);
	assert_int_equal(area.time[RUNSTATE_blocked], 0);
	a->v.kernel_mode = true;
	sched_update_areas(&a->v);
	assert_false(a->v.sched.areas_stale);
	assert_int_equal(area.time[RUNSTATE_blocked], SIM_MS);
	assert_int_equal(area.state_entry_time, sim_now);	/* update flag gone */

	/* preempted: other vCPUs of the guest see that it has no CPU */
	fake_cpu = a->v.sched.processor;
	sim_up(sim_add_hog(256));
	sim_up(sim_add_hog(256));
	for (int i = 0; i < 100 && a->v.sched.running; i++)
		sim_run_for(SIM_MS / 2);
	assert_false(a->v.sched.running);
	assert_int_equal(area.state, RUNSTATE_runnable);

	reg.addr.p = 0xffff800000000000UL;
	assert_ptr_not_equal(current, NULL);
	for (int i = 0; i < 100 && !a->v.sched.running; i++)
		sim_run_for(SIM_MS / 2);
	fake_cpu = a->v.sched.processor;
	assert_int_equal(do_vcpu_op(VCPUOP_register_runstate_memory_area, 0, (uint64_t)&reg),
			 -EFAULT);
	assert_int_equal(a->v.sched.runstate_gva, (uint64_t)&area);
}

/* --- time ------------------------------------------------------------------------------------ */

static void test_time_info(void **state)
{
	struct sim_vcpu *a = lone();
	struct vcpu_time_info *t = &a->info.time, before, area = { .version = 99 };
	struct vcpu_register_time_memory_area reg = { .addr.v = &area };
	uint64_t tsc, ns;

	/* written at the first schedule-in; the guest's formula gives now_ns() */
	assert_true(t->version != 0 && !(t->version & 1));
	tsc = rdtsc() - t->tsc_timestamp;
	ns = t->system_time + (uint64_t)(((unsigned __int128)(tsc << t->tsc_shift) *
					  t->tsc_to_system_mul) >> 32);
	assert_int_equal(ns, sim_now);
	assert_int_equal(t->flags, XEN_PVCLOCK_TSC_STABLE_BIT);

	/* right already: not written, not dirtied */
	before = *t;
	sim_dirty_marks = 0;
	pvclock_update(&a->v);
	assert_memory_equal(&before, t, sizeof(before));
	assert_int_equal(sim_dirty_marks, 0);

	/* overwritten by a restore or torn: written again under a new version */
	t->version = 7;
	t->tsc_to_system_mul++;
	pvclock_update(&a->v);
	assert_int_equal(t->version, 8);
	assert_int_equal(t->tsc_to_system_mul, before.tsc_to_system_mul);
	assert_int_equal(sim_dirty_marks, 1);

	/* the secondary area, and its end */
	assert_int_equal(do_vcpu_op(VCPUOP_register_vcpu_time_memory_area, 0, (uint64_t)&reg), 0);
	assert_int_equal(area.version, 2);
	assert_int_equal(area.tsc_to_system_mul, before.tsc_to_system_mul);
	reg.addr.v = NULL;
	assert_int_equal(do_vcpu_op(VCPUOP_register_vcpu_time_memory_area, 0, (uint64_t)&reg), 0);
	assert_int_equal(a->v.time_area_gva, 0);
}

static void test_wallclock(void **state)
{
	struct sim_vcpu *a = lone();
	uint32_t version;

	wallclock_boot_ns = 5000000000UL * SIM_S + 7;	/* after 2106: both halves of wc_sec */
	pvclock_init_domain(&a->d);
	version = a->shared.wc_version;
	assert_true(version && !(version & 1));
	assert_int_equal(a->shared.wc_sec | (uint64_t)a->shared.wc_sec_hi << 32, 5000000000UL);
	assert_int_equal(a->shared.wc_nsec, 7);

	assert_int_equal(pvclock_settime(1, SIM_S, 0), -EINVAL);
	assert_int_equal(pvclock_settime(~0UL, 0, 0), -EINVAL);
	assert_int_equal(pvclock_settime(1, 0, 2 * SIM_S), -EINVAL);
	assert_int_equal(a->shared.wc_version, version);
	assert_int_equal(pvclock_settime(1700000000, 500, (uint64_t)sim_now), 0);
	assert_int_equal(wallclock_now_ns(), 1700000000 * SIM_S + 500);
	assert_int_equal(a->shared.wc_version, version + 2);
	assert_int_equal(a->shared.wc_sec, 1700000000 - 1);
	assert_int_equal(a->shared.wc_nsec, 500);
}

#define T(f) cmocka_unit_test_teardown(f, machine_stop)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_equal_shares), T(test_weights), T(test_two_cpus_three_hogs),
		T(test_too_heavy_for_one_cpu), T(test_late_comer), T(test_yield),
		T(test_sleeper_beside_hogs), T(test_sleeper_on_idle_cpu),
		T(test_sleeper_beside_busy_dom0), T(test_warp_is_paid_back),
		T(test_warp_is_limited), T(test_two_sleepers_share_one_cpu), T(test_random),
		T(test_pause_counts), T(test_block_and_event), T(test_block_finds_pending),
		T(test_event_between_mark_and_schedule), T(test_event_kicks_running),
		T(test_wake_before_registers_are_saved),
		T(test_poll), T(test_poll_refuses), T(test_shutdown),
		T(test_vcpu_life), T(test_vcpu_timers), T(test_runstate_area),
		T(test_time_info), T(test_wallclock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
