/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HYPERVISOR_domctl: dom0's operations on domains.  Interface version as in the
 * headers, anything else is -EACCES; d->lock serialises operations on one domain.
 * Source: Xen public domctl.h.
 */
#include <pv/errno.h>
#include <pv/hypercall.h>
#include <pv/lib.h>
#include <pv/snapshot.h>
#include <pv/x86.h>

void domain_info(struct domain *d, struct xen_domctl_getdomaininfo *i)
{
	unsigned int n, online = 0;
	bool blocked = true, running = false;
	uint64_t cpu_ns = 0;

	memset(i, 0, sizeof(*i));
	for (n = 0; n < d->max_vcpus; n++) {
		struct vcpu *v = d->vcpu[n];

		cpu_ns += vcpu_cpu_time_ns(v);
		if (v->sched.pause_flags & BIT(PAUSE_DOWN))
			continue;
		online++;
		i->max_vcpu_id = n;
		running |= v->sched.running;
		blocked &= !!(v->sched.pause_flags & BIT(PAUSE_BLOCKED));
	}
	i->domain = d->id;
	i->flags = (d->state >= DOM_DYING ? XEN_DOMINF_dying : 0) |
		   (d->is_shutdown ? XEN_DOMINF_shutdown : 0) |
		   (d->paused_by_tool ? XEN_DOMINF_paused : 0) |
		   (blocked && online ? XEN_DOMINF_blocked : 0) | (running ? XEN_DOMINF_running : 0) |
		   (uint32_t)d->shutdown_code << XEN_DOMINF_shutdownshift;
	i->tot_pages = d->tot_pages;
	i->max_pages = d->max_pages;
	i->shr_pages = 0;
	i->shared_info_frame = virt_to_mfn(d->shared_info).mfn;
	i->cpu_time = cpu_ns;
	i->nr_online_vcpus = online;
	i->ssidref = d->ssidref;
	memcpy(i->handle, d->handle, sizeof(i->handle));
}

static long op_createdomain(struct xen_domctl *op)
{
	const struct xen_domctl_createdomain *c = &op->u.createdomain;
	struct domain *d;
	long ret;

	if (c->flags & (XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap | XEN_DOMCTL_CDF_iommu |
			XEN_DOMCTL_CDF_nested_virt | XEN_DOMCTL_CDF_xs_domain))
		return -EOPNOTSUPP;
	ret = domain_create(op->domain ? op->domain : 0xffff, c, &d);
	if (!ret)
		op->domain = d->id;
	return ret;
}

static long op_setvcpucontext(struct domain *d, const struct xen_domctl_vcpucontext *u)
{
	struct vcpu_guest_context *c;
	struct vcpu *v = u->vcpu < d->max_vcpus ? d->vcpu[u->vcpu] : NULL;
	long ret = -EFAULT;

	if (!v || d == current->domain)
		return -EINVAL;
	if (!u->ctxt.p)			/* as Xen: forget the context, take the vCPU down */
		return -EOPNOTSUPP;
	c = xzalloc(sizeof(*c));
	if (!c)
		return -ENOMEM;
	if (!copy_from_guest(c, (uint64_t)u->ctxt.p, sizeof(*c))) {
		vcpu_pause(v);
		ret = vcpu_set_context(v, c);
		if (!ret && (c->flags & VGCF_online))
			vcpu_clear_pause(v, PAUSE_DOWN);
		vcpu_unpause(v);
	}
	xfree(c);
	return ret;
}

static long op_getvcpucontext(struct domain *d, const struct xen_domctl_vcpucontext *u)
{
	struct vcpu_guest_context *c;
	struct vcpu *v = u->vcpu < d->max_vcpus ? d->vcpu[u->vcpu] : NULL;
	long ret;

	if (!v || d == current->domain || !v->initialised)
		return -EINVAL;
	c = xzalloc(sizeof(*c));
	if (!c)
		return -ENOMEM;
	vcpu_pause(v);
	vcpu_get_context(v, c);
	vcpu_unpause(v);
	ret = copy_to_guest((uint64_t)u->ctxt.p, c, sizeof(*c));
	xfree(c);
	return ret;
}

static long op_getvcpuinfo(struct domain *d, struct xen_domctl_getvcpuinfo *i)
{
	struct vcpu *v = i->vcpu < d->max_vcpus ? d->vcpu[i->vcpu] : NULL;

	if (!v)
		return -ESRCH;
	i->online = !(v->sched.pause_flags & BIT(PAUSE_DOWN));
	i->blocked = !!(v->sched.pause_flags & BIT(PAUSE_BLOCKED));
	i->running = v->sched.running;
	i->cpu_time = vcpu_cpu_time_ns(v);
	i->cpu = v->sched.processor;
	return 0;
}

