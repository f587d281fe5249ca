/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Grant tables: the shared entries and who uses them.
 *
 * For each shared entry, which the guest may overwrite at any time, we keep an
 * active entry of our own: who uses it, which frame, how often for reading and for
 * writing.  While that count is not zero the frame and the user stay what they
 * were at the first pin, whatever the guest writes.  GTF_reading is set in the
 * shared entry before the first use and cleared after the last, GTF_writing the
 * same for writing uses; they are set by the compare-and-exchange that also saw
 * the permission, so a guest that revokes an entry by its own compare-and-exchange
 * sees either that it is in use or that it never will be (public grant_table.h).
 *
 * Each pin holds a reference on the frame: a writing one with the writable type.
 * The reference goes before the flag: once the flag is clear the guest may make the
 * frame a page table at once.
 *
 * Lock: grant.lock of the granter for its entries, of the mapper for its maptrack
 * (grant/map.c); never two at once.  It is inside mm_lock, hence never held when a
 * page table entry is written.
 */
#include <pv/domain.h>
#include <pv/errno.h>
#include <pv/lib.h>

struct grant_active {
	uint32_t mfn;
	uint16_t user;
	uint32_t readers, writers;	/* uses that only read; that write, too */
};
static_assert(sizeof(struct grant_active) == 16, "two pages for a page of shared entries");
static_assert(sizeof(struct grant_entry_v1) == 8, "guest ABI");

#define CLAIM_TRIES	5	/* then the granter is playing with the entry */

/* --- domains of a batch --- */

struct domain *domain_cache_get(struct domain_cache *c, uint16_t domid)
{
	if (c->d && c->domid == domid)
		return c->d;
	domain_cache_drop(c);
	c->d = domain_get(domid);
	c->domid = domid;
	return c->d;
}

void domain_cache_drop(struct domain_cache *c)
{
	if (c->d)
		domain_put(c->d);
	c->d = NULL;
}

/* --- pins --- */

static struct grant_entry_v1 *shared_entry(struct grant_domain *g, uint32_t ref)
{
	return &g->frames[ref / GRANT_PER_FRAME][ref % GRANT_PER_FRAME];
}

static struct grant_active *active_entry(struct grant_domain *g, uint32_t ref)
{
	if (ref / GRANT_PER_FRAME >= g->nr_frames)
		return NULL;
	return &g->active[ref / GRANT_PER_FRAME][ref % GRANT_PER_FRAME];
}

/* Flags and domid in one word, as one compare-and-exchange must judge both. */
static int16_t entry_claim(struct grant_entry_v1 *e, uint16_t user, bool write)
{
	uint32_t *word = (uint32_t *)e;
	uint32_t old = ACCESS_ONCE(*word);
	unsigned int i;

	for (i = 0; i < CLAIM_TRIES; i++) {
		if ((old & (GTF_type_mask | GTF_sub_page)) != GTF_permit_access || old >> 16 != user)
			return GNTST_bad_gntref;
		if (write && (old & GTF_readonly))
			return GNTST_permission_denied;
		if (atomic_cas(word, &old, old | GTF_reading | (write ? GTF_writing : 0)))
			return GNTST_okay;
	}
	return GNTST_general_error;
}

/* Clear the flags of kinds of use that are no more. */
static void entry_unclaim(struct grant_entry_v1 *e, const struct grant_active *act)
{
	uint16_t gone = act->writers ? 0 : GTF_writing;

	if (!act->readers && !act->writers)
		gone |= GTF_reading;
	if (gone)
		atomic_and(&e->flags, (uint16_t)~gone);
}

static bool take_frame(const struct domain *granter, mfn_t mfn, bool write)
{
	struct frame *f;

	if (!mfn_valid(mfn))
		return false;
	f = mfn_to_frame(mfn);
	return write ? frame_get_rw(f, granter) : frame_get(f, granter);
}

static int16_t pin_locked(struct domain *granter, uint32_t ref, uint16_t user, bool write,
			  mfn_t *mfn)
{
	struct grant_domain *g = &granter->grant;
	struct grant_active *act = active_entry(g, ref);
	struct grant_entry_v1 *e;
	bool used;
	int16_t status;

	if (!act)
		return GNTST_bad_gntref;
	e = shared_entry(g, ref);
	used = act->readers || act->writers;
	if (used && act->user != user)
		return GNTST_bad_gntref;
	if (!used || (write && !act->writers)) {
		status = entry_claim(e, user, write);
		if (status != GNTST_okay)
			return status;
	}
	if (!used) {
		act->mfn = ACCESS_ONCE(e->frame);
		act->user = user;
	}
	if (!take_frame(granter, _mfn(act->mfn), write)) {
		entry_unclaim(e, act);
		return GNTST_bad_page;
	}
	if (write)
		act->writers++;
	else
		act->readers++;
	*mfn = _mfn(act->mfn);
	return GNTST_okay;
}

