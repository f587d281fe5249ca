/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HYPERVISOR_memory_op: reservations, memory maps, exchange, resources.
 * Source: Xen public memory.h.
 */
#include <pv/errno.h>
#include <pv/hypercall.h>
#include <pv/lazy.h>
#include <pv/lib.h>

#define MAX_EXTENTS	(1u << 20)
#define MAX_ORDER	9u
#define EXCHANGE_MAX	1024u		/* frames in one exchange */

/* The domain an operation is about, referenced: the caller itself, or any for dom0. */
static int target_get(uint16_t domid, struct domain **d)
{
	if (domid != DOMID_SELF && domid != current->domain->id && !is_privileged(current->domain))
		return -EPERM;
	*d = domain_get(domid);
	return *d ? 0 : -ESRCH;
}

/* Byte limit that mem_flags ask for; 0 = none. */
static uint64_t address_limit(unsigned int mem_flags)
{
	unsigned int bits = XENMEMF_get_address_bits(mem_flags);

	return bits && bits < 64 ? 1UL << bits : 0;
}

static uint64_t list_at(const struct xen_memory_reservation *r, uint64_t i)
{
	return (uint64_t)r->extent_start.p + i * sizeof(xen_pfn_t);
}

/* --- reservations -------------------------------------------------------------------- */

/* @nr frames from @mfn on get pfns from @pfn on.  The guest may give them away on another vCPU
 * meanwhile: M2P is written only while we hold the frame for it. */
static void name_frames(struct domain *d, uint64_t mfn, uint64_t nr, uint64_t pfn)
{
	for (; nr--; mfn++, pfn++) {
		if (!frame_get(mfn_to_frame(_mfn(mfn)), d))
			continue;
		logdirty_m2p_changed(d, _mfn(mfn), _pfn(pfn));
		m2p_set(_mfn(mfn), _pfn(pfn));
		frame_put(mfn_to_frame(_mfn(mfn)));
	}
}

static int populate_one(struct domain *d, const struct xen_memory_reservation *r, uint64_t i)
{
	uint64_t pfn, mfn;
	struct frame *f;

	if (copy_from_guest(&pfn, list_at(r, i), sizeof(pfn)))
		return -EFAULT;
	f = domain_alloc_frames(d, r->extent_order, address_limit(r->mem_flags));
	if (!f)
		return -ENOMEM;
	mfn = frame_to_mfn(f).mfn;
	name_frames(d, mfn, 1UL << r->extent_order, pfn);
	return copy_to_guest(list_at(r, i), &mfn, sizeof(mfn));
}

static int increase_one(struct domain *d, const struct xen_memory_reservation *r, uint64_t i)
{
	struct frame *f = domain_alloc_frames(d, r->extent_order, address_limit(r->mem_flags));
	uint64_t mfn;

	if (!f)
		return -ENOMEM;
	mfn = frame_to_mfn(f).mfn;
	return r->extent_start.p ? copy_to_guest(list_at(r, i), &mfn, sizeof(mfn)) : 0;
}

static int decrease_one(struct domain *d, const struct xen_memory_reservation *r, uint64_t i)
{
	uint64_t mfn, n;

	if (copy_from_guest(&mfn, list_at(r, i), sizeof(mfn)))
		return -EFAULT;
	for (n = mfn; n < mfn + (1UL << r->extent_order); n++) {
		struct frame *f = mfn_to_frame(_mfn(n));

		if (!mfn_valid(_mfn(n)) || !frame_get(f, d))
			return -EINVAL;
		if ((f->count & FRAME_HV) || !frame_release(f)) {
			frame_put(f);
			return -EINVAL;
		}
		frame_put(f);
	}
	return 0;
}

/* The command's high bits say with which extent to go on. */
#define START_SHIFT	6
#define CMD_MASK	((1u << START_SHIFT) - 1)
#define YIELD_FRAMES	64u		/* frames between two looks around */

