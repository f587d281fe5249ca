/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of a domain beside its frames, taken out and put in (pv/track.h, public godwit.h).
 *
 * Everything here speaks pfns.  What comes in is hostile: a context is judged field by field
 * as one that a guest gives (vcpu_set_context), and a domain in which any step failed
 * never runs.
 */
#include <pv/errno.h>
#include <pv/hypercall.h>
#include <pv/lazy.h>
#include <pv/lib.h>
#include <pv/mmu.h>
#include <pv/track.h>
#include <pv/x86.h>

#define VCPU_STATE_VERSION	1u

/* What GODWIT_OP_get_context hands out: this, then xsave_size bytes. */
struct vcpu_state {
	uint32_t version, size;
	struct vcpu_guest_context ctx;		/* gdt_frames, cr3s, start_info: pfns */
	uint64_t cr4, cr0_ts, xcr0, tsc_aux;
	uint64_t syscall32_rip;
	uint32_t syscall32_mask;
	uint32_t iopl;
	uint32_t online, initialised;
	uint64_t host_xcr0;			/* the layout the area below has */
	uint32_t xsave_size;			/* bytes that follow */
	uint32_t pad;
};

static uint64_t to_pfn(const struct track *t, uint64_t mfn)
{
	uint64_t pfn = m2p_get(_mfn(mfn)).pfn;

	return track_lookup(t, pfn).mfn == mfn ? pfn : ~0UL;
}

static bool suspended(const struct domain *d)
{
	return d->is_shutdown && d->shutdown_code == SHUTDOWN_suspend;
}

static uint32_t fpu_size(void) { return cpu_features.xsave ? cpu_features.xsave_size : 512; }

/* --- out ------------------------------------------------------------------------------- */

/* Frame numbers of a context from mfns to pfns; false: one is not the domain's. */
static bool context_to_pfns(struct domain *d, struct track *t, struct vcpu *v, struct vcpu_guest_context *c)
{
	unsigned int i, nr = (unsigned int)(c->gdt_ents + 511) / 512;
	bool ok = true;

	for (i = 0; i < nr; i++) {
		c->gdt_frames[i] = to_pfn(t, c->gdt_frames[i]);
		ok &= c->gdt_frames[i] != ~0UL;
	}
	c->ctrlreg[3] = to_pfn(t, c->ctrlreg[3] >> PAGE_SHIFT) << PAGE_SHIFT;
	ok &= c->ctrlreg[3] != ~0UL << PAGE_SHIFT;
	if (c->ctrlreg[1]) {
		c->ctrlreg[1] = to_pfn(t, c->ctrlreg[1] >> PAGE_SHIFT) << PAGE_SHIFT;
		ok &= c->ctrlreg[1] != ~0UL << PAGE_SHIFT;
		c->ctrlreg[1] |= 1;		/* pfn 0 is a page too: bit 0 says "there is one" */
	}
	if (v->id == 0 && suspended(d)) {
		c->user_regs.rdx = to_pfn(t, c->user_regs.rdx);
		ok &= c->user_regs.rdx != ~0UL;
	}
	return ok;
}

static int context_out(struct domain *d, struct vcpu *v, struct vcpu_state *s, uint32_t size)
{
	struct track *t = track_get(d);

	if (!t)
		return -ENOMEM;
	if (v->bounce.pending)		/* half way into its kernel, waiting for a frame (mm/lazy.c) */
		return -EAGAIN;
	s->version = VCPU_STATE_VERSION;
	s->size = size;
	vcpu_get_context(v, &s->ctx);
	s->cr4 = v->cr4;
	s->cr0_ts = v->cr0_ts;
	s->xcr0 = v->xcr0;
	s->tsc_aux = v->tsc_aux;
	s->syscall32_rip = v->syscall32_cb.rip;
	s->syscall32_mask = v->syscall32_cb.mask_events;
	s->iopl = v->iopl;
	s->online = !(v->sched.pause_flags & BIT(PAUSE_DOWN));
	s->initialised = v->initialised;
	s->host_xcr0 = cpu_features.xsave ? cpu_features.xcr0 : 0;
	s->xsave_size = fpu_size();
	memcpy(s + 1, v->xsave_area, s->xsave_size);
	return !v->initialised || context_to_pfns(d, t, v, &s->ctx) ? 0 : -EBADMSG;
}

