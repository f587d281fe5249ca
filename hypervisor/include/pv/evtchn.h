/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Event channels, 2-level ABI (event/).
 *
 * States of a port, and who moves it:
 *
 *	FREE --alloc_unbound--> UNBOUND <--bind_interdomain / peer closes--> INTERDOMAIN
 *	FREE --bind_virq/bind_ipi/bind_pirq--> VIRQ, IPI, PIRQ
 *	any  --close, reset, death of the domain--> FREE
 */
#pragma once
#include <pv/abi.h>
#include <pv/spinlock.h>

struct vcpu;
struct domain;

#define EVTCHN_MAX_PORTS	4096u	/* 2-level on 64-bit: 64 * 64 */
#define EVTCHN_BUCKET_SHIFT	7
#define EVTCHN_PER_BUCKET	(1u << EVTCHN_BUCKET_SHIFT)
#define EVTCHN_NR_PIRQS		256u	/* pirq = GSI (irq/pirq.c) */

enum evtchn_state { ECS_FREE, ECS_RESERVED, ECS_UNBOUND, ECS_INTERDOMAIN, ECS_PIRQ, ECS_VIRQ, ECS_IPI };

struct evtchn {
	uint8_t state;			/* enum evtchn_state */
	uint8_t virq;			/* ECS_VIRQ */
	uint16_t vcpu;			/* notified vCPU */
	uint32_t remote_port;		/* ECS_INTERDOMAIN */
	union {
		struct domain *remote;	/* ECS_INTERDOMAIN; valid as long as the state is */
		uint16_t remote_domid;	/* ECS_UNBOUND: who may bind it */
		uint16_t pirq;		/* ECS_PIRQ */
	};
};
static_assert(sizeof(struct evtchn) == 16, "a bucket is half a page");

struct evtchn_domain {
	struct spinlock lock;
	bool closed;			/* the domain dies: no port is given out any more */
	struct evtchn *buckets[EVTCHN_MAX_PORTS / EVTCHN_PER_BUCKET];
	uint32_t max_port;		/* highest usable port; port 0 never is */
	uint32_t free_hint;		/* no port below it is free */
	uint16_t *virq_port;		/* [vcpu * NR_VIRQS + virq], global ones in row 0; 0 = not bound */
	uint16_t *pirq_port;		/* [pirq], made at the first bind; 0 = not bound */
};

/**
 * evtchn_init_domain() - set up @d->evtchn before the domain can run.
 * @max_port: highest usable port as createdomain's max_evtchn_port says; cut to 4095
 *
 * Return: 0 or -ENOMEM.
 */
int evtchn_init_domain(struct domain *d, uint32_t max_port);

/** evtchn_destroy_domain() - close all ports of @d, which is paused for good; peers become
 *  unbound.  No lock may be held that is inner to domain->lock.  Calling it again is fine. */
void evtchn_destroy_domain(struct domain *d);

/** evtchn_set_pending() - @port of @d becomes pending and its vCPU is notified.  The caller holds
 *  d->evtchn.lock, or the lock of the peer whose binding to @port it found.  Never allocates. */
void evtchn_set_pending(struct domain *d, uint32_t port);

/** evtchn_send_virq() - per-vCPU VIRQ to @v; nothing when it is not bound.  Takes evtchn.lock. */
void evtchn_send_virq(struct vcpu *v, unsigned int virq);
/** evtchn_send_global_virq() - VIRQ_DOM_EXC, VIRQ_CONSOLE ... to domain 0, when it is there. */
void evtchn_send_global_virq(unsigned int virq);
/** evtchn_send_pirq() - physical interrupt @pirq arrived for @d.  Return: false if not bound. */
bool evtchn_send_pirq(struct domain *d, unsigned int pirq);

/** evtchn_port_pending() - is @port of @d pending, masked or not (SCHEDOP_poll).  Lock-free. */
bool evtchn_port_pending(struct domain *d, uint32_t port);
/** evtchn_vcpu_deliverable() - upcall pending and not masked for @v. */
bool evtchn_vcpu_deliverable(struct vcpu *v);

/** evtchn_alloc_unbound() - port of @d that domain @remote may bind.
 *  Return: the port, -ENOSPC (none left), -ENOMEM, -EINVAL (@d dies).  Takes evtchn.lock. */
int evtchn_alloc_unbound(struct domain *d, uint16_t remote);

/** evtchn_close() - free @port of @d, its peer becomes unbound again.  Return: 0, or -EINVAL
 *  when it was not open.  Takes the binding lock and the evtchn locks. */
int evtchn_close(struct domain *d, uint32_t port);

/** evtchn_reset() - close every port of @d (EVTCHNOP_reset). */
void evtchn_reset(struct domain *d);

/** evtchn_vcpu_info_moved() - after register_vcpu_info stored v->info: everything looks pending
 *  once, so that an event noted in the old place is not lost (public vcpu.h). */
void evtchn_vcpu_info_moved(struct vcpu *v);

/** do_event_channel_op() - HYPERVISOR_event_channel_op(@cmd, @arg); @arg guest address of the
 *  operation's structure.  -ENOSYS for the FIFO ABI's operations: guests then use 2-level. */
long do_event_channel_op(unsigned int cmd, uint64_t arg);

/** evtchn_dump() - debug key 'e': the ports in use of @d to the log. */
void evtchn_dump(struct domain *d);

/* --- inside event/ --- */
/** evtchn_from_port() - the channel, or NULL when @port was never in use or cannot be. */
static inline struct evtchn *evtchn_from_port(const struct evtchn_domain *e, uint32_t port)
{
	struct evtchn *bucket;

	if (!port || port > e->max_port)
		return NULL;
	bucket = ACCESS_ONCE(e->buckets[port >> EVTCHN_BUCKET_SHIFT]);
	return bucket ? &bucket[port & (EVTCHN_PER_BUCKET - 1)] : NULL;
}
/** evtchn_unmask_port() - EVTCHNOP_unmask: clear the mask, notify if it is pending. */
void evtchn_unmask_port(struct domain *d, uint32_t port);
/** evtchn_clear_pending() - a port is being freed. */
void evtchn_clear_pending(struct domain *d, uint32_t port);
/** virq_is_global() - bound once per domain, on vCPU 0 at first (public xen.h, VIRQ_*). */
bool virq_is_global(unsigned int virq);
