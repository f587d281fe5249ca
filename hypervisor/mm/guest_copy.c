/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one door to guest memory by virtual address.
 *
 * The current vCPU's kernel tables are loaded, so hardware itself checks that the
 * address is mapped and, with CR0.WP set, writable; a fault in the copy ends it
 * (exception table).  The only check left to software is that the range stays out of
 * the hypervisor's slots and does not wrap.  Callers fetch once into a local and
 * judge the local.
 */
#include <pv/errno.h>
#include <pv/mm.h>

bool guest_range_ok(uint64_t gva, size_t n)
{
	uint64_t end = gva + n;

	if (end < gva)
		return false;
	return end <= HV_M2P_BASE || gva >= HV_END;
}

/* x86/entry.S: copies, returns the number of bytes left when it faulted. */
size_t x86_copy_user(void *dst, const void *src, size_t n);

int copy_from_guest(void *dst, uint64_t gva, size_t n)
{
	if (!guest_range_ok(gva, n))
		return -EFAULT;
	return x86_copy_user(dst, (const void *)gva, n) ? -EFAULT : 0;
}

int copy_to_guest(uint64_t gva, const void *src, size_t n)
{
	if (!guest_range_ok(gva, n))
		return -EFAULT;
	return x86_copy_user((void *)gva, src, n) ? -EFAULT : 0;
}