int move_get_context(struct domain *d, struct godwit_context *op)
{
	uint32_t size = (uint32_t)sizeof(struct vcpu_state) + fpu_size();
	struct vcpu *v = op->vcpu < d->max_vcpus ? d->vcpu[op->vcpu] : NULL;
	struct vcpu_state *s;
	int ret;

	if (!v || d == current->domain)
		return -EINVAL;
	if (op->buffer && op->size < size)
		return -ENOBUFS;
	op->size = size;
	if (!op->buffer)
		return 0;
	s = xzalloc(size);
	if (!s)
		return -ENOMEM;
	vcpu_pause(v);
	ret = context_out(d, v, s, size);
	vcpu_unpause(v);
	if (!ret)
		ret = copy_to_guest(op->buffer, s, size);
	xfree(s);
	return ret;
}

/* --- in ----------------------------------------------------------------------------------- */

static int context_to_mfns(struct track *t, struct vcpu *v, struct vcpu_guest_context *c)
{
	unsigned int i, nr;

	if (c->gdt_ents > FIRST_RESERVED_GDT_ENTRY)
		return -EINVAL;
	nr = (unsigned int)(c->gdt_ents + 511) / 512;
	for (i = 0; i < nr; i++)
		c->gdt_frames[i] = track_lookup(t, c->gdt_frames[i]).mfn;
	c->ctrlreg[3] = track_lookup(t, c->ctrlreg[3] >> PAGE_SHIFT).mfn << PAGE_SHIFT;
	if (c->ctrlreg[1] & 1)
		c->ctrlreg[1] = track_lookup(t, c->ctrlreg[1] >> PAGE_SHIFT).mfn << PAGE_SHIFT;
	else
		c->ctrlreg[1] = 0;
	if (v->id == 0) {		/* the suspend hypercall returns 0: resumed in a new domain */
		c->user_regs.rdx = track_lookup(t, c->user_regs.rdx).mfn;
		c->user_regs.rax = 0;
	}
	return 0;
}

/* Can this CPU run what the vCPU had, and is the area laid out as ours? */
static int context_check(const struct vcpu_state *s, uint32_t size)
{
	if (s->version != VCPU_STATE_VERSION || s->size != size)
		return -EINVAL;
	if (s->host_xcr0 != (cpu_features.xsave ? cpu_features.xcr0 : 0) || s->xsave_size != fpu_size())
		return -EOPNOTSUPP;
	return 0;
}

static int context_in(struct domain *d, struct vcpu *v, struct vcpu_state *s)
{
	struct track *t = track_get(d);
	int ret;

	if (!t)
		return -ENOMEM;
	if (!s->initialised)
		return 0;
	ret = context_to_mfns(t, v, &s->ctx);
	if (!ret)
		ret = vcpu_set_context(v, &s->ctx);
	if (ret)
		return ret;
	v->cr4 = s->cr4;
	v->cr0_ts = s->cr0_ts & 8;
	v->xcr0 = s->xcr0 & (cpu_features.xcr0 | 1);
	v->tsc_aux = (uint32_t)s->tsc_aux;
	if (s->syscall32_rip < HV_M2P_BASE || s->syscall32_rip >= HV_END)
		v->syscall32_cb = (struct callback){ s->syscall32_rip, s->syscall32_mask };
	v->iopl = s->iopl & 3;
	memcpy(v->xsave_area, s + 1, fpu_size());
	if (s->online)
		vcpu_clear_pause(v, PAUSE_DOWN);
	return 0;
}

