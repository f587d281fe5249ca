/* SPDX-License-Identifier: Apache-2.0 */
/* The members of a WebDAV collection: see checkpoint/store_dav_list.h. */
#include "checkpoint/store_dav_list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "checkpoint/store_xml.h"

struct listing {
	struct web *w;
	const char *url;
	const char *put_prefix;
	struct store_xml *xml;
	const char *path;			/* of the collection, with its slash */
	const char *domain;			/* NULL: collections are wanted */
	struct store_list *list;
	struct store_list stale;		/* ~put- files without a writer */
	char href[STORE_XML_TEXT_MAX + 1];
	bool collection, has_size, bad_size;
	uint64_t size;
	int64_t mtime_s;
	time_t now;
};

static int on_start(void *arg, const char *name)
{
	struct listing *l = arg;

	if (!strcmp(name, "response")) {
		l->href[0] = '\0';
		l->collection = l->has_size = l->bad_size = false;
		l->size = 0;
		l->mtime_s = 0;
	} else if (!strcmp(name, "collection")) {
		l->collection = true;
	}
	return 0;
}

static void take_size(struct listing *l, const char *text)
{
	size_t n = strspn(text, "0123456789");

	l->has_size = n && n <= 18 && !text[n];
	l->bad_size = !l->has_size && *text;
	if (l->has_size)
		l->size = strtoull(text, NULL, 10);
}

/* The last part of an href below the collection, decoded; NULL: not one of its members. */
static const char *member_of(struct listing *l)
{
	char *path = l->href, *scheme = strstr(path, "://");
	size_t len;

	if (scheme)
		path = strchr(scheme + 3, '/');
	if (!path || web_decode(path))
		return NULL;
	len = strlen(l->path);
	if (strncmp(path, l->path, len))
		return NULL;
	path += len;
	len = strlen(path);
	if (len && path[len - 1] == '/')
		path[--len] = '\0';
	return len && !strchr(path, '/') ? path : NULL;
}

static int take_stale(struct listing *l, const char *name)
{
	/* Without its first character it is a valid part; that comes back when it is deleted. */
	if (!l->domain || !l->mtime_s || l->now - l->mtime_s < l->w->stale_s || strlen(name) > 64 ||
	    l->stale.nr >= 1000)
		return 0;
	store_list_add(&l->stale, l->domain, name + 1, 0, 0);
	return 0;
}

static int take_response(struct listing *l)
{
	const char *name = member_of(l);

	if (!name)
		return 0;
	if (!strncmp(name, l->put_prefix, strlen(l->put_prefix)) && !l->collection)
		return take_stale(l, name);
	if (l->collection != !l->domain || !store_part_valid(name, strlen(name)))
		return 0;
	if (!l->domain)
		return store_list_add(l->list, name, "x", 0, 0);
	if (!l->has_size)
		return -EPROTO;
	return store_list_add(l->list, l->domain, name, l->size, l->mtime_s * 1000000000);
}

static int on_end(void *arg, const char *name, const char *text)
{
	struct listing *l = arg;

	if (!strcmp(name, "href")) {
		/* Later ones are of properties, not of the resource. */
		if (!l->href[0])
			strcpy(l->href, text);
	} else if (!strcmp(name, "getcontentlength")) {
		take_size(l, text);
	} else if (!strcmp(name, "getlastmodified")) {
		time_t t = curl_getdate(text, NULL);

		l->mtime_s = t > 0 && t < INT64_MAX / 1000000000 ? t : 0;
	} else if (!strcmp(name, "response")) {
		return take_response(l);
	}
	return 0;
}

static const struct store_xml_ops listing_ops = { .start = on_start, .end = on_end };

/* Each attempt starts over: its list and its parser are new. */
static int listing_begin(void *arg)
{
	struct listing *l = arg;

	store_xml_close(l->xml);
	l->list->nr = l->stale.nr = 0;
	l->xml = store_xml_open(&listing_ops, l);
	return l->xml ? 0 : -ENOMEM;
}

static int listing_sink(void *arg, const void *data, size_t len)
{
	return store_xml_feed(((struct listing *)arg)->xml, data, len);
}

/* One that cannot be deleted ends it: a slow server must not make a list slow for ever. */
static void sweep(struct listing *l)
{
	char url[WEB_URL_MAX];
	size_t i;

	for (i = 0; i < l->stale.nr; i++) {
		const char *name = strchr(l->stale.objects[i].name, '/') + 1;

		if (snprintf(url, sizeof(url), "%s%c%s", l->url, l->put_prefix[0], name) >=
		    (int)sizeof(url) || !web_forget(l->w, url))
			break;
	}
}

int dav_list(struct web *w, const char *url, const char *domain, const char *put_prefix,
	     struct store_list *list)
{
	static const char body[] =
		"<?xml version=\"1.0\" encoding=\"utf-8\"?><D:propfind xmlns:D=\"DAV:\"><D:prop>"
		"<D:resourcetype/><D:getcontentlength/><D:getlastmodified/></D:prop></D:propfind>";
	struct listing l = {
		.w = w, .url = url, .put_prefix = put_prefix, .domain = domain, .list = list,
		.now = time(NULL), .path = strchr(strstr(url, "://") + 3, '/'),
	};
	struct web_request r = {
		.method = "PROPFIND", .url = url, .body = body, .body_len = sizeof(body) - 1,
		.headers = { "Depth: 1", "Content-Type: application/xml" },
		.begin = listing_begin, .sink = listing_sink, .arg = &l,
	};
	int ret = web_perform(w, &r);

	if (!ret)
		ret = web_check(w, &r, url);
	if (!ret && r.status != 207)
		ret = -EPROTO;
	if (!ret)
		ret = store_xml_finish(l.xml);
	if (ret == -EPROTO)
		store_fail(w->s, ret, "%.120s: the server's list is not as RFC 4918 has it", url);
	if (!ret)
		sweep(&l);
	store_xml_close(l.xml);
	free(l.stale.objects);
	return ret;
}
