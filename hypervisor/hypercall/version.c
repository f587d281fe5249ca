/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HYPERVISOR_xen_version: the ABI's version (Xen 4.17), not ours; who we are stands in
 * extraversion and in GODWIT_OP_version.  Also vm_assist.
 * Source: Xen public version.h, features.h.
 */
#include <pv/errno.h>
#include <pv/hypercall.h>
#include <pv/lib.h>

static long version_features(uint64_t arg)
{
	struct xen_feature_info f;

	if (copy_from_guest(&f, arg, sizeof(f)))
		return -EFAULT;
	if (f.submap_idx)
		return -EINVAL;
	f.submap = 1u << XENFEAT_mmu_pt_update_preserve_ad | 1u << XENFEAT_gnttab_map_avail_bits |
		   1u << XENFEAT_pae_pgdir_above_4gb | 1u << XENFEAT_direct_mapped;
	if (is_privileged(current->domain))
		f.submap |= 1u << XENFEAT_dom0;
	return copy_to_guest(arg, &f, sizeof(f));
}

static long put_text(uint64_t arg, const char *s, size_t size)
{
	return copy_to_guest(arg, s, min(strlen(s) + 1, size));	/* the NUL ends it: all fit */
}

long do_xen_version(unsigned int cmd, uint64_t arg)
{
	struct xen_compile_info ci = { "gcc", "godwit", "localhost", __DATE__ };
	struct xen_platform_parameters pp = { .virt_start = HV_M2P_BASE };

	switch (cmd) {
	case XENVER_version:	/* Linux makes this call just to pass the return path */
		return 4 << 16 | 17;
	case XENVER_extraversion:
		return put_text(arg, ".0-godwit", XEN_EXTRAVERSION_LEN);
	case XENVER_compile_info:
		return copy_to_guest(arg, &ci, sizeof(ci));
	case XENVER_capabilities:
		return put_text(arg, "xen-3.0-x86_64 ", sizeof(xen_capabilities_info_t));
	case XENVER_changeset:
		return put_text(arg, "godwit", sizeof(xen_changeset_info_t));
	case XENVER_platform_parameters:
		return copy_to_guest(arg, &pp, sizeof(pp));
	case XENVER_get_features:
		return version_features(arg);
	case XENVER_pagesize:
		return PAGE_SIZE;
	case XENVER_guest_handle:
		return copy_to_guest(arg, current->domain->handle, sizeof(current->domain->handle));
	case XENVER_commandline:
		return is_privileged(current->domain) ?
			put_text(arg, hv_cmdline, sizeof(xen_commandline_t)) : -EPERM;
	default:
		return -ENOSYS;
	}
}

long do_vm_assist(unsigned int cmd, unsigned int type)
{
	struct domain *d = current->domain;

	/* What they ask for is how we behave anyway; runstate_update_flag is looked at. */
	if (type > 63 || !(VM_ASSIST_KNOWN & BIT(type)))
		return -EINVAL;
	if (cmd == VMASST_CMD_enable)
		atomic_or(&d->vm_assist, BIT(type));
	else if (cmd == VMASST_CMD_disable)
		atomic_and(&d->vm_assist, ~BIT(type));
	else
		return -ENOSYS;
	return 0;
}

/* Slots of 32 bytes, one a hypercall; iret's frame is on the stack already. */
void hypercall_page_fill(uint8_t *p)
{
	static const uint8_t call[] = { 0x51, 0x41, 0x53, 0xb8, 0, 0, 0, 0, 0x0f, 0x05, 0x41, 0x5b, 0x59, 0xc3 };
	static const uint8_t iret[] = { 0x51, 0x41, 0x53, 0x50, 0xb8, __HYPERVISOR_iret, 0, 0, 0, 0x0f, 0x05 };
	unsigned int i;

	memset(p, 0xcc, PAGE_SIZE);
	for (i = 0; i < PAGE_SIZE / 32; i++, p += 32) {
		if (i == __HYPERVISOR_iret) {
			memcpy(p, iret, sizeof(iret));
		} else {
			memcpy(p, call, sizeof(call));
			p[4] = (uint8_t)i;
		}
	}
}
