/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HYPERVISOR_physdev_op: domain 0 and the machine's interrupt lines.
 *
 * pirq numbers are GSI numbers.  Message-signalled interrupts are refused, upon
 * which Linux's drivers use their INTx line.  A domain without privilege may only
 * set what concerns its own vCPU (I/O privilege level), all else is -EPERM.
 * Source: Xen public physdev.h.
 */
#include <pv/domain.h>
#include <pv/errno.h>
#include <pv/irq.h>
#include <pv/lib.h>

#define FETCH(op, arg)	do { if (copy_from_guest(&(op), arg, sizeof(op))) return -EFAULT; } while (0)
#define RETURN_COPY(op, arg)	return copy_to_guest(arg, &(op), sizeof(op)) ? -EFAULT : 0

static long op_irq_status_query(uint64_t arg)
{
	struct physdev_irq_status_query op;

	FETCH(op, arg);
	if (!pirq_valid(op.irq))
		return -EINVAL;
	op.flags = pirq_level(op.irq) ? XENIRQSTAT_needs_eoi : 0;
	RETURN_COPY(op, arg);
}

static long op_set_iopl(uint64_t arg)
{
	struct physdev_set_iopl op;

	FETCH(op, arg);
	if (op.iopl > 3)
		return -EINVAL;
	current->iopl = op.iopl;
	return 0;
}

/* Vectors are the hypervisor's affair: the number is only shown in the guest's log. */
static long op_alloc_irq_vector(uint64_t arg)
{
	struct physdev_irq op;

	FETCH(op, arg);
	if (!pirq_valid(op.irq))
		return -EINVAL;
	op.vector = op.irq;
	RETURN_COPY(op, arg);
}

static bool domid_is_self(domid_t domid)
{
	return domid == DOMID_SELF || domid == current->domain->id;
}

static long op_map_pirq(uint64_t arg)
{
	struct physdev_map_pirq op;

	FETCH(op, arg);
	if (!domid_is_self(op.domid) || op.type != MAP_PIRQ_TYPE_GSI)
		return -EOPNOTSUPP;
	if (op.index < 0 || !pirq_valid((unsigned int)op.index) ||
	    (op.pirq >= 0 && op.pirq != op.index))
		return -EINVAL;
	op.pirq = op.index;
	RETURN_COPY(op, arg);
}

/* The mapping is the identity, so there is nothing to give up; a bound port keeps its line. */
static long op_unmap_pirq(uint64_t arg)
{
	struct physdev_unmap_pirq op;

	FETCH(op, arg);
	if (!domid_is_self(op.domid))
		return -EOPNOTSUPP;
	return op.pirq >= 0 && pirq_valid((unsigned int)op.pirq) ? 0 : -EINVAL;
}

static long op_eoi(uint64_t arg)
{
	struct physdev_eoi op;

	FETCH(op, arg);
	return pirq_eoi(op.irq);
}

static long op_setup_gsi(uint64_t arg)
{
	struct physdev_setup_gsi op;

	FETCH(op, arg);
	if (op.gsi < 0)
		return -EINVAL;
	return pirq_setup((unsigned int)op.gsi, op.triggering != 0, op.polarity != 0);
}

static long privileged_op(unsigned int cmd, uint64_t arg)
{
	switch (cmd) {
	case PHYSDEVOP_irq_status_query:
		return op_irq_status_query(arg);
	case PHYSDEVOP_alloc_irq_vector:
		return op_alloc_irq_vector(arg);
	case PHYSDEVOP_map_pirq:
		return op_map_pirq(arg);
	case PHYSDEVOP_unmap_pirq:
		return op_unmap_pirq(arg);
	case PHYSDEVOP_eoi:
		return op_eoi(arg);
	case PHYSDEVOP_setup_gsi:
		return op_setup_gsi(arg);
	/* Devices pass through without an IOMMU: there is nothing to note about them. */
	case PHYSDEVOP_manage_pci_add:
	case PHYSDEVOP_manage_pci_add_ext:
	case PHYSDEVOP_manage_pci_remove:
	case PHYSDEVOP_pci_device_add:
	case PHYSDEVOP_pci_device_remove:
	case PHYSDEVOP_pci_mmcfg_reserved:
	case PHYSDEVOP_free_irq_vector:
		return 0;
	/* Linux then uses its own picture of a 24-pin IO-APIC (arch/x86/xen/apic.c). */
	case PHYSDEVOP_apic_read:
	case PHYSDEVOP_apic_write:
		return -EPERM;
	default:
		return -ENOSYS;
	}
}

static bool known_privileged(unsigned int cmd)
{
	return cmd == PHYSDEVOP_irq_status_query || (cmd >= PHYSDEVOP_apic_read &&
	       cmd <= PHYSDEVOP_dbgp_op && cmd != PHYSDEVOP_pirq_eoi_gmfn_v1 &&
	       cmd != PHYSDEVOP_pirq_eoi_gmfn_v2);
}

long do_physdev_op(unsigned int cmd, uint64_t arg)
{
	switch (cmd) {
	case PHYSDEVOP_set_iopl:
		return op_set_iopl(arg);
	case PHYSDEVOP_set_iobitmap:	/* domain 0's ports are emulated anyway (x86/emulate.c) */
		return 0;
	default:
		if (is_privileged(current->domain))
			return privileged_op(cmd, arg);
		return known_privileged(cmd) ? -EPERM : -ENOSYS;
	}
}
