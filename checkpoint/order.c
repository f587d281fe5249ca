/* SPDX-License-Identifier: Apache-2.0 */
/* The state machine that checkpoint/order.h draws. */
#include <errno.h>

#include "checkpoint/order.h"

#define bad(...) reason_set(why, -EBADMSG, __VA_ARGS__)
#define IN(phase) (1u << ORDER_##phase)

static const struct {
	uint32_t type;
	unsigned int phases;	/* where it may come */
} legal[] = {
	{ STREAM_INFO, IN(START) },
	{ STREAM_DOMAIN, IN(NAMED) },
	{ STREAM_P2M, IN(BETWEEN) | IN(LAST) | IN(STOPPED) },
	{ STREAM_ROUND_BEGIN, IN(BETWEEN) },
	{ STREAM_PAGES, IN(ROUND) | IN(LAST) },
	{ STREAM_ROUND_END, IN(ROUND) | IN(LAST) },
	{ STREAM_VCPU, IN(LAST) | IN(STOPPED) },
	{ STREAM_SHARED_INFO, IN(LAST) | IN(STOPPED) },
	{ STREAM_FINAL, IN(STOPPED) },
	{ STREAM_XENSTORE, IN(BETWEEN) | IN(LAST) | IN(STOPPED) | IN(FINAL) },
	{ STREAM_LEDGER, IN(BETWEEN) | IN(LAST) | IN(STOPPED) | IN(FINAL) },
	{ STREAM_PARENT, IN(ORPHAN) },
	{ STREAM_INDEX, IN(FINAL) },
	{ STREAM_END, IN(FINAL) | IN(INDEXED) },
};

static const char *const phase_text[] = {
	[ORDER_START] = "before STREAM_INFO",
	[ORDER_NAMED] = "before DOMAIN_INFO",
	[ORDER_ORPHAN] = "before PARENT",
	[ORDER_BETWEEN] = "before or between rounds",
	[ORDER_ROUND] = "in a round of a running guest",
	[ORDER_LAST] = "in the last round",
	[ORDER_STOPPED] = "after the last round",
	[ORDER_FINAL] = "after FINAL_STATE",
	[ORDER_INDEXED] = "after PAGE_INDEX",
	[ORDER_ENDED] = "after END",
};

static int check_phase(const struct stream_order *o, uint32_t type, struct stream_reason *why)
{
	size_t i;

	for (i = 0; i < sizeof(legal) / sizeof(legal[0]); i++) {
		if (legal[i].type == type && (legal[i].phases & (1u << o->phase)))
			return 0;
	}
	return bad("not allowed %s", phase_text[o->phase]);
}

static int step_info(struct stream_order *o, const Stream__StreamInfo *m)
{
	o->in_chain = m->has_chain_id;
	o->is_child = m->chain_seq && !m->has_replaces;
	o->limits.parent_seq = o->is_child ? m->chain_seq - 1 : 0;
	o->phase = ORDER_NAMED;
	return 0;
}

static int step_domain(struct stream_order *o, const Stream__DomainInfo *m)
{
	o->limits.vcpus = m->vcpus;
	o->limits.pfn_limit = m->pfn_limit;
	o->phase = o->is_child ? ORDER_ORPHAN : ORDER_BETWEEN;
	return 0;
}

static int step_p2m(struct stream_order *o, const Stream__P2mInfo *m, struct stream_reason *why)
{
	if (m->first_leaf) {
		if (m->first_leaf != o->p2m_next || o->p2m_complete)
			return bad("chunk begins at leaf %u, expected %u", m->first_leaf,
				   o->p2m_complete ? 0 : o->p2m_next);
		if (m->nr_leaves != o->p2m_leaves || m->max_pfn != o->p2m_max_pfn)
			return bad("chunk belongs to another list");
	}
	o->p2m_leaves = m->nr_leaves;
	o->p2m_max_pfn = m->max_pfn;
	o->p2m_next = m->first_leaf + (uint32_t)m->n_leaves;
	o->p2m_complete = o->p2m_next == o->p2m_leaves;
	return 0;
}