static long reservation(unsigned int cmd, uint64_t arg,
			int (*one)(struct domain *, const struct xen_memory_reservation *, uint64_t))
{
	struct xen_memory_reservation r;
	uint64_t start = cmd >> START_SHIFT, i;
	struct domain *d;
	bool yield = false;
	int ret;

	if (copy_from_guest(&r, arg, sizeof(r)))
		return -EFAULT;
	if (r.nr_extents > MAX_EXTENTS || r.extent_order > MAX_ORDER || start > r.nr_extents)
		return -EINVAL;
	ret = target_get(r.domid, &d);
	if (ret)
		return ret;
	for (i = start; i < r.nr_extents && !yield && !one(d, &r, i); i++)
		yield = ((i + 1) << r.extent_order) % YIELD_FRAMES == 0 && hypercall_should_yield();
	domain_put(d);
	if ((hypercall_must_wait() || yield) && i < r.nr_extents)
		return hypercall_again2(__HYPERVISOR_memory_op, (cmd & CMD_MASK) | i << START_SHIFT, arg);
	return (long)i;
}

/* --- exchange ---------------------------------------------------------------------------- */

struct exchange {
	struct domain *d;
	struct xen_memory_exchange x;
	unsigned int nr;		/* frames each way */
	unsigned int held;		/* of in[], that we hold a reference on */
	uint64_t in[EXCHANGE_MAX], out[EXCHANGE_MAX], pfn[EXCHANGE_MAX];
};

/* Hold frame @mfn, to which nobody but the owner itself refers: nor will it go meanwhile. */
static bool exchange_hold(struct exchange *e, uint64_t mfn)
{
	struct frame *f = mfn_to_frame(_mfn(mfn));

	if (!mfn_valid(_mfn(mfn)) || lazy_blocks(_mfn(mfn)) || !frame_get(f, e->d))
		return false;
	if (ACCESS_ONCE(f->count) == (FRAME_ALLOCATED | 2) && !(f->type & FTYPE_COUNT_MASK)) {
		e->in[e->held++] = mfn;
		return true;
	}
	frame_put(f);
	return false;
}

static int exchange_fetch(struct exchange *e)
{
	const struct xen_memory_reservation *in = &e->x.in, *out = &e->x.out;
	uint64_t base, i, n, size = 1UL << in->extent_order;

	for (i = 0; i < in->nr_extents; i++) {
		if (copy_from_guest(&base, list_at(in, i), sizeof(base)))
			return -EFAULT;
		for (n = 0; n < size; n++)
			if (!exchange_hold(e, base + n))
				return -EINVAL;
	}
	for (i = 0; i < out->nr_extents; i++)
		if (copy_from_guest(&e->pfn[i], list_at(out, i), sizeof(e->pfn[i])))
			return -EFAULT;
	return 0;
}

/* Do the frames that came in serve as they are?  dom0's memory is linear, so they mostly do. */
static bool exchange_in_place(const struct exchange *e, uint64_t limit)
{
	unsigned int size = 1u << e->x.out.extent_order, i;

	for (i = 0; i < e->nr; i++) {
		if (i % size == 0 ? e->in[i] % size : e->in[i] != e->in[i - 1] + 1)
			return false;
		if (limit && (e->in[i] + 1) << PAGE_SHIFT > limit)
			return false;
	}
	return true;
}

static int exchange_allocate(struct exchange *e, uint64_t limit)
{
	unsigned int size = 1u << e->x.out.extent_order, i, n;

	for (i = 0; i < e->nr; i += size) {
		struct frame *f = domain_alloc_frames(e->d, e->x.out.extent_order, limit);

		if (!f) {
			while (i-- > 0)
				frame_release(mfn_to_frame(_mfn(e->out[i])));
			return -ENOMEM;
		}
		for (n = 0; n < size; n++)
			e->out[i + n] = frame_to_mfn(f).mfn + n;
	}
	for (i = 0; i < e->nr; i++)
		frame_release(mfn_to_frame(_mfn(e->in[i])));
	return 0;
}

static int exchange_run(struct exchange *e)
{
	unsigned int size = 1u << e->x.out.extent_order, i;
	uint64_t limit = address_limit(e->x.out.mem_flags);
	int ret = exchange_fetch(e);

	if (ret)
		return ret;
	if (exchange_in_place(e, limit)) {
		memcpy(e->out, e->in, e->nr * sizeof(e->out[0]));
	} else {
		ret = exchange_allocate(e, limit);
		if (ret)
			return ret;
	}
	for (i = 0; i < e->nr; i += size) {
		name_frames(e->d, e->out[i], size, e->pfn[i / size]);
		if (copy_to_guest(list_at(&e->x.out, i / size), &e->out[i], sizeof(e->out[i])))
			return -EFAULT;
	}
	return 0;
}

