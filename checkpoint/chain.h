/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One checkpoint of a chain, with everything it stands on, as a whole image:
 * the state of the guest from the checkpoint itself, each page from the newest
 * checkpoint of the chain that has it (docs/spec/stream.md, "Chains").
 *
 * Invariant: a page is handed out only from a PAGES record whose payload has
 * the checksum that its record header has, which in turn is covered by the
 * stream hash of its checkpoint, which its child names (or which a merged one
 * stands for).  So an altered byte anywhere in the chain is an error, never a
 * wrong page.
 *
 * The reader of CHAIN_SKIM reads record headers and entries when it opens, and
 * page bytes when they are asked for; CHAIN_CHECK reads every byte at once, and
 * what it finds wrong is found before anything is done.
 *
 * Memory: 8 bytes a pfn, 32 a PAGES record, records up to 64 MiB, sixteen unpacked
 * blocks (4 MiB), and the state.  One thread at a time.
 */
#ifndef CHECKPOINT_CHAIN_H
#define CHECKPOINT_CHAIN_H

#include "checkpoint/catalog.h"
#include "checkpoint/store.h"
#include "checkpoint/stream.h"

#define CHAIN_WHY	CATALOG_WHY
#define CHAIN_CHECK	1u	/* read and check every byte before chain_open() returns */

struct chain;

/**
 * chain_open() - a checkpoint of a store, by name.
 * @s:      must stay until chain_close()
 * @domain: first part of the objects' names
 * @id:     as catalog_find(): hash, prefix, number, "latest" or NULL
 * @flags:  0 or CHAIN_CHECK
 * @out:    the chain
 * @why:    one line on failure, naming the object and the place in it
 *
 * Return: 0; -ENOENT no such checkpoint, or a parent is missing; -ENOTUNIQ; -ELOOP;
 * -E2BIG more than 1000 parents; -EBADMSG, -ENODATA, -EPROTONOSUPPORT, -EOPNOTSUPP,
 * -EPROTO damaged, altered, foreign or newer; -ENOMEM; errors of the store.
 */
int chain_open(struct store *s, const char *domain, const char *id, unsigned int flags,
	       struct chain **out, char why[CHAIN_WHY]);

/** chain_open_at() - the same for checkpoint @i of a catalogue, which must stay. */
int chain_open_at(struct catalog *cat, size_t i, unsigned int flags, struct chain **out,
		  char why[CHAIN_WHY]);

/** chain_close() - free it; NULL is fine. */
void chain_close(struct chain *c);

/** chain_error() - the first failure after opening, in one line; "" if none. */
const char *chain_error(const struct chain *c);

/** chain_depth() - checkpoints that it is made of, 1 for a full one. */
unsigned int chain_depth(const struct chain *c);

/** chain_level() - facts about one of them: 0 is the checkpoint itself. */
const struct ckpt *chain_level(const struct chain *c, unsigned int level);

/* --- the state, read when it was opened ---------------------------------------- */

const Stream__StreamInfo *chain_info(const struct chain *c);
const Stream__DomainInfo *chain_domain(const struct chain *c);

/** chain_vcpu() - context @i, below chain_domain()->vcpus. */
const Stream__VcpuContext *chain_vcpu(const struct chain *c, uint32_t i);
const Stream__SharedInfo *chain_shared_info(const struct chain *c);
const Stream__FinalState *chain_final(const struct chain *c);

/** chain_p2m() - the p2m list: leaves, and the pfns it covers. */
const uint64_t *chain_p2m(const struct chain *c, uint32_t *nr, uint64_t *max_pfn);

/** chain_xenstore() - record @i of the guest's xenstore nodes, NULL after the last. */
const Stream__Xenstore *chain_xenstore(const struct chain *c, size_t i);

/* --- the pages -------------------------------------------------------------------- */

#define CHAIN_NO_PAGE	0xffu		/* no checkpoint of the chain mentions it */

/** chain_pfn_limit() - every pfn is below. */
uint64_t chain_pfn_limit(const struct chain *c);

/** chain_page_type() - GODWIT_PAGE_* (perhaps PINNED), or CHAIN_NO_PAGE.  Reads nothing. */
uint8_t chain_page_type(const struct chain *c, uint64_t pfn);

/** chain_next_page() - the first pfn from @pfn on that has a type, or the limit. */
uint64_t chain_next_page(const struct chain *c, uint64_t pfn);

/**
 * chain_page_place() - which checkpoint a page comes from, and where in it.
 * @object: name of the object; the chain's
 * @place:  equal for equal places of the same object
 *
 * Return: false if there is no such page.  Two chains that have a page from the
 * same place have the same page.
 */
bool chain_page_place(const struct chain *c, uint64_t pfn, const char **object,
		      uint64_t *place);

/**
 * chain_read_pages() - types and bytes of any pages.
 * @pfns:   in any order, below chain_pfn_limit(); neighbours are cheapest
 * @types:  gets the types; ABSENT for CHAIN_NO_PAGE
 * @buffer: @nr slots of 4096 bytes; those of entries without bytes become zeros
 * @nr:     1..STREAM_BATCH_MAX
 *
 * Return: 0; -EINVAL a pfn beyond the limit, or @nr; -EBADMSG; -ENOMEM; errors of
 * the store.  chain_error() names object and place.
 */
int chain_read_pages(struct chain *c, const uint64_t *pfns, uint8_t *types, void *buffer,
		     unsigned int nr);

/**
 * chain_count_types() - pfns of each type, as the guest would resume.
 * @by_type: by GODWIT_PAGE_* without the pinned bit
 * @pinned:  of these, pinned tables
 */
void chain_count_types(const struct chain *c, uint64_t by_type[GODWIT_PAGE_TYPE_MASK + 1],
		       uint64_t *pinned);

/**
 * chain_page_fn - one page of the image.
 * @bytes: 4096 of them, or NULL for a type without bytes
 * Return: 0, or an error that ends the walk.
 */
typedef int chain_page_fn(void *ctx, uint64_t pfn, uint8_t type, const uint8_t *bytes);

/**
 * chain_each_page() - every page that the chain mentions, once, in no order of pfns.
 * @c:  chain; each record is read once, in the order of its checkpoint
 *
 * Return: 0; what @fn returned; errors of chain_read_pages().
 */
int chain_each_page(struct chain *c, chain_page_fn *fn, void *ctx);

enum chain_as {
	CHAIN_AS_IMAGE,		/* a stream that belongs to no chain: restore, export */
	CHAIN_AS_REPLACEMENT,	/* a merged checkpoint, which stands for this one */
};

/**
 * chain_write_merged() - one full stream: the state and every page.
 * @c:  chain
 * @w:  a new writer; gets everything from the header to END
 * @as: what the stream says about its chain
 *
 * Return: 0; errors of chain_read_pages() (see chain_error()) or of the writer
 * (see stream_writer_error()).
 */
int chain_write_merged(struct chain *c, struct stream_writer *w, enum chain_as as);

#endif