int16_t grant_pin(struct domain *granter, uint32_t ref, uint16_t user, bool write, mfn_t *mfn)
{
	int16_t status;

	spin_lock(&granter->grant.lock);
	status = pin_locked(granter, ref, user, write, mfn);
	spin_unlock(&granter->grant.lock);
	return status;
}

void grant_unpin(struct domain *granter, uint32_t ref, bool write, mfn_t mfn)
{
	struct grant_active *act;

	if (write)
		frame_put_rw(mfn_to_frame(mfn));
	else
		frame_put(mfn_to_frame(mfn));

	spin_lock(&granter->grant.lock);
	act = active_entry(&granter->grant, ref);
	if (act) {		/* else the granter died meanwhile and its table is gone */
		if (write)
			act->writers--;
		else
			act->readers--;
		entry_unclaim(shared_entry(&granter->grant, ref), act);
	}
	spin_unlock(&granter->grant.lock);
}

/* --- the table --- */

/* One more frame if there are @have now; someone else may be quicker. */
static int table_grow(struct domain *d, uint32_t have)
{
	struct grant_domain *g = &d->grant;
	struct grant_active *act = xzalloc_array(struct grant_active, GRANT_PER_FRAME);
	void *page = page_alloc();
	bool used = false;

	if (act && page) {
		frame_share(page, d);
		spin_lock(&g->lock);
		if (!g->dead && g->nr_frames == have && have < g->max_frames) {
			g->frames[have] = page;
			g->active[have] = act;
			g->nr_frames = have + 1;
			used = true;
		}
		spin_unlock(&g->lock);
		if (!used)
			frame_unshare(page);
	} else if (page) {
		page_free(page);
	}
	if (!used)
		xfree(act);
	return act && page ? 0 : -ENOMEM;
}

/* Grow to at least @nr frames. */
static int table_reach(struct domain *d, uint32_t nr)
{
	struct grant_domain *g = &d->grant;
	uint32_t have;
	int err;

	while ((have = ACCESS_ONCE(g->nr_frames)) < nr) {
		if (nr > g->max_frames || ACCESS_ONCE(g->dead))
			return -EINVAL;
		err = table_grow(d, have);
		if (err)
			return err;
	}
	return 0;
}

mfn_t grant_frame_mfn(struct domain *d, uint32_t idx)
{
	mfn_t mfn = INVALID_MFN;

	if (idx >= GRANT_MAX_FRAMES || table_reach(d, idx + 1))
		return mfn;
	spin_lock(&d->grant.lock);
	if (idx < d->grant.nr_frames)
		mfn = virt_to_mfn(d->grant.frames[idx]);
	spin_unlock(&d->grant.lock);
	return mfn;
}

int grant_seed(struct domain *d, uint32_t ref, uint16_t domid, mfn_t mfn)
{
	struct grant_active *act;
	struct grant_entry_v1 *e;
	int err = -EINVAL;

	if (mfn_x(mfn) > UINT32_MAX)
		return -EINVAL;
	err = table_reach(d, (uint32_t)(ref / GRANT_PER_FRAME) + 1);
	if (err)
		return err;
	spin_lock(&d->grant.lock);
	act = active_entry(&d->grant, ref);
	if (!act) {
		err = -EINVAL;
	} else if (act->readers || act->writers) {
		err = -EBUSY;
	} else {
		e = shared_entry(&d->grant, ref);
		e->frame = (uint32_t)mfn_x(mfn);
		e->domid = domid;
		/* Last: a mapper on another CPU takes the entry as soon as it sees this. */
		atomic_store(&e->flags, (uint16_t)GTF_permit_access);
	}
	spin_unlock(&d->grant.lock);
	return err;
}

void grant_for_each_rw(struct domain *d, void (*fn)(mfn_t m))
{
	struct grant_domain *g = &d->grant;
	uint32_t ref;

	spin_lock(&g->lock);
	for (ref = 0; ref < g->nr_frames * GRANT_PER_FRAME; ref++) {
		const struct grant_active *act = active_entry(g, ref);

		if (act->writers)
			fn(_mfn(act->mfn));
	}
	spin_unlock(&g->lock);
}

void grant_dump(struct domain *d)
{
	struct grant_domain *g = &d->grant;
	uint32_t ref;

	spin_lock(&g->lock);
	pr_err("d%u grant frames %u of %u\n", d->id, g->nr_frames, g->max_frames);
	for (ref = 0; ref < g->nr_frames * GRANT_PER_FRAME; ref++) {
		const struct grant_active *act = active_entry(g, ref);

		if (act->readers || act->writers)
			pr_err("  ref %u frame %x to d%u readers %u writers %u flags %x\n", ref, act->mfn,
			       act->user, act->readers, act->writers, shared_entry(g, ref)->flags);
	}
	spin_unlock(&g->lock);
	grant_maptrack_dump(d);
}

