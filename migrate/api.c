// SPDX-License-Identifier: Apache-2.0
/* See api.h. */
#include "migrate/api.h"

#include <stdio.h>
#include <string.h>

#include "migrate/wire.h"
#include "toolstack/lib/uuid.h"

#define SESSIONS "/v1/sessions"
#define STANDBYS "/v1/standbys"

static void answer(struct api_answer *out, int status, const char *error)
{
	out->status = status;
	out->json = json_pack("{s:s}", "error", error);
}

/* "/v1/sessions/<uuid>" (@root: what is before the uuid) with "" or "/verb" behind it. */
static bool split_path(const char *root, const char *path, char id[SESSION_ID_BYTES],
		       const char **verb)
{
	const char *rest = path + strlen(root);
	uint8_t raw[16];

	if (strncmp(path, root, strlen(root)) || *rest != '/' ||
	    strnlen(rest, SESSION_ID_BYTES) < SESSION_ID_BYTES)
		return false;
	memcpy(id, rest + 1, SESSION_ID_BYTES - 1);
	id[SESSION_ID_BYTES - 1] = '\0';
	rest += SESSION_ID_BYTES;
	if (uuid_parse(id, raw) || (*rest && *rest != '/'))
		return false;
	*verb = *rest ? rest + 1 : "";
	return true;
}

static bool split_session(const char *path, char id[SESSION_ID_BYTES], const char **verb)
{
	return split_path(SESSIONS, path, id, verb);
}

static void do_prepare(struct target *t, const json_t *body, struct api_answer *out)
{
	out->status = target_prepare(t, body, &out->json);
	if (!out->json)
		out->json = json_pack("{s:s, s:s}", "error", "out of memory", "reason", "host");
}

static void do_verb(struct target *t, const char *id, const char *verb, const json_t *body,
		    struct api_answer *out)
{
	uint8_t raw[16];
	const uint8_t *uuid = uuid_parse(wire_text(body, "uuid", ""), raw) ? NULL : raw;

	out->status = target_ask(t, id, verb, uuid, &out->json);
}

static void do_get(struct target *t, json_t *health, const char *path, struct api_answer *out)
{
	const char *verb;

	if (!strcmp(path, "/v1/health")) {
		out->status = 200;
		out->json = json_incref(health);
	} else if (!strcmp(path, SESSIONS)) {
		out->status = 200;
		out->json = target_list(t);
	} else if (!split_session(path, out->id, &verb)) {
		answer(out, 404, "no such path");
	} else if (!strcmp(verb, "stream")) {
		out->kind = API_UPGRADE;
		out->status = 101;
	} else if (!*verb) {
		out->status = target_ask(t, out->id, "status", NULL, &out->json);
	} else {
		answer(out, 404, "no such path");
	}
}

static void do_post(struct target *t, const char *path, const char *body, size_t len,
		    struct api_answer *out)
{
	json_error_t err;
	const char *verb;
	json_t *json;

	json = json_loadb(body ? body : "", len, JSON_REJECT_DUPLICATES, &err);
	if (!json_is_object(json))
		answer(out, 400, "the body is no JSON object");
	else if (!strcmp(path, SESSIONS))
		do_prepare(t, json, out);
	else if (split_session(path, out->id, &verb) && *verb)
		do_verb(t, out->id, verb, json, out);
	else
		answer(out, 404, "no such path");
	json_decref(json);
}

void api_handle(struct target *t, json_t *health, const char *method, const char *path,
		const char *body, size_t len, struct api_answer *out)
{
	*out = (struct api_answer) { .kind = API_REPLY };
	if (!strcmp(method, "GET"))
		do_get(t, health, path, out);
	else if (!strcmp(method, "POST"))
		do_post(t, path, body, len, out);
	else
		answer(out, 405, "only GET and POST");
}

/* --- standbys ---------------------------------------------------------------------- */

static void standby_get(struct standbys *t, const char *path, struct api_answer *out)
{
	const char *verb;

	if (!strcmp(path, STANDBYS)) {
		out->status = 200;
		out->json = standbys_list(t);
	} else if (!split_path(STANDBYS, path, out->id, &verb)) {
		answer(out, 404, "no such path");
	} else if (!strcmp(verb, "stream")) {
		out->kind = API_UPGRADE_STANDBY;
		out->status = 101;
	} else if (!*verb) {
		out->status = standbys_ask(t, out->id, "status", NULL, &out->json);
	} else {
		answer(out, 404, "no such path");
	}
}

static void standby_post(struct standbys *t, const char *path, const char *body, size_t len,
			 struct api_answer *out)
{
	json_t *json = json_loadb(body ? body : "", len, JSON_REJECT_DUPLICATES, NULL);
	const char *verb;

	if (!json_is_object(json))
		answer(out, 400, "the body is no JSON object");
	else if (!strcmp(path, STANDBYS))
		out->status = standbys_prepare(t, json, &out->json);
	else if (split_path(STANDBYS, path, out->id, &verb) && *verb)
		out->status = standbys_ask(t, out->id, verb, json, &out->json);
	else
		answer(out, 404, "no such path");
	if (!out->json)
		answer(out, 500, "out of memory");
	json_decref(json);
}

bool api_handle_standby(struct standbys *t, const char *method, const char *path,
			const char *body, size_t len, struct api_answer *out)
{
	size_t n = strlen(STANDBYS);

	if (strncmp(path, STANDBYS, n) || (path[n] && path[n] != '/'))
		return false;
	*out = (struct api_answer) { .kind = API_REPLY };
	if (!t)
		answer(out, 404, "this host keeps no standbys");
	else if (!strcmp(method, "GET"))
		standby_get(t, path, out);
	else if (!strcmp(method, "POST"))
		standby_post(t, path, body, len, out);
	else
		answer(out, 405, "only GET and POST");
	return true;
}
