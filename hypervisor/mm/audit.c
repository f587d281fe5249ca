/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit: does the frame table obey its rules now?  For tests; the host should be quiet.
 */
#include <pv/domain.h>
#include <pv/lib.h>
#include <pv/snapshot.h>

/* What is wrong with frame @f, or NULL. */
static const char *fault_of(const struct frame *f)
{
	uint64_t refs = f->count & FRAME_COUNT_MASK, types = f->type & FTYPE_COUNT_MASK;

	if (f->aside && (f->owner != DOMID_XEN || (f->count & FRAME_FREE)))
		return "a snapshot's copy that is not the hypervisor's";
	if (f->count & FRAME_FREE)
		return refs || types || f->owner != DOMID_INVALID ? "free frame in use" : NULL;
	if (f->owner == DOMID_XEN || f->owner == DOMID_IO || f->owner == DOMID_INVALID)
		return types ? "frame without a domain has a type" : NULL;
	if (!domain_get_any(f->owner))
		return "owner does not exist";
	if (!refs)
		return "owned but not referenced";
	if (types > refs)
		return "more type references than references";
	if ((f->type & FTYPE_PINNED) && !types)
		return "pinned without a type reference";
	return NULL;
}

void frame_audit(struct godwit_audit *a)
{
	uint64_t m, aside = 0;

	*a = (struct godwit_audit){ 0 };
	for (m = 1; m < max_mfn; m++) {
		const struct frame *f = &frame_table[m];
		const char *fault = fault_of(f);

		if (f->owner == DOMID_IO)
			continue;
		aside += !!f->aside;
		a->total_frames++;
		if (f->count & FRAME_FREE)
			a->free_frames++;
		else if (f->owner == DOMID_XEN)
			a->hypervisor_frames++;
		else
			a->domain_frames++;
		if (fault && a->errors++ < 10)
			pr_warn("audit: mfn %lx owner %x count %lx type %lx: %s\n", m, f->owner, f->count, f->type,
				fault);
	}
	if (aside != snapshot_copies()) {
		pr_warn("audit: snapshots hold %lu copies, the table shows %lu\n", snapshot_copies(), aside);
		a->errors++;
	}
	if (a->free_frames != heap_free_frames()) {
		pr_warn("audit: heap counts %lu free frames, the table %lu\n", heap_free_frames(), a->free_frames);
		a->errors++;
	}
}
