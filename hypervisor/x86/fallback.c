/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weak stand-ins for the modules above the machine layer, so that x86/ and lib/
 * alone link and boot: tests of the machine layer are built that way.
 */
#include <pv/io.h>
#include <pv/lib.h>
#include <pv/mm.h>
#include <pv/platform.h>
#include <pv/percpu.h>
#include <pv/spinlock.h>

#define __weak __attribute__((weak))

__weak struct frame *frame_table;
__weak uint64_t *m2p;

__weak void desc_init_cpu(unsigned int cpu)
{
}

__weak void irq_handle_gsi(unsigned int gsi)
{
}

__weak void console_rx(char c)
{
}

__weak void tlb_write_cr3(uint64_t cr3)
{
	WRITE_CR(3, cr3);
}

__weak void *page_alloc(void)
{
	return NULL;
}

__weak void hypervisor_main(void)
{
	pr_info("machine layer only: nothing to run, halting");
	machine_halt();
}

__weak void secondary_main(void)
{
	for (;;) {
		smp_poll();
		__builtin_ia32_pause();
	}
}
