// SPDX-License-Identifier: Apache-2.0
/* Waiting for an interrupt. */
#include <pv/sched.h>

void cpu_idle_wait(void)
{
	/* STI takes effect after the next instruction (SDM 2B, STI), so an interrupt that came
	 * since softirqs were last looked at ends the HLT instead of slipping in before it. */
	__asm__ __volatile__("sti; hlt; cli" ::: "memory");
}
