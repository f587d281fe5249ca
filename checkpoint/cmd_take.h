/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of `checkpoint` that need a hypervisor. */
#ifndef CHECKPOINT_CMD_TAKE_H
#define CHECKPOINT_CMD_TAKE_H

#include <stdbool.h>

/** cmd_take() - `checkpoint DOM STORE`; argv[0] is a name for messages.  Exit code as godwit's. */
int cmd_take(int argc, char **argv);

/** cmd_schedule() - `checkpoint schedule list|stop`. */
int cmd_schedule(int argc, char **argv);

#define SCHEDULE_UNSET	0xffffffffu

/** What `checkpoint DOM STORE --every` asks for. */
struct schedule_request {
	const char *every, *daemon;	/* @daemon NULL: the one of this host */
	unsigned int keep, full_every;	/* or SCHEDULE_UNSET */
	bool json;
};

struct toolstack;

/**
 * schedule_request() - ask godwitd for a schedule, and print it.
 * @ts:      TOOLSTACK_HCALL | TOOLSTACK_XS
 * @domid:   the domain
 * @address: the store
 *
 * Return: exit code.
 */
int schedule_request(struct toolstack *ts, unsigned int domid, const char *address,
		     const struct schedule_request *rq);

/** cmd_restore_checkpoint() - `checkpoint restore STORE DOM[@ID]`. */
int cmd_restore_checkpoint(int argc, char **argv);

#endif
