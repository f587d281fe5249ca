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

struct image_restore_params {
	struct toolstack *ts;		/* TOOLSTACK_HCALL | TOOLSTACK_XS */
	bool paused;			/* do not let it run yet */
	const char *name;		/* another name for it, or NULL */
	bool clone;			/* a new identity: uuid and MACs; name must be given */
	/** It is complete and has never run: 0 or -errno to give it up.  May be NULL. */
	int (*built)(void *ctx, domid_t domid);
	void *ctx;
};

/**
 * image_restore() - make a running domain from a file.
 * @p:    see above
 * @path: the file
 * @out:  totals and domid, or the cause of a failure
 *
 * A clone finds its own uuid in xenstore and that of the original in "clone-of";
 * its network cards take their new MACs when they reconnect.
 * Return: 0; -EEXIST the name is taken; -EOPNOTSUPP the CPU lacks a feature;
 * -ENOMEM; errors of restore_domain() and of the toolstack.
 */
int image_restore(const struct image_restore_params *p, const char *path,
		  struct image_result *out);

/** image_restore_fd() - the same from a descriptor, which stays the caller's. */
int image_restore_fd(const struct image_restore_params *p, int fd, struct image_result *out);

struct chain;
struct lazy;

/**
 * image_restore_chain() - the same from a checkpoint of a store.
 * @c:    open; its pages are read while the domain is built
 * @lazy: NULL, or of @c: the domain is made without the pages that can wait, and
 *        lazy_fill() must follow; p->built and p->ctx are then not the caller's
 *
 * Return: also errors of chain_write_merged().
 */
int image_restore_chain(const struct image_restore_params *p, struct chain *c, struct lazy *lazy,
			struct image_result *out);

#endif