/* The guest insists on all or nothing: 0 with nr_exchanged = in.nr_extents, or an error with 0. */
static long memory_exchange(uint64_t arg)
{
	struct exchange *e = xzalloc(sizeof(*e));
	struct xen_memory_exchange *x;
	uint64_t done = 0;
	long ret;

	if (!e)
		return -ENOMEM;
	x = &e->x;
	ret = -EFAULT;
	if (copy_from_guest(x, arg, sizeof(*x)))
		goto out;
	ret = -EINVAL;
	if (x->nr_exchanged || x->in.extent_order > MAX_ORDER || x->out.extent_order > MAX_ORDER ||
	    x->in.nr_extents > EXCHANGE_MAX || x->out.nr_extents > EXCHANGE_MAX ||
	    x->in.nr_extents << x->in.extent_order != x->out.nr_extents << x->out.extent_order ||
	    x->in.nr_extents << x->in.extent_order > EXCHANGE_MAX ||
	    x->in.domid != x->out.domid || x->in.domid != DOMID_SELF)
		goto out;
	e->nr = (unsigned int)(x->in.nr_extents << x->in.extent_order);
	e->d = current->domain;
	ret = exchange_run(e);
	while (e->held)
		frame_put(mfn_to_frame(_mfn(e->in[--e->held])));
	if (!ret)
		done = x->in.nr_extents;
	if (copy_to_guest(arg + __builtin_offsetof(struct xen_memory_exchange, nr_exchanged), &done, sizeof(done)))
		ret = -EFAULT;
out:
	xfree(e);
	return ret;
}

/* --- maps ------------------------------------------------------------------------------------ */

struct map_entry { uint64_t addr, size; uint32_t type; } __packed;	/* as BIOS E820 gives it */

static int put_entry(uint64_t buf, uint32_t *n, uint32_t room, uint64_t addr, uint64_t size, uint32_t type)
{
	struct map_entry e = { addr, size, type == E820_UNUSABLE ? E820_RESERVED : type };

	if (*n >= room)
		return -EINVAL;
	return copy_to_guest(buf + (*n)++ * sizeof(e), &e, sizeof(e));
}

/* dom0's pseudo-physical space follows the machine's map, with the interrupt controllers kept out. */
static long machine_memory_map(uint64_t arg)
{
	struct xen_memory_map m;
	uint32_t n = 0, room;
	unsigned int i;
	int ret = 0;

	if (!is_privileged(current->domain))
		return -EPERM;
	if (copy_from_guest(&m, arg, sizeof(m)))
		return -EFAULT;
	room = m.nr_entries;
	for (i = 0; i < nr_e820 && !ret; i++)
		ret = put_entry((uint64_t)m.buffer.p, &n, room, e820[i].addr, e820[i].size, e820[i].type);
	for (i = 0; i < acpi_nr_ioapics && !ret; i++)
		ret = put_entry((uint64_t)m.buffer.p, &n, room, acpi_ioapic_maddr[i], PAGE_SIZE, E820_RESERVED);
	if (!ret)
		ret = put_entry((uint64_t)m.buffer.p, &n, room, acpi_lapic_maddr, PAGE_SIZE, E820_RESERVED);
	if (ret)
		return ret;
	m.nr_entries = n;
	return copy_to_guest(arg, &m, sizeof(m));
}

static long memory_map(uint64_t arg)
{
	struct domain *d = current->domain;
	struct xen_memory_map m;
	uint32_t n = 0, room;
	unsigned int i;
	long ret = 0;

	if (!d->e820_map)
		return -ENOSYS;
	if (copy_from_guest(&m, arg, sizeof(m)))
		return -EFAULT;
	room = m.nr_entries;
	for (i = 0; i < d->nr_e820_map && !ret; i++)
		ret = put_entry((uint64_t)m.buffer.p, &n, room, d->e820_map[i].addr, d->e820_map[i].size,
				d->e820_map[i].type);
	if (ret)
		return ret;
	m.nr_entries = n;
	return copy_to_guest(arg, &m, sizeof(m));
}

