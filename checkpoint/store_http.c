/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Store: a web server with PUT, GET with ranges, HEAD, DELETE, MKCOL, MOVE and
 * PROPFIND (RFC 4918, "WebDAV").  PREFIX/DOMAIN/OBJECT.
 *
 * Invariant: an object's name appears by MOVE alone, from a ~put-RANDOM that the
 * server said it has whole, with Overwrite: F.  Afterwards its length is asked
 * for, and has to be the number of bytes sent.  Objects up to HEAD_MAX wait in
 * memory, so their upload can be repeated whole; longer ones are streamed, once.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "checkpoint/store_dav_list.h"
#include "checkpoint/store_upload.h"
#include "checkpoint/store_web.h"

#define HEAD_MAX	(8u << 20)
/* No object's name; not hidden by a dot, which nginx leaves out of its lists. */
#define PUT_PREFIX	"~put-"

struct http {
	struct web web;
	struct web_base base;
	char made[STORE_NAME_MAX + 1];		/* the domain MKCOL was sent for last */
};

struct http_put {
	char url[WEB_URL_MAX], tmp[WEB_URL_MAX];
	char *head;				/* first bytes, HEAD_MAX of room */
	size_t head_len;
	uint64_t bytes;
	struct upload *up;			/* once head was full */
	bool sent;				/* something of tmp may exist */
};

static int url_of(struct http *h, const char *name, char url[WEB_URL_MAX])
{
	/* Prefix and name are unreserved characters only: nothing to encode. */
	return snprintf(url, WEB_URL_MAX, "%s%s", h->base.url, name) < (int)WEB_URL_MAX ?
	       0 : -ENAMETOOLONG;
}

/* --- opening --------------------------------------------------------------------- */

static int http_open(struct store *s, const char *address, char why[200])
{
	struct http *h = calloc(1, sizeof(*h));
	int ret;

	if (!h)
		return -ENOMEM;
	ret = web_base_parse(address, &h->base, why);
	if (!ret)
		ret = web_open(&h->web, s, why);
	if (!ret)
		ret = store_cred_find(h->base.host, "GODWIT_STORE_USER", "GODWIT_STORE_PASSWORD",
				      &h->web.cred, why);
	if (!ret && h->web.cred.user[0] && !h->base.tls && !h->base.loopback) {
		snprintf(why, 200, "credentials for %.100s are not sent in the clear: use https:",
			 h->base.host);
		ret = -EACCES;
	}
	if (ret) {
		web_close(&h->web);
		free(h);
		return ret;
	}
	s->priv = h;
	return 0;
}

static void http_close(struct store *s)
{
	struct http *h = s->priv;

	web_close(&h->web);
	free(h);
}

/* --- writing --------------------------------------------------------------------- */

static int request(struct http *h, struct web_request *r, const char *what)
{
	int ret = web_perform(&h->web, r);

	return ret ? ret : web_check(&h->web, r, what);
}

/* Nothing said against it if it is there (405), or made by the PUT itself (403, 501). */
static int make_collection(struct http *h, const char *domain)
{
	char url[WEB_URL_MAX], name[STORE_NAME_MAX + 2] = "";
	struct web_request r = { .method = "MKCOL", .url = url };
	int ret;

	if (domain)
		snprintf(name, sizeof(name), "%s/", domain);
	ret = url_of(h, name, url);
	if (!ret)
		ret = web_perform(&h->web, &r);
	if (ret)
		return ret;
	return r.status == 401 || r.status >= 502 ? web_check(&h->web, &r, url) :
	       r.status == 409 ? -ENOENT : 0;
}

static int make_domain(struct http *h, const char *name)
{
	char domain[STORE_NAME_MAX + 1];
	int ret;

	snprintf(domain, sizeof(domain), "%.*s", (int)strcspn(name, "/"), name);
	if (!strcmp(domain, h->made))
		return 0;
	ret = make_collection(h, domain);
	if (ret == -ENOENT) {
		/* The prefix itself is missing; its parent has to be there. */
		ret = make_collection(h, NULL);
		if (!ret)
			ret = make_collection(h, domain);
	}
	if (!ret)
		strcpy(h->made, domain);
	return ret == -ENOENT ? store_fail(h->web.s, ret, "%.150s: no such place on the server",
					   h->base.url) : ret;
}

