/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Event channels: ports and their bindings.
 *
 * A binding between domains is two channels that name each other, INTERDOMAIN
 * on both ends; a channel's `remote' is valid as long as that state is.
 *
 * Locks.  A channel changes under its domain's evtchn.lock.  A binding is made
 * and undone under both ends' locks (lower domid first) and, outside them,
 * bind_lock: so holding bind_lock keeps every binding as it is, which lets close
 * find the peer before it locks it, and holding one end's lock is enough for a
 * sender to use `remote'.  A domain that dies closes its ports before anything
 * else of it goes, hence a sender never sees a peer without shared_info.
 *
 * Each operation prepares (checks, finds a port, allocates its bucket) and then
 * commits, which cannot fail.
 */
#include <pv/domain.h>
#include <pv/errno.h>
#include <pv/irq.h>
#include <pv/lib.h>

static struct spinlock bind_lock = SPINLOCK_INIT;

static void lock_pair(struct domain *a, struct domain *b)
{
	if (a->id > b->id) {
		struct domain *t = a;

		a = b;
		b = t;
	}
	spin_lock(&a->evtchn.lock);
	if (a != b)
		spin_lock(&b->evtchn.lock);
}

static void unlock_pair(struct domain *a, struct domain *b)
{
	spin_unlock(&a->evtchn.lock);
	if (a != b)
		spin_unlock(&b->evtchn.lock);
}

static struct vcpu *domain_vcpu(struct domain *d, uint32_t id)
{
	return id < d->max_vcpus && id < MAX_VCPUS ? d->vcpu[id] : NULL;
}

/* --- ports --- */

/* Prepare: the lowest free port with its bucket in place, still FREE; or -errno. */
static int port_find_locked(struct domain *d)
{
	struct evtchn_domain *e = &d->evtchn;
	uint32_t port;

	if (e->closed)
		return -EINVAL;
	for (port = e->free_hint; port <= e->max_port; port++) {
		struct evtchn **bucket = &e->buckets[port >> EVTCHN_BUCKET_SHIFT];

		if (!*bucket) {
			struct evtchn *b = xzalloc_array(struct evtchn, EVTCHN_PER_BUCKET);

			if (!b)
				return -ENOMEM;
			atomic_store(bucket, b);
		}
		if (evtchn_from_port(e, port)->state == ECS_FREE) {
			e->free_hint = port;
			return (int)port;
		}
	}
	e->free_hint = port;
	return -ENOSPC;
}

/* Commit: @port, found free under this hold of the lock, gets @state and notifies @vcpu. */
static struct evtchn *port_take_locked(struct domain *d, int port, enum evtchn_state state,
				       uint32_t vcpu)
{
	struct evtchn *ch = evtchn_from_port(&d->evtchn, (uint32_t)port);

	ch->state = (uint8_t)state;
	ch->vcpu = (uint16_t)vcpu;
	return ch;
}

static void port_free_locked(struct domain *d, uint32_t port, struct evtchn *ch)
{
	*ch = (struct evtchn){ .state = ECS_FREE };
	if (port < d->evtchn.free_hint)
		d->evtchn.free_hint = port;
	evtchn_clear_pending(d, port);
}

/* --- operations --- */

int evtchn_alloc_unbound(struct domain *d, uint16_t remote)
{
	int port;

	spin_lock(&d->evtchn.lock);
	port = port_find_locked(d);
	if (port > 0)
		port_take_locked(d, port, ECS_UNBOUND, 0)->remote_domid = remote;
	spin_unlock(&d->evtchn.lock);
	return port;
}

static int bind_interdomain_locked(struct domain *ld, struct domain *rd, uint32_t rport)
{
	struct evtchn *rch = evtchn_from_port(&rd->evtchn, rport), *lch;
	int port;

	if (!rch || rch->state != ECS_UNBOUND || rch->remote_domid != ld->id)
		return -EINVAL;
	port = port_find_locked(ld);
	if (port < 0)
		return port;

	lch = port_take_locked(ld, port, ECS_INTERDOMAIN, 0);
	lch->remote = rd;
	lch->remote_port = rport;
	rch->remote = ld;
	rch->remote_port = (uint32_t)port;
	rch->state = ECS_INTERDOMAIN;

	/* The peer may have sent while unbound, into the void: let the guest look. */
	evtchn_set_pending(ld, (uint32_t)port);
	return port;
}

static int bind_interdomain(struct domain *ld, uint16_t rdom, uint32_t rport)
{
	struct domain *rd = domain_get(rdom);
	int port;

	if (!rd)
		return -ESRCH;
	spin_lock(&bind_lock);
	lock_pair(ld, rd);
	port = bind_interdomain_locked(ld, rd, rport);
	unlock_pair(ld, rd);
	spin_unlock(&bind_lock);
	domain_put(rd);
	return port;
}

static int bind_virq(struct domain *d, uint32_t virq, uint32_t vcpu)
{
	uint16_t *slot;
	int port = -EEXIST;

	if (virq >= NR_VIRQS || (virq_is_global(virq) && vcpu != 0))
		return -EINVAL;
	if (!domain_vcpu(d, vcpu))
		return -ENOENT;
	spin_lock(&d->evtchn.lock);
	slot = d->evtchn.virq_port ? &d->evtchn.virq_port[vcpu * NR_VIRQS + virq] : NULL;
	if (!slot) {
		port = -EINVAL;		/* the domain dies */
	} else if (!*slot) {
		port = port_find_locked(d);
		if (port > 0) {
			port_take_locked(d, port, ECS_VIRQ, vcpu)->virq = (uint8_t)virq;
			*slot = (uint16_t)port;
		}
	}
	spin_unlock(&d->evtchn.lock);
	return port;
}

static int bind_ipi(struct domain *d, uint32_t vcpu)
{
	int port;

	if (!domain_vcpu(d, vcpu))
		return -ENOENT;
	spin_lock(&d->evtchn.lock);
	port = port_find_locked(d);
	if (port > 0)
		port_take_locked(d, port, ECS_IPI, vcpu);
	spin_unlock(&d->evtchn.lock);
	return port;
}

static int bind_pirq_locked(struct domain *d, uint32_t pirq, bool will_share)
{
	struct evtchn_domain *e = &d->evtchn;
	int port, err;

	if (e->pirq_port && e->pirq_port[pirq])
		return -EEXIST;
	port = port_find_locked(d);
	if (port < 0)
		return port;
	if (!e->pirq_port)
		e->pirq_port = xzalloc_array(uint16_t, EVTCHN_NR_PIRQS);
	if (!e->pirq_port)
		return -ENOMEM;
	/* An interrupt that comes at once waits for our lock in evtchn_send_pirq(). */
	err = pirq_bind(d, pirq, will_share);
	if (err)
		return err;
	port_take_locked(d, port, ECS_PIRQ, 0)->pirq = (uint16_t)pirq;
	e->pirq_port[pirq] = (uint16_t)port;
	return port;
}

static int bind_pirq(struct domain *d, uint32_t pirq, uint32_t flags)
{
	int port;

	if (!is_privileged(d))
		return -EPERM;
	if (pirq >= EVTCHN_NR_PIRQS)
		return -EINVAL;
	spin_lock(&d->evtchn.lock);
	port = bind_pirq_locked(d, pirq, flags & BIND_PIRQ__WILL_SHARE);
	spin_unlock(&d->evtchn.lock);
	return port;
}

static int bind_vcpu(struct domain *d, uint32_t port, uint32_t vcpu)
{
	struct evtchn *ch;
	int err = -EINVAL;

	if (!domain_vcpu(d, vcpu))
		return -ENOENT;
	spin_lock(&d->evtchn.lock);
	ch = evtchn_from_port(&d->evtchn, port);
	if (ch && (ch->state == ECS_UNBOUND || ch->state == ECS_INTERDOMAIN ||
		   ch->state == ECS_PIRQ || (ch->state == ECS_VIRQ && virq_is_global(ch->virq)))) {
		ch->vcpu = (uint16_t)vcpu;
		err = 0;
	}
	spin_unlock(&d->evtchn.lock);
	return err;
}

static int send(struct domain *d, uint32_t port)
{
	struct evtchn *ch;
	int err = 0;

	spin_lock(&d->evtchn.lock);
	ch = evtchn_from_port(&d->evtchn, port);
	switch (ch ? ch->state : ECS_FREE) {
	case ECS_INTERDOMAIN:
		evtchn_set_pending(ch->remote, ch->remote_port);
		break;
	case ECS_IPI:
		evtchn_set_pending(d, port);
		break;
	case ECS_UNBOUND:	/* nobody listens: the binding rule makes up for it */
		break;
	default:
		err = -EINVAL;
	}
	spin_unlock(&d->evtchn.lock);
	return err;
}

/* Undo what refers to @ch from outside; both ends' locks are held. */
static void unbind_locked(struct domain *d, struct evtchn *ch)
{
	struct evtchn *peer;

	switch (ch->state) {
	case ECS_INTERDOMAIN:
		peer = evtchn_from_port(&ch->remote->evtchn, ch->remote_port);
		peer->state = ECS_UNBOUND;
		peer->remote = NULL;
		peer->remote_port = 0;
		peer->remote_domid = d->id;
		break;
	case ECS_VIRQ:
		d->evtchn.virq_port[(virq_is_global(ch->virq) ? 0 : ch->vcpu) * NR_VIRQS + ch->virq] = 0;
		break;
	case ECS_PIRQ:
		d->evtchn.pirq_port[ch->pirq] = 0;
		pirq_unbind(d, ch->pirq);
		break;
	default:
		break;
	}
}

int evtchn_close(struct domain *d, uint32_t port)
{
	struct evtchn *ch;
	struct domain *peer;
	int err = -EINVAL;

	spin_lock(&bind_lock);
	/* No binding is made or undone meanwhile, so the peer found here stays the peer. */
	ch = evtchn_from_port(&d->evtchn, port);
	peer = ch && ACCESS_ONCE(ch->state) == ECS_INTERDOMAIN ? ch->remote : d;
	lock_pair(d, peer);
	if (ch && ch->state != ECS_FREE && ch->state != ECS_RESERVED) {
		unbind_locked(d, ch);
		port_free_locked(d, port, ch);
		err = 0;
	}
	unlock_pair(d, peer);
	spin_unlock(&bind_lock);
	return err;
}

void evtchn_reset(struct domain *d)
{
	uint32_t port;

	for (port = 1; port <= d->evtchn.max_port; port++)
		evtchn_close(d, port);
}

static void status_fill(const struct evtchn *ch, struct evtchn_status *st)
{
	st->vcpu = ch->vcpu;
	switch (ch->state) {
	case ECS_UNBOUND:
		st->status = EVTCHNSTAT_unbound;
		st->u.unbound.dom = ch->remote_domid;
		break;
	case ECS_INTERDOMAIN:
		st->status = EVTCHNSTAT_interdomain;
		st->u.interdomain.dom = ch->remote->id;
		st->u.interdomain.port = ch->remote_port;
		break;
	case ECS_PIRQ:
		st->status = EVTCHNSTAT_pirq;
		st->u.pirq = ch->pirq;
		break;
	case ECS_VIRQ:
		st->status = EVTCHNSTAT_virq;
		st->u.virq = ch->virq;
		break;
	case ECS_IPI:
		st->status = EVTCHNSTAT_ipi;
		break;
	default:
		st->status = EVTCHNSTAT_closed;
	}
}

/* --- life of a domain --- */

int evtchn_init_domain(struct domain *d, uint32_t max_port)
{
	struct evtchn_domain *e = &d->evtchn;

	e->max_port = min(max_port, EVTCHN_MAX_PORTS - 1);
	e->free_hint = 1;
	e->virq_port = xzalloc_array(uint16_t, MAX_VCPUS * NR_VIRQS);
	return e->virq_port ? 0 : -ENOMEM;
}

void evtchn_destroy_domain(struct domain *d)
{
	struct evtchn_domain *e = &d->evtchn;
	unsigned int i;

	spin_lock(&e->lock);
	e->closed = true;
	spin_unlock(&e->lock);
	evtchn_reset(d);

	spin_lock(&bind_lock);
	spin_lock(&e->lock);
	for (i = 0; i < ARRAY_SIZE(e->buckets); i++) {
		xfree(e->buckets[i]);
		e->buckets[i] = NULL;
	}
	xfree(e->virq_port);
	xfree(e->pirq_port);
	e->virq_port = e->pirq_port = NULL;
	spin_unlock(&e->lock);
	spin_unlock(&bind_lock);
}

void evtchn_dump(struct domain *d)
{
	static const char *const names[] = {
		"free", "reserved", "unbound", "interdomain", "pirq", "virq", "ipi",
	};
	uint32_t port;

	spin_lock(&d->evtchn.lock);
	for (port = 1; port <= d->evtchn.max_port; port++) {
		const struct evtchn *ch = evtchn_from_port(&d->evtchn, port);
		struct evtchn_status st = { 0 };

		if (!ch || ch->state == ECS_FREE)
			continue;
		status_fill(ch, &st);
		pr_err("d%u port %u %s vcpu %u [p%d m%d] %u %u\n", d->id, port, names[ch->state],
		       ch->vcpu, evtchn_port_pending(d, port),
		       d->shared_info && test_bit(port, d->shared_info->evtchn_mask),
		       ch->state == ECS_INTERDOMAIN ? st.u.interdomain.dom : st.u.virq,
		       ch->state == ECS_INTERDOMAIN ? st.u.interdomain.port : 0);
	}
	spin_unlock(&d->evtchn.lock);
}

/* --- the hypercall --- */

/* The domain an operation names: its own, or any for domain 0.  Sets *@err when NULL. */
static struct domain *target_get(uint16_t domid, long *err)
{
	struct domain *self = current->domain, *d;

	if (domid != DOMID_SELF && domid != self->id && !is_privileged(self)) {
		*err = -EPERM;
		return NULL;
	}
	d = domain_get(domid);
	if (!d)
		*err = -ESRCH;
	return d;
}

/* A new port whose number cannot be told to the guest must not stay behind. */
static long port_return(struct domain *d, int port, uint64_t arg, const void *op, size_t size)
{
	if (port < 0)
		return port;
	if (!copy_to_guest(arg, op, size))
		return 0;
	evtchn_close(d, (uint32_t)port);
	return -EFAULT;
}

static long op_alloc_unbound(uint64_t arg)
{
	struct evtchn_alloc_unbound op;
	struct domain *d;
	long ret = -EFAULT;
	int port;

	if (copy_from_guest(&op, arg, sizeof(op)))
		return -EFAULT;
	d = target_get(op.dom, &ret);
	if (!d)
		return ret;
	port = evtchn_alloc_unbound(d, op.remote_dom == DOMID_SELF ? current->domain->id
								   : op.remote_dom);
	op.port = (uint32_t)port;
	ret = port_return(d, port, arg, &op, sizeof(op));
	domain_put(d);
	return ret;
}

static long op_status(uint64_t arg)
{
	struct evtchn_status op;
	const struct evtchn *ch;
	struct domain *d;
	long ret = -EFAULT;

	if (copy_from_guest(&op, arg, sizeof(op)))
		return -EFAULT;
	d = target_get(op.dom, &ret);
	if (!d)
		return ret;
	ret = -EINVAL;
	if (op.port <= d->evtchn.max_port) {
		spin_lock(&d->evtchn.lock);
		ch = evtchn_from_port(&d->evtchn, op.port);
		op.status = EVTCHNSTAT_closed;
		op.vcpu = 0;
		if (ch)
			status_fill(ch, &op);
		spin_unlock(&d->evtchn.lock);
		ret = copy_to_guest(arg, &op, sizeof(op));
	}
	domain_put(d);
	return ret;
}

static long op_reset(uint64_t arg)
{
	struct evtchn_reset op;
	struct domain *d;
	long ret = -EFAULT;

	if (copy_from_guest(&op, arg, sizeof(op)))
		return -EFAULT;
	d = target_get(op.dom, &ret);
	if (!d)
		return ret;
	evtchn_reset(d);
	domain_put(d);
	return 0;
}

static long op_unmask(struct domain *d, uint32_t port)
{
	const struct evtchn *ch;
	bool ok;

	spin_lock(&d->evtchn.lock);
	ch = evtchn_from_port(&d->evtchn, port);
	ok = ch && ch->state != ECS_FREE;
	if (ok)
		evtchn_unmask_port(d, port);
	spin_unlock(&d->evtchn.lock);
	return ok ? 0 : -EINVAL;
}

#define FETCH(op, arg)	do { if (copy_from_guest(&(op), arg, sizeof(op))) return -EFAULT; } while (0)

/* The operations that bind a port of the caller: one structure in, a port out. */
static long op_bind(unsigned int cmd, uint64_t arg)
{
	struct domain *d = current->domain;
	union {
		struct evtchn_bind_interdomain inter;
		struct evtchn_bind_virq virq;
		struct evtchn_bind_ipi ipi;
		struct evtchn_bind_pirq pirq;
	} op;
	int port;

	switch (cmd) {
	case EVTCHNOP_bind_interdomain:
		FETCH(op.inter, arg);
		port = bind_interdomain(d, op.inter.remote_dom, op.inter.remote_port);
		op.inter.local_port = (uint32_t)port;
		return port_return(d, port, arg, &op, sizeof(op.inter));
	case EVTCHNOP_bind_virq:
		FETCH(op.virq, arg);
		port = bind_virq(d, op.virq.virq, op.virq.vcpu);
		op.virq.port = (uint32_t)port;
		return port_return(d, port, arg, &op, sizeof(op.virq));
	case EVTCHNOP_bind_ipi:
		FETCH(op.ipi, arg);
		port = bind_ipi(d, op.ipi.vcpu);
		op.ipi.port = (uint32_t)port;
		return port_return(d, port, arg, &op, sizeof(op.ipi));
	case EVTCHNOP_bind_pirq:
		FETCH(op.pirq, arg);
		port = bind_pirq(d, op.pirq.pirq, op.pirq.flags);
		op.pirq.port = (uint32_t)port;
		return port_return(d, port, arg, &op, sizeof(op.pirq));
	default:
		return -ENOSYS;
	}
}

/* The operations on one port of the caller, which only take a port (and a vCPU). */
static long op_port(unsigned int cmd, uint64_t arg)
{
	struct domain *d = current->domain;
	struct evtchn_bind_vcpu bv;
	uint32_t port;	/* evtchn_send, evtchn_close and evtchn_unmask hold nothing else */

	if (cmd == EVTCHNOP_bind_vcpu) {
		FETCH(bv, arg);
		return bind_vcpu(d, bv.port, bv.vcpu);
	}
	FETCH(port, arg);
	switch (cmd) {
	case EVTCHNOP_send:
		return send(d, port);
	case EVTCHNOP_close:
		return evtchn_close(d, port);
	case EVTCHNOP_unmask:
		return op_unmask(d, port);
	default:
		return -ENOSYS;
	}
}
static_assert(sizeof(struct evtchn_send) == sizeof(uint32_t) &&
	      sizeof(struct evtchn_close) == sizeof(uint32_t) &&
	      sizeof(struct evtchn_unmask) == sizeof(uint32_t), "op_port() reads one word");

long do_event_channel_op(unsigned int cmd, uint64_t arg)
{
	switch (cmd) {
	case EVTCHNOP_send:
	case EVTCHNOP_close:
	case EVTCHNOP_unmask:
	case EVTCHNOP_bind_vcpu:
		return op_port(cmd, arg);
	case EVTCHNOP_bind_interdomain:
	case EVTCHNOP_bind_virq:
	case EVTCHNOP_bind_ipi:
	case EVTCHNOP_bind_pirq:
		return op_bind(cmd, arg);
	case EVTCHNOP_alloc_unbound:
		return op_alloc_unbound(arg);
	case EVTCHNOP_status:
		return op_status(arg);
	case EVTCHNOP_reset:
		return op_reset(arg);
	default:
		return -ENOSYS;
	}
}
