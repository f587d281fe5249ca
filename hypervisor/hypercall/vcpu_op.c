// SPDX-License-Identifier: Apache-2.0
/*
 * HYPERVISOR_vcpu_op (Xen public vcpu.h): a domain's operations on its own vCPUs.
 *
 * Operations that happen once in a vCPU's life or that are not atomic (initialise,
 * register_vcpu_info) claim the vCPU; a sibling that comes at the same moment gets
 * -EBUSY.  The domain's lock is not used: tools hold it while they wait for this
 * domain's vCPUs to stop, and a vCPU that waited for it would never stop.
 */
#include <pv/domain.h>
#include <pv/errno.h>
#include <pv/lib.h>
#include <pv/sched.h>

#define MIN_PERIOD_NS	1000000		/* the ABI lets us refuse less than 1 ms */

static bool vcpu_is_down(const struct vcpu *v)
{
	return test_bit(PAUSE_DOWN, &v->sched.pause_flags);
}

static bool vcpu_claim(struct vcpu *v)
{
	return !atomic_xchg(&v->sched.claimed, true);
}

static void vcpu_unclaim(struct vcpu *v)
{
	atomic_store(&v->sched.claimed, false);
}

/* --- life -------------------------------------------------------------------------------- */

static long initialise_from(struct vcpu *v, const struct vcpu_guest_context *ctx)
{
	long ret = -EBUSY;

	if (!vcpu_claim(v))
		return ret;
	ret = -EEXIST;
	if (!v->initialised) {
		ret = vcpu_set_context(v, ctx);
		if (!ret)
			atomic_store(&v->initialised, true);
	}
	vcpu_unclaim(v);
	return ret;
}

static long vcpu_op_initialise(struct vcpu *v, uint64_t arg)
{
	struct vcpu_guest_context *ctx;
	long ret = -EFAULT;

	if (v->initialised)
		return -EEXIST;
	ctx = xzalloc(sizeof(*ctx));
	if (!ctx)
		return -ENOMEM;
	if (!copy_from_guest(ctx, arg, sizeof(*ctx)))
		ret = initialise_from(v, ctx);
	xfree(ctx);
	return ret;
}

static long vcpu_op_up(struct vcpu *v)
{
	if (!atomic_load(&v->initialised))
		return -EINVAL;
	vcpu_clear_pause(v, PAUSE_DOWN);
	return 0;
}

/* A domain that put all its vCPUs down will never run again: it is off. */
static long vcpu_op_down(struct vcpu *v)
{
	struct domain *d = v->domain;

	vcpu_set_pause(v, PAUSE_DOWN);
	for (unsigned int i = 0; i < d->max_vcpus; i++)
		if (d->vcpu[i] && !vcpu_is_down(d->vcpu[i]))
			return 0;
	domain_shutdown(d, SHUTDOWN_poweroff);
	return 0;
}

/* --- areas ------------------------------------------------------------------------------- */

static long vcpu_op_get_runstate(struct vcpu *v, uint64_t arg)
{
	struct vcpu_runstate_info r;

	runstate_get(v, &r);
	return copy_to_guest(arg, &r, sizeof(r));
}

/* The kernel half of the address space is the same on all vCPUs of the domain, so the first
 * contents can be written from here whichever vCPU the area is for. */
static long vcpu_op_register_runstate(struct vcpu *v, uint64_t arg)
{
	struct vcpu_register_runstate_memory_area area;

	if (copy_from_guest(&area, arg, sizeof(area)))
		return -EFAULT;
	if (!guest_range_ok(area.addr.p, sizeof(struct vcpu_runstate_info)))
		return -EFAULT;
	ACCESS_ONCE(v->sched.runstate_gva) = area.addr.p;
	runstate_area_update(v);
	return 0;
}

static long vcpu_op_register_time(struct vcpu *v, uint64_t arg)
{
	struct vcpu_register_time_memory_area area;

	if (copy_from_guest(&area, arg, sizeof(area)))
		return -EFAULT;
	if (!guest_range_ok(area.addr.p, sizeof(struct vcpu_time_info)))
		return -EFAULT;
	v->time_area_gva = area.addr.p;
	pvclock_area_update(v);
	return 0;
}

