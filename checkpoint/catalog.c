/* SPDX-License-Identifier: Apache-2.0 */
/* See checkpoint/catalog.h. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "checkpoint/catalog.h"

#define SUFFIX		".ckpt"
#define FULL_SUFFIX	"-full.ckpt"
#define LEVELS_MAX	1000u
#define PREFIX_MIN	4u

__attribute__((format(printf, 3, 4)))
static int say(char *why, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, CATALOG_WHY, fmt, ap);
	va_end(ap);
	return err;
}

static bool has_suffix(const char *s, const char *suffix)
{
	size_t n = strlen(s), k = strlen(suffix);

	return n >= k && !strcmp(s + n - k, suffix);
}

const char *ckpt_object(const struct ckpt *c)
{
	const char *slash = strchr(c->obj.name, '/');

	return slash ? slash + 1 : c->obj.name;
}

int catalog_load(struct catalog *cat, struct store *s, const char *domain,
		 char why[CATALOG_WHY])
{
	struct store_object *list = NULL;
	size_t nr = 0, i;
	int ret;

	*cat = (struct catalog){ .store = s };
	snprintf(cat->domain, sizeof(cat->domain), "%s", domain);
	ret = store_list(s, domain, &list, &nr);
	if (ret)
		return say(why, ret, "%s: %s", store_address(s),
			   store_error(s)[0] ? store_error(s) : strerror(-ret));
	cat->c = calloc(nr + 1, sizeof(*cat->c));
	if (!cat->c) {
		free(list);
		return say(why, -ENOMEM, "no memory for %zu checkpoints", nr);
	}
	for (i = 0; i < nr; i++) {
		if (has_suffix(list[i].name, SUFFIX))
			cat->c[cat->nr++].obj = list[i];
	}
	free(list);
	return 0;
}

void catalog_free(struct catalog *cat)
{
	free(cat->c);
	cat->c = NULL;
	cat->nr = 0;
}

const struct ckpt *catalog_get(struct catalog *cat, size_t i)
{
	if (cat->c[i].state == CKPT_UNREAD)
		ckpt_probe(cat->store, &cat->c[i]);
	return &cat->c[i];
}

void catalog_drop(struct catalog *cat, size_t i)
{
	cat->nr--;
	memmove(cat->c + i, cat->c + i + 1, (cat->nr - i) * sizeof(*cat->c));
}

void catalog_renew(struct catalog *cat, size_t i, const char *name)
{
	memset(&cat->c[i], 0, sizeof(cat->c[i]));
	snprintf(cat->c[i].obj.name, sizeof(cat->c[i].obj.name), "%s", name);
}

uint64_t catalog_id(const struct ckpt *c)
{
	return c->has_replaces ? c->replaces : c->hash;
}

bool ckpt_provides(const struct ckpt *c, uint64_t hash)
{
	return c->state == CKPT_SOUND &&
	       (c->hash == hash || (c->has_replaces && c->replaces == hash));
}

/* --- by what a person typed ---------------------------------------------------- */

struct wanted {
	const char *text;
	size_t len;
	bool is_hex;		/* could be the front of a hash */
	bool is_seq;
	uint64_t seq;
	const struct ckpt *newest;	/* its chain is the one that numbers mean */
};

static void parse_id(struct wanted *w, const char *id)
{
	size_t i;

	*w = (struct wanted){ .text = id, .len = strlen(id) };
	w->is_hex = w->len >= PREFIX_MIN && w->len <= 16;
	w->is_seq = w->len >= 1 && w->len <= 9;
	for (i = 0; i < w->len; i++) {
		w->is_hex &= isxdigit((unsigned char)id[i]) != 0;
		w->is_seq &= isdigit((unsigned char)id[i]) != 0;
	}
	if (w->is_seq)
		w->seq = strtoull(id, NULL, 10);
}

static bool hash_begins(uint64_t hash, const struct wanted *w)
{
	char hex[20];

	snprintf(hex, sizeof(hex), "%016" PRIx64, hash);
	return !strncasecmp(hex, w->text, w->len);
}

