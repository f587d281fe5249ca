/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mapping other domains' frames: GNTTABOP_map_grant_ref and unmap_grant_ref.
 *
 * A mapping is FREE, then BUSY in the hands of one hypercall that makes it, LIVE
 * while its handle is valid, and BUSY again in the hands of the one that ends it:
 * so two vCPUs cannot end it twice.  Only the owner of a BUSY mapping touches it
 * without the lock.  LIVE means: a pin on the granter's entry (grant/grant.c), a
 * reference on the granter, and a page table entry that holds references of its
 * own (mm/mmu.c).  If the guest overwrote that entry itself, unmap fails and the
 * mapping stays until the domain dies: the frame might still be mapped elsewhere
 * in its tables, and the granter must not be told otherwise.
 *
 * Ending goes: entry cleared, TLBs flushed once for many, then reference, flag and
 * handle - nobody is told that a frame is free while a CPU can reach it.
 *
 * Lock: grant.lock of the mapping domain, for maptrack's lists and the states.
 */
#include <pv/domain.h>
#include <pv/errno.h>
#include <pv/hypercall.h>
#include <pv/lazy.h>
#include <pv/lib.h>

enum mapping_state { MAPPING_FREE, MAPPING_BUSY, MAPPING_LIVE };

struct grant_mapping {
	struct domain *granter;		/* referenced */
	uint64_t host_addr;		/* as given: address, or machine address of the entry */
	uint32_t ref;
	uint32_t mfn;
	uint32_t next_free;		/* FREE: handle + 1 of the next, 0 = none */
	uint16_t flags;			/* GNTMAP_*, the low half */
	uint8_t state;			/* enum mapping_state */
};
static_assert(sizeof(struct grant_mapping) == 32, "128 in a page");

#define PER_PAGE		((uint32_t)(PAGE_SIZE / sizeof(struct grant_mapping)))
#define MAX_PAGES_BACKEND	512u	/* 64 Ki mappings for domain 0 */
#define MAX_PAGES_GUEST		32u	/* 4 Ki for any other */
#define FLUSH_BATCH		64u	/* unmaps that share a TLB flush */

/* --- maptrack --- */

static struct grant_mapping *mapping_at(const struct grant_domain *g, uint32_t handle)
{
	return &g->maptrack[handle / PER_PAGE][handle % PER_PAGE];
}

static bool maptrack_grow_locked(struct domain *d)
{
	struct grant_domain *g = &d->grant;
	size_t max_pages = is_privileged(d) ? MAX_PAGES_BACKEND : MAX_PAGES_GUEST;
	uint32_t page = g->nr_maptrack / PER_PAGE, i;
	struct grant_mapping *m;

	if (!g->maptrack)
		g->maptrack = xzalloc_array(struct grant_mapping *, max_pages);
	if (page >= max_pages || !g->maptrack)
		return false;
	m = page_alloc();
	if (!m)
		return false;
	for (i = 0; i < PER_PAGE; i++)
		m[i].next_free = i + 1 < PER_PAGE ? g->nr_maptrack + i + 2 : 0;
	g->maptrack[page] = m;
	g->free_maptrack = g->nr_maptrack + 1;
	g->nr_maptrack += PER_PAGE;
	return true;
}

/* A BUSY mapping, or NULL when the domain has as many as it may. */
static struct grant_mapping *mapping_alloc(struct domain *d, uint32_t *handle)
{
	struct grant_domain *g = &d->grant;
	struct grant_mapping *m = NULL;

	spin_lock(&g->lock);
	if (g->free_maptrack || maptrack_grow_locked(d)) {
		*handle = g->free_maptrack - 1;
		m = mapping_at(g, *handle);
		g->free_maptrack = m->next_free;
		m->state = MAPPING_BUSY;
	}
	spin_unlock(&g->lock);
	return m;
}

static void mapping_free(struct domain *d, uint32_t handle)
{
	struct grant_domain *g = &d->grant;
	struct grant_mapping *m;

	spin_lock(&g->lock);
	m = mapping_at(g, handle);
	*m = (struct grant_mapping){ .state = MAPPING_FREE, .next_free = g->free_maptrack };
	g->free_maptrack = handle + 1;
	spin_unlock(&g->lock);
}

