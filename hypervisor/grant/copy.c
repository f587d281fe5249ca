/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GNTTABOP_copy: bytes from one page to another, each named by a grant or by a
 * frame of the caller's own.  netback's data path, so a page is claimed once for
 * all operations in a row that name it, and given back when another is named.
 *
 * A claimed page holds a reference; as destination the writable type too, so that a
 * copy never writes to a page table.  Every write is told to a snapshot before, to log-dirty after it.
 */
#include <pv/domain.h>
#include <pv/errno.h>
#include <pv/hypercall.h>
#include <pv/lazy.h>
#include <pv/lib.h>
#include <pv/snapshot.h>

/* One end: what it names and, while @held, the page claimed for it. */
struct copy_side {
	struct domain_cache cache;
	uint64_t name;		/* grant reference or frame */
	uint16_t domid;
	bool is_ref, write, held;
	mfn_t mfn;
};

static void side_release(struct copy_side *s)
{
	if (!s->held)
		return;
	s->held = false;
	if (s->is_ref)
		grant_unpin(s->cache.d, (uint32_t)s->name, s->write, s->mfn);
	else if (s->write)
		frame_put_rw(mfn_to_frame(s->mfn));
	else
		frame_put(mfn_to_frame(s->mfn));
}

static int16_t claim_own_frame(struct copy_side *s)
{
	struct domain *self = current->domain;
	mfn_t mfn = _mfn(s->name);

	if (s->domid != DOMID_SELF && s->domid != self->id)
		return GNTST_permission_denied;
	if (!mfn_valid(mfn) || !(s->write ? frame_get_rw(mfn_to_frame(mfn), self)
					  : frame_get(mfn_to_frame(mfn), self)))
		return GNTST_bad_page;
	s->mfn = mfn;
	return GNTST_okay;
}

static int16_t claim_grant(struct copy_side *s)
{
	struct domain *granter = domain_cache_get(&s->cache, s->domid);

	if (!granter)
		return GNTST_bad_domain;
	return grant_pin(granter, (uint32_t)s->name, current->domain->id, s->write, &s->mfn);
}

static int16_t side_claim(struct copy_side *s, const struct gnttab_copy_ptr *p, bool is_ref)
{
	uint64_t name = is_ref ? p->u.ref : p->u.gmfn;
	int16_t status;

	if (s->held && s->is_ref == is_ref && s->domid == p->domid && s->name == name)
		return GNTST_okay;
	side_release(s);
	s->name = name;
	s->domid = p->domid;
	s->is_ref = is_ref;
	status = is_ref ? claim_grant(s) : claim_own_frame(s);
	s->held = status == GNTST_okay;
	return status;
}

static int16_t copy_one(struct copy_side *src, struct copy_side *dst, const struct gnttab_copy *op)
{
	int16_t status;

	if (op->source.offset > PAGE_SIZE - op->len || op->dest.offset > PAGE_SIZE - op->len ||
	    op->len > PAGE_SIZE)
		return GNTST_bad_copy_arg;
	status = side_claim(src, &op->source, op->flags & GNTCOPY_source_gref);
	if (status == GNTST_okay)
		status = side_claim(dst, &op->dest, op->flags & GNTCOPY_dest_gref);
	if (status != GNTST_okay)
		return status;
	if (lazy_blocks(src->mfn) || lazy_blocks(dst->mfn)) {
		hypercall_must_wait();		/* its own page, perhaps: it is told to try again either way */
		return GNTST_eagain;
	}
	snapshot_before_write(dst->mfn);
	/* Both ends may lie in one page. */
	memmove((char *)mfn_to_virt(dst->mfn) + op->dest.offset,
		(const char *)mfn_to_virt(src->mfn) + op->source.offset, op->len);
	logdirty_mark_mfn(dst->mfn);
	return GNTST_okay;
}

long grant_op_copy(uint64_t uop, unsigned int count)
{
	struct gnttab_copy op[GRANT_BATCH];
	struct copy_side src = { .write = false }, dst = { .write = true };
	unsigned int i, n;
	bool yield = false;
	long ret = 0;

	for (; count && !ret && !yield; count -= n, uop += n * sizeof(op[0])) {
		n = min(count, GRANT_BATCH);
		if (copy_from_guest(op, uop, n * sizeof(op[0]))) {
			ret = hypercall_must_wait() ? 0 : -EFAULT;
			break;
		}
		for (i = 0; i < n; i++)
			op[i].status = copy_one(&src, &dst, &op[i]);
		if (copy_to_guest(uop, op, n * sizeof(op[0])))
			ret = -EFAULT;
		yield = hypercall_should_yield();
	}
	side_release(&src);
	side_release(&dst);
	domain_cache_drop(&src.cache);
	domain_cache_drop(&dst.cache);
	if (count && !ret)
		return hypercall_again3(__HYPERVISOR_grant_table_op, GNTTABOP_copy, uop, count);
	return ret;
}