static int refuse_existing(struct http *h, const char *url, const char *name)
{
	struct store_object o;
	int ret = web_stat(&h->web, url, name, &o);

	if (!ret)
		return store_fail(h->web.s, -EEXIST, "%s: exists already", name);
	return ret == -ENOENT ? 0 : ret;
}

static void put_free(struct http_put *hp)
{
	upload_close(hp->up);
	free(hp->head);
	free(hp);
}

static int name_put(struct http *h, struct http_put *hp, const char *name)
{
	char tmp[2 * STORE_NAME_MAX];
	uint64_t random;
	int ret = url_of(h, name, hp->url);

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return -EIO;
	snprintf(tmp, sizeof(tmp), "%.*s/" PUT_PREFIX "%016" PRIx64, (int)strcspn(name, "/"), name,
		 random);
	return ret ? ret : url_of(h, tmp, hp->tmp);
}

static int http_put_begin(struct store_put *p)
{
	struct http *h = p->store->priv;
	struct http_put *hp = calloc(1, sizeof(*hp));
	int ret;

	if (hp)
		hp->head = malloc(HEAD_MAX);
	if (!hp || !hp->head) {
		free(hp);
		return store_fail(p->store, -ENOMEM, "%s: %s", p->name, strerror(ENOMEM));
	}
	ret = name_put(h, hp, p->name);
	if (!ret)
		ret = refuse_existing(h, hp->url, p->name);
	if (!ret)
		ret = make_domain(h, p->name);
	if (ret) {
		put_free(hp);
		return ret;
	}
	p->store->error[0] = '\0';
	p->priv = hp;
	return 0;
}

static int start_stream(struct http *h, struct http_put *hp)
{
	int ret = upload_start(&h->web, hp->tmp, NULL, &hp->up);

	if (ret)
		return store_fail(h->web.s, ret, "PUT: %s", strerror(-ret));
	hp->sent = true;
	ret = upload_feed(hp->up, hp->head, hp->head_len);
	free(hp->head);
	hp->head = NULL;
	return ret;
}

static int http_put_write(struct store_put *p, const void *buf, size_t len)
{
	struct http_put *hp = p->priv;
	int ret;

	hp->bytes += len;
	if (!hp->up && len <= HEAD_MAX - hp->head_len) {
		memcpy(hp->head + hp->head_len, buf, len);
		hp->head_len += len;
		return 0;
	}
	if (!hp->up) {
		ret = start_stream(p->store->priv, hp);
		if (ret)
			return ret;
	}
	return upload_feed(hp->up, buf, len);
}

static int put_whole(struct http *h, struct http_put *hp, const char *name)
{
	struct web_request r = {
		.method = "PUT", .url = hp->tmp, .body = hp->head, .body_len = hp->head_len,
		.headers = { "Content-Type: application/octet-stream" },
	};

	hp->sent = true;
	return request(h, &r, name);
}

static int check_length(struct http *h, struct http_put *hp, const char *name)
{
	struct store_object o;
	int ret = web_stat(&h->web, hp->url, name, &o);

	if (!ret && o.size != hp->bytes)
		ret = store_fail(h->web.s, -EPROTO, "%s: %" PRIu64 " bytes were sent, the server has %"
				 PRIu64, name, hp->bytes, o.size);
	return ret;
}

/*
 * A MOVE whose answer was lost finds nothing to move (404) or its own object
 * (412) when it is repeated.  What tells is whether the temporary name is gone.
 */
static int give_name(struct http *h, struct http_put *hp, const char *name)
{
	char destination[WEB_URL_MAX + 16];
	struct web_request r = {
		.method = "MOVE", .url = hp->tmp, .headers = { destination, "Overwrite: F" },
		.counted = true,
	};
	struct store_object o;
	int ret;

	snprintf(destination, sizeof(destination), "Destination: %s", hp->url);
	ret = web_perform(&h->web, &r);
	if (!ret && r.attempts > 1 && (r.status == 404 || r.status == 412) &&
	    web_stat(&h->web, hp->tmp, name, &o) == -ENOENT)
		return 0;
	return ret ? ret : web_check(&h->web, &r, name);
}

static int http_put_commit(struct store_put *p)
{
	struct http *h = p->store->priv;
	struct http_put *hp = p->priv;
	int ret = hp->up ? upload_finish(hp->up) : put_whole(h, hp, p->name);
	bool named = false;

	if (!ret) {
		ret = give_name(h, hp, p->name);
		named = !ret;
	}
	if (!ret)
		ret = check_length(h, hp, p->name);
	if (ret) {
		web_forget(&h->web, named ? hp->url : hp->tmp);
		h->made[0] = '\0';		/* perhaps it was the collection that went */
	}
	put_free(hp);
	return ret;
}

