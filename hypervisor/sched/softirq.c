// SPDX-License-Identifier: Apache-2.0
/*
 * Softirqs: work asked for where it cannot be done at once.
 *
 * Invariant: a bit set in a CPU's softirq_pending is looked at before that CPU
 * enters a guest or halts.  Raising on another CPU therefore needs an interrupt
 * only when that CPU may be in a guest or halted, and one interrupt is enough
 * until the bit has been taken.
 *
 * A handler may not return: scheduling enters another vCPU.  So nothing of
 * softirq_run() lives across a call but the pending bits themselves.
 */
#include <pv/lib.h>
#include <pv/percpu.h>
#include <pv/platform.h>

static softirq_fn handlers[SOFTIRQ_NR];

void softirq_register(unsigned int nr, softirq_fn fn)
{
	BUG_ON(nr >= SOFTIRQ_NR);
	handlers[nr] = fn;
}

void softirq_raise_on(unsigned int cpu, unsigned int nr)
{
	if (test_and_set_bit(nr, &percpu[cpu].softirq_pending))
		return;		/* whoever set it kicked, or is that CPU itself */
	if (cpu != cpu_id())
		smp_send_kick(cpu);
}

void softirq_run(void)
{
	struct percpu *me = this_cpu();
	uint64_t pending;

	while ((pending = atomic_load(&me->softirq_pending)) != 0) {
		unsigned int nr = (unsigned int)__builtin_ctzl(pending);

		/* Cleared before the call: what is raised meanwhile runs again. */
		clear_bit(nr, &me->softirq_pending);
		if (nr < SOFTIRQ_NR && handlers[nr])
			handlers[nr]();
	}
}
