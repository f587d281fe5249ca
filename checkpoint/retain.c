/* SPDX-License-Identifier: Apache-2.0 */
/* See checkpoint/retain.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/chain.h"
#include "checkpoint/retain.h"

#define SUFFIX_LEN	5	/* ".ckpt" */

static int store_says(const struct catalog *cat, char *why, int err, const char *object)
{
	const char *text = store_error(cat->store);

	snprintf(why, CATALOG_WHY, "%s: %s", object, text[0] ? text : strerror(-err));
	return err;
}

static void tell(const struct retain_log *log, const char *verb, const char *object)
{
	if (log && log->said)
		log->said(log->ctx, verb, object);
}

static int delete_one(struct catalog *cat, size_t i, const struct retain_log *log, char *why)
{
	int ret = store_delete(cat->store, cat->c[i].obj.name);

	/* Gone is what was wanted, whoever did it. */
	if (ret && ret != -ENOENT)
		return store_says(cat, why, ret, cat->c[i].obj.name);
	tell(log, "deleted", cat->c[i].obj.name);
	return 0;
}

/* --- merge ------------------------------------------------------------------------- */

static int put_bytes(void *ctx, const void *buf, size_t len)
{
	return store_put_write(ctx, buf, len);
}

static int write_chain(struct chain *c, struct store_put *put, const char *name, char *why)
{
	struct stream_io io = { .write = put_bytes, .ctx = put };
	struct stream_writer *w = NULL;
	int ret = stream_writer_new(&io, &w);

	if (!ret)
		ret = chain_write_merged(c, w, CHAIN_AS_REPLACEMENT);
	if (ret && w && stream_writer_error(w)[0])
		snprintf(why, CATALOG_WHY, "%s: %s", name, stream_writer_error(w));
	else if (ret)
		snprintf(why, CATALOG_WHY, "%s", chain_error(c)[0] ? chain_error(c) :
			 strerror(-ret));
	stream_writer_free(w);
	return ret;
}

static int put_merged(struct catalog *cat, size_t i, const char *name, char *why)
{
	struct store_put *put = NULL;
	struct chain *c;
	int ret = chain_open_at(cat, i, CHAIN_CHECK, &c, why);

	if (ret)
		return ret;
	ret = store_put_begin(cat->store, name, &put);
	if (ret)
		store_says(cat, why, ret, name);
	if (!ret)
		ret = write_chain(c, put, name, why);
	chain_close(c);
	if (ret) {
		store_put_abort(put);
		return ret;
	}
	ret = store_put_commit(put);
	return ret ? store_says(cat, why, ret, name) : 0;
}

/* A merge that did not come to its end has left one: is it whole? */
static bool find_merged(struct catalog *cat, size_t i, size_t *merged)
{
	const struct ckpt *c = catalog_get(cat, i), *m;
	char why[CATALOG_WHY];
	struct chain *chain;
	size_t k;

	for (k = 0; k < cat->nr; k++) {
		m = catalog_get(cat, k);
		if (k == i || m->state != CKPT_SOUND || !m->has_replaces ||
		    m->replaces != c->hash || memcmp(m->chain_id, c->chain_id, 16) ||
		    m->seq != c->seq || chain_open_at(cat, k, CHAIN_CHECK, &chain, why))
			continue;
		chain_close(chain);
		*merged = k;
		return true;
	}
	return false;
}

static int merged_name(char *out, size_t size, const struct ckpt *c, char *why)
{
	int n = (int)strlen(c->obj.name) - SUFFIX_LEN;

	/* The second part of a name may have no more than STORE_NAME_MAX bytes. */
	if (strlen(ckpt_object(c)) + strlen("-full") > STORE_NAME_MAX) {
		snprintf(why, CATALOG_WHY, "%s: its name is too long to add \"-full\"",
			 c->obj.name);
		return -ENAMETOOLONG;
	}
	snprintf(out, size, "%.*s-full.ckpt", n, c->obj.name);
	return 0;
}

/* The original goes, now that what stands for it is durable. */
static int drop_original(struct catalog *cat, size_t i, size_t merged, bool fresh,
			 const char *name, const struct retain_log *log, char *why)
{
	int ret = delete_one(cat, i, log, why);

	if (ret)
		return ret;
	if (fresh) {
		catalog_renew(cat, i, name);
	} else {
		cat->c[i] = cat->c[merged];
		catalog_drop(cat, merged);
	}
	return 0;
}

