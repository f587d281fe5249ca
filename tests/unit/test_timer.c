// SPDX-License-Identifier: Apache-2.0
/*
 * Timers against a naive twin: an array of expiry times.  Whatever random sets
 * and stops from random CPUs came before, a timer fires exactly once, when the
 * clock has reached its time and not earlier, on the CPU that set it last, and
 * timers of one CPU fire in order.
 */
#include <pv/lib.h>

#include "tests/unit/fake/fake_sched.h"

#include <setjmp.h>
#include <stdlib.h>
#include <cmocka.h>

#define NR	200

struct probe {
	struct timer t;
	s_time_t twin;		/* expected expiry, 0 = not pending */
	unsigned int twin_cpu;
	unsigned int fired;
};
static struct probe probes[NR];
static s_time_t last_expiry[4];

static void probe_fired(void *data)
{
	struct probe *p = data;

	assert_true(p->twin != 0);
	assert_true(sim_now >= p->twin);
	assert_int_equal(p->t.expires, p->twin);
	assert_int_equal(fake_cpu, p->twin_cpu);
	assert_true(p->twin >= last_expiry[fake_cpu]);
	assert_false(timer_is_pending(&p->t));
	last_expiry[fake_cpu] = p->twin;
	p->twin = 0;
	p->fired++;
}

static void probe_set(struct probe *p, unsigned int cpu, s_time_t when)
{
	fake_cpu = cpu;
	timer_set(&p->t, when);
	fake_cpu = 0;
	p->twin = when;
	p->twin_cpu = cpu;
}

static void check_none_overdue(void)
{
	for (unsigned int i = 0; i < NR; i++) {
		assert_true(!probes[i].twin || probes[i].twin > sim_now);
		assert_int_equal(timer_is_pending(&probes[i].t), probes[i].twin != 0);
	}
}

static void test_random_against_twin(void **state)
{
	unsigned int fired = 0;

	srand(1);
	sim_start(4, SIM_S);
	for (unsigned int i = 0; i < NR; i++)
		timer_init(&probes[i].t, probe_fired, &probes[i]);
	for (unsigned int round = 0; round < 3000; round++) {
		for (unsigned int n = (unsigned int)rand() % 20; n; n--) {
			struct probe *p = &probes[rand() % NR];
			s_time_t when = sim_now + 1 + rand() % (1 + round % 5000);

			if (rand() % 4) {
				probe_set(p, (unsigned int)rand() % 4, when);
			} else {
				timer_stop(&p->t);
				p->twin = 0;
			}
		}
		memset(last_expiry, 0, sizeof(last_expiry));
		sim_run_for(rand() % 300);
		check_none_overdue();
	}
	for (unsigned int i = 0; i < NR; i++) {
		fired += probes[i].fired;
		timer_kill(&probes[i].t);
	}
	assert_true(fired > 10000);
}

static unsigned int rearmed;

static void rearm_fired(void *data)
{
	rearmed++;
	timer_set(data, sim_now + 100);
}

static void test_rearm_in_callback(void **state)
{
	struct timer t;

	sim_start(1, SIM_S);
	rearmed = 0;
	timer_init(&t, rearm_fired, &t);
	timer_set(&t, sim_now + 100);
	sim_run_for(1000);
	assert_int_equal(rearmed, 10);
	timer_kill(&t);
	timer_set(&t, sim_now + 1);	/* killed: ignored */
	assert_false(timer_is_pending(&t));
	sim_run_for(1000);
	assert_int_equal(rearmed, 10);
	timer_init(&t, rearm_fired, &t);	/* and back */
	timer_set(&t, sim_now + 100);
	sim_run_for(100);
	assert_int_equal(rearmed, 11);
	timer_kill(&t);
}

static void test_past_fires_at_once(void **state)
{
	struct timer t;

	sim_start(2, SIM_S);
	rearmed = 0;
	timer_init(&t, rearm_fired, &t);
	timer_set(&t, 5);
	sim_run_for(1);
	assert_int_equal(rearmed, 1);
	timer_kill(&t);
}

/* timer_kill() while the callback runs on another CPU: it returns after the callback has. */
static struct timer victim;
static bool callback_left;
static unsigned int polls;

static void kill_from_cpu1(void)
{
	if (++polls == 3)
		callback_left = true;
}

static jmp_buf killed;

static void killer_gave_up(void)
{
	kill_from_cpu1();
	if (callback_left)
		longjmp(killed, 1);
}

static void slow_callback(void *data)
{
	/* In the middle of the callback on CPU 0, CPU 1 kills the timer.  One thread cannot let
	 * both proceed, so the test proves that the killer is still waiting here. */
	sim_poll_hook = killer_gave_up;
	fake_cpu = 1;
	if (!setjmp(killed)) {
		timer_kill(&victim);
		fail_msg("timer_kill() returned while the callback was running");
	}
	fake_cpu = 0;
	sim_poll_hook = NULL;
	timer_set(&victim, sim_now + 10);	/* killed by then: ignored */
}

static void test_kill_waits_for_callback(void **state)
{
	sim_start(2, SIM_S);
	polls = 0;
	callback_left = false;
	timer_init(&victim, slow_callback, NULL);
	timer_set(&victim, sim_now + 10);
	sim_run_for(20);
	assert_true(callback_left);
	assert_false(timer_is_pending(&victim));
	fake_cpu = 1;
	timer_kill(&victim);	/* now it returns */
	fake_cpu = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_against_twin),
		cmocka_unit_test(test_rearm_in_callback),
		cmocka_unit_test(test_past_fires_at_once),
		cmocka_unit_test(test_kill_waits_for_callback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
