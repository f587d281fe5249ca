/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a chain: see checkpoint/chain.h. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/chain_priv.h"
#include "checkpoint/message.h"
#include "checkpoint/object.h"
#include "checkpoint/wire.h"

int chain_fail(struct chain *c, int err, const char *fmt, ...)
{
	va_list ap;

	if (c->error[0])
		return err;
	va_start(ap, fmt);
	vsnprintf(c->error, sizeof(c->error), fmt, ap);
	va_end(ap);
	return err;
}

/* A message of the checkpoint itself, for as long as the chain is open. */
static ProtobufCMessage *keep(const struct stream_record *rec)
{
	struct stream_reason why;
	ProtobufCMessage *msg = NULL;

	/* The reader has passed it, so that only memory can be missing. */
	if (message_unpack(message_kind_find(rec->type), rec->payload, rec->length, &msg, &why))
		return NULL;
	return msg;
}

static int keep_xenstore(struct chain *c, const struct stream_record *rec)
{
	Stream__Xenstore **p;

	c->xenstore_bytes += rec->length;
	if (c->xenstore_bytes > CHAIN_STATE_MAX)
		return chain_fail(c, -EBADMSG, "%s: more than %zu MiB of xenstore nodes",
				  c->level[0].obj.name, CHAIN_STATE_MAX >> 20);
	p = realloc(c->xenstore, (c->nr_xenstore + 1) * sizeof(*p));
	if (!p)
		return -ENOMEM;
	c->xenstore = p;
	p[c->nr_xenstore] = (Stream__Xenstore *)keep(rec);
	return p[c->nr_xenstore++] ? 0 : -ENOMEM;
}

static int keep_state(struct chain *c, const struct stream_record *rec)
{
	ProtobufCMessage *msg;

	switch (rec->type) {
	case STREAM_XENSTORE:
		return keep_xenstore(c, rec);
	case STREAM_INFO:
	case STREAM_DOMAIN:
	case STREAM_VCPU:
	case STREAM_SHARED_INFO:
	case STREAM_FINAL:
		break;
	default:
		return 0;
	}
	msg = keep(rec);
	if (!msg)
		return -ENOMEM;
	if (rec->type == STREAM_INFO)
		c->info = (Stream__StreamInfo *)msg;
	else if (rec->type == STREAM_DOMAIN)
		c->domain = (Stream__DomainInfo *)msg;
	else if (rec->type == STREAM_VCPU)
		c->vcpu[rec->vcpu->index] = (Stream__VcpuContext *)msg;
	else if (rec->type == STREAM_SHARED_INFO)
		c->shared_info = (Stream__SharedInfo *)msg;
	else
		c->final = (Stream__FinalState *)msg;
	return 0;
}

static int keep_p2m(struct chain *c, const struct stream_reader *r)
{
	const uint64_t *leaves = stream_reader_p2m(r, &c->nr_p2m, &c->p2m_max_pfn);

	c->p2m = malloc(c->nr_p2m * sizeof(*c->p2m));
	if (!c->p2m)
		return -ENOMEM;
	memcpy(c->p2m, leaves, c->nr_p2m * sizeof(*c->p2m));
	return 0;
}

static int add_pages(struct chain *c, unsigned int level, const struct stream_reader *r,
		     const struct stream_record *rec)
{
	uint32_t count, i;
	const uint64_t *entries = stream_reader_entries(r, &count);
	struct chain_record cr = {
		.offset = rec->offset, .check = rec->check, .length = (uint32_t)rec->length,
		.count = (uint16_t)count, .level = (uint16_t)level,
		.number = (uint32_t)rec->index,
	};

	/* Only a checkpoint without chain_id may have deltas, and it has no children. */
	for (i = 0; i < count; i++) {
		if (entries[i] >> WIRE_TYPE_SHIFT == GODWIT_PAGE_DELTA)
			return chain_fail(c, -EOPNOTSUPP, "%s: it has deltas, which cannot be "
					  "read at random", c->level[level].obj.name);
	}
	return chain_map_add(&c->map, &cr, entries);
}

static int read_level(struct chain *c, unsigned int level, struct stream_reader *r)
{
	const char *name = c->level[level].obj.name;
	struct stream_record rec;
	int ret;

	do {
		ret = stream_read_next(r, &rec);
		if (!ret && rec.type == STREAM_PAGES)
			ret = add_pages(c, level, r, &rec);
		else if (!ret && !level)
			ret = keep_state(c, &rec);
	} while (!ret && rec.type != STREAM_END);
	if (!ret)
		ret = stream_read_eof(r);
	if (ret && stream_error(r)[0])
		return chain_fail(c, ret, "%s: %s", name, stream_error(r));
	if (!ret && stream_reader_hash(r) != c->level[level].hash)
		return chain_fail(c, -EBADMSG, "%s: changed while it was being read", name);
	if (!ret && !level)
		ret = keep_p2m(c, r);
	return ret ? chain_fail(c, ret, "%s: %s", name, strerror(-ret)) : 0;
}

static int load_level(struct chain *c, unsigned int level, unsigned int flags)
{
	struct stream_reader *r = NULL;
	struct object o;
	int ret;

	ret = object_open(&o, c->store, c->level[level].obj.name,
			  flags & CHAIN_CHECK ? OBJECT_AHEAD_ALL : OBJECT_AHEAD_SKIM);
	if (!ret)
		ret = stream_reader_new(&o.io, &r);
	if (ret) {
		chain_fail(c, ret, "%s: %s", c->level[level].obj.name, strerror(-ret));
	} else {
		stream_reader_allow_parent(r);
		if (!(flags & CHAIN_CHECK))
			stream_reader_skim(r, object_skip);
		ret = read_level(c, level, r);
	}
	stream_reader_free(r);
	object_close(&o);
	return ret;
}