static void http_put_abort(struct store_put *p)
{
	struct http_put *hp = p->priv;
	struct http *h = p->store->priv;

	/* The connection is cut before the DELETE, so that the server has stopped writing. */
	upload_close(hp->up);
	hp->up = NULL;
	if (hp->sent)
		web_forget(&h->web, hp->tmp);
	put_free(hp);
}

/* --- reading --------------------------------------------------------------------- */

static ssize_t http_get(struct store *s, const char *name, uint64_t offset, void *buf, size_t len)
{
	struct http *h = s->priv;
	char url[WEB_URL_MAX];
	int ret = url_of(h, name, url);

	return ret ? ret : web_get_range(&h->web, url, name, offset, buf, len);
}

static int http_stat(struct store *s, const char *name, struct store_object *out)
{
	struct http *h = s->priv;
	char url[WEB_URL_MAX];
	int ret = url_of(h, name, url);

	return ret ? ret : web_stat(&h->web, url, name, out);
}

static int http_remove(struct store *s, const char *name)
{
	struct http *h = s->priv;
	char url[WEB_URL_MAX];
	struct web_request r = { .method = "DELETE", .url = url, .counted = true };
	int ret = url_of(h, name, url);

	if (!ret)
		ret = web_perform(&h->web, &r);
	if (!ret && r.status == 404 && r.attempts > 1)
		return 0;			/* an earlier attempt did it */
	return ret ? ret : web_check(&h->web, &r, name);
}

/* --- listing --------------------------------------------------------------------- */

/* Of the prefix (@domain NULL) or of a domain; @list is filled anew. */
static int list_collection(struct http *h, const char *domain, struct store_list *list)
{
	char url[WEB_URL_MAX], name[STORE_NAME_MAX + 2] = "";
	int ret;

	if (domain)
		snprintf(name, sizeof(name), "%s/", domain);
	ret = url_of(h, name, url);
	return ret ? ret : dav_list(&h->web, url, domain, PUT_PREFIX, list);
}

static int append(struct store_list *to, const struct store_list *from)
{
	size_t i;
	int ret = 0;

	for (i = 0; !ret && i < from->nr; i++) {
		char domain[STORE_NAME_MAX + 1];
		const char *name = from->objects[i].name, *slash = strchr(name, '/');

		snprintf(domain, sizeof(domain), "%.*s", (int)(slash - name), name);
		ret = store_list_add(to, domain, slash + 1, from->objects[i].size,
				     from->objects[i].mtime_ns);
	}
	return ret;
}

static int list_all(struct http *h, struct store_list *all)
{
	struct store_list domains = { 0 }, one = { 0 };
	int ret = list_collection(h, NULL, &domains);
	size_t i;

	for (i = 0; !ret && i < domains.nr; i++) {
		char *name = domains.objects[i].name;

		*strchr(name, '/') = '\0';
		ret = list_collection(h, name, &one);
		if (ret == -ENOENT)		/* removed meanwhile */
			ret = 0;
		else if (!ret)
			ret = append(all, &one);
	}
	free(domains.objects);
	free(one.objects);
	return ret;
}

static int http_list(struct store *s, const char *domain, struct store_object **out, size_t *nr)
{
	struct http *h = s->priv;
	struct store_list list = { 0 };
	int ret = domain ? list_collection(h, domain, &list) : list_all(h, &list);

	if (ret == -ENOENT) {
		s->error[0] = '\0';
		ret = 0;
		list.nr = 0;
	}
	if (ret || !list.nr) {
		free(list.objects);
		return ret == -E2BIG ? store_fail(s, ret, "listing: more than %u objects",
						  STORE_OBJECTS_MAX) : ret;
	}
	*out = list.objects;
	*nr = list.nr;
	return 0;
}

#define WEB_OPS(name)					\
	.scheme = (name),				\
	.open = http_open, .close = http_close,		\
	.put_begin = http_put_begin,			\
	.put_write = http_put_write,			\
	.put_commit = http_put_commit,			\
	.put_abort = http_put_abort,			\
	.get = http_get, .stat = http_stat,		\
	.list = http_list, .remove = http_remove

const struct store_ops store_http_ops = { WEB_OPS("http") };
const struct store_ops store_https_ops = { WEB_OPS("https") };
