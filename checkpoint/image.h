/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A domain into a file and back: what `godwit save` and `godwit restore` do.
 *
 * Invariant: a file under its final name is complete and on stable storage,
 * or it is what was there before.  Whatever fails, a guest that ran before
 * save runs after it, and a restore that fails leaves nothing.
 */
#ifndef CHECKPOINT_IMAGE_H
#define CHECKPOINT_IMAGE_H

#include <signal.h>
#include <stdbool.h>

#include "checkpoint/restore.h"
#include "checkpoint/save.h"
#include "toolstack/domain.h"

struct image_save_params {
	struct toolstack *ts;		/* TOOLSTACK_HCALL | TOOLSTACK_XS */
	domid_t domid;
	const char *path;
	bool keep_running;		/* resume in place afterwards instead of destroying */
	unsigned int suspend_timeout_ms;
	const volatile sig_atomic_t *cancel;
};

struct image_result {
	uint64_t bytes;
	uint64_t pages;
	uint64_t us;
	uint64_t stopped_us;		/* of these, the guest stood (save) */
	domid_t domid;			/* of the restored domain */
	char name[CONFIG_MAX_NAME + 1];
	char error[256];		/* "" or the cause, one line */
};

/**
 * image_save() - write a domain to a file.
 * @p:   see above
 * @out: totals, or the cause of a failure
 *
 * The guest is asked to suspend first; then one round.  A sibling
 * "@path.partial" is written, synced and renamed over @path.
 * Return: 0; -EEXIST an unfinished save uses the sibling; errors of
 * suspend_guest(), save_domain(), and of the file.
 */
int image_save(const struct image_save_params *p, struct image_result *out);

/**
 * image_restore() - make a running domain from a file.
 * @ts:     TOOLSTACK_HCALL | TOOLSTACK_XS
 * @path:   the file
 * @paused: do not let it run yet
 * @name:   another name for it, or NULL
 * @out:    totals and domid, or the cause of a failure
 *
 * Return: 0; -EEXIST the name is taken; -ENOMEM; errors of restore_domain()
 * and of the toolstack.
 */
int image_restore(struct toolstack *ts, const char *path, bool paused, const char *name,
		  struct image_result *out);

#endif
