/* SPDX-License-Identifier: Apache-2.0 */
/* See tests/unit/fake/fake_store.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/store_priv.h"
#include "tests/unit/fake/fake_store.h"

struct fake_put {
	uint8_t *data;
	size_t len, cap;
};

static struct fake_store *fake_of(struct store *s) { return (struct fake_store *)s; }

/* One changing operation: true when this is where it all ends. */
static bool dies(struct store *s)
{
	struct fake_store *f = fake_of(s);

	f->writes++;
	if (f->die_at && f->writes >= f->die_at)
		f->dead = true;
	return f->dead;
}

struct fake_object *fake_store_find(struct fake_store *f, const char *name)
{
	size_t i;

	for (i = 0; i < f->nr; i++) {
		if (!strcmp(f->obj[i].name, name))
			return &f->obj[i];
	}
	return NULL;
}

void fake_store_set(struct fake_store *f, const char *name, const void *data, size_t len)
{
	struct fake_object *o = fake_store_find(f, name);

	if (!o) {
		f->obj = realloc(f->obj, (f->nr + 1) * sizeof(*f->obj));
		if (!f->obj)
			abort();
		o = &f->obj[f->nr++];
		memset(o, 0, sizeof(*o));
		snprintf(o->name, sizeof(o->name), "%s", name);
	}
	free(o->data);
	o->data = malloc(len + 1);
	if (!o->data)
		abort();
	memcpy(o->data, data, len);
	o->len = len;
}

static int fake_open(struct store *s, const char *address, char why[200]) { return -EINVAL; }
static void fake_close(struct store *s) { }

static int fake_put_begin(struct store_put *p)
{
	if (dies(p->store))
		return store_fail(p->store, -EIO, "the store is dead");
	if (fake_store_find(fake_of(p->store), p->name))
		return store_fail(p->store, -EEXIST, "%s: exists", p->name);
	p->priv = calloc(1, sizeof(struct fake_put));
	return p->priv ? 0 : -ENOMEM;
}

static int fake_put_write(struct store_put *p, const void *buf, size_t len)
{
	struct fake_put *put = p->priv;

	if (dies(p->store))
		return store_fail(p->store, -ENOSPC, "the store is dead");
	if (put->len + len > put->cap) {
		put->cap = 2 * (put->len + len);
		put->data = realloc(put->data, put->cap);
		if (!put->data)
			abort();
	}
	memcpy(put->data + put->len, buf, len);
	put->len += len;
	return 0;
}

static void fake_put_abort(struct store_put *p)
{
	struct fake_put *put = p->priv;

	free(put->data);
	free(put);
}

static int fake_put_commit(struct store_put *p)
{
	struct fake_put *put = p->priv;
	int ret = 0;

	if (dies(p->store))
		ret = store_fail(p->store, -EIO, "the store is dead");
	else
		fake_store_set(fake_of(p->store), p->name, put->data ? put->data :
			       (const uint8_t *)"", put->len);
	fake_put_abort(p);
	return ret;
}

static ssize_t fake_get(struct store *s, const char *name, uint64_t offset, void *buf, size_t len)
{
	struct fake_store *f = fake_of(s);
	struct fake_object *o = fake_store_find(f, name);

	if (f->dead)
		return store_fail(s, -EIO, "the store is dead");
	if (f->get_fails && !strcmp(f->get_fails, name))
		return store_fail(s, f->get_error, "%s: no answer", name);
	if (!o)
		return store_fail(s, -ENOENT, "%s: not there", name);
	if (offset >= o->len)
		return 0;
	if (len > o->len - offset)
		len = o->len - offset;
	memcpy(buf, o->data + offset, len);
	f->bytes_read += len;
	return (ssize_t)len;
}

static int fake_stat(struct store *s, const char *name, struct store_object *out)
{
	struct fake_store *f = fake_of(s);
	struct fake_object *o = fake_store_find(f, name);

	if (f->dead)
		return store_fail(s, -EIO, "the store is dead");
	if (!o)
		return store_fail(s, -ENOENT, "%s: not there", name);
	out->size = o->len + f->lie_about_size;
	return 0;
}

static int fake_list(struct store *s, const char *domain, struct store_object **out, size_t *nr)
{
	struct fake_store *f = fake_of(s);
	struct store_list list = { 0 };
	size_t i;

	if (f->dead)
		return store_fail(s, -EIO, "the store is dead");
	for (i = 0; i < f->nr; i++) {
		char name[2 * STORE_NAME_MAX + 2], *slash;

		strcpy(name, f->obj[i].name);
		slash = strchr(name, '/');
		*slash = '\0';
		if (!domain || !strcmp(name, domain))
			store_list_add(&list, name, slash + 1, f->obj[i].len, 0);
	}
	*out = list.objects;
	*nr = list.nr;
	return 0;
}

static int fake_remove(struct store *s, const char *name)
{
	struct fake_store *f = fake_of(s);
	struct fake_object *o = fake_store_find(f, name);

	if (dies(s))
		return store_fail(s, -EIO, "the store is dead");
	if (!o)
		return store_fail(s, -ENOENT, "%s: not there", name);
	free(o->data);
	*o = f->obj[--f->nr];
	return 0;
}

static const struct store_ops fake_ops = {
	.scheme = "fake", .open = fake_open, .close = fake_close, .put_begin = fake_put_begin,
	.put_write = fake_put_write, .put_commit = fake_put_commit,
	.put_abort = fake_put_abort, .get = fake_get, .stat = fake_stat, .list = fake_list,
	.remove = fake_remove,
};

void fake_store_init(struct fake_store *f)
{
	*f = (struct fake_store){ .store = { .ops = &fake_ops, .address = (char *)"fake" } };
}

void fake_store_copy(struct fake_store *to, const struct fake_store *from)
{
	size_t i;

	fake_store_init(to);
	for (i = 0; i < from->nr; i++)
		fake_store_set(to, from->obj[i].name, from->obj[i].data, from->obj[i].len);
}

void fake_store_release(struct fake_store *f)
{
	size_t i;

	for (i = 0; i < f->nr; i++)
		free(f->obj[i].data);
	free(f->obj);
	f->obj = NULL;
	f->nr = 0;
}
