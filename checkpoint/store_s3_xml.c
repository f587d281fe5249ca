/* SPDX-License-Identifier: Apache-2.0 */
/* S3's XML answers: see checkpoint/store_s3_xml.h. */
#include "checkpoint/store_s3_xml.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int64_t s3_time_parse(const char *text)
{
	struct tm tm = { 0 };
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	time_t t;

	if (!end || (*end != '.' && *end != 'Z'))
		return 0;
	t = timegm(&tm);
	return t > 0 && t < INT64_MAX / 1000000000 ? t : 0;
}

static bool is(const char *a, const char *b)
{
	return !strcmp(a, b);
}

static int on_start(void *arg, const char *name)
{
	struct s3_answer *a = arg;

	if (!a->depth++) {
		snprintf(a->root, sizeof(a->root), "%s", name);
	} else if (is(name, "Contents") || is(name, "Upload")) {
		a->key_valid = a->has_size = false;
		a->id[0] = '\0';
		a->time_s = 0;
	}
	return 0;
}

static int copy_token(char out[S3_TOKEN_MAX + 1], const char *text)
{
	if (strlen(text) > S3_TOKEN_MAX)
		return -EPROTO;
	strcpy(out, text);
	return 0;
}

/* What is not ours in the bucket is passed over. */
static void take_key(struct s3_answer *a, const char *text)
{
	size_t n = strlen(a->prefix);

	a->key_valid = !strncmp(text, a->prefix, n) && strlen(text + n) < sizeof(a->key) &&
		       store_name_valid(text + n);
	if (a->key_valid)
		strcpy(a->key, text + n);
}

static void take_size(struct s3_answer *a, const char *text)
{
	size_t n = strspn(text, "0123456789");

	a->has_size = n && n <= 18 && !text[n];
	if (a->has_size)
		a->size = strtoull(text, NULL, 10);
}

static int take_object(struct s3_answer *a)
{
	char *slash;
	int ret;

	if (!a->list || !a->key_valid)
		return 0;
	if (!a->has_size)
		return -EPROTO;
	slash = strchr(a->key, '/');
	*slash = '\0';
	ret = store_list_add(a->list, a->key, slash + 1, a->size, a->time_s * 1000000000);
	*slash = '/';
	return ret;
}

static int take_upload(struct s3_answer *a)
{
	struct s3_upload *u;

	if (!a->key_valid || !a->id[0] || !a->time_s || a->time_s >= a->before_s ||
	    a->nr_uploads == S3_UPLOADS_MAX)
		return 0;
	if (!a->uploads)
		a->uploads = calloc(S3_UPLOADS_MAX, sizeof(*a->uploads));
	if (!a->uploads)
		return -ENOMEM;
	u = &a->uploads[a->nr_uploads++];
	strcpy(u->key, a->key);
	strcpy(u->id, a->id);
	return 0;
}

static int on_end(void *arg, const char *name, const char *text)
{
	struct s3_answer *a = arg;

	a->depth--;
	if (is(name, "Key"))
		take_key(a, text);
	else if (is(name, "Size"))
		take_size(a, text);
	else if (is(name, "LastModified") || is(name, "Initiated"))
		a->time_s = s3_time_parse(text);
	else if (is(name, "UploadId"))
		return copy_token(a->depth == 1 ? a->upload_id : a->id, text);
	else if (is(name, "NextContinuationToken"))
		return copy_token(a->token, text);
	else if (is(name, "IsTruncated"))
		a->truncated = is(text, "true");
	else if (is(name, "Code"))
		snprintf(a->code, sizeof(a->code), "%.60s", text);
	else if (is(name, "Contents"))
		return take_object(a);
	else if (is(name, "Upload"))
		return take_upload(a);
	return 0;
}

static const struct store_xml_ops ops = { .start = on_start, .end = on_end };

int s3_answer_begin(void *arg)
{
	struct s3_answer *a = arg;

	if (!a->xml && a->list)
		a->list_start = a->list->nr;
	else if (a->list)
		a->list->nr = a->list_start;	/* what a broken attempt left */
	store_xml_close(a->xml);
	a->root[0] = a->upload_id[0] = a->code[0] = a->token[0] = '\0';
	a->truncated = false;
	a->nr_uploads = a->depth = 0;
	a->xml = store_xml_open(&ops, a);
	return a->xml ? 0 : -ENOMEM;
}

int s3_answer_sink(void *arg, const void *data, size_t len)
{
	return store_xml_feed(((struct s3_answer *)arg)->xml, data, len);
}

int s3_answer_finish(struct s3_answer *a, const char *root)
{
	int ret = store_xml_finish(a->xml);

	if (ret)
		return ret;
	return is(a->root, root) ? 0 : -EPROTO;
}

void s3_answer_free(struct s3_answer *a)
{
	store_xml_close(a->xml);
	free(a->uploads);
	a->xml = NULL;
	a->uploads = NULL;
}