static bool matches(struct wanted *w, const struct ckpt *c)
{
	size_t n = strlen(ckpt_object(c)) - strlen(SUFFIX);

	if (!strcmp(ckpt_object(c), w->text) ||
	    (w->len == n && !strncmp(ckpt_object(c), w->text, n)))
		return true;
	if (c->state != CKPT_SOUND)
		return false;
	if (!w->newest && c->in_chain)
		w->newest = c;
	if (w->is_hex && (hash_begins(c->hash, w) ||
			  (c->has_replaces && hash_begins(c->replaces, w))))
		return true;
	return w->is_seq && w->newest && c->in_chain && c->seq == w->seq &&
	       !memcmp(c->chain_id, w->newest->chain_id, sizeof(c->chain_id));
}

int catalog_find(struct catalog *cat, const char *id, size_t *i, char why[CATALOG_WHY])
{
	struct wanted w;
	size_t k, found = 0, unreadable = 0, at = 0;

	if (!cat->nr)
		return say(why, -ENOENT, "%s: no checkpoints of %s", store_address(cat->store),
			   cat->domain);
	*i = cat->nr - 1;
	if (!id || !id[0] || !strcmp(id, "latest"))
		return 0;
	parse_id(&w, id);
	for (k = cat->nr; k-- > 0;) {
		const struct ckpt *c = catalog_get(cat, k);

		unreadable += c->state == CKPT_UNREADABLE;
		if (!matches(&w, c))
			continue;
		/* The merged one is the same checkpoint, and stands alone. */
		if (found && catalog_id(c) == catalog_id(&cat->c[at])) {
			at = c->has_replaces ? k : at;
			continue;
		}
		found++;
		at = k;
	}
	if (found > 1)
		return say(why, -ENOTUNIQ, "%s@%s: several checkpoints match", cat->domain, id);
	if (!found && unreadable)
		return say(why, -EIO, "%s@%s: not found, and %zu checkpoints cannot be read",
			   cat->domain, id, unreadable);
	if (!found)
		return say(why, -ENOENT, "%s@%s: no such checkpoint in %s", cat->domain, id,
			   store_address(cat->store));
	*i = at;
	return 0;
}

/* --- parents ---------------------------------------------------------------------- */

/* By bisection: the list is sorted, and a merged one keeps its original's place. */
static bool find_object(const struct catalog *cat, const char *name, size_t *i)
{
	size_t low = 0, high = cat->nr;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = strcmp(ckpt_object(&cat->c[mid]), name);

		if (!order) {
			*i = mid;
			return true;
		}
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}

/* Name of the merged one of a checkpoint that was called @name. */
static void full_name(char *out, size_t size, const char *name)
{
	snprintf(out, size, "%.*s" FULL_SUFFIX,
		 (int)(strlen(name) - (has_suffix(name, SUFFIX) ? strlen(SUFFIX) : 0)), name);
}

/* Where the child says, under its merged name, or, when that fails, anywhere. */
static bool find_provider(struct catalog *cat, const struct ckpt *c, size_t *p)
{
	char merged[STORE_NAME_MAX + sizeof(FULL_SUFFIX)];
	size_t k;

	if (find_object(cat, c->parent_name, p) &&
	    ckpt_provides(catalog_get(cat, *p), c->parent_hash))
		return true;
	full_name(merged, sizeof(merged), c->parent_name);
	if (find_object(cat, merged, p) && ckpt_provides(catalog_get(cat, *p), c->parent_hash))
		return true;
	for (k = cat->nr; k-- > 0;) {
		if (ckpt_provides(catalog_get(cat, k), c->parent_hash)) {
			*p = k;
			return true;
		}
	}
	return false;
}

static int explain_missing(struct catalog *cat, const struct ckpt *c, char *why)
{
	const struct ckpt *p;
	size_t k;

	if (!find_object(cat, c->parent_name, &k))
		return say(why, -ENOENT, "%s: its parent %016" PRIx64 " (%s) is missing",
			   c->obj.name, c->parent_hash,
			   c->parent_name[0] ? c->parent_name : "no name given");
	p = catalog_get(cat, k);
	if (p->state == CKPT_SOUND)
		return say(why, -EBADMSG, "%s: its parent %s was altered: its hash is %016" PRIx64
			   ", not %016" PRIx64, c->obj.name, c->parent_name, p->hash,
			   c->parent_hash);
	return say(why, p->err, "%s: its parent %s: %.200s", c->obj.name, c->parent_name, p->why);
}

