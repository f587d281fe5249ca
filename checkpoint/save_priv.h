/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the save engine share: save.c (batches, rounds), save_state.c
 * (what a domain is beside its memory), save_snapshot.c (live checkpoint).
 */
#ifndef CHECKPOINT_SAVE_PRIV_H
#define CHECKPOINT_SAVE_PRIV_H

#include "checkpoint/delta.h"
#include "checkpoint/save.h"
#include "migrate/ratelimit.h"

#define SAVE_UNSENT	0xff		/* in save.sent[]: nothing in the stream yet */
#define SAVE_CONTEXT_MAX	(64u * 1024)	/* one vCPU: registers and XSAVE area */

/* One vCPU as the hypervisor gave it. */
struct save_vcpu {
	uint8_t *bytes;
	uint32_t size;
};

/* Taken while the guest stands, written when there is time. */
struct save_state {
	struct godwit_domain_facts facts;
	struct save_vcpu vcpu[STREAM_VCPUS_MAX];
	uint32_t nr_leaves;
	uint64_t max_pfn;
	uint64_t generation;
	uint64_t wallclock_ns;
};

struct save {
	const struct save_params *p;
	struct save_result *out;
	uint64_t pfn_limit;
	struct delta *delta;		/* NULL: everything is sent whole */
	uint64_t start_us;

	/* hypercall memory */
	uint64_t *pfns;
	uint8_t *types;
	void *pages;
	uint8_t *context;
	uint8_t *shared_info;
	uint64_t *leaves;

	uint8_t *sent;			/* per pfn: type last written */
	uint8_t *retry;			/* per pfn: must be read again */
	uint64_t nr_retry;

	struct save_round round;
	uint64_t round_start_us;
	uint64_t round_start_bytes;
	struct ratelimit limit;
	bool logdirty;
	struct save_state state;
};

/* save.c */
int save_fail(struct save *s, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int save_fail_writer(struct save *s, int err);
void save_phase(struct save *s, const char *name);
uint64_t save_now_us(void);
int save_send_batch(struct save *s, unsigned int nr);
int save_round_begin(struct save *s, uint64_t todo, bool last);
int save_round_end(struct save *s);
int save_stop_guest(struct save *s);
int save_write_front(struct save *s);
int save_ask_p2m(struct hcall *h, struct godwit_p2m_frames *op);
int save_get_domain_facts(struct save *s, struct godwit_domain_facts *facts, bool with_page);

/* save_state.c: capture while the guest stands; write once, after the last round. */
size_t save_leaves_bytes(const struct save *s);
int save_state_capture(struct save *s);
int save_state_write(struct save *s);
void save_state_free(struct save *s);

/* save_snapshot.c: a whole checkpoint of a guest that stands for a moment only. */
int save_run_snapshot(struct save *s);

#endif