/* LIVE to BUSY for the one who ends it; NULL: no such mapping. */
static struct grant_mapping *mapping_grab(struct domain *d, uint32_t handle, int16_t *status,
					  uint64_t host_addr)
{
	struct grant_domain *g = &d->grant;
	struct grant_mapping *m = NULL;

	spin_lock(&g->lock);
	if (handle < g->nr_maptrack)
		m = mapping_at(g, handle);
	if (!m || m->state != MAPPING_LIVE) {
		*status = GNTST_bad_handle;
		m = NULL;
	} else if (m->host_addr != host_addr) {
		*status = GNTST_bad_virt_addr;
		m = NULL;
	} else {
		m->state = MAPPING_BUSY;
	}
	spin_unlock(&g->lock);
	return m;
}

static void mapping_set_live(struct domain *d, struct grant_mapping *m)
{
	spin_lock(&d->grant.lock);
	m->state = MAPPING_LIVE;
	spin_unlock(&d->grant.lock);
}

static bool mapping_writes(const struct grant_mapping *m)
{
	return !(m->flags & GNTMAP_readonly);
}

/* What a BUSY mapping holds, once no CPU can use it. */
static void mapping_release(struct grant_mapping *m)
{
	mfn_t mfn = _mfn(m->mfn);

	if (mapping_writes(m))
		logdirty_mark_mfn(mfn);
	grant_unpin(m->granter, m->ref, mapping_writes(m), mfn);
	domain_put(m->granter);
}

void grant_maptrack_free(struct domain *d)
{
	struct grant_domain *g = &d->grant;
	struct grant_mapping **pages;
	uint32_t nr, i;

	spin_lock(&g->lock);
	pages = g->maptrack;
	nr = g->nr_maptrack / PER_PAGE;
	g->maptrack = NULL;
	g->nr_maptrack = g->free_maptrack = 0;
	spin_unlock(&g->lock);
	for (i = 0; i < nr; i++)
		page_free(pages[i]);
	xfree(pages);
}

void grant_release_mappings(struct domain *d)
{
	struct grant_domain *g = &d->grant;
	uint32_t handle, nr = g->nr_maptrack;
	bool flushed = false;

	for (handle = 0; handle < nr; handle++) {
		struct grant_mapping *m = mapping_at(g, handle);

		if (m->state != MAPPING_LIVE)
			continue;
		/* Its vCPUs run no more, but a CPU may have its tables loaded still. */
		if (!flushed)
			tlb_flush_mask(d->dirty_cpus);
		flushed = true;
		m->state = MAPPING_BUSY;
		mapping_release(m);
		mapping_free(d, handle);
	}
}

void grant_maptrack_dump(struct domain *d)
{
	struct grant_domain *g = &d->grant;
	uint32_t handle;

	spin_lock(&g->lock);
	for (handle = 0; handle < g->nr_maptrack; handle++) {
		const struct grant_mapping *m = mapping_at(g, handle);

		if (m->state == MAPPING_LIVE)
			pr_err("  maps handle %u: d%u ref %u frame %x flags %x at %lx\n", handle,
			       m->granter->id, m->ref, m->mfn, m->flags, m->host_addr);
	}
	spin_unlock(&g->lock);
}

/* --- map --- */

/* Source: Xen public grant_table.h, GNTMAP_*: the guest's own bits go to the entry's available
 * bits; features.h, XENFEAT_gnttab_map_avail_bits. */
static uint64_t pte_flags(uint32_t map_flags)
{
	uint64_t flags = PTE_P | PTE_A | PTE_D | PTE_US;

	if (!(map_flags & GNTMAP_readonly))
		flags |= PTE_RW;
	if (cpu_features.nx)
		flags |= PTE_NX;
	return flags | (uint64_t)(map_flags >> _GNTMAP_guest_avail0 & 7) << 9;
}