int move_set_context(struct domain *d, struct godwit_context *op)
{
	uint32_t size = (uint32_t)sizeof(struct vcpu_state) + fpu_size();
	struct vcpu *v = op->vcpu < d->max_vcpus ? d->vcpu[op->vcpu] : NULL;
	struct vcpu_state *s;
	int ret;

	if (!v || d->state != DOM_BUILDING)
		return -EINVAL;
	if (op->size != size)
		return -EOPNOTSUPP;
	s = xzalloc(size);
	if (!s)
		return -ENOMEM;
	ret = copy_from_guest(s, op->buffer, size);
	if (!ret)
		ret = context_check(s, size);
	if (!ret)
		ret = context_in(d, v, s);
	xfree(s);
	return ret;
}

/* --- finish ---------------------------------------------------------------------------------- */

static struct frame *own_frame(struct domain *d, struct track *t, uint64_t pfn)
{
	mfn_t m = track_lookup(t, pfn);

	return mfn_valid(m) && mfn_to_frame(m)->owner == d->id ? mfn_to_frame(m) : NULL;
}

/* To be written to: no table, whatever the stream says it is.  NULL, or held: frame_put_rw(). */
static struct frame *own_frame_rw(struct domain *d, struct track *t, uint64_t pfn)
{
	struct frame *f = own_frame(d, t, pfn);

	return f && !lazy_pfn_is_missing(d, pfn) && frame_get_rw(f, d) ? f : NULL;
}

static int make_p2m_leaves(struct domain *d, struct track *t, const struct godwit_finish_restore *op)
{
	uint64_t i, pfn, k;

	if (op->nr_leaves > (t->nr_pfns + 511) / 512)
		return -EINVAL;
	for (i = 0; i < op->nr_leaves; i++) {
		struct frame *f;
		uint64_t *leaf;

		if (copy_from_guest(&pfn, op->p2m_leaves + i * sizeof(pfn), sizeof(pfn)))
			return -EFAULT;
		if (pfn == ~0UL)
			continue;
		f = own_frame_rw(d, t, pfn);
		if (!f)
			return -EINVAL;
		leaf = frame_to_virt(f);
		for (k = 0; k < 512; k++)
			leaf[k] = i * 512 + k < op->max_pfn ? track_lookup(t, i * 512 + k).mfn : ~0UL;
		frame_put_rw(f);
	}
	return 0;
}

static int make_start_info(struct domain *d, struct track *t, struct godwit_finish_restore *op)
{
	struct frame *f = own_frame_rw(d, t, op->start_info_pfn);
	struct start_info *si;
	int ret = -EINVAL;

	if (!f)
		return -EINVAL;
	si = frame_to_virt(f);
	/* The guest left pfns of its two rings there before it suspended. */
	op->store_mfn = track_lookup(t, si->store_mfn).mfn;
	op->console_mfn = track_lookup(t, si->console.domU.mfn).mfn;
	if (op->store_mfn == ~0UL || op->console_mfn == ~0UL)
		goto out;
	si->shared_info = virt_to_mfn(d->shared_info).mfn << PAGE_SHIFT;
	si->store_mfn = op->store_mfn;
	si->store_evtchn = op->store_evtchn;
	si->console.domU.mfn = op->console_mfn;
	si->console.domU.evtchn = op->console_evtchn;
	ret = 0;
out:
	frame_put_rw(f);
	return ret;
}

/* Events are forgotten with the channels that carried them; every vCPU starts masked, since it
 * comes back inside its suspend path. */
static int make_shared_info(struct domain *d, uint64_t from)
{
	struct shared_info *s = page_alloc(), *to = d->shared_info;
	unsigned int i;
	int ret;

	if (!s)
		return -ENOMEM;
	ret = copy_from_guest(s, from, PAGE_SIZE);
	if (!ret) {
		for (i = 0; i < XEN_LEGACY_MAX_VCPUS; i++) {
			to->vcpu_info[i] = s->vcpu_info[i];
			to->vcpu_info[i].evtchn_upcall_mask = 1;
			to->vcpu_info[i].evtchn_upcall_pending = 0;
			to->vcpu_info[i].evtchn_pending_sel = 0;
			memset(&to->vcpu_info[i].time, 0, sizeof(to->vcpu_info[i].time));
		}
		to->arch = s->arch;
		to->arch.pfn_to_mfn_frame_list_list = 0;
		to->arch.p2m_cr3 = 0;
		memset(to->evtchn_pending, 0, sizeof(to->evtchn_pending));
		memset(to->evtchn_mask, 0xff, sizeof(to->evtchn_mask));
		pvclock_init_domain(d);
	}
	page_free(s);
	return ret;
}