/* --- life of a domain --- */

int grant_init_domain(struct domain *d, uint32_t max_frames)
{
	d->grant.max_frames = max_frames ? min(max_frames, GRANT_MAX_FRAMES) : 1;
	return 0;
}

void grant_destroy_domain(struct domain *d)
{
	struct grant_domain *g = &d->grant;
	uint32_t nr;

	spin_lock(&g->lock);
	g->dead = true;
	nr = g->nr_frames;
	g->nr_frames = 0;		/* from here on nobody looks at the arrays */
	spin_unlock(&g->lock);
	while (nr--) {
		frame_unshare(g->frames[nr]);
		xfree(g->active[nr]);
		g->frames[nr] = NULL;
		g->active[nr] = NULL;
	}
	grant_maptrack_free(d);
}

/* --- operations on a whole table --- */

/* The domain of a table operation: one's own, or any for domain 0. */
static struct domain *table_domain(uint16_t domid, int16_t *status)
{
	struct domain *self = current->domain, *d = NULL;

	if (domid != DOMID_SELF && domid != self->id && !is_privileged(self)) {
		*status = GNTST_permission_denied;
	} else {
		d = domain_get(domid);
		*status = d ? GNTST_okay : GNTST_bad_domain;
	}
	return d;
}

/* mfns of the first op->nr_frames frames to op->frame_list. */
static int setup_frames(struct domain *d, struct gnttab_setup_table *op)
{
	uint64_t list[GRANT_MAX_FRAMES];
	uint32_t i;

	op->status = GNTST_general_error;
	if (op->nr_frames > d->grant.max_frames || table_reach(d, op->nr_frames))
		return 0;
	for (i = 0; i < op->nr_frames; i++)
		list[i] = mfn_x(grant_frame_mfn(d, i));
	if (copy_to_guest((uint64_t)op->frame_list.p, list, i * sizeof(list[0])))
		return -EFAULT;
	op->status = GNTST_okay;
	return 0;
}

static long op_setup_table(uint64_t uop)
{
	struct gnttab_setup_table op;
	struct domain *d;
	long ret = 0;

	if (copy_from_guest(&op, uop, sizeof(op)))
		return -EFAULT;
	d = table_domain(op.dom, &op.status);
	if (d) {
		ret = setup_frames(d, &op);
		domain_put(d);
	}
	if (!ret && copy_to_guest(uop, &op, sizeof(op)))
		ret = -EFAULT;
	return ret;
}

static long op_query_size(uint64_t uop)
{
	struct gnttab_query_size op;
	struct domain *d;

	if (copy_from_guest(&op, uop, sizeof(op)))
		return -EFAULT;
	d = table_domain(op.dom, &op.status);
	if (d) {
		op.nr_frames = ACCESS_ONCE(d->grant.nr_frames);
		op.max_nr_frames = d->grant.max_frames;
		domain_put(d);
	}
	return copy_to_guest(uop, &op, sizeof(op)) ? -EFAULT : 0;
}

static long op_set_version(uint64_t uop)
{
	struct gnttab_set_version op;
	long ret;

	if (copy_from_guest(&op, uop, sizeof(op)))
		return -EFAULT;
	ret = op.version == 1 ? 0 : -EINVAL;
	op.version = 1;
	return copy_to_guest(uop, &op, sizeof(op)) ? -EFAULT : ret;
}

static long op_get_version(uint64_t uop)
{
	struct gnttab_get_version op;
	struct domain *d;
	int16_t status;

	if (copy_from_guest(&op, uop, sizeof(op)))
		return -EFAULT;
	d = table_domain(op.dom, &status);
	if (!d)
		return status == GNTST_bad_domain ? -ESRCH : -EPERM;
	domain_put(d);
	op.version = 1;
	return copy_to_guest(uop, &op, sizeof(op)) ? -EFAULT : 0;
}

long do_grant_table_op(unsigned int cmd, uint64_t uop, unsigned int count)
{
	if (count > GRANT_MAX_COUNT)
		return -E2BIG;
	switch (cmd) {
	case GNTTABOP_map_grant_ref:
		return grant_op_map(uop, count);
	case GNTTABOP_unmap_grant_ref:
		return grant_op_unmap(uop, count);
	case GNTTABOP_copy:
		return grant_op_copy(uop, count);
	case GNTTABOP_setup_table:
		return count == 1 ? op_setup_table(uop) : -EINVAL;
	case GNTTABOP_query_size:
		return count == 1 ? op_query_size(uop) : -EINVAL;
	case GNTTABOP_set_version:
		return count == 1 ? op_set_version(uop) : -EINVAL;
	case GNTTABOP_get_version:
		return count == 1 ? op_get_version(uop) : -EINVAL;
	default:
		return -ENOSYS;
	}
}
