/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which CPUs may still hold a translation.
 *
 * A frame may change its type, or its owner, only when no CPU can still use an
 * old translation of it.  Instead of flushing at each change, the frame keeps
 * the value of a clock from the moment its last mapping went; a CPU that wrote
 * CR3 since then holds nothing older (neither PCID nor global pages are used
 * for guests).  The clock is 32 bits and compared by signed difference: an
 * answer wrong by age can only be a flush too many, as long as no CPU runs one
 * guest for 2^31 flushes of the others without writing CR3 once; each guest
 * tick writes it.
 */
#include <pv/io.h>
#include <pv/mm.h>
#include <pv/percpu.h>

static uint32_t tlb_clock;
static uint32_t last_flush[MAX_CPUS];
static uint64_t guest_cpus;		/* CPUs that have a guest's tables loaded, or are about to */

uint32_t tlb_stamp(void) { return ACCESS_ONCE(tlb_clock); }

/* The clock first: a stamp that is older than the tick was taken before the flush. */
void tlb_write_cr3(uint64_t cr3)
{
	uint32_t now = atomic_add(&tlb_clock, 1);

	WRITE_CR(3, cr3);
	ACCESS_ONCE(last_flush[cpu_id()]) = now;
}

/* A CPU on idle_l4 holds nothing: loading that flushed what it had, and since then it walked no
 * guest's tables.  The bit is set before CR3 is written; who looks for it unmapped before. */
void tlb_guest_tables(bool loaded)
{
	uint64_t me = BIT(cpu_id());

	if (!!(ACCESS_ONCE(guest_cpus) & me) == loaded)
		return;
	if (loaded)
		atomic_or(&guest_cpus, me);
	else
		atomic_and(&guest_cpus, ~me);
}

void tlb_flush_stale(uint64_t mask, uint32_t stamp)
{
	uint64_t need = 0, holders = mask & ACCESS_ONCE(guest_cpus);
	unsigned int cpu;

	for (cpu = 0; cpu < nr_cpus; cpu++)
		if ((holders >> cpu & 1) && (int32_t)(ACCESS_ONCE(last_flush[cpu]) - stamp) <= 0)
			need |= BIT(cpu);
	if (need)
		tlb_flush_mask(need);
}
