/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one door to guest memory by virtual address.
 *
 * The current vCPU's kernel tables are loaded, so hardware itself checks that the
 * address is mapped and, with CR0.WP set, writable; a fault in the copy ends it
 * (exception table).  The only check left to software is that the range is canonical,
 * stays out of the hypervisor's slots and does not wrap.  Callers fetch once into a local
 * and judge the local.
 *
 * With SMAP the processor refuses us guest memory but between STAC and CLAC, which are here
 * and nowhere else (SDM 3A 4.6.1): a stray pointer faults.
 */
#include <pv/errno.h>
#include <pv/mm.h>
#include <pv/x86.h>

#define CANONICAL_LOW_END	(1UL << 47)

bool guest_range_ok(uint64_t gva, size_t n)
{
	uint64_t end = gva + n;

	if (end < gva)
		return false;
	return end <= CANONICAL_LOW_END || gva >= HV_END;
}

/* x86/entry.S: copies, returns the number of bytes left when it faulted. */
size_t x86_copy_user(void *dst, const void *src, size_t n);

static size_t guest_access(void *dst, const void *src, size_t n)
{
	size_t left;

	x86_allow_user(true);
	left = x86_copy_user(dst, src, n);
	x86_allow_user(false);
	return left;
}

int copy_from_guest(void *dst, uint64_t gva, size_t n)
{
	if (!guest_range_ok(gva, n))
		return -EFAULT;
	return guest_access(dst, (const void *)gva, n) ? -EFAULT : 0;
}

int copy_to_guest(uint64_t gva, const void *src, size_t n)
{
	if (!guest_range_ok(gva, n))
		return -EFAULT;
	return guest_access((void *)gva, src, n) ? -EFAULT : 0;
}
