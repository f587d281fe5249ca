/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After x86/start.c: the machine is known, all CPUs run on idle_l4.  From here on the
 * portable part starts, in the order each piece needs the one before.
 */
#include <pv/console.h>
#include <pv/domain.h>
#include <pv/irq.h>
#include <pv/lib.h>
#include <pv/build0.h>

static bool scheduler_ready;

void hypervisor_main(void)
{
	unsigned int cpu;

	frame_table_init();
	dom0_reserve_memory();
	heap_init();
	timer_subsys_init();
	sched_init();
	sched_init_cpu(0);
	pirq_init();
	dom0_build();
	paging_seal(heap_add_range);
	atomic_store(&scheduler_ready, true);
	for (cpu = 1; cpu < nr_cpus; cpu++)
		smp_send_kick(cpu);
	pr_info("starting dom0\n");
	domain_unpause_by_tool(dom0);
	sched_start();
}

/* Asleep until the boot CPU kicks; requests to flush come as interrupts, too. */
void secondary_main(void)
{
	while (!atomic_load(&scheduler_ready))
		cpu_idle_wait();
	sched_init_cpu(cpu_id());
	sched_start();
}
