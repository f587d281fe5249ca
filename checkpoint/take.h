/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One checkpoint of a running domain into a store: what `checkpoint DOM STORE` does.
 *
 * Invariants: the guest runs when take_checkpoint() returns, whatever happened
 * (but for TAKE_OFF, and that only after success); the checkpoint is in the store
 * whole or not at all; and the hypervisor's record of changes is moved on to the
 * new checkpoint only after that is durable, so that a failure costs the next
 * one pages, never correctness.
 *
 * One at a time for each domain: a lock on a file in /run that dies with its holder.
 */
#ifndef CHECKPOINT_TAKE_H
#define CHECKPOINT_TAKE_H

#include <signal.h>
#include <stdbool.h>

#include "checkpoint/save.h"
#include "checkpoint/store.h"
#include "toolstack/domain.h"

#define TAKE_RESERVE_DEFAULT	UINT64_MAX
#define TAKE_PHASES_MAX		16

enum take_way {
	TAKE_LIVE,			/* the guest stands for a moment */
	TAKE_STOP,			/* it stands until all is durable, then goes on */
	TAKE_OFF,			/* it stands, and is gone when all is durable */
};

/** A part of the work; the first ones, up to "resume", are the pause. */
struct take_phase {
	char name[16];
	uint64_t us;
};

struct take_params {
	struct toolstack *ts;		/* TOOLSTACK_HCALL | TOOLSTACK_XS */
	domid_t domid;
	struct store *store;
	enum take_way way;
	bool full;			/* start a new chain */
	uint64_t reserve_pages;		/* copied aside at once; TAKE_RESERVE_DEFAULT: a quarter */
	unsigned int suspend_timeout_ms;
	const volatile sig_atomic_t *cancel;
	/** Told now and then: pages done, pages in all.  May be NULL. */
	void (*progress)(void *ctx, uint64_t done, uint64_t all);
	void *ctx;
};

struct take_result {
	char object[2 * STORE_NAME_MAX + 2];
	char name[CONFIG_MAX_NAME + 1];	/* of the domain */
	uint64_t id;			/* stream hash */
	uint64_t seq;			/* place in its chain, 0 = full */
	uint64_t bytes;
	uint64_t pages, data_pages;
	uint64_t us;			/* all of it */
	uint64_t pause_us;		/* asked to suspend until resumed */
	struct take_phase phase[TAKE_PHASES_MAX];
	unsigned int nr_phases;
	struct godwit_snapshot snapshot; /* TAKE_LIVE: copies aside, waits */
	char error[256];		/* "" or the cause, one line */
};

/**
 * take_checkpoint() - write one.
 * @p:   see above
 * @out: what it came to, or the cause of a failure
 *
 * A child of the newest checkpoint in the store if the hypervisor has kept track
 * of changes since that one, otherwise a full one.
 * Return: 0; -EBUSY another one of this domain is being taken; errors of
 * suspend_guest(), save_domain() and the store.
 */
int take_checkpoint(const struct take_params *p, struct take_result *out);

/**
 * take_lock_domain() - be the only one who takes checkpoints of a domain.
 * Return: descriptor that holds the lock while it is open; -EBUSY; -errno.
 */
int take_lock_domain(const uint8_t uuid[16]);

#endif
