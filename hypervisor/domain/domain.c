/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a domain.
 *
 *	BUILDING -> ALIVE -> DYING -> DEAD
 *	    first unpause  destroy   everything given back that was its own
 *
 * A domain is in the table from its creation until its last reference goes; the table
 * holds one reference until DEAD, each of its frames one (so a frame somebody still
 * maps keeps its owner's name), each user of domain_get() one.  A domid is never
 * reused while any of them remains.  Nothing looks at a DEAD domain but frames.
 *
 * Lock: domlist_lock protects the table and the state's step to DEAD; d->lock is for
 * tools' operations on one domain.
 */
#include <pv/errno.h>
#include <pv/lazy.h>
#include <pv/lib.h>
#include <pv/mmu.h>
#include <pv/snapshot.h>
#include <pv/track.h>
#include <pv/x86.h>

#define DOMID_END	0x7fefu		/* DOMID_FIRST_RESERVED and idle stay out */

static struct spinlock domlist_lock = SPINLOCK_INIT;
static struct domain *domains[DOMID_END];
static uint16_t last_domid;
static unsigned int domid_bound;	/* one past the highest domid ever used */

struct domain *dom0;

/* --- references -------------------------------------------------------------------- */

void domain_hold(struct domain *d) { atomic_add(&d->refs, 1); }

static void domain_free(struct domain *d)
{
	unsigned int i;

	for (i = 0; i < MAX_VCPUS; i++) {
		if (!d->vcpu[i])
			continue;
		x86_vcpu_destroy(d->vcpu[i]);
		xfree(d->vcpu[i]);
	}
	frame_unshare(d->shared_info);	/* so late: a tool may be looking at a domain that dies */
	track_free(d);
	xfree(d->e820_map);
	xfree(d);
}

void domain_put(struct domain *d)
{
	if (atomic_sub(&d->refs, 1))
		return;
	spin_lock(&domlist_lock);
	domains[d->id] = NULL;
	spin_unlock(&domlist_lock);
	domain_free(d);
	if (dom0)
		evtchn_send_global_virq(VIRQ_DOM_EXC);
}

static bool hold_unless_dead(struct domain *d)
{
	uint32_t old = ACCESS_ONCE(d->refs);

	do {
		if (!old || d->state == DOM_DEAD)
			return false;
	} while (!atomic_cas(&d->refs, &old, old + 1));
	return true;
}

struct domain *domain_get(uint16_t domid)
{
	struct domain *d = NULL;

	if (domid == DOMID_SELF)
		domid = current->domain->id;
	if (domid >= DOMID_END)
		return NULL;
	spin_lock(&domlist_lock);
	if (domains[domid] && hold_unless_dead(domains[domid]))
		d = domains[domid];
	spin_unlock(&domlist_lock);
	return d;
}

struct domain *domain_get_any(uint16_t domid)
{
	return domid < DOMID_END ? domains[domid] : NULL;
}

struct domain *domain_get_next(uint16_t from)
{
	struct domain *d = NULL;
	unsigned int i;

	spin_lock(&domlist_lock);
	for (i = from; i < domid_bound && !d; i++)
		if (domains[i] && hold_unless_dead(domains[i]))
			d = domains[i];
	spin_unlock(&domlist_lock);
	return d;
}

/* --- creation ---------------------------------------------------------------------------- */

/* Ids go round, so that one just freed is the last to be used again. */
static int domid_choose(uint16_t wish)
{
	unsigned int i, id;

	if (wish < DOMID_END && (wish != 0 || !dom0))
		return domains[wish] ? -EEXIST : wish;
	for (i = 1; i < DOMID_END; i++) {
		id = (last_domid + i) % DOMID_END;
		if (id && !domains[id]) {
			last_domid = id;
			return (int)id;
		}
	}
	return -ENOSPC;
}

static int domain_enter(struct domain *d, uint16_t wish)
{
	int id;

	spin_lock(&domlist_lock);
	id = domid_choose(wish);
	if (id >= 0) {
		d->id = (uint16_t)id;
		domains[id] = d;
		domid_bound = max(domid_bound, (unsigned int)id + 1);
	}
	spin_unlock(&domlist_lock);
	return id < 0 ? id : 0;
}

int domain_create(uint16_t wish, const struct xen_domctl_createdomain *cfg, struct domain **out)
{
	struct domain *d = xzalloc(sizeof(*d));
	int ret;

	if (!d)
		return -ENOMEM;
	d->refs = 1;
	d->state = DOM_BUILDING;
	d->paused_by_tool = true;
	d->sched_weight = SCHED_WEIGHT_DEFAULT;
	d->sched_warp = true;
	d->created_at = now_ns();
	d->ssidref = cfg->ssidref;
	memcpy(d->handle, cfg->handle, sizeof(d->handle));
	memcpy(d->uuid, cfg->handle, sizeof(d->uuid));
	ret = domain_enter(d, wish);
	if (ret) {
		xfree(d);
		return ret;
	}
	ret = -ENOMEM;
	d->shared_info = page_alloc();
	if (d->shared_info) {
		frame_share(d->shared_info, d);
		ret = evtchn_init_domain(d, cfg->max_evtchn_port);
		if (!ret)
			ret = grant_init_domain(d, (uint32_t)cfg->max_grant_frames);
	}
	if (ret) {
		while (domain_destroy(d) == -EAGAIN)
			;
		return ret;
	}
	*out = d;
	return 0;
}

static int vcpu_create(struct domain *d, unsigned int id)
{
	struct vcpu *v = xzalloc(sizeof(*v));
	int ret;

	if (!v)
		return -ENOMEM;
	v->domain = d;
	v->id = id;
	v->info = (struct vcpu_info *)&d->shared_info->vcpu_info[id];
	ret = x86_vcpu_init(v);
	if (!ret)
		ret = sched_vcpu_init(v);
	if (ret) {
		x86_vcpu_destroy(v);
		xfree(v);
		return ret;
	}
	if (d->paused_by_tool)
		v->sched.pause_count++;
	v->info->evtchn_upcall_mask = 1;
	d->vcpu[id] = v;
	return 0;
}

int domain_create_vcpus(struct domain *d, unsigned int n)
{
	unsigned int i;
	int ret = 0;

	if (n == 0 || n > MAX_VCPUS || d->max_vcpus)
		return -EINVAL;
	for (i = 0; i < n && !ret; i++)
		ret = vcpu_create(d, i);
	if (ret)
		return ret;
	/* All 32 slots: Linux reads the mask of vCPUs it has not brought up. */
	for (i = 0; i < XEN_LEGACY_MAX_VCPUS; i++)
		d->shared_info->vcpu_info[i].evtchn_upcall_mask = 1;
	d->max_vcpus = n;
	pvclock_init_domain(d);
	return 0;
}

/* --- vcpu_info ----------------------------------------------------------------------------- */

void vcpu_info_dirty(struct vcpu *v)
{
	if (unlikely(v->domain->logdirty) && !mfn_eq(v->info_mfn, INVALID_MFN))
		logdirty_mark_mfn(v->info_mfn);
}

/*
 * The new place gets what the old one held, then becomes the place: events set meanwhile may
 * have gone to the old one, so afterwards everything looks pending once.
 */
int vcpu_register_info(struct vcpu *v, mfn_t mfn, uint32_t offset)
{
	struct vcpu_info *to;

	if (offset > PAGE_SIZE - sizeof(*to) || (offset & 7))
		return -EINVAL;
	if (!mfn_eq(v->info_mfn, INVALID_MFN) || !mfn_valid(mfn))
		return -EINVAL;
	if (lazy_blocks(mfn))
		return -EAGAIN;
	if (!frame_get_rw(mfn_to_frame(mfn), v->domain))
		return -EINVAL;
	snapshot_before_write(mfn);
	to = (struct vcpu_info *)((char *)mfn_to_virt(mfn) + offset);
	*to = *v->info;
	v->info_mfn = mfn;
	smp_wmb();
	ACCESS_ONCE(v->info) = to;
	vcpu_info_dirty(v);
	evtchn_vcpu_info_moved(v);
	return 0;
}

static void vcpu_info_release(struct vcpu *v)
{
	if (mfn_eq(v->info_mfn, INVALID_MFN))
		return;
	v->info = (struct vcpu_info *)&v->domain->shared_info->vcpu_info[v->id];
	frame_put_rw(mfn_to_frame(v->info_mfn));
	v->info_mfn = INVALID_MFN;
}

/* --- the tools' pause ------------------------------------------------------------------------- */

int domain_pause_by_tool(struct domain *d)
{
	unsigned int i;

	if (d == current->domain || atomic_xchg(&d->paused_by_tool, true))
		return -EINVAL;
	for (i = 0; i < d->max_vcpus; i++)
		vcpu_pause(d->vcpu[i]);
	return 0;
}

int domain_unpause_by_tool(struct domain *d)
{
	unsigned int i;

	if (!atomic_xchg(&d->paused_by_tool, false))
		return -EINVAL;
	if (d->state == DOM_BUILDING)
		d->state = DOM_ALIVE;
	for (i = 0; i < d->max_vcpus; i++)
		vcpu_unpause(d->vcpu[i]);
	return 0;
}

/* --- shutdown and death ------------------------------------------------------------------------ */

static __noreturn void machine_shutdown(unsigned int reason)
{
	pr_info("dom0 shut down, reason %u\n", reason);
	if (reason == SHUTDOWN_reboot)
		machine_reboot();
	machine_halt();
}

void domain_shutdown(struct domain *d, unsigned int reason)
{
	unsigned int i;

	if (d == dom0)
		machine_shutdown(reason);
	if (atomic_xchg(&d->is_shutdown, true))
		return;
	d->shutdown_code = (uint8_t)reason;
	for (i = 0; i < d->max_vcpus; i++)
		vcpu_set_pause(d->vcpu[i], PAUSE_SHUTDOWN);
	evtchn_send_global_virq(VIRQ_DOM_EXC);
}

void domain_resume(struct domain *d)
{
	unsigned int i;

	if (!d->is_shutdown)
		return;
	/* The suspend hypercall of vCPU 0 returns 1: cancelled, the same domain goes on. */
	if (d->shutdown_code == SHUTDOWN_suspend && d->vcpu[0])
		d->vcpu[0]->regs.rax = 1;
	atomic_store(&d->is_shutdown, false);
	for (i = 0; i < d->max_vcpus; i++)
		vcpu_clear_pause(d->vcpu[i], PAUSE_SHUTDOWN);
}

void domain_crash(struct domain *d, const char *fmt, ...)
{
	char reason[160];
	va_list ap;

	if (d->is_shutdown)
		return;
	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	pr_warn("d%u crashed: %s\n", d->id, reason);
	if (current->domain == d)
		debug_dump_regs(guest_regs());
	domain_shutdown(d, SHUTDOWN_crash);
}

static void vcpus_stop(struct domain *d)
{
	unsigned int i;

	for (i = 0; i < d->max_vcpus; i++)
		vcpu_pause(d->vcpu[i]);
	for (i = 0; i < d->max_vcpus; i++)
		sched_vcpu_destroy(d->vcpu[i]);
}

/* Everything but the frames; after it nobody can reach the domain by a handle of its own. */
static void domain_teardown(struct domain *d)
{
	unsigned int i;

	vcpus_stop(d);
	logdirty_disable(d);
	grant_release_mappings(d);
	evtchn_destroy_domain(d);
	for (i = 0; i < d->max_vcpus; i++)
		vcpu_info_release(d->vcpu[i]);
	mmu_drop_tables(d);
	grant_destroy_domain(d);
}

/* Frames are scrubbed as they go: about a millisecond's worth a call. */
#define FRAMES_A_STEP	512

int domain_destroy(struct domain *d)
{
	bool first;

	if (d == dom0 || d == current->domain)
		return -EINVAL;
	spin_lock(&domlist_lock);
	first = d->state < DOM_DYING;
	if (first)
		d->state = DOM_DYING;
	spin_unlock(&domlist_lock);

	if (first)
		domain_teardown(d);
	if (!mmu_release_frames(d, FRAMES_A_STEP))
		return -EAGAIN;
	spin_lock(&domlist_lock);
	first = d->state != DOM_DEAD;
	d->state = DOM_DEAD;
	spin_unlock(&domlist_lock);
	if (!first)
		return -ESRCH;
	if (dom0)
		evtchn_send_global_virq(VIRQ_DOM_EXC);
	domain_put(d);
	return 0;
}
