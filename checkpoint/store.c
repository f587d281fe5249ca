/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stores: which kind an address means, and the judgement of names and lengths
 * that no kind has to repeat.  See checkpoint/store.h.
 *
 * Invariant: a kind's function is reached with a valid name, a handle whose
 * error line is empty, and, for writing, a put that has not failed yet.
 */
#include "checkpoint/store.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/store_priv.h"

#define ADDRESS_MAX	2048u
#define GET_MAX		(4u << 20)

static const struct store_ops *const kinds[] = {
	&store_dir_ops, &store_http_ops, &store_https_ops, &store_s3_ops,
};

int store_fail(struct store *s, int err, const char *fmt, ...)
{
	va_list args;
	char *c;

	va_start(args, fmt);
	vsnprintf(s->error, sizeof(s->error), fmt, args);
	va_end(args);
	/* Parts of it may be a server's words: one line, nothing for the terminal to obey. */
	for (c = s->error; *c; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	}
	return err;
}

/* --- names --------------------------------------------------------------------- */

static bool name_byte(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '_' || c == '-';
}

bool store_part_valid(const char *part, size_t len)
{
	size_t i;

	if (!len || len > STORE_NAME_MAX || part[0] == '.')
		return false;
	for (i = 0; i < len; i++) {
		if (!name_byte(part[i]))
			return false;
	}
	return true;
}

bool store_name_valid(const char *name)
{
	const char *slash = strchr(name, '/');

	return slash && store_part_valid(name, (size_t)(slash - name)) &&
	       store_part_valid(slash + 1, strlen(slash + 1));
}

static int judge_name(struct store *s, const char *name)
{
	s->error[0] = '\0';
	if (!store_name_valid(name))
		return store_fail(s, -EINVAL, "'%.60s' is no name of an object (DOMAIN/OBJECT, each "
				  "1..%u of A-Z a-z 0-9 . _ -, no leading dot)", name, STORE_NAME_MAX);
	return 0;
}

/* --- lists --------------------------------------------------------------------- */

static int list_grow(struct store_list *l)
{
	size_t cap = l->cap ? l->cap * 2 : 64;
	struct store_object *bigger;

	if (cap > STORE_OBJECTS_MAX)
		cap = STORE_OBJECTS_MAX;
	if (l->nr == cap)
		return -E2BIG;
	bigger = realloc(l->objects, cap * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	l->objects = bigger;
	l->cap = cap;
	return 0;
}

int store_list_add(struct store_list *l, const char *domain, const char *object, uint64_t size,
		   int64_t mtime_ns)
{
	struct store_object *o;
	int ret;

	if (!store_part_valid(domain, strlen(domain)) || !store_part_valid(object, strlen(object)))
		return -EINVAL;
	if (l->nr == l->cap) {
		ret = list_grow(l);
		if (ret)
			return ret;
	}
	o = &l->objects[l->nr++];
	snprintf(o->name, sizeof(o->name), "%s/%s", domain, object);
	o->size = size;
	o->mtime_ns = mtime_ns;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct store_object *)a)->name,
		      ((const struct store_object *)b)->name);
}

/* --- opening ------------------------------------------------------------------- */

/* "SCHEME:rest" with a scheme of letters and digits; 0 if @address has none. */
static size_t scheme_len(const char *address)
{
	size_t n = strspn(address, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-");

	return address[n] == ':' ? n : 0;
}

static const struct store_ops *find_kind(const char *address)
{
	size_t n = scheme_len(address), i;

	/* A path with a colon in it is meant as a path unless a kind of that name exists. */
	if (!n)
		return &store_dir_ops;
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strlen(kinds[i]->scheme) == n && !strncmp(kinds[i]->scheme, address, n))
			return kinds[i];
	}
	return NULL;
}

