// SPDX-License-Identifier: Apache-2.0
/*
 * A domain from a checkpoint of a store.
 *
 * Invariant: the domain is complete only if the chain was; what the reader sees of a
 * chain that cannot be read is a stream without END, which it refuses.
 */
#include "checkpoint/image.h"

#include <stdio.h>
#include <string.h>

#include "checkpoint/chain_pipe.h"
#include "checkpoint/lazy.h"

struct later {
	struct lazy *lazy;
	struct hcall *hcall;
};

static int mark(void *ctx, domid_t domid)
{
	struct later *l = ctx;

	return lazy_mark(l->lazy, l->hcall, domid);
}

int image_restore_chain(const struct image_restore_params *p, struct chain *c, struct lazy *lazy,
			struct image_result *out)
{
	struct later l = { lazy, p->ts->hcall };
	struct image_restore_params with = *p;
	struct chain_pipe *pipe;
	char why[CHAIN_WHY] = "";
	int ret, fed;

	*out = (struct image_result) { 0 };
	if (lazy) {
		with.built = mark;
		with.ctx = &l;
	}
	ret = chain_pipe_open(c, lazy ? lazy_write : NULL, lazy, &pipe);
	if (ret)
		return ret;
	ret = image_restore_fd(&with, chain_pipe_fd(pipe), out);
	fed = chain_pipe_close(pipe, why);
	/* The chain's own fault is the cause, a stream without END its consequence. */
	if (ret && fed && why[0]) {
		snprintf(out->error, sizeof(out->error), "%.255s", why);
		ret = fed;
	}
	return ret;
}
