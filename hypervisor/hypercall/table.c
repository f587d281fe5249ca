/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hypercalls: one row each - number, handler, arguments (docs/hypercalls.md).
 *
 * A guest kernel executes SYSCALL with the number in rax and arguments in rdi, rsi,
 * rdx, r10, r8, r9; the result goes to rax.  From user mode the same instruction
 * is the guest's own system call.  Unknown numbers are -ENOSYS, never a crash.
 */
#include <pv/console.h>
#include <pv/errno.h>
#include <pv/hypercall.h>
#include <pv/irq.h>
#include <pv/mmu.h>
#include <pv/x86.h>

void syscall_from_guest(struct cpu_user_regs *r);

long hypercall_dispatch(unsigned int nr, const uint64_t a[6])
{
	switch (nr) {
	case __HYPERVISOR_set_trap_table:	return do_set_trap_table(a[0]);
	case __HYPERVISOR_mmu_update:		return do_mmu_update(a[0], (unsigned int)a[1], a[2], (unsigned int)a[3]);
	case __HYPERVISOR_set_gdt:		return do_set_gdt(a[0], (unsigned int)a[1]);
	case __HYPERVISOR_stack_switch:		return do_stack_switch(a[0], a[1]);
	case __HYPERVISOR_set_callbacks:	return do_set_callbacks(a[0], a[1], a[2]);
	case __HYPERVISOR_fpu_taskswitch:	return do_fpu_taskswitch((int)a[0]);
	case __HYPERVISOR_platform_op:		return do_platform_op(a[0]);
	case __HYPERVISOR_set_debugreg:		return do_set_debugreg((int)a[0], a[1]);
	case __HYPERVISOR_get_debugreg:		return do_get_debugreg((int)a[0]);
	case __HYPERVISOR_update_descriptor:	return do_update_descriptor(a[0], a[1]);
	case __HYPERVISOR_memory_op:		return do_memory_op((unsigned int)a[0], a[1]);
	case __HYPERVISOR_multicall:		return do_multicall(a[0], (unsigned int)a[1]);
	case __HYPERVISOR_update_va_mapping:	return do_update_va_mapping(a[0], a[1], a[2]);
	case __HYPERVISOR_set_timer_op:		return do_set_timer_op(a[0]);
	case __HYPERVISOR_xen_version:		return do_xen_version((unsigned int)a[0], a[1]);
	case __HYPERVISOR_console_io:
		return do_console_io((unsigned int)a[0], (unsigned int)a[1], a[2]);
	case __HYPERVISOR_grant_table_op:
		return do_grant_table_op((unsigned int)a[0], a[1], (unsigned int)a[2]);
	case __HYPERVISOR_vm_assist:		return do_vm_assist((unsigned int)a[0], (unsigned int)a[1]);
	case __HYPERVISOR_update_va_mapping_otherdomain:
		return do_update_va_mapping_otherdomain(a[0], a[1], a[2], (unsigned int)a[3]);
	case __HYPERVISOR_iret:			return do_iret();
	case __HYPERVISOR_vcpu_op:		return do_vcpu_op((unsigned int)a[0], (unsigned int)a[1], a[2]);
	case __HYPERVISOR_set_segment_base:	return do_set_segment_base((unsigned int)a[0], a[1]);
	case __HYPERVISOR_mmuext_op:		return do_mmuext_op(a[0], (unsigned int)a[1], a[2], (unsigned int)a[3]);
	case __HYPERVISOR_sched_op:		return do_sched_op((unsigned int)a[0], a[1], a[2]);
	case __HYPERVISOR_callback_op:		return do_callback_op((int)a[0], a[1]);
	case __HYPERVISOR_event_channel_op:	return do_event_channel_op((unsigned int)a[0], a[1]);
	case __HYPERVISOR_physdev_op:		return do_physdev_op((unsigned int)a[0], a[1]);
	case __HYPERVISOR_sysctl:		return do_sysctl(a[0]);
	case __HYPERVISOR_domctl:		return do_domctl(a[0]);
	case __HYPERVISOR_godwit_op:		return do_godwit_op((unsigned int)a[0], a[1]);
	default:				return -ENOSYS;
	}
}

void syscall_from_guest(struct cpu_user_regs *r)
{
	struct vcpu *v = current;
	uint64_t a[6] = { r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9 };

	long ret;

	if (!v->kernel_mode) {
		inject_syscall(v, &v->syscall_cb);
		return;
	}
	v->must_wait = false;
	ret = hypercall_dispatch((unsigned int)r->rax, a);
	if (unlikely(hypercall_must_wait()))
		r->rip -= 2;		/* the same call again: SYSCALL is two bytes */
	else
		r->rax = (uint64_t)ret;
}