/* @i is full.  Is what it stands for still there, from a merge that was cut short? */
static int finish_merge(struct catalog *cat, size_t i, const struct retain_log *log, char *why)
{
	struct chain *chain;
	size_t k;
	int ret;

	for (k = 0; k < cat->nr; k++) {
		if (k == i || !cat->c[i].has_replaces ||
		    catalog_get(cat, k)->state != CKPT_SOUND ||
		    cat->c[k].hash != cat->c[i].replaces)
			continue;
		ret = chain_open_at(cat, i, CHAIN_CHECK, &chain, why);
		if (ret)
			return ret;
		chain_close(chain);
		ret = delete_one(cat, k, log, why);
		if (!ret)
			catalog_drop(cat, k);
		return ret;
	}
	return 1;
}

int retain_merge(struct catalog *cat, size_t i, bool keep, const struct retain_log *log,
		 char why[CATALOG_WHY])
{
	const struct ckpt *c = catalog_get(cat, i);
	char name[2 * STORE_NAME_MAX + 2];
	size_t merged = 0;
	bool fresh;
	int ret;

	if (c->state != CKPT_SOUND) {
		snprintf(why, CATALOG_WHY, "%s: %.240s", c->obj.name, c->why);
		return c->err;
	}
	if (!c->is_child)
		return keep ? 1 : finish_merge(cat, i, log, why);
	fresh = !find_merged(cat, i, &merged);
	if (fresh) {
		ret = merged_name(name, sizeof(name), c, why);
		if (!ret)
			ret = put_merged(cat, i, name, why);
		if (ret)
			return ret;
		tell(log, "merged", name);
	}
	return keep ? 0 : drop_original(cat, i, merged, fresh, name, log, why);
}

/* --- delete ------------------------------------------------------------------------ */

/* Does everything that @j could stand on go? */
static bool loses_parent(struct catalog *cat, size_t j, const bool *goes)
{
	const struct ckpt *c = catalog_get(cat, j);
	bool had = false;
	size_t k;

	if (c->state != CKPT_SOUND || !c->is_child)
		return false;
	for (k = 0; k < cat->nr; k++) {
		if (!ckpt_provides(catalog_get(cat, k), c->parent_hash))
			continue;
		if (!goes[k])
			return false;
		had = true;
	}
	return had;
}

/* Mark what depends on the marked ones, until nothing more does. */
static void mark_dependants(struct catalog *cat, bool *goes)
{
	bool more = true;
	size_t j;

	while (more) {
		more = false;
		for (j = 0; j < cat->nr; j++) {
			if (!goes[j] && loses_parent(cat, j, goes)) {
				goes[j] = true;
				more = true;
			}
		}
	}
}

/* Does a marked one that is still there stand on @i? */
static bool has_child_among(struct catalog *cat, size_t i, const bool *goes)
{
	size_t j;

	for (j = 0; j < cat->nr; j++) {
		const struct ckpt *c = catalog_get(cat, j);

		if (j != i && goes[j] && c->state == CKPT_SOUND && c->is_child &&
		    ckpt_provides(&cat->c[i], c->parent_hash))
			return true;
	}
	return false;
}

/* One pass over what is marked.  Return: how many were deleted, or an error. */
static int delete_pass(struct catalog *cat, bool *goes, bool parents_too,
		       const struct retain_log *log, char *why)
{
	int nr = 0, ret;
	size_t i;

	for (i = cat->nr; i-- > 0;) {
		if (!goes[i] || (!parents_too && has_child_among(cat, i, goes)))
			continue;
		ret = delete_one(cat, i, log, why);
		if (ret)
			return ret;
		catalog_drop(cat, i);
		memmove(goes + i, goes + i + 1, (cat->nr - i) * sizeof(*goes));
		nr++;
	}
	return nr;
}

/* Delete what is marked, children first.  Return: how many, or an error. */
static int delete_marked(struct catalog *cat, bool *goes, const struct retain_log *log,
			 char *why)
{
	int nr = 0, n;

	do {
		n = delete_pass(cat, goes, false, log, why);
		nr += n > 0 ? n : 0;
	} while (n > 0);
	/* What is left are loops, which nobody could restore. */
	if (!n)
		n = delete_pass(cat, goes, true, log, why);
	return n < 0 ? n : nr + n;
}

int retain_delete(struct catalog *cat, size_t i, bool chain, const struct retain_log *log,
		  char why[CATALOG_WHY])
{
	bool *goes = calloc(cat->nr + 1, sizeof(*goes));
	size_t first = 0;
	int ret;

	if (!goes) {
		snprintf(why, CATALOG_WHY, "no memory");
		return -ENOMEM;
	}
	ret = catalog_children(cat, i, NULL, &first, why);
	if (ret > 0 && !chain) {
		snprintf(why, CATALOG_WHY, "%s: %d %s on it (%s): delete %s first, merge, or use "
			 "--chain", cat->c[i].obj.name, ret, ret == 1 ? "depends" : "depend",
			 ckpt_object(&cat->c[first]), ret == 1 ? "it" : "them");
		ret = -EBUSY;
	}
	if (ret >= 0) {
		goes[i] = true;
		mark_dependants(cat, goes);
		ret = delete_marked(cat, goes, log, why);
	}
	free(goes);
	return ret;
}

