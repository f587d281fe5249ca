// SPDX-License-Identifier: Apache-2.0
/*
 * What a domain is beside its memory: vCPUs, shared info, where its p2m list is.
 *
 * Invariant: all of it is taken in one piece while the guest stands, and what is
 * written later is exactly that; so the guest may run on in between.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "checkpoint/save_priv.h"

static int capture_vcpu(struct save *s, unsigned int i)
{
	struct godwit_context op = {
		.domid = s->p->domid, .vcpu = i, .size = SAVE_CONTEXT_MAX,
		.buffer = (uintptr_t)s->context,
	};
	struct save_vcpu *v = &s->state.vcpu[i];
	int ret = hcall_godwit_get_context(s->p->hcall, &op);

	if (ret)
		return save_fail(s, ret, "reading vCPU %u: %s", i, strerror(-ret));
	free(v->bytes);
	v->bytes = malloc(op.size);
	if (!v->bytes)
		return save_fail(s, -ENOMEM, "out of memory for vCPU %u", i);
	memcpy(v->bytes, s->context, op.size);
	v->size = op.size;
	return 0;
}

size_t save_leaves_bytes(const struct save *s)
{
	return s->pfn_limit / 512 * sizeof(*s->leaves);
}

/* After this the frames of the list read as such: before the last round, then. */
static int capture_p2m(struct save *s)
{
	struct godwit_p2m_frames op = {
		.domid = s->p->domid, .pfns = (uintptr_t)s->leaves,
		.max_leaves = (uint32_t)(s->pfn_limit / 512),
	};
	int ret = save_ask_p2m(s->p->hcall, &op);

	if (ret)
		return save_fail(s, ret, "reading the p2m list: %s", strerror(-ret));
	if (!op.nr_leaves || op.nr_leaves > s->pfn_limit / 512)
		return save_fail(s, -ERANGE, "p2m list of %u leaves", op.nr_leaves);
	s->state.nr_leaves = op.nr_leaves;
	s->state.max_pfn = op.max_pfn;
	s->state.generation = op.generation;
	return 0;
}

int save_state_capture(struct save *s)
{
	struct save_state *st = &s->state;
	struct timespec wall;
	int ret;

	ret = save_get_domain_facts(s, &st->facts, true);
	if (!ret && st->facts.start_info_pfn == UINT64_MAX)
		ret = save_fail(s, -EINVAL, "the guest stands, but not at its suspend hypercall");
	if (!ret && st->facts.nr_vcpus > STREAM_VCPUS_MAX)
		ret = save_fail(s, -ERANGE, "the guest has %u vCPUs", st->facts.nr_vcpus);
	for (unsigned int i = 0; !ret && i < st->facts.nr_vcpus; i++)
		ret = capture_vcpu(s, i);
	if (!ret)
		ret = capture_p2m(s);
	clock_gettime(CLOCK_REALTIME, &wall);
	st->wallclock_ns = (uint64_t)wall.tv_sec * 1000000000ull + wall.tv_nsec;
	return ret;
}

static int write_vcpus(struct save *s)
{
	for (unsigned int i = 0; i < s->state.facts.nr_vcpus; i++) {
		Stream__VcpuContext m = STREAM__VCPU_CONTEXT__INIT;
		int ret;

		m.has_index = m.has_context = 1;
		m.index = i;
		m.context.data = s->state.vcpu[i].bytes;
		m.context.len = s->state.vcpu[i].size;
		ret = stream_write_msg(s->p->writer, STREAM_VCPU, &m.base);
		if (ret)
			return ret;
	}
	return 0;
}

static int write_shared_info(struct save *s)
{
	Stream__SharedInfo m = STREAM__SHARED_INFO__INIT;

	m.has_page = 1;
	m.page.data = s->shared_info;
	m.page.len = STREAM_PAGE_SIZE;
	return stream_write_msg(s->p->writer, STREAM_SHARED_INFO, &m.base);
}

static int write_final(struct save *s)
{
	Stream__FinalState m = STREAM__FINAL_STATE__INIT;

	for (uint64_t pfn = 0; pfn < s->pfn_limit; pfn++)
		if (s->sent[pfn] != SAVE_UNSENT && s->sent[pfn] & GODWIT_PAGE_PINNED)
			m.nr_pinned++;
	m.has_start_info_pfn = m.has_tot_pages = m.has_wallclock_ns = 1;
	/* A child says nothing of pages it does not have. */
	m.has_nr_pinned = !s->p->snapshot || !s->p->snapshot->delta;
	m.start_info_pfn = s->state.facts.start_info_pfn;
	m.tot_pages = s->state.facts.tot_pages;
	m.wallclock_ns = s->state.wallclock_ns;
	return stream_write_msg(s->p->writer, STREAM_FINAL, &m.base);
}

int save_state_write(struct save *s)
{
	int ret = write_vcpus(s);

	if (!ret)
		ret = write_shared_info(s);
	if (!ret)
		ret = stream_write_p2m(s->p->writer, s->leaves, s->state.nr_leaves,
				       s->state.max_pfn, s->state.generation);
	if (!ret)
		ret = write_final(s);
	if (!ret)
		ret = stream_write_end(s->p->writer);
	return ret ? save_fail_writer(s, ret) : 0;
}

void save_state_free(struct save *s)
{
	for (unsigned int i = 0; i < STREAM_VCPUS_MAX; i++)
		free(s->state.vcpu[i].bytes);
}
