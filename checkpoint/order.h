/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The legal order of records (docs/spec/stream.md, "Legal order"), for writer
 * and reader alike.
 *
 *   START --STREAM_INFO--> NAMED --DOMAIN_INFO--> BETWEEN
 *   a child of a chain:    NAMED --DOMAIN_INFO--> ORPHAN --PARENT--> BETWEEN
 *   BETWEEN --ROUND_BEGIN--> ROUND --ROUND_END--> BETWEEN
 *   BETWEEN --ROUND_BEGIN(last)--> LAST --ROUND_END--> STOPPED
 *   STOPPED --FINAL_STATE--> FINAL [--PAGE_INDEX--> INDEXED] --END--> ENDED
 *
 * Invariant: in FINAL and ENDED a complete p2m list, every vCPU exactly once,
 * shared info once and an ended last round have passed.
 */
#ifndef CHECKPOINT_ORDER_H
#define CHECKPOINT_ORDER_H

#include "checkpoint/message.h"

#define ORDER_ROUNDS_MAX	1024u

enum order_phase {
	ORDER_START,
	ORDER_NAMED,
	ORDER_ORPHAN,
	ORDER_BETWEEN,
	ORDER_ROUND,
	ORDER_LAST,
	ORDER_STOPPED,
	ORDER_FINAL,
	ORDER_INDEXED,
	ORDER_ENDED,
};

struct stream_order {
	enum order_phase phase;
	struct message_limits limits;
	bool in_chain;			/* STREAM_INFO has a chain_id */
	bool is_child;			/* and needs a parent */
	uint32_t next_round;
	uint64_t round_pages;		/* pfns since ROUND_BEGIN */
	uint32_t nr_vcpus_seen;
	bool vcpu_seen[STREAM_VCPUS_MAX];
	bool shared_info_seen;
	uint32_t p2m_leaves;		/* of the list that is coming in */
	uint32_t p2m_next;		/* its next first_leaf */
	uint64_t p2m_max_pfn;
	bool p2m_complete;
};

/**
 * order_step() - a metadata record comes next: is that legal?
 * @o:    state, advanced on success, unchanged on failure; all zero at first
 * @kind: kind of the record
 * @msg:  its message, already passed by message_check()
 * @why:  reason when it fails
 *
 * Return: 0 or -EBADMSG.
 */
int order_step(struct stream_order *o, const struct message_kind *kind,
	       const ProtobufCMessage *msg, struct stream_reason *why);

/**
 * order_pages() - a PAGES record comes next.
 * @o:     state
 * @count: pfns in it
 * @delta: one of them is of type DELTA
 * @why:   reason when it fails
 *
 * Return: 0 or -EBADMSG.
 */
int order_pages(struct stream_order *o, uint32_t count, bool delta, struct stream_reason *why);

/** order_index() - PAGE_INDEX comes next.  Return: 0 or -EBADMSG. */
int order_index(struct stream_order *o, struct stream_reason *why);

#endif