/* Never repeats @address in @why: a password may be in it. */
static int judge_address(const char *address, char why[200])
{
	const char *host = strstr(address, "://"), *c;

	if (!*address || strlen(address) > ADDRESS_MAX) {
		snprintf(why, 200, "a store's address has 1..%u bytes", ADDRESS_MAX);
		return -EINVAL;
	}
	for (c = address; *c; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f) {
			snprintf(why, 200, "a control character in a store's address");
			return -EINVAL;
		}
	}
	if (host && memchr(host + 3, '@', strcspn(host + 3, "/?#"))) {
		snprintf(why, 200, "user names and passwords do not belong into a store's address; "
			 "see docs/stores.md, \"Credentials\"");
		return -EINVAL;
	}
	return 0;
}

int store_open(const char *address, struct store **out, char why[200])
{
	const struct store_ops *ops;
	struct store *s;
	int ret;

	*out = NULL;
	why[0] = '\0';
	ret = judge_address(address, why);
	if (ret)
		return ret;
	ops = find_kind(address);
	if (!ops) {
		snprintf(why, 200, "'%.*s:' is no kind of store (a path, file:, http:, https:, s3:; "
			 "./NAME for a path with a colon)", (int)(scheme_len(address) % 40), address);
		return -EINVAL;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->ops = ops;
	s->address = strdup(address);
	ret = s->address ? ops->open(s, address, why) : -ENOMEM;
	if (ret) {
		if (!why[0])
			snprintf(why, 200, "%s", strerror(-ret));
		free(s->address);
		free(s);
		return ret;
	}
	*out = s;
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	s->ops->close(s);
	free(s->address);
	free(s);
}

const char *store_error(const struct store *s)
{
	return s->error;
}

const char *store_address(const struct store *s)
{
	return s->address;
}

/* --- writing ------------------------------------------------------------------- */

int store_put_begin(struct store *s, const char *name, struct store_put **out)
{
	struct store_put *p;
	int ret;

	*out = NULL;
	ret = judge_name(s, name);
	if (ret)
		return ret;
	p = calloc(1, sizeof(*p));
	if (!p)
		return store_fail(s, -ENOMEM, "%s: %s", name, strerror(ENOMEM));
	p->store = s;
	strcpy(p->name, name);
	ret = s->ops->put_begin(p);
	if (ret) {
		free(p);
		return ret;
	}
	*out = p;
	return 0;
}

int store_put_write(struct store_put *p, const void *buf, size_t len)
{
	if (!p->err && len)
		p->err = p->store->ops->put_write(p, buf, len);
	return p->err;
}

int store_put_commit(struct store_put *p)
{
	int ret = p->err;

	if (ret)
		p->store->ops->put_abort(p);
	else
		ret = p->store->ops->put_commit(p);
	free(p);
	return ret;
}

void store_put_abort(struct store_put *p)
{
	if (!p)
		return;
	p->store->ops->put_abort(p);
	free(p);
}

/* --- reading ------------------------------------------------------------------- */

ssize_t store_get(struct store *s, const char *name, uint64_t offset, void *buf, size_t len)
{
	int ret = judge_name(s, name);

	if (ret)
		return ret;
	if (len > GET_MAX || offset > INT64_MAX - GET_MAX)
		return store_fail(s, -EINVAL, "%s: a range of %zu bytes at %llu cannot be asked for",
				  name, len, (unsigned long long)offset);
	return len ? s->ops->get(s, name, offset, buf, len) : 0;
}

int store_stat(struct store *s, const char *name, struct store_object *out)
{
	int ret = judge_name(s, name);

	if (ret)
		return ret;
	memset(out, 0, sizeof(*out));
	strcpy(out->name, name);
	return s->ops->stat(s, name, out);
}

int store_list(struct store *s, const char *domain, struct store_object **out, size_t *nr)
{
	int ret;

	*out = NULL;
	*nr = 0;
	s->error[0] = '\0';
	if (domain && !store_part_valid(domain, strlen(domain)))
		return store_fail(s, -EINVAL, "'%.60s' is no name of a domain", domain);
	ret = s->ops->list(s, domain, out, nr);
	if (!ret && *nr)
		qsort(*out, *nr, sizeof(**out), by_name);
	return ret;
}

int store_delete(struct store *s, const char *name)
{
	int ret = judge_name(s, name);

	return ret ? ret : s->ops->remove(s, name);
}