/* --- prune ------------------------------------------------------------------------- */

static bool restorable(struct catalog *cat, size_t i)
{
	char why[CATALOG_WHY];
	size_t *levels, nr;

	if (catalog_walk(cat, i, &levels, &nr, why))
		return false;
	free(levels);
	return true;
}

/* Every byte of it: before the original of a merged one is given up. */
static bool is_whole(struct catalog *cat, size_t i)
{
	char why[CATALOG_WHY];
	struct chain *c;

	if (chain_open_at(cat, i, CHAIN_CHECK, &c, why))
		return false;
	chain_close(c);
	return true;
}

/* Is another object for the same checkpoint kept already?  A merged one is preferred. */
static bool is_double(struct catalog *cat, size_t i, bool *stays)
{
	size_t k;

	for (k = 0; k < cat->nr; k++) {
		if (k == i || !stays[k] || catalog_id(&cat->c[k]) != catalog_id(&cat->c[i]))
			continue;
		if (cat->c[i].has_replaces && !cat->c[k].has_replaces && is_whole(cat, i)) {
			stays[k] = false;
			stays[i] = true;
		}
		return true;
	}
	return false;
}

static void choose(struct catalog *cat, unsigned int keep, bool *stays, bool *goes,
		   struct retain_pruned *done)
{
	size_t i;

	for (i = cat->nr; i-- > 0;) {
		if (!restorable(cat, i)) {
			done->broken++;
			continue;
		}
		goes[i] = true;		/* unless it stays */
		if (!is_double(cat, i, stays) && done->kept < keep) {
			stays[i] = true;
			done->kept++;
		}
	}
	for (i = 0; i < cat->nr; i++)
		goes[i] = goes[i] && !stays[i];
}

/* Those that stay stand on nothing that goes. */
static int make_independent(struct catalog *cat, const bool *stays, const struct retain_log *log,
			    struct retain_pruned *done, char *why)
{
	size_t i, p;
	int ret;

	for (i = 0; i < cat->nr; i++) {
		if (!stays[i] || !cat->c[i].is_child)
			continue;
		ret = catalog_parent(cat, i, &p, why);
		if (!ret && !stays[p]) {
			ret = retain_merge(cat, i, false, log, why);
			done->merged += ret == 0;
		}
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* What those that stay stand on stays, too. */
static int keep_ancestors(struct catalog *cat, const bool *stays, bool *goes,
			  struct retain_pruned *done, char *why)
{
	size_t i, k, *levels, nr;
	int ret;

	for (i = 0; i < cat->nr; i++) {
		if (!stays[i])
			continue;
		ret = catalog_walk(cat, i, &levels, &nr, why);
		if (ret)
			return ret;
		for (k = 1; k < nr; k++) {
			done->ancestors += goes[levels[k]];
			goes[levels[k]] = false;
		}
		free(levels);
	}
	return 0;
}

int retain_prune(struct catalog *cat, unsigned int keep, bool merge,
		 const struct retain_log *log, struct retain_pruned *done,
		 char why[CATALOG_WHY])
{
	bool *stays, *goes;
	int ret;

	*done = (struct retain_pruned){ 0 };
	if (!keep) {
		snprintf(why, CATALOG_WHY, "at least one checkpoint is kept");
		return -EINVAL;
	}
	stays = calloc(cat->nr + 1, sizeof(*stays));
	goes = calloc(cat->nr + 1, sizeof(*goes));
	ret = stays && goes ? 0 : -ENOMEM;
	if (ret)
		snprintf(why, CATALOG_WHY, "no memory");
	if (!ret) {
		choose(cat, keep, stays, goes, done);
		ret = merge ? make_independent(cat, stays, log, done, why) :
			      keep_ancestors(cat, stays, goes, done, why);
	}
	if (!ret) {
		ret = delete_marked(cat, goes, log, why);
		done->deleted = ret > 0 ? (unsigned int)ret : 0;
	}
	free(stays);
	free(goes);
	return ret < 0 ? ret : 0;
}

/* --- of one domain -------------------------------------------------------------------- */

void retain_only(struct catalog *cat, const uint8_t uuid[16])
{
	size_t i;

	for (i = cat->nr; i-- > 0;) {
		const struct ckpt *c = catalog_get(cat, i);

		if (c->state == CKPT_SOUND && memcmp(c->uuid, uuid, sizeof(c->uuid)))
			catalog_drop(cat, i);
	}
}
