// SPDX-License-Identifier: Apache-2.0
/* Foreign maps over libxenforeignmemory: see fmap.h. */
#include "toolstack/lib/fmap.h"

#include <errno.h>
#include <stdlib.h>
#include <xenforeignmemory.h>

#include "toolstack/lib/quiet.h"

struct fmap {
	xenforeignmemory_handle *fmem;
};

int fmap_open(struct fmap **out)
{
	struct fmap *f = calloc(1, sizeof(*f));
	int err;

	if (!f)
		return -ENOMEM;
	f->fmem = xenforeignmemory_open(&quiet_logger, 0);
	if (!f->fmem) {
		err = errno;
		free(f);
		return err ? -err : -ENODEV;
	}
	*out = f;
	return 0;
}

void fmap_close(struct fmap *f)
{
	if (!f)
		return;
	xenforeignmemory_close(f->fmem);
	free(f);
}

int fmap_map(struct fmap *f, domid_t domid, int prot, const xen_pfn_t *mfns, size_t nr,
	     void **addr)
{
	void *p;

	if (nr == 0)
		return -EINVAL;
	/* Without an error array the library fails as a whole on the first bad frame. */
	p = xenforeignmemory_map(f->fmem, domid, prot, nr, mfns, NULL);
	if (!p)
		return errno ? -errno : -EIO;
	*addr = p;
	return 0;
}

void fmap_unmap(struct fmap *f, void *addr, size_t nr)
{
	if (addr)
		xenforeignmemory_unmap(f->fmem, addr, nr);
}