static long vcpu_op_register_info(struct vcpu *v, uint64_t arg)
{
	struct vcpu_register_vcpu_info info;
	long ret;

	if (copy_from_guest(&info, arg, sizeof(info)))
		return -EFAULT;
	/* A vCPU that runs has its events written to the old place at this moment. */
	if (v != current && !vcpu_is_down(v))
		return -EINVAL;
	if (info.offset > PAGE_SIZE - sizeof(struct vcpu_info))
		return -EINVAL;
	if (!vcpu_claim(v))
		return -EBUSY;
	ret = vcpu_register_info(v, _mfn(info.mfn), info.offset);
	if (!ret)
		pvclock_update(v);
	vcpu_unclaim(v);
	return ret;
}

/* --- timers ------------------------------------------------------------------------------ */

static long vcpu_op_set_periodic(struct vcpu *v, uint64_t arg)
{
	struct vcpu_set_periodic_timer set;

	if (copy_from_guest(&set, arg, sizeof(set)))
		return -EFAULT;
	if (set.period_ns < MIN_PERIOD_NS || set.period_ns > INT64_MAX / 2)
		return -EINVAL;
	ACCESS_ONCE(v->sched.period_ns) = (s_time_t)set.period_ns;
	timer_set(&v->sched.periodic, now_ns() + (s_time_t)set.period_ns);
	return 0;
}

static long vcpu_op_stop_periodic(struct vcpu *v)
{
	/* Zero first: a callback that runs now on another CPU does not set it again. */
	ACCESS_ONCE(v->sched.period_ns) = 0;
	timer_stop(&v->sched.periodic);
	return 0;
}

static long vcpu_op_set_singleshot(struct vcpu *v, uint64_t arg)
{
	struct vcpu_set_singleshot_timer set;
	s_time_t when;

	if (v != current)
		return -EINVAL;
	if (copy_from_guest(&set, arg, sizeof(set)))
		return -EFAULT;
	when = (s_time_t)set.timeout_abs_ns;
	if (when > now_ns()) {
		timer_set(&v->sched.singleshot, when);
		return 0;
	}
	if (set.flags & VCPU_SSHOTTMR_future)
		return -XEN_ETIME;
	/* Late already: no detour by the timer's interrupt. */
	timer_stop(&v->sched.singleshot);
	evtchn_send_virq(v, VIRQ_TIMER);
	return 0;
}

static long vcpu_op_stop_singleshot(struct vcpu *v)
{
	if (v != current)
		return -EINVAL;
	timer_stop(&v->sched.singleshot);
	return 0;
}

long do_vcpu_op(unsigned int cmd, unsigned int vcpuid, uint64_t arg)
{
	struct domain *d = current->domain;
	struct vcpu *v;

	/* Linux counts its possible CPUs by asking is_up of 8192 of them: any answer but an
	 * error makes one. */
	if (vcpuid >= MAX_VCPUS || vcpuid >= d->max_vcpus || !d->vcpu[vcpuid])
		return -ENOENT;
	v = d->vcpu[vcpuid];

	switch (cmd) {
	case VCPUOP_initialise:
		return vcpu_op_initialise(v, arg);
	case VCPUOP_up:
		return vcpu_op_up(v);
	case VCPUOP_down:
		return vcpu_op_down(v);
	case VCPUOP_is_up:
		return !vcpu_is_down(v);
	case VCPUOP_get_runstate_info:
		return vcpu_op_get_runstate(v, arg);
	case VCPUOP_register_runstate_memory_area:
		return vcpu_op_register_runstate(v, arg);
	case VCPUOP_set_periodic_timer:
		return vcpu_op_set_periodic(v, arg);
	case VCPUOP_stop_periodic_timer:
		return vcpu_op_stop_periodic(v);
	case VCPUOP_set_singleshot_timer:
		return vcpu_op_set_singleshot(v, arg);
	case VCPUOP_stop_singleshot_timer:
		return vcpu_op_stop_singleshot(v);
	case VCPUOP_register_vcpu_info:
		return vcpu_op_register_info(v, arg);
	case VCPUOP_get_physid:
		return -EINVAL;		/* vCPUs are not pinned */
	case VCPUOP_register_vcpu_time_memory_area:
		return vcpu_op_register_time(v, arg);
	default:	/* send_nmi: guests do without */
		return -ENOSYS;
	}
}
