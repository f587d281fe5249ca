/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Godwit's own hypercall (include/public/godwit.h): dom0 only; each command copies its structure
 * in, works on a referenced domain that is not the caller's own, and copies it back.
 */
#include <pv/errno.h>
#include <pv/hypercall.h>
#include <pv/lazy.h>
#include <pv/lib.h>
#include <pv/snapshot.h>
#include <pv/track.h>

static int op_version(struct godwit_version *v)
{
	v->abi = GODWIT_ABI_VERSION;
	v->features = GODWIT_FEAT_LOGDIRTY | GODWIT_FEAT_SNAPSHOT | GODWIT_FEAT_LAZY;
	strlcpy(v->build, "godwit " __DATE__, sizeof(v->build));
	return 0;
}

static int op_logdirty(struct domain *d, struct godwit_logdirty *op)
{
	int ret = 0;

	if (op->flags)
		return -EINVAL;
	spin_lock(&d->lock);
	if (op->action == GODWIT_LOGDIRTY_ENABLE) {
		ret = logdirty_enable(d);
		op->remaining = 0;
	} else if (op->action == GODWIT_LOGDIRTY_DISABLE) {
		if (lazy_is_active(d))
			ret = -EBUSY;
		else
			logdirty_disable(d);
	} else if (!d->logdirty) {
		ret = -EINVAL;
	} else if (op->action == GODWIT_LOGDIRTY_COLLECT) {
		op->nr_dirty = logdirty_collect(d);
	} else if (op->action == GODWIT_LOGDIRTY_FETCH) {
		ret = op->max_pfns == 0 || op->max_pfns > 65536 ? -EINVAL : snapshot_is_open(d) ? -EBUSY :
			logdirty_fetch(d, &op->cursor, op->pfns, op->max_pfns, &op->nr_pfns);
	} else if (op->action != GODWIT_LOGDIRTY_STATS) {
		ret = -EINVAL;
	}
	if (d->logdirty) {
		op->end_pfn = d->logdirty->nr_pfns;
		op->stat_faults = d->logdirty->stat_faults;
		op->stat_collects = d->logdirty->stat_collects;
		if (op->action == GODWIT_LOGDIRTY_STATS)
			op->nr_dirty = logdirty_count(d->logdirty);
	}
	spin_unlock(&d->lock);
	return ret;
}

/* The argument of each command; all but version and audit begin with the domid. */
union godwit_arg {
	uint16_t domid;
	struct godwit_version version;
	struct godwit_logdirty logdirty;
	struct godwit_frames frames;
	struct godwit_p2m_frames p2m;
	struct godwit_context context;
	struct godwit_finish_restore restore;
	struct godwit_domain_facts facts;
	struct godwit_audit audit;
	struct godwit_snapshot snapshot;
	struct godwit_lazy lazy;
};

static const uint8_t arg_size[] = {
	[GODWIT_OP_version] = sizeof(struct godwit_version),
	[GODWIT_OP_logdirty] = sizeof(struct godwit_logdirty),
	[GODWIT_OP_read_frames] = sizeof(struct godwit_frames),
	[GODWIT_OP_write_frames] = sizeof(struct godwit_frames),
	[GODWIT_OP_p2m_frames] = sizeof(struct godwit_p2m_frames),
	[GODWIT_OP_get_context] = sizeof(struct godwit_context),
	[GODWIT_OP_set_context] = sizeof(struct godwit_context),
	[GODWIT_OP_finish_restore] = sizeof(struct godwit_finish_restore),
	[GODWIT_OP_domain_facts] = sizeof(struct godwit_domain_facts),
	[GODWIT_OP_audit] = sizeof(struct godwit_audit),
	[GODWIT_OP_snapshot] = sizeof(struct godwit_snapshot),
	[GODWIT_OP_lazy] = sizeof(struct godwit_lazy),
};

static int op_snapshot(struct domain *d, struct godwit_snapshot *op)
{
	int ret;

	spin_lock(&d->lock);
	ret = snapshot_op(d, op);
	spin_unlock(&d->lock);
	return ret;
}

static int op_lazy(struct domain *d, struct godwit_lazy *op)
{
	int ret;

	spin_lock(&d->lock);
	ret = lazy_op(d, op);
	spin_unlock(&d->lock);
	return ret;
}

static int on_domain(struct domain *d, unsigned int cmd, union godwit_arg *u)
{
	switch (cmd) {
	case GODWIT_OP_logdirty: return op_logdirty(d, &u->logdirty);
	case GODWIT_OP_read_frames: return bulk_read_frames(d, &u->frames);
	case GODWIT_OP_write_frames: return bulk_write_frames(d, &u->frames);
	case GODWIT_OP_p2m_frames: return bulk_p2m_frames(d, &u->p2m);
	case GODWIT_OP_get_context: return move_get_context(d, &u->context);
	case GODWIT_OP_set_context: return move_set_context(d, &u->context);
	case GODWIT_OP_finish_restore: return move_finish_restore(d, &u->restore);
	case GODWIT_OP_snapshot: return op_snapshot(d, &u->snapshot);
	case GODWIT_OP_lazy: return op_lazy(d, &u->lazy);
	default: return move_facts(d, &u->facts);
	}
}

long do_godwit_op(unsigned int cmd, uint64_t arg)
{
	union godwit_arg u;
	struct domain *d;
	long ret;

	if (!is_privileged(current->domain))
		return -EPERM;
	if (cmd >= ARRAY_SIZE(arg_size))
		return -ENOSYS;
	if (copy_from_guest(&u, arg, arg_size[cmd]))
		return -EFAULT;
	if (cmd == GODWIT_OP_version) {
		ret = op_version(&u.version);
	} else if (cmd == GODWIT_OP_audit) {
		frame_audit(&u.audit);
		ret = 0;
	} else {
		d = domain_get(u.domid);
		if (!d)
			return -ESRCH;
		if (d == current->domain)
			ret = -EINVAL;
		else	/* what a dying domain gets now, nobody would take back */
			ret = d->state < DOM_DYING ? on_domain(d, cmd, &u) : -ESRCH;
		domain_put(d);
	}
	/* Also on failure: how far it came is part of the answer. */
	if (copy_to_guest(arg, &u, arg_size[cmd]))
		ret = -EFAULT;
	return ret;
}