static long op_max_mem(struct domain *d, uint64_t kib)
{
	if (kib >> 50)
		return -EINVAL;
	spin_lock(&d->page_lock);
	d->max_pages = kib >> (PAGE_SHIFT - 10);
	spin_unlock(&d->page_lock);
	return 0;
}

/* Fill the page at @gmfn, which the guest's kernel image named by its ELF note. */
static long op_hypercall_init(struct domain *d, uint64_t gmfn)
{
	mfn_t m = _mfn(gmfn);

	if (!mfn_valid(m) || !frame_get_rw(mfn_to_frame(m), d))
		return -EACCES;
	snapshot_before_write(m);
	hypercall_page_fill(mfn_to_virt(m));
	logdirty_mark_mfn(m);
	frame_put_rw(mfn_to_frame(m));
	return 0;
}

static long op_scheduler(struct domain *d, struct xen_domctl_scheduler_op *s)
{
	if (s->cmd == XEN_DOMCTL_SCHEDOP_getinfo) {
		s->u.credit2.weight = (uint16_t)d->sched_weight;
		return 0;
	}
	if (s->cmd == XEN_DOMCTL_SCHEDOP_putinfo)
		return sched_set_params(d, s->u.credit2.weight, d->sched_warp);
	return -ENOSYS;
}

static long one_domctl(struct domain *d, struct xen_domctl *op, bool *copyback)
{
	switch (op->cmd) {
	case XEN_DOMCTL_destroydomain: return domain_destroy(d);
	case XEN_DOMCTL_pausedomain: return domain_pause_by_tool(d);
	case XEN_DOMCTL_unpausedomain: return domain_unpause_by_tool(d);
	case XEN_DOMCTL_resumedomain: domain_resume(d); return 0;
	case XEN_DOMCTL_max_vcpus: return domain_create_vcpus(d, op->u.max_vcpus.max);
	case XEN_DOMCTL_max_mem: return op_max_mem(d, op->u.max_mem.max_memkb);
	case XEN_DOMCTL_setvcpucontext: return op_setvcpucontext(d, &op->u.vcpucontext);
	case XEN_DOMCTL_getvcpucontext: return op_getvcpucontext(d, &op->u.vcpucontext);
	case XEN_DOMCTL_hypercall_init: return op_hypercall_init(d, op->u.hypercall_init.gmfn);
	case XEN_DOMCTL_setdomainhandle:
		memcpy(d->handle, op->u.setdomainhandle.handle, sizeof(d->handle));
		memcpy(d->uuid, d->handle, sizeof(d->uuid));
		return 0;
	case XEN_DOMCTL_set_address_size: return op->u.address_size.size == 64 ? 0 : -EOPNOTSUPP;
	case XEN_DOMCTL_setvcpuaffinity:
	case XEN_DOMCTL_setnodeaffinity:
	case XEN_DOMCTL_settscinfo:
	case XEN_DOMCTL_set_cpu_policy: return 0;	/* one policy, one pool, native TSC */
	}
	*copyback = true;
	switch (op->cmd) {
	case XEN_DOMCTL_getvcpuinfo: return op_getvcpuinfo(d, &op->u.getvcpuinfo);
	case XEN_DOMCTL_get_address_size: op->u.address_size.size = 64; return 0;
	case XEN_DOMCTL_scheduler_op: return op_scheduler(d, &op->u.scheduler_op);
	default: return -ENOSYS;
	}
}

/* getdomaininfo alone answers for the next domain when the one asked for is not there. */
static long op_getdomaininfo(struct xen_domctl *op)
{
	struct domain *d = domain_get_next(op->domain);

	if (!d)
		return -ESRCH;
	domain_info(d, &op->u.getdomaininfo);
	op->domain = d->id;
	domain_put(d);
	return 0;
}

long do_domctl(uint64_t arg)
{
	struct xen_domctl op;
	struct domain *d;
	bool copyback = true;
	long ret;

	if (!is_privileged(current->domain))
		return -EPERM;
	if (copy_from_guest(&op, arg, sizeof(op)))
		return -EFAULT;
	if (op.interface_version != XEN_DOMCTL_INTERFACE_VERSION)
		return -EACCES;
	if (op.cmd == XEN_DOMCTL_createdomain) {
		ret = op_createdomain(&op);
	} else if (op.cmd == XEN_DOMCTL_getdomaininfo) {
		ret = op_getdomaininfo(&op);
	} else {
		d = domain_get(op.domain);
		if (!d)
			return -ESRCH;
		copyback = false;
		spin_lock(&d->lock);
		/* What a dying domain gets now, nobody would take back. */
		if (d->state >= DOM_DYING && op.cmd != XEN_DOMCTL_destroydomain)
			ret = -ESRCH;
		else
			ret = one_domctl(d, &op, &copyback);
		spin_unlock(&d->lock);
		domain_put(d);
	}
	if (!ret && copyback && copy_to_guest(arg, &op, sizeof(op)))
		ret = -EFAULT;
	return ret;
}
