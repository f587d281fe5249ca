/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Long hypercalls give way.
 *
 * Interrupts are off in the hypervisor, and the guest chooses how long its lists are.  So
 * whoever works through a list asks between items, with no lock held, whether this CPU has
 * other work (a timer, another vCPU's turn); if so, it writes what remains into the argument
 * registers, sets rip back to the SYSCALL instruction, and returns: the guest makes the same
 * call again when it runs next.  Each call carries out at least one item, so all end.
 *
 * The same way out serves when a frame is missing (mm/lazy.c): a copy fails, the vCPU is kept
 * from running, and the hypercall, or what is left of its list, is made again when it runs.  So a
 * hypercall that is no list must have no effect before its last copy from the guest that can fail, or
 * one that may be had twice; results go to where its operands came from.
 *
 * Inside a multicall the entry's arguments in guest memory play the part of the registers, and
 * the multicall itself is what is made again, from that entry on.
 */
#include <pv/hypercall.h>
#include <pv/lib.h>

#define SYSCALL_INSN_BYTES	2u

bool hypercall_should_yield(void)
{
	irq_window();
	return ACCESS_ONCE(this_cpu()->softirq_pending) != 0;
}

bool hypercall_must_wait(void)
{
	bool wait = current->must_wait;

	current->must_wait = false;
	return wait;
}

static long again(unsigned int nr, const uint64_t *arg, unsigned int nr_args)
{
	struct hypercall_rest *rest = &current->rest;
	struct cpu_user_regs *r = guest_regs();

	if (rest->in_multicall) {
		rest->nr_args = nr_args;
		memcpy(rest->arg, arg, nr_args * sizeof(arg[0]));
		return 0;
	}
	r->rip -= SYSCALL_INSN_BYTES;
	r->rdi = arg[0];
	r->rsi = arg[1];
	if (nr_args > 2)
		r->rdx = arg[2];
	return nr;		/* goes to rax */
}

long hypercall_again2(unsigned int nr, uint64_t a0, uint64_t a1)
{
	uint64_t arg[] = { a0, a1 };

	return again(nr, arg, ARRAY_SIZE(arg));
}

long hypercall_again3(unsigned int nr, uint64_t a0, uint64_t a1, uint64_t a2)
{
	uint64_t arg[] = { a0, a1, a2 };

	return again(nr, arg, ARRAY_SIZE(arg));
}
