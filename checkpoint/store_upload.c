/* SPDX-License-Identifier: Apache-2.0 */
/* One streamed PUT: see checkpoint/store_upload.h. */
#include "checkpoint/store_upload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "toolstack/lib/io.h"

struct upload {
	struct web *w;
	CURLM *multi;
	CURL *easy;
	struct curl_slist *headers;
	const char *url;
	const char *data;			/* the caller's, during upload_feed() */
	size_t left;
	uint64_t sent;				/* bytes given to curl */
	uint64_t moved_ns;			/* when the last one was */
	unsigned int attempts;
	bool last, paused, ended;
	CURLcode result;			/* once ended */
	struct web_request answer;
};

static size_t on_read(char *buf, size_t size, size_t n, void *arg)
{
	struct upload *u = arg;
	size_t room = size * n;

	if (!u->left) {
		u->paused = !u->last;
		return u->last ? 0 : CURL_READFUNC_PAUSE;
	}
	if (room > u->left)
		room = u->left;
	memcpy(buf, u->data, room);
	u->data += room;
	u->left -= room;
	u->sent += room;
	u->moved_ns = io_now_ns();
	return room;
}

/* The start of the server's answer, in case it is a refusal. */
static size_t on_answer(char *data, size_t size, size_t n, void *arg)
{
	struct web_request *r = &((struct upload *)arg)->answer;
	size_t len = size * n, room = sizeof(r->text) - 1 - r->text_len;

	if (room > len)
		room = len;
	memcpy(r->text + r->text_len, data, room);
	r->text_len += room;
	r->text[r->text_len] = '\0';
	return len;
}

static int add_header(struct upload *u, const char *header)
{
	struct curl_slist *more = header ? curl_slist_append(u->headers, header) : u->headers;

	if (header && !more)
		return -ENOMEM;
	u->headers = more;
	return 0;
}

static int prepare(struct upload *u, const char *header)
{
	int ret = web_setup(u->w, u->easy);

	if (!ret)
		ret = add_header(u, "Content-Type: application/octet-stream");
	if (!ret)
		ret = add_header(u, header);
	if (ret)
		return ret;
	if (curl_easy_setopt(u->easy, CURLOPT_URL, u->url))
		return -ENOMEM;
	curl_easy_setopt(u->easy, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(u->easy, CURLOPT_UPLOAD_BUFFERSIZE, 256L << 10);
	curl_easy_setopt(u->easy, CURLOPT_HTTPHEADER, u->headers);
	curl_easy_setopt(u->easy, CURLOPT_READFUNCTION, on_read);
	curl_easy_setopt(u->easy, CURLOPT_READDATA, u);
	curl_easy_setopt(u->easy, CURLOPT_WRITEFUNCTION, on_answer);
	curl_easy_setopt(u->easy, CURLOPT_WRITEDATA, u);
	return curl_multi_add_handle(u->multi, u->easy) ? -ENOMEM : 0;
}

int upload_start(struct web *w, const char *url, const char *header, struct upload **out)
{
	struct upload *u = calloc(1, sizeof(*u));
	int ret = -ENOMEM;

	*out = NULL;
	if (!u)
		return -ENOMEM;
	u->w = w;
	u->url = url;
	u->answer.method = "PUT";
	u->moved_ns = io_now_ns();
	u->multi = curl_multi_init();
	u->easy = curl_easy_init();
	if (u->multi && u->easy)
		ret = prepare(u, header);
	if (ret) {
		upload_close(u);
		return ret;
	}
	*out = u;
	return 0;
}

/* A connection never made has taken nothing: the only case for another attempt. */
static bool again(struct upload *u)
{
	if (u->sent || u->attempts >= u->w->retries ||
	    (u->result != CURLE_COULDNT_CONNECT && u->result != CURLE_COULDNT_RESOLVE_HOST))
		return false;
	curl_multi_remove_handle(u->multi, u->easy);
	curl_multi_poll(u->multi, NULL, 0, (int)(100u << (u->attempts < 6 ? u->attempts : 6)), NULL);
	u->attempts++;
	u->ended = false;
	return curl_multi_add_handle(u->multi, u->easy) == CURLM_OK;
}

static void look_for_end(struct upload *u)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(u->multi, &left))) {
		if (m->msg != CURLMSG_DONE)
			continue;
		u->ended = true;
		u->result = m->data.result;
		curl_easy_getinfo(u->easy, CURLINFO_RESPONSE_CODE, &u->answer.status);
	}
}

static int judge_end(struct upload *u)
{
	int ret;

	if (u->answer.status >= 300)
		return web_check(u->w, &u->answer, u->url);
	ret = web_curl_errno(u->result);
	if (ret)
		return store_fail(u->w->s, ret, "PUT %.60s: %s (after %llu bytes)", u->url,
				  u->w->curl_error[0] ? u->w->curl_error : strerror(-ret),
				  (unsigned long long)u->sent);
	if (!u->last || u->left)
		return store_fail(u->w->s, -EPROTO, "PUT %.80s: the server answered before the end of "
				  "the object", u->url);
	return web_check(u->w, &u->answer, u->url);
}

static bool stalled(struct upload *u)
{
	return io_now_ns() - u->moved_ns > (uint64_t)u->w->stall_s * 1000000000;
}

/* Until the caller's bytes are taken, or, behind the last one, until the answer. */
static int drive(struct upload *u)
{
	int running;

	u->moved_ns = io_now_ns();
	if (u->paused) {
		u->paused = false;
		curl_easy_pause(u->easy, CURLPAUSE_CONT);
	}
	for (;;) {
		if (!u->ended && curl_multi_perform(u->multi, &running))
			return store_fail(u->w->s, -ENOMEM, "PUT %.80s: %s", u->url, strerror(ENOMEM));
		look_for_end(u);
		if (u->ended && again(u))
			continue;
		if (u->ended)
			return judge_end(u);
		if (!u->left && !u->last)
			return 0;
		if (stalled(u))
			return store_fail(u->w->s, -ETIMEDOUT, "PUT %.60s: nothing moved for %ld s "
					  "(after %llu bytes)", u->url, u->w->stall_s,
					  (unsigned long long)u->sent);
		curl_multi_poll(u->multi, NULL, 0, 500, NULL);
	}
}

int upload_feed(struct upload *u, const void *data, size_t len)
{
	int ret;

	u->data = data;
	u->left = len;
	ret = drive(u);
	u->data = NULL;
	return ret;
}

int upload_finish(struct upload *u)
{
	u->last = true;
	return drive(u);
}

bool upload_started(const struct upload *u)
{
	return u->sent > 0;
}

void upload_close(struct upload *u)
{
	if (!u)
		return;
	if (u->multi && u->easy)
		curl_multi_remove_handle(u->multi, u->easy);
	if (u->easy)
		curl_easy_cleanup(u->easy);
	if (u->multi)
		curl_multi_cleanup(u->multi);
	curl_slist_free_all(u->headers);
	free(u);
}