static long set_memory_map(uint64_t arg)
{
	struct xen_foreign_memory_map fm;
	struct e820_entry *map, *old;
	struct map_entry e;
	struct domain *d;
	unsigned int i;
	long ret = 0;

	if (!is_privileged(current->domain))
		return -EPERM;
	if (copy_from_guest(&fm, arg, sizeof(fm)))
		return -EFAULT;
	if (fm.map.nr_entries == 0 || fm.map.nr_entries > E820_MAX)
		return -EINVAL;
	map = xzalloc_array(struct e820_entry, fm.map.nr_entries);
	if (!map)
		return -ENOMEM;
	for (i = 0; i < fm.map.nr_entries && !ret; i++) {
		ret = copy_from_guest(&e, (uint64_t)fm.map.buffer.p + i * sizeof(e), sizeof(e));
		map[i] = (struct e820_entry){ e.addr, e.size, e.type };
	}
	if (!ret)
		ret = target_get(fm.domid, &d);
	if (ret) {
		xfree(map);
		return ret;
	}
	spin_lock(&d->lock);
	old = map;
	ret = -EBUSY;
	if (d->state == DOM_BUILDING) {	/* a guest that runs reads it without a lock */
		old = d->e820_map;
		d->e820_map = map;
		d->nr_e820_map = fm.map.nr_entries;
		ret = 0;
	}
	spin_unlock(&d->lock);
	xfree(old);
	domain_put(d);
	return ret;
}

static long machphys_mapping(uint64_t arg)
{
	struct xen_machphys_mapping m = {
		.v_start = HV_M2P_BASE,
		.v_end = HV_M2P_BASE + ROUND_UP(max_mfn * 8, PAGE_SIZE),
		.max_mfn = max_mfn - 1,
	};

	return copy_to_guest(arg, &m, sizeof(m));
}

/* --- what tools map ------------------------------------------------------------------------------ */

static long acquire_resource(uint64_t arg)
{
	struct xen_mem_acquire_resource r;
	struct domain *d;
	unsigned int i;
	long ret = 0;

	if (!is_privileged(current->domain))
		return -EPERM;
	if (copy_from_guest(&r, arg, sizeof(r)))
		return -EFAULT;
	if (r.type != XENMEM_resource_grant_table || r.id != XENMEM_resource_grant_table_id_shared)
		return -EOPNOTSUPP;
	if (r.nr_frames == 0 && !r.frame_list.p) {
		r.nr_frames = GRANT_MAX_FRAMES;
		return copy_to_guest(arg, &r, sizeof(r));
	}
	if (r.pad || r.frame >= GRANT_MAX_FRAMES || r.nr_frames > GRANT_MAX_FRAMES - r.frame)
		return -EINVAL;
	ret = target_get(r.domid, &d);
	if (ret)
		return ret;
	for (i = 0; i < r.nr_frames && !ret; i++) {
		mfn_t m = grant_frame_mfn(d, (uint32_t)r.frame + i);

		if (mfn_eq(m, INVALID_MFN))
			ret = -ENOMEM;
		else
			ret = copy_to_guest((uint64_t)r.frame_list.p + i * sizeof(xen_pfn_t), &m.mfn, sizeof(m.mfn));
	}
	domain_put(d);
	return ret;
}

static long by_domid(uint64_t arg, unsigned int cmd)
{
	struct domain *d;
	uint16_t domid;
	long ret;

	if (copy_from_guest(&domid, arg, sizeof(domid)))
		return -EFAULT;
	ret = target_get(domid, &d);
	if (ret)
		return ret;
	ret = (long)(cmd == XENMEM_current_reservation ? d->tot_pages : d->max_pages);
	domain_put(d);
	return ret;
}

long do_memory_op(unsigned int cmd, uint64_t arg)
{
	switch (cmd & CMD_MASK) {
	case XENMEM_increase_reservation: return reservation(cmd, arg, increase_one);
	case XENMEM_decrease_reservation: return reservation(cmd, arg, decrease_one);
	case XENMEM_populate_physmap: return reservation(cmd, arg, populate_one);
	}
	switch (cmd) {
	case XENMEM_current_reservation:
	case XENMEM_maximum_reservation: return by_domid(arg, cmd);
	case XENMEM_exchange: return memory_exchange(arg);
	case XENMEM_maximum_ram_page: return (long)(max_mfn - 1);
	case XENMEM_machphys_mapping: return machphys_mapping(arg);
	case XENMEM_memory_map: return memory_map(arg);
	case XENMEM_machine_memory_map: return machine_memory_map(arg);
	case XENMEM_set_memory_map: return set_memory_map(arg);
	case XENMEM_acquire_resource: return acquire_resource(arg);
	case XENMEM_claim_pages: return is_privileged(current->domain) ? 0 : -EPERM;
	default: return -ENOSYS;
	}
}
