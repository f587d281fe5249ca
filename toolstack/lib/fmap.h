/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Foreign maps: frames of another domain in our address space.
 *
 * For a PV domain frames are named by mfn.  All or nothing: if one frame cannot
 * be mapped, none stays mapped.  A map holds a reference on each frame, so a
 * destroyed domain keeps them until fmap_unmap().
 */
#ifndef TOOLSTACK_LIB_FMAP_H
#define TOOLSTACK_LIB_FMAP_H

#include <stddef.h>
#include <stdint.h>
#include <xen/xen.h>

struct fmap;

/**
 * fmap_open() - open the foreign memory device.
 * @out: gets the handle; fmap_close() it
 *
 * Return: 0, -ENOENT/-ENODEV outside dom0, -EACCES, -ENOMEM.  Thread-safe handle.
 */
int fmap_open(struct fmap **out);

/** fmap_close() - the inverse; NULL is allowed; maps stay until unmapped. */
void fmap_close(struct fmap *f);

/**
 * fmap_map() - map frames of a domain one behind the other.
 * @f:     handle
 * @domid: owner
 * @prot:  PROT_READ, with PROT_WRITE or not
 * @mfns:  machine frames
 * @nr:    how many, >= 1
 * @addr:  gets the address of the first
 *
 * Return: 0, -errno (the first frame's that failed; -EINVAL for a frame that
 * is not the domain's, -EBUSY/-EINVAL for a page table asked writable).
 */
int fmap_map(struct fmap *f, domid_t domid, int prot, const xen_pfn_t *mfns, size_t nr,
	     void **addr);

/** fmap_unmap() - undo fmap_map() of @nr frames; NULL is allowed. */
void fmap_unmap(struct fmap *f, void *addr, size_t nr);

#endif
