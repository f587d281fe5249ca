/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What belongs to one physical CPU.
 *
 * Each CPU has one stack of CPU_STACK_SIZE bytes, aligned to its size; struct
 * cpu_info is at its very top, so any code finds it by masking RSP.  The guest's
 * registers are saved in cpu_info.guest_regs on each entry from ring 3; the TSS's
 * RSP0 and the SYSCALL stub point just above guest_regs' last word.  A vCPU has no
 * stack of its own: context_switch() copies guest_regs out and in, and nothing
 * of the hypervisor's C state survives it.
 */
#pragma once
#include <pv/abi.h>
#include <pv/layout.h>

#define MAX_CPUS	64

struct vcpu;

struct cpu_info {
	struct cpu_user_regs guest_regs;	/* must be first: entry.S pushes into it */
	uint64_t cpu;				/* 0..nr_cpus-1 */
	struct vcpu *current;
};

/* Per-CPU data of the modules: an array indexed by cpu_id(). */
struct percpu {
	uint64_t softirq_pending;	/* bits SOFTIRQ_*; set with set_bit from any CPU */
	uint32_t apic_id;
	bool online;
	uint64_t flush_pending;		/* x86/smp.c: TLB flush asked for by another CPU */
	uint64_t scratch;		/* entry.S: guest RSP during SYSCALL */
	uint64_t syscall_stack;		/* entry.S: where SYSCALL's stack starts */
} __aligned(64);
extern struct percpu percpu[MAX_CPUS];
extern unsigned int nr_cpus;		/* CPUs that came up */

static inline struct cpu_info *cpu_info(void)
{
	uint64_t sp;

	__asm__("mov %%rsp, %0" : "=r"(sp));
	return (struct cpu_info *)((sp & ~(CPU_STACK_SIZE - 1)) + CPU_STACK_SIZE) - 1;
}
#define guest_regs()	(&cpu_info()->guest_regs)
#define cpu_id()	((unsigned int)cpu_info()->cpu)
#define current		(cpu_info()->current)
#define this_cpu()	(&percpu[cpu_id()])

/* Softirqs: work asked for from interrupt or hypercall context, run by
 * softirq_run() before a return to the guest and in the idle loop. */
enum { SOFTIRQ_TIMER, SOFTIRQ_SCHEDULE, SOFTIRQ_NR };
typedef void (*softirq_fn)(void);
void softirq_register(unsigned int nr, softirq_fn fn);		/* sched/softirq.c */
static inline void softirq_raise(unsigned int nr);
/** softirq_raise_on() - also kicks @cpu with an IPI when it is not this one. */
void softirq_raise_on(unsigned int cpu, unsigned int nr);
/** softirq_run() - run until none is pending; called with no lock held. */
void softirq_run(void);

#include <pv/atomic.h>
static inline void softirq_raise(unsigned int nr) { set_bit(nr, &this_cpu()->softirq_pending); }