static int copy_levels(struct chain *c, struct catalog *cat, const size_t *levels, size_t nr)
{
	size_t i;

	c->level = calloc(nr, sizeof(*c->level));
	if (!c->level)
		return -ENOMEM;
	for (i = 0; i < nr; i++)
		c->level[i] = *catalog_get(cat, levels[i]);
	c->depth = (unsigned int)nr;
	return chain_map_init(&c->map, c->level[0].pfn_limit);
}

static int open_levels(struct chain *c, struct catalog *cat, size_t tip, unsigned int flags)
{
	unsigned int level;
	size_t *levels, nr;
	int ret;

	ret = catalog_walk(cat, tip, &levels, &nr, c->error);
	if (ret)
		return ret;
	ret = copy_levels(c, cat, levels, nr);
	free(levels);
	/* From the full one on: a later page goes over an earlier one. */
	for (level = c->depth; !ret && level-- > 0;)
		ret = load_level(c, level, flags);
	return ret ? chain_fail(c, ret, "%s", strerror(-ret)) : 0;
}

int chain_open_at(struct catalog *cat, size_t i, unsigned int flags, struct chain **out,
		  char why[CHAIN_WHY])
{
	struct chain *c = calloc(1, sizeof(*c));
	int ret;

	if (!c) {
		snprintf(why, CHAIN_WHY, "no memory");
		return -ENOMEM;
	}
	c->store = cat->store;
	ret = open_levels(c, cat, i, flags);
	if (ret) {
		memcpy(why, c->error, CHAIN_WHY);
		chain_close(c);
		return ret;
	}
	*out = c;
	return 0;
}

int chain_open(struct store *s, const char *domain, const char *id, unsigned int flags,
	       struct chain **out, char why[CHAIN_WHY])
{
	struct catalog cat;
	size_t i;
	int ret = catalog_load(&cat, s, domain, why);

	if (!ret)
		ret = catalog_find(&cat, id, &i, why);
	if (!ret)
		ret = chain_open_at(&cat, i, flags, out, why);
	catalog_free(&cat);
	return ret;
}

void chain_close(struct chain *c)
{
	size_t i;

	if (!c)
		return;
	chain_cache_free(c);
	chain_map_free(&c->map);
	message_free((ProtobufCMessage *)c->info);
	message_free((ProtobufCMessage *)c->domain);
	message_free((ProtobufCMessage *)c->shared_info);
	message_free((ProtobufCMessage *)c->final);
	for (i = 0; i < STREAM_VCPUS_MAX; i++)
		message_free((ProtobufCMessage *)c->vcpu[i]);
	for (i = 0; i < c->nr_xenstore; i++)
		message_free((ProtobufCMessage *)c->xenstore[i]);
	free(c->xenstore);
	free(c->p2m);
	free(c->level);
	free(c);
}

const char *chain_error(const struct chain *c) { return c->error; }
unsigned int chain_depth(const struct chain *c) { return c->depth; }

const struct ckpt *chain_level(const struct chain *c, unsigned int level)
{
	return &c->level[level];
}

const Stream__StreamInfo *chain_info(const struct chain *c) { return c->info; }
const Stream__DomainInfo *chain_domain(const struct chain *c) { return c->domain; }
const Stream__SharedInfo *chain_shared_info(const struct chain *c) { return c->shared_info; }
const Stream__FinalState *chain_final(const struct chain *c) { return c->final; }

const Stream__VcpuContext *chain_vcpu(const struct chain *c, uint32_t i)
{
	return i < STREAM_VCPUS_MAX ? c->vcpu[i] : NULL;
}

const uint64_t *chain_p2m(const struct chain *c, uint32_t *nr, uint64_t *max_pfn)
{
	*nr = c->nr_p2m;
	*max_pfn = c->p2m_max_pfn;
	return c->p2m;
}

const Stream__Xenstore *chain_xenstore(const struct chain *c, size_t i)
{
	return i < c->nr_xenstore ? c->xenstore[i] : NULL;
}

uint64_t chain_pfn_limit(const struct chain *c) { return c->map.pfn_limit; }

uint8_t chain_page_type(const struct chain *c, uint64_t pfn)
{
	chain_loc loc = chain_map_get(&c->map, pfn);

	return loc ? LOC_TYPE(loc) : CHAIN_NO_PAGE;
}

uint64_t chain_next_page(const struct chain *c, uint64_t pfn)
{
	return chain_map_next(&c->map, pfn);
}

bool chain_page_place(const struct chain *c, uint64_t pfn, const char **object, uint64_t *place)
{
	chain_loc loc = chain_map_get(&c->map, pfn);
	const struct chain_record *rec;

	if (!loc)
		return false;
	rec = &c->map.rec[LOC_RECORD(loc)];
	*object = c->level[rec->level].obj.name;
	*place = rec->offset << 10 | LOC_ENTRY(loc);	/* at most 1024 entries */
	return true;
}

void chain_count_types(const struct chain *c, uint64_t by_type[GODWIT_PAGE_TYPE_MASK + 1],
		       uint64_t *pinned)
{
	uint64_t pfn;

	memset(by_type, 0, (GODWIT_PAGE_TYPE_MASK + 1) * sizeof(*by_type));
	*pinned = 0;
	for (pfn = chain_map_next(&c->map, 0); pfn < c->map.pfn_limit;
	     pfn = chain_map_next(&c->map, pfn + 1)) {
		chain_loc loc = chain_map_get(&c->map, pfn);

		by_type[LOC_TYPE(loc) & GODWIT_PAGE_TYPE_MASK]++;
		*pinned += LOC_TYPE(loc) >> 7;
	}
}
