/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HYPERVISOR_sysctl: the host as tools see it.  Interface version as in the headers,
 * anything else is -EACCES.  Source: Xen public sysctl.h.
 */
#include <pv/errno.h>
#include <pv/hypercall.h>
#include <pv/lib.h>

static long readconsole(struct xen_sysctl_readconsole *rc)
{
	uint32_t index = rc->incremental ? rc->index : 0, done = 0, n;
	char buf[512];

	while (done < rc->count) {
		n = console_ring_read(buf, min((uint32_t)sizeof(buf), rc->count - done), &index, false);
		if (!n)
			break;
		if (copy_to_guest((uint64_t)rc->buffer.p + done, buf, n))
			return -EFAULT;
		done += n;
	}
	if (rc->clear)
		console_ring_read(buf, 0, &index, true);
	rc->index = index;
	rc->count = done;
	return 0;
}

static void physinfo(struct xen_sysctl_physinfo *p)
{
	uint64_t ram = 0;
	unsigned int i;

	for (i = 0; i < nr_e820; i++)
		if (e820[i].type == E820_RAM)
			ram += e820[i].size >> PAGE_SHIFT;
	memset(p, 0, sizeof(*p));
	p->threads_per_core = 1;
	p->cores_per_socket = nr_cpus;
	p->nr_cpus = nr_cpus;
	p->max_cpu_id = nr_cpus - 1;
	p->nr_nodes = 1;
	p->cpu_khz = (uint32_t)tsc_khz;
	p->capabilities = XEN_SYSCTL_PHYSCAP_pv;
	p->total_pages = ram;
	p->free_pages = heap_free_frames();
	p->max_mfn = max_mfn - 1;
}

static long domaininfolist(struct xen_sysctl_getdomaininfolist *l)
{
	struct xen_domctl_getdomaininfo info;
	uint32_t n = 0, from = l->first_domain;

	while (n < l->max_domains) {
		struct domain *d = from < DOMID_FIRST_RESERVED_ ? domain_get_next((uint16_t)from) : NULL;

		if (!d)
			break;
		domain_info(d, &info);
		from = d->id + 1u;
		domain_put(d);
		if (copy_to_guest((uint64_t)l->buffer.p + n * sizeof(info), &info, sizeof(info)))
			return -EFAULT;
		n++;
	}
	l->num_domains = n;
	return 0;
}

long do_sysctl(uint64_t arg)
{
	struct xen_sysctl op;
	long ret = 0;

	if (!is_privileged(current->domain))
		return -EPERM;
	if (copy_from_guest(&op, arg, sizeof(op)))
		return -EFAULT;
	if (op.interface_version != XEN_SYSCTL_INTERFACE_VERSION)
		return -EACCES;
	switch (op.cmd) {
	case XEN_SYSCTL_readconsole:
		ret = readconsole(&op.u.readconsole);
		break;
	case XEN_SYSCTL_physinfo:
		physinfo(&op.u.physinfo);
		break;
	case XEN_SYSCTL_getdomaininfolist:
		ret = domaininfolist(&op.u.getdomaininfolist);
		break;
	case XEN_SYSCTL_sched_id:
		op.u.sched_id.sched_id = XEN_SCHEDULER_CREDIT2;	/* the nearest name in the list */
		break;
	default:
		return -ENOSYS;
	}
	if (!ret && copy_to_guest(arg, &op, sizeof(op)))
		ret = -EFAULT;
	return ret;
}
