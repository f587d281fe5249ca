// SPDX-License-Identifier: Apache-2.0
/*
 * HYPERVISOR_sched_op (Xen public sched.h) and HYPERVISOR_set_timer_op.
 *
 * A vCPU has no stack in the hypervisor, so nothing here sleeps: block, poll and
 * yield mark the vCPU, return 0, and the way back to the guest finds that another
 * vCPU is to run.  The 0 is in the guest's rax by then.
 */
#include <pv/domain.h>
#include <pv/errno.h>
#include <pv/sched.h>

static long sched_op_block(void)
{
	struct vcpu *v = current;

	/* Unmasked before the look in vcpu_block(): an event either is seen there or, coming
	 * later, finds the vCPU blocked. */
	if (v->info->evtchn_upcall_mask) {
		ACCESS_ONCE(v->info->evtchn_upcall_mask) = 0;
		vcpu_info_dirty(v);
	}
	vcpu_block();
	return 0;
}

static long sched_op_poll(uint64_t arg)
{
	uint32_t ports[SCHED_POLL_PORTS];
	struct sched_poll poll;
	s_time_t deadline;

	if (copy_from_guest(&poll, arg, sizeof(poll)))
		return -EFAULT;
	if (poll.nr_ports > SCHED_POLL_PORTS)
		return -EINVAL;
	if (copy_from_guest(ports, (uint64_t)poll.ports.p, poll.nr_ports * sizeof(ports[0])))
		return -EFAULT;
	for (unsigned int i = 0; i < poll.nr_ports; i++)
		if (ports[i] >= EVTCHN_MAX_PORTS)
			return -EINVAL;
	/* Beyond 2^63 ns the host will not be there: no deadline. */
	deadline = poll.timeout > INT64_MAX ? 0 : (s_time_t)poll.timeout;
	vcpu_poll(ports, poll.nr_ports, deadline);
	return 0;
}

/*
 * For SHUTDOWN_suspend the third argument is the mfn of start_info.  It needs no handling: it
 * is in the vCPU's saved rdx, where the tools look for it (pv guest: xen_suspend()).
 */
static long sched_op_shutdown(uint64_t arg)
{
	struct sched_shutdown s;

	if (copy_from_guest(&s, arg, sizeof(s)))
		return -EFAULT;
	domain_shutdown(current->domain, (uint8_t)s.reason);
	return 0;
}

static long sched_op_remote_shutdown(uint64_t arg)
{
	struct sched_remote_shutdown r;
	struct domain *d;

	if (!is_privileged(current->domain))
		return -EPERM;
	if (copy_from_guest(&r, arg, sizeof(r)))
		return -EFAULT;
	d = domain_get(r.domain_id);
	if (!d)
		return -ESRCH;
	domain_shutdown(d, (uint8_t)r.reason);
	domain_put(d);
	return 0;
}

long do_sched_op(unsigned int cmd, uint64_t arg, uint64_t third)
{
	switch (cmd) {
	case SCHEDOP_yield:
		vcpu_yield();
		return 0;
	case SCHEDOP_block:
		return sched_op_block();
	case SCHEDOP_poll:
		return sched_op_poll(arg);
	case SCHEDOP_shutdown:
		return sched_op_shutdown(arg);
	case SCHEDOP_remote_shutdown:
		return sched_op_remote_shutdown(arg);
	default:	/* shutdown_code, watchdog, pin_override: guests do without */
		return -ENOSYS;
	}
}

long do_set_timer_op(uint64_t timeout)
{
	if (!timeout)
		timer_stop(&current->sched.singleshot);
	else
		timer_set(&current->sched.singleshot, (s_time_t)min(timeout, (uint64_t)INT64_MAX));
	return 0;
}
