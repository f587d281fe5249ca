/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HYPERVISOR_platform_op: dom0's hands on the machine - wallclock, CPU list, ACPI sleep.
 * Source: Xen public platform.h.
 */
#include <pv/errno.h>
#include <pv/hypercall.h>
#include <pv/io.h>
#include <pv/lib.h>

static long cpuinfo(struct xenpf_pcpuinfo *i)
{
	i->max_present = nr_cpus - 1;
	i->flags = XEN_PCPU_FLAGS_INVALID;
	i->apic_id = i->acpi_id = ~0u;
	if (i->xen_cpuid < nr_cpus) {
		i->flags = percpu[i->xen_cpuid].online ? XEN_PCPU_FLAGS_ONLINE : 0;
		i->apic_id = i->acpi_id = percpu[i->xen_cpuid].apic_id;
	}
	return 0;
}

/* S5 only: the machine goes off by the values dom0's ACPI interpreter found (ACPI 16.1.5). */
static long acpi_sleep(const struct xenpf_enter_acpi_sleep *s)
{
	if (s->sleep_state != 5 || !acpi_pm1a_cnt || (s->flags & XENPF_ACPI_SLEEP_EXTENDED))
		return -EOPNOTSUPP;
	pr_info("dom0 powers the machine off\n");
	outw(acpi_pm1a_cnt, (uint16_t)s->val_a);
	if (acpi_pm1b_cnt)
		outw(acpi_pm1b_cnt, (uint16_t)s->val_b);
	return 0;
}

long do_platform_op(uint64_t arg)
{
	struct xen_platform_op op;
	long ret;

	if (!is_privileged(current->domain))
		return -EPERM;
	if (copy_from_guest(&op, arg, sizeof(op)))
		return -EFAULT;
	if (op.interface_version != XENPF_INTERFACE_VERSION)
		return -EACCES;
	switch (op.cmd) {
	case XENPF_settime32:
		return pvclock_settime(op.u.settime32.secs, op.u.settime32.nsecs, op.u.settime32.system_time);
	case XENPF_settime64:
		return pvclock_settime(op.u.settime64.secs, op.u.settime64.nsecs, op.u.settime64.system_time);
	case XENPF_get_cpuinfo:
		ret = cpuinfo(&op.u.pcpu_info);
		break;
	case XENPF_enter_acpi_sleep:
		return acpi_sleep(&op.u.enter_acpi_sleep);
	default:
		return -ENOSYS;
	}
	return ret ? ret : copy_to_guest(arg, &op, sizeof(op));
}