int catalog_parent(struct catalog *cat, size_t i, size_t *p, char why[CATALOG_WHY])
{
	const struct ckpt *c = catalog_get(cat, i), *parent;

	if (!find_provider(cat, c, p))
		return explain_missing(cat, c, why);
	parent = catalog_get(cat, *p);
	if (!parent->in_chain || memcmp(parent->chain_id, c->chain_id, sizeof(c->chain_id)))
		return say(why, -EBADMSG, "%s: its parent %s is of another chain", c->obj.name,
			   ckpt_object(parent));
	/* With this a walk goes down one by one, so that it cannot come back. */
	if (parent->seq >= c->seq)
		return say(why, -ELOOP, "%s: the chain loops: its parent %s (chain_seq %" PRIu64
			   ") does not come before it", c->obj.name, ckpt_object(parent),
			   parent->seq);
	if (parent->seq != c->seq - 1)
		return say(why, -EBADMSG, "%s: its parent %s has chain_seq %"
			   PRIu64 ", not %" PRIu64, c->obj.name, ckpt_object(parent),
			   parent->seq, c->seq - 1);
	if (parent->pfn_limit > c->pfn_limit || memcmp(parent->uuid, c->uuid, sizeof(c->uuid)))
		return say(why, -EBADMSG, "%s: its parent %s is of another domain, or a larger one",
			   c->obj.name, ckpt_object(parent));
	return 0;
}

int catalog_walk(struct catalog *cat, size_t tip, size_t **levels, size_t *nr,
		 char why[CATALOG_WHY])
{
	size_t room = cat->nr < LEVELS_MAX ? cat->nr : LEVELS_MAX, n = 0, at = tip;
	const struct ckpt *c;
	int ret;

	*levels = calloc(room + 1, sizeof(**levels));
	if (!*levels)
		return say(why, -ENOMEM, "no memory for the chain");
	for (;;) {
		c = catalog_get(cat, at);
		ret = 0;
		if (c->state != CKPT_SOUND)
			ret = say(why, c->err, "%s: %.300s", c->obj.name, c->why);
		if (!ret && n == room)
			ret = say(why, -E2BIG, "%s: more than %u checkpoints deep", c->obj.name,
				  LEVELS_MAX);
		if (ret)
			break;
		(*levels)[n++] = at;
		if (!c->is_child)
			break;
		ret = catalog_parent(cat, at, &at, why);
		if (ret)
			break;
	}
	if (ret) {
		free(*levels);
		*levels = NULL;
	}
	*nr = n;
	return ret;
}

/* Does the child @j find its parent without @i? */
static bool has_other_parent(struct catalog *cat, const struct ckpt *child, size_t i,
			     const bool *skip)
{
	size_t k;

	for (k = 0; k < cat->nr; k++) {
		if (k != i && !(skip && skip[k]) &&
		    ckpt_provides(catalog_get(cat, k), child->parent_hash))
			return true;
	}
	return false;
}

int catalog_children(struct catalog *cat, size_t i, const bool *skip, size_t *first,
		     char why[CATALOG_WHY])
{
	size_t j;
	int nr = 0;

	catalog_get(cat, i);
	for (j = 0; j < cat->nr; j++) {
		const struct ckpt *c;

		if (j == i || (skip && skip[j]))
			continue;
		c = catalog_get(cat, j);
		if (c->state == CKPT_UNREADABLE)
			return say(why, -EIO, "%s cannot be read (%.200s): it may depend on it",
				   c->obj.name, c->why);
		if (c->state != CKPT_SOUND || !c->is_child ||
		    !ckpt_provides(&cat->c[i], c->parent_hash) ||
		    has_other_parent(cat, c, i, skip))
			continue;
		if (!nr && first)
			*first = j;
		nr++;
	}
	return nr;
}

void catalog_name(char *out, const char *domain, uint64_t time_ns, uint64_t seq,
		  const uint8_t chain_id[16], bool full)
{
	time_t t = (time_t)(time_ns / 1000000000);
	char when[32] = "00000000T000000";
	struct tm tm;

	/* Beyond the year 9999 the order by name would end, and so would gmtime_r. */
	if (t <= 253402300799 && gmtime_r(&t, &tm))
		strftime(when, sizeof(when), "%Y%m%dT%H%M%S", &tm);
	snprintf(out, 2 * STORE_NAME_MAX + 2, "%s/%s.%03uZ-%06" PRIu64 "-%02x%02x%02x%02x%s",
		 domain, when, (unsigned int)(time_ns / 1000000 % 1000), seq, chain_id[0],
		 chain_id[1], chain_id[2], chain_id[3], full ? FULL_SUFFIX : SUFFIX);
}
