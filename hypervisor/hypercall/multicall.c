/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HYPERVISOR_multicall: each entry is carried out and its result stored, whatever the
 * ones before returned.  Source: Xen public xen.h, "multicall_entry".
 */
#include <pv/errno.h>
#include <pv/hypercall.h>

long do_multicall(uint64_t list, unsigned int count)
{
	struct multicall_entry e;
	unsigned int i;

	for (i = 0; i < count; i++) {
		uint64_t at = list + i * sizeof(e), a[6];
		unsigned int n;

		if (copy_from_guest(&e, at, sizeof(e)))
			return -EFAULT;
		for (n = 0; n < 6; n++)
			a[n] = e.args[n];
		/* Neither nesting nor a change of the frame being returned to makes sense here. */
		if (e.op == __HYPERVISOR_multicall || e.op == __HYPERVISOR_iret)
			e.result = (xen_ulong_t)-EINVAL;
		else
			e.result = (xen_ulong_t)hypercall_dispatch((unsigned int)e.op, a);
		if (copy_to_guest(at + __builtin_offsetof(struct multicall_entry, result), &e.result,
				  sizeof(e.result)))
			return -EFAULT;
	}
	return 0;
}
