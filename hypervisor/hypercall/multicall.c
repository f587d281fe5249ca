/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HYPERVISOR_multicall: each entry is carried out and its result stored, whatever the
 * ones before returned.  Source: Xen public xen.h, "multicall_entry".
 */
#include <pv/errno.h>
#include <pv/hypercall.h>

#define YIELD_EVERY	4u

/* One entry.  0: done; 1: its arguments now say what remains of it; -EFAULT. */
static int one_call(uint64_t at)
{
	struct hypercall_rest *rest = &current->rest;
	struct multicall_entry e;
	uint64_t a[6];
	unsigned int n;

	if (copy_from_guest(&e, at, sizeof(e)))
		return hypercall_must_wait() ? 1 : -EFAULT;
	for (n = 0; n < 6; n++)
		a[n] = e.args[n];
	rest->nr_args = 0;
	rest->in_multicall = true;
	/* Neither nesting nor a change of the frame being returned to makes sense here. */
	if (e.op == __HYPERVISOR_multicall || e.op == __HYPERVISOR_iret)
		e.result = (xen_ulong_t)-EINVAL;
	else
		e.result = (xen_ulong_t)hypercall_dispatch((unsigned int)e.op, a);
	rest->in_multicall = false;
	if (hypercall_must_wait())
		return 1;
	if (rest->nr_args)
		return copy_to_guest(at + __builtin_offsetof(struct multicall_entry, args), rest->arg,
				     rest->nr_args * sizeof(rest->arg[0])) ? -EFAULT : 1;
	return copy_to_guest(at + __builtin_offsetof(struct multicall_entry, result), &e.result,
			     sizeof(e.result)) ? -EFAULT : 0;
}

long do_multicall(uint64_t list, unsigned int count)
{
	const size_t size = sizeof(struct multicall_entry);
	unsigned int i;
	int ret;

	for (i = 0; i < count; i++) {
		if (i && i % YIELD_EVERY == 0 && hypercall_should_yield())
			return hypercall_again2(__HYPERVISOR_multicall, list + i * size, count - i);
		ret = one_call(list + i * size);
		if (ret > 0)
			return hypercall_again2(__HYPERVISOR_multicall, list + i * size, count - i);
		if (ret)
			return ret;
	}
	return 0;
}
