/* SPDX-License-Identifier: Apache-2.0 */
/* Event channels, 2-level ABI (event/evtchn.c). */
#pragma once
#include <pv/abi.h>
#include <pv/spinlock.h>

struct vcpu;
struct domain;

#define EVTCHN_MAX_PORTS	4096u	/* 2-level on 64-bit: 64 * 64 */

enum evtchn_state { ECS_FREE, ECS_RESERVED, ECS_UNBOUND, ECS_INTERDOMAIN, ECS_PIRQ, ECS_VIRQ, ECS_IPI };

struct evtchn {
	uint8_t state;			/* enum evtchn_state */
	uint8_t virq;
	uint16_t vcpu;			/* notified vCPU */
	uint16_t remote_domid;
	uint16_t pirq;
	uint32_t remote_port;
};
struct evtchn_domain {
	struct spinlock lock;
	struct evtchn *buckets[EVTCHN_MAX_PORTS / 128];	/* 128 channels of 16 bytes... a page each */
	uint32_t max_port;		/* limit from createdomain */
};

int evtchn_init_domain(struct domain *d, uint32_t max_port);
/** evtchn_destroy_domain() - close all; peers become unbound. */
void evtchn_destroy_domain(struct domain *d);
/** evtchn_set_pending() - port of @d becomes pending; caller holds d->evtchn.lock or owns the port. */
void evtchn_set_pending(struct domain *d, uint32_t port);
/** evtchn_send_virq() - per-vCPU VIRQ to @v; nothing when it is not bound. */
void evtchn_send_virq(struct vcpu *v, unsigned int virq);
/** evtchn_send_global_virq() - VIRQ_DOM_EXC, VIRQ_CONSOLE ... to domain 0. */
void evtchn_send_global_virq(unsigned int virq);
void evtchn_send_pirq(struct domain *d, unsigned int pirq);
/** evtchn_port_pending() - is @port of @d pending (SCHEDOP_poll). */
bool evtchn_port_pending(struct domain *d, uint32_t port);
/** evtchn_vcpu_pending() - upcall pending and not masked for @v. */
bool evtchn_vcpu_deliverable(struct vcpu *v);
/** evtchn_alloc_unbound() - for tools: port of @d that @remote may bind; port or -errno. */
int evtchn_alloc_unbound(struct domain *d, uint16_t remote);
/** evtchn_vcpu_info_moved() - after register_vcpu_info: everything looks pending once. */
void evtchn_vcpu_info_moved(struct vcpu *v);
long do_event_channel_op(unsigned int cmd, uint64_t arg);