static int pin_all(struct domain *d, struct track *t, const struct godwit_finish_restore *op)
{
	uint64_t i, pin;
	int ret = 0;

	for (i = 0; i < op->nr_pins && !ret; i++) {
		if (copy_from_guest(&pin, op->pins + i * sizeof(pin), sizeof(pin)))
			return -EFAULT;
		if (pin >> 60 < 1 || pin >> 60 > 4 || !own_frame(d, t, pin & ~(0xfUL << 60)))
			return -EINVAL;
		spin_lock(&d->mm_lock);
		ret = mmu_pin(d, track_lookup(t, pin & ~(0xfUL << 60)), (int)(pin >> 60));
		spin_unlock(&d->mm_lock);
		if (ret)
			pr_guest(LOG_WARN, "d%u restore: pin of pfn %lx as L%lu refused (%d)\n", d->id,
				 pin & ~(0xfUL << 60), pin >> 60, ret);
	}
	return ret;
}

int move_finish_restore(struct domain *d, struct godwit_finish_restore *op)
{
	struct track *t = track_get(d);
	s_time_t start = now_ns();
	int ret;

	if (!t)
		return -ENOMEM;
	if (d->state != DOM_BUILDING || op->max_pfn > t->nr_pfns || op->nr_pins > t->nr_pfns)
		return -EINVAL;
	ret = make_p2m_leaves(d, t, op);
	if (!ret)
		ret = make_start_info(d, t, op);
	if (!ret)
		ret = make_shared_info(d, op->shared_info);
	if (!ret)
		ret = grant_seed(d, 0, 0, _mfn(op->console_mfn));
	if (!ret)
		ret = grant_seed(d, 1, 0, _mfn(op->store_mfn));
	if (!ret)
		ret = pin_all(d, t, op);
	op->restore_us = (uint64_t)(now_ns() - start) / 1000;
	return ret;
}

/* --- facts ------------------------------------------------------------------------------------- */

static void count_tables(struct domain *d, struct godwit_domain_facts *op)
{
	uint64_t n[16] = { 0 };
	uint32_t mfn;

	spin_lock(&d->page_lock);
	for (mfn = d->page_list; mfn; mfn = frame_table[mfn].next)
		if (frame_table[mfn].type & FTYPE_COUNT_MASK)
			n[frame_type(&frame_table[mfn])]++;
	spin_unlock(&d->page_lock);
	op->nr_l1 = n[1];
	op->nr_l2 = n[2];
	op->nr_l3 = n[3];
	op->nr_l4 = n[4];
}

int move_facts(struct domain *d, struct godwit_domain_facts *op)
{
	struct track *t = track_get(d);
	struct xen_domctl_getdomaininfo info;

	if (!t)
		return -ENOMEM;
	domain_info(d, &info);
	op->nr_vcpus = (uint16_t)d->max_vcpus;
	op->flags = info.flags;
	op->tot_pages = d->tot_pages;
	op->max_pages = d->max_pages;
	op->end_pfn = t->end_pfn;
	op->start_info_pfn = suspended(d) ? to_pfn(t, d->vcpu[0]->regs.rdx) : ~0UL;
	op->tsc_khz = tsc_khz;
	memcpy(op->uuid, d->handle, sizeof(op->uuid));
	count_tables(d, op);
	return op->shared_info ? copy_to_guest(op->shared_info, d->shared_info, PAGE_SIZE) : 0;
}
