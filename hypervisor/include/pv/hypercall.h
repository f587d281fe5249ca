/* SPDX-License-Identifier: Apache-2.0 */
/* Hypercalls that have no module header of their own (hypercall/). */
#pragma once
#include <pv/domain.h>

/** hypercall_dispatch() - number @nr with arguments @a; -ENOSYS for unknown numbers. */
long hypercall_dispatch(unsigned int nr, const uint64_t a[6]);
/** hypercall_should_yield() - lets interrupts in, then: has this CPU other work?  Between items of a
 *  list that the guest chose, with no lock held, never before the first. */
bool hypercall_should_yield(void);
/** hypercall_again2(), hypercall_again3() - current is to make hypercall @nr again with @a0.. as its
 *  first two or three arguments, the others as they are.  Return: what the handler returns. */
long hypercall_again2(unsigned int nr, uint64_t a0, uint64_t a1);
long hypercall_again3(unsigned int nr, uint64_t a0, uint64_t a1, uint64_t a2);
/** hypercall_must_wait() - did what just failed fail since a frame of current's domain is missing?  The vCPU
 *  is kept from running until it is there.  Who works through a list and gets true asks for the
 *  rest to be done again; who does not look has the whole hypercall made again.  True once. */
bool hypercall_must_wait(void);
long do_multicall(uint64_t list, unsigned int count);
long do_memory_op(unsigned int cmd, uint64_t arg);
long do_domctl(uint64_t arg);
long do_sysctl(uint64_t arg);
long do_platform_op(uint64_t arg);
long do_xen_version(unsigned int cmd, uint64_t arg);
#define VM_ASSIST_KNOWN	(BIT(VMASST_TYPE_4gb_segments) | BIT(VMASST_TYPE_writable_pagetables) | \
			 BIT(VMASST_TYPE_pae_extended_cr3) | BIT(VMASST_TYPE_runstate_update_flag))
long do_vm_assist(unsigned int cmd, unsigned int type);
long do_godwit_op(unsigned int cmd, uint64_t arg);
/** hypercall_page_fill() - the stubs older kernels call through (one page at @p). */
void hypercall_page_fill(uint8_t *p);
/** domain_info() - what tools see of @d. */
void domain_info(struct domain *d, struct xen_domctl_getdomaininfo *i);