static int16_t map_into(struct domain *d, struct domain *granter, struct grant_mapping *m,
			const struct gnttab_map_grant_ref *op)
{
	bool write = !(op->flags & GNTMAP_readonly);
	mfn_t mfn;
	int16_t status = grant_pin(granter, op->ref, d->id, write, &mfn);

	if (status != GNTST_okay)
		return status;
	if (lazy_blocks(mfn)) {
		hypercall_must_wait();
		grant_unpin(granter, op->ref, write, mfn);
		return GNTST_eagain;
	}
	if (mmu_install_foreign(d, op->host_addr, op->flags & GNTMAP_contains_pte, mfn,
				pte_flags(op->flags))) {
		grant_unpin(granter, op->ref, write, mfn);
		return GNTST_bad_virt_addr;
	}
	domain_hold(granter);
	m->granter = granter;
	m->host_addr = op->host_addr;
	m->ref = op->ref;
	m->mfn = (uint32_t)mfn_x(mfn);
	m->flags = (uint16_t)op->flags;
	return GNTST_okay;
}

static void map_one(struct domain *d, struct domain_cache *cache, struct gnttab_map_grant_ref *op)
{
	struct domain *granter = domain_cache_get(cache, op->dom);
	struct grant_mapping *m;
	uint32_t handle;

	if (!granter) {
		op->status = GNTST_bad_domain;
		return;
	}
	/* device_map asks for nothing here: without an IOMMU bus and machine addresses agree */
	if (!(op->flags & GNTMAP_host_map)) {
		op->status = GNTST_general_error;
		return;
	}
	m = mapping_alloc(d, &handle);
	if (!m) {
		op->status = GNTST_no_space;
		return;
	}
	op->status = map_into(d, granter, m, op);
	if (op->status != GNTST_okay) {
		mapping_free(d, handle);
		return;
	}
	op->handle = handle;
	op->dev_bus_addr = (uint64_t)m->mfn << PAGE_SHIFT;
	mapping_set_live(d, m);
}

long grant_op_map(uint64_t uop, unsigned int count)
{
	struct gnttab_map_grant_ref op[GRANT_BATCH];
	struct domain_cache cache = { NULL, 0 };
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
			map_one(current->domain, &cache, &op[i]);
		if (copy_to_guest(uop, op, n * sizeof(op[0])))
			ret = -EFAULT;
		yield = hypercall_should_yield();
	}
	domain_cache_drop(&cache);
	if (count && !ret)
		return hypercall_again3(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, uop, count);
	return ret;
}

/* --- unmap --- */

struct unmap_batch {
	uint32_t handle[FLUSH_BATCH];	/* BUSY, their entries cleared, TLBs not yet flushed */
	unsigned int nr;
};

static void unmap_commit(struct domain *d, struct unmap_batch *b)
{
	unsigned int i;

	if (!b->nr)
		return;
	tlb_flush_mask(d->dirty_cpus);
	for (i = 0; i < b->nr; i++) {
		mapping_release(mapping_at(&d->grant, b->handle[i]));
		mapping_free(d, b->handle[i]);
	}
	b->nr = 0;
}

static void unmap_one(struct domain *d, struct unmap_batch *b, struct gnttab_unmap_grant_ref *op)
{
	struct grant_mapping *m = mapping_grab(d, op->handle, &op->status, op->host_addr);

	if (!m)
		return;
	if (mmu_remove_foreign(d, m->host_addr, m->flags & GNTMAP_contains_pte, _mfn(m->mfn))) {
		mapping_set_live(d, m);
		op->status = GNTST_general_error;
		return;
	}
	op->status = GNTST_okay;
	b->handle[b->nr++] = op->handle;
	if (b->nr == FLUSH_BATCH)
		unmap_commit(d, b);
}

long grant_op_unmap(uint64_t uop, unsigned int count)
{
	struct gnttab_unmap_grant_ref op[GRANT_BATCH];
	struct domain *d = current->domain;
	struct unmap_batch batch = { .nr = 0 };
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
			unmap_one(d, &batch, &op[i]);
		if (copy_to_guest(uop, op, n * sizeof(op[0])))
			ret = -EFAULT;
		yield = hypercall_should_yield();
	}
	unmap_commit(d, &batch);
	if (count && !ret)
		return hypercall_again3(__HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref, uop, count);
	return ret;
}
