/* SPDX-License-Identifier: Apache-2.0 */
/* See tests/unit/ckpt_put.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "tests/unit/ckpt_put.h"

struct ckpt_put {
	struct store *store;
	struct store_put *put;
	struct stream_writer *w;
	char name[2 * STORE_NAME_MAX + 2];
};

int ckpt_put_new_chain(uint8_t chain_id[16])
{
	return getrandom(chain_id, 16, 0) == 16 ? 0 : -errno;
}

static int put_bytes(void *ctx, const void *buf, size_t len)
{
	return store_put_write(ctx, buf, len);
}

/* The store's reason, or the writer's when the store had none to give. */
static int say(const struct ckpt_put *p, char *why, int err)
{
	const char *text = store_error(p->store);

	if (!text[0] && p->w)
		text = stream_writer_error(p->w);
	snprintf(why, CATALOG_WHY, "%s: %s", p->name, text[0] ? text : strerror(-err));
	return err;
}

static int write_front(struct stream_writer *w, const Stream__StreamInfo *info,
		       const Stream__DomainInfo *d, const Stream__Parent *parent)
{
	int ret;

	stream_writer_keep_index(w);
	ret = stream_write_header(w);
	if (!ret)
		ret = stream_write_msg(w, STREAM_INFO, &info->base);
	if (!ret)
		ret = stream_write_msg(w, STREAM_DOMAIN, &d->base);
	if (!ret && parent)
		ret = stream_write_msg(w, STREAM_PARENT, &parent->base);
	return ret;
}

static int begin(struct ckpt_put *p, const Stream__StreamInfo *info, const Stream__DomainInfo *d,
		 const Stream__Parent *parent)
{
	struct stream_io io = { .write = put_bytes };
	int ret = store_put_begin(p->store, p->name, &p->put);

	io.ctx = p->put;
	if (!ret)
		ret = stream_writer_new(&io, &p->w);
	return ret ? ret : write_front(p->w, info, d, parent);
}

int ckpt_put_begin(struct store *s, const char *domain, const Stream__StreamInfo *info,
		   const Stream__DomainInfo *d, const Stream__Parent *parent,
		   struct ckpt_put **out, char why[CATALOG_WHY])
{
	struct ckpt_put *p;
	int ret;

	if (!info->has_chain_id || info->chain_id.len != 16 || !info->has_time_ns ||
	    strlen(domain) > STORE_NAME_MAX) {
		snprintf(why, CATALOG_WHY, "%.100s: a checkpoint needs chain_id and time_ns, and a "
			 "name of at most %u bytes", domain, STORE_NAME_MAX);
		return -EINVAL;
	}
	p = calloc(1, sizeof(*p));
	if (!p) {
		snprintf(why, CATALOG_WHY, "no memory");
		return -ENOMEM;
	}
	p->store = s;
	catalog_name(p->name, domain, info->time_ns, info->chain_seq, info->chain_id.data, false);
	ret = begin(p, info, d, parent);
	if (ret) {
		say(p, why, ret);
		ckpt_put_abort(p);
		return ret;
	}
	*out = p;
	return 0;
}

struct stream_writer *ckpt_put_writer(struct ckpt_put *p)
{
	return p->w;
}

int ckpt_put_commit(struct ckpt_put *p, uint64_t *hash, char *object, char why[CATALOG_WHY])
{
	int ret = stream_write_end(p->w);

	if (!ret) {
		ret = store_put_commit(p->put);
		p->put = NULL;		/* gone, done or not */
	}
	if (ret)
		say(p, why, ret);
	if (!ret && hash)
		*hash = stream_writer_hash(p->w);
	if (!ret && object)
		snprintf(object, STORE_NAME_MAX + 1, "%s", strchr(p->name, '/') + 1);
	ckpt_put_abort(p);
	return ret;
}

void ckpt_put_abort(struct ckpt_put *p)
{
	if (!p)
		return;
	store_put_abort(p->put);
	stream_writer_free(p->w);
	free(p);
}