static int step_round_begin(struct stream_order *o, const Stream__RoundBegin *m,
			    struct stream_reason *why)
{
	if (m->number != o->next_round)
		return bad("round %u, expected %u", m->number, o->next_round);
	if (o->next_round == ORDER_ROUNDS_MAX)
		return bad("more than %u rounds", ORDER_ROUNDS_MAX);
	o->next_round++;
	o->round_pages = 0;
	o->phase = m->last ? ORDER_LAST : ORDER_ROUND;
	return 0;
}

static int step_round_end(struct stream_order *o, const Stream__RoundEnd *m,
			  struct stream_reason *why)
{
	if (m->number != o->next_round - 1)
		return bad("round %u, expected %u", m->number, o->next_round - 1);
	if (m->pages != o->round_pages)
		return bad("says %llu pages, the round had %llu", (unsigned long long)m->pages,
			   (unsigned long long)o->round_pages);
	o->phase = o->phase == ORDER_LAST ? ORDER_STOPPED : ORDER_BETWEEN;
	return 0;
}

static int step_vcpu(struct stream_order *o, const Stream__VcpuContext *m,
		     struct stream_reason *why)
{
	if (o->vcpu_seen[m->index])
		return bad("vcpu %u a second time", m->index);
	o->vcpu_seen[m->index] = true;
	o->nr_vcpus_seen++;
	return 0;
}

static int step_shared_info(struct stream_order *o, struct stream_reason *why)
{
	if (o->shared_info_seen)
		return bad("a second time");
	o->shared_info_seen = true;
	return 0;
}

static int step_final(struct stream_order *o, struct stream_reason *why)
{
	if (!o->p2m_complete)
		return bad("no complete p2m list before it");
	if (o->nr_vcpus_seen != o->limits.vcpus)
		return bad("%u of %u vcpus before it", o->nr_vcpus_seen, o->limits.vcpus);
	if (!o->shared_info_seen)
		return bad("no SHARED_INFO before it");
	o->phase = ORDER_FINAL;
	return 0;
}

int order_step(struct stream_order *o, const struct message_kind *kind,
	       const ProtobufCMessage *msg, struct stream_reason *why)
{
	int ret = check_phase(o, kind->type, why);

	if (ret)
		return ret;
	switch (kind->type) {
	case STREAM_INFO:
		return step_info(o, (const Stream__StreamInfo *)msg);
	case STREAM_PARENT:
		o->phase = ORDER_BETWEEN;
		return 0;
	case STREAM_DOMAIN:
		return step_domain(o, (const Stream__DomainInfo *)msg);
	case STREAM_P2M:
		return step_p2m(o, (const Stream__P2mInfo *)msg, why);
	case STREAM_ROUND_BEGIN:
		return step_round_begin(o, (const Stream__RoundBegin *)msg, why);
	case STREAM_ROUND_END:
		return step_round_end(o, (const Stream__RoundEnd *)msg, why);
	case STREAM_VCPU:
		return step_vcpu(o, (const Stream__VcpuContext *)msg, why);
	case STREAM_SHARED_INFO:
		return step_shared_info(o, why);
	case STREAM_FINAL:
		return step_final(o, why);
	case STREAM_END:
		o->phase = ORDER_ENDED;
		return 0;
	default:		/* XENSTORE, LEDGER change nothing */
		return 0;
	}
}

int order_pages(struct stream_order *o, uint32_t count, bool delta, struct stream_reason *why)
{
	int ret = check_phase(o, STREAM_PAGES, why);

	if (!ret && delta && o->in_chain)
		return bad("a delta in a checkpoint of a chain");
	if (!ret)
		o->round_pages += count;
	return ret;
}

int order_index(struct stream_order *o, struct stream_reason *why)
{
	int ret = check_phase(o, STREAM_INDEX, why);

	if (!ret)
		o->phase = ORDER_INDEXED;
	return ret;
}
