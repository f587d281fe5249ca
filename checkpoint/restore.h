/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream into an empty domain.
 *
 * Invariant: nothing of the stream is believed before it was checked, here or
 * by the reader; and the domain does not run when restore_domain() returns, on
 * success or failure.  Whoever prepared the domain destroys it on failure.
 *
 * Two ways: restore_domain() reads one stream and completes the domain; a struct
 * restore takes a full checkpoint and then its children, one after another, and is
 * completed when somebody needs it (migrate/standby.h).
 */
#ifndef CHECKPOINT_RESTORE_H
#define CHECKPOINT_RESTORE_H

#include <stdbool.h>
#include <stdint.h>

#include "checkpoint/stream.h"
#include "toolstack/lib/hcall.h"

/** The empty domain that prepare() supplies. */
struct restore_domain_ids {
	domid_t domid;
	uint32_t store_port;
	uint32_t console_port;
	uint64_t max_pages;		/* what it may own; bounds the stream's demands */
};

struct restore_result;

/** Callbacks; each gets the ctx given to restore_domain(). */
struct restore_hooks {
	/**
	 * prepare() - the domain's description has come: make or match it.
	 * Required.  0 with @ids filled, or -errno with one line in @why.
	 */
	int (*prepare)(void *ctx, const Stream__StreamInfo *info,
		       const Stream__DomainInfo *domain, struct restore_domain_ids *ids,
		       char why[200]);
	/** batch() - after each batch; -errno ends the restore.  May be NULL. */
	int (*batch)(void *ctx, const struct stream_totals *so_far);
	/** round_end() - a round has been taken in; -errno ends the restore.  May be NULL. */
	int (*round_end)(void *ctx, unsigned int number, bool last);
	/** phase() - a named phase begins now (for the ledger).  May be NULL. */
	void (*phase)(void *ctx, const char *name);
	/**
	 * complete() - the domain is complete: 0 or -errno.  May be NULL.
	 * Giving the memory of a restore back takes long; what the guest waits for
	 * is done here, before that.
	 */
	int (*complete)(void *ctx, const struct restore_result *out);
};

struct restore_result {
	struct restore_domain_ids ids;
	uint64_t store_mfn;		/* for domain_introduce() */
	uint64_t console_mfn;
	uint64_t pin_us;		/* spent validating page tables */
	uint64_t pages;			/* pfns received */
	uint64_t bytes;			/* of the stream */
	unsigned int rounds;
	char error[200];		/* "" or the cause, one line */
};

/**
 * restore_domain() - read a whole stream and build the domain it describes.
 * @h:      handle
 * @reader: nothing read from it yet
 * @hooks:  see above
 * @ctx:    for the hooks
 * @out:    rings and totals, or the cause of a failure
 *
 * Reads up to and including END, not beyond.  On success the domain is
 * complete and still paused: memory, page tables, grant entries 0 and 1, vCPUs.
 * Memory: 4 MiB of hypercall memory, one byte per pfn, 64 KiB per vCPU.
 *
 * Return: 0; errors of the reader (stream.h), of prepare() and of the
 * hypercalls; -ERANGE when the stream asks for more than prepare() allowed;
 * -EBADMSG when END's neighbours contradict each other.
 */
int restore_domain(struct hcall *h, struct stream_reader *reader,
		   const struct restore_hooks *hooks, void *ctx,
		   struct restore_result *out);

struct restore;

/**
 * restore_new() - the state of a domain that is built of several streams.
 * @h, @hooks, @ctx: as restore_domain()'s; must stay
 * @out:   totals and the cause of a failure; must stay
 * @r:     gets it; restore_free() it
 *
 * Return: 0; -ENOMEM.
 */
int restore_new(struct hcall *h, const struct restore_hooks *hooks, void *ctx,
		struct restore_result *out, struct restore **r);

/**
 * restore_apply() - take in one stream, from header to END.
 * @r:      it
 * @reader: nothing read from it yet; a child needs stream_reader_allow_parent()
 * @child:  the stream holds only what changed since the last one; otherwise
 *          pages that it does not mention are given back
 *
 * The first one calls the hook prepare(); a later one must describe the same
 * domain.  After a failure the domain is of no stream at all: only a complete
 * stream that is no child can repair it.
 * Return: as restore_domain()'s.
 */
int restore_apply(struct restore *r, struct stream_reader *reader, bool child);

/**
 * restore_complete() - from parts to a domain: page tables, p2m, vCPUs.
 * @r: its last restore_apply() succeeded
 *
 * Once.  Return: as restore_domain()'s.
 */
int restore_complete(struct restore *r);

/** restore_free() - free the state (NULL is fine); the domain stays as it is. */
void restore_free(struct restore *r);

#endif
