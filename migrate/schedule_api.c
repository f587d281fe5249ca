// SPDX-License-Identifier: Apache-2.0
/* See schedule_api.h. */
#include "migrate/schedule_api.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define STOP	SCHEDULE_API_PATH "/stop"

bool schedule_api_is_mine(const char *path)
{
	size_t len = strlen(SCHEDULE_API_PATH);

	return !strncmp(path, SCHEDULE_API_PATH, len) && (!path[len] || path[len] == '/');
}

/* --- who asks -------------------------------------------------------------------------- */

/* As an IPv6 address, an IPv4 one in the mapped form. */
static bool address_of(const struct sockaddr *sa, struct in6_addr *out)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (sa && sa->sa_family == AF_INET6) {
		*out = ((const struct sockaddr_in6 *)sa)->sin6_addr;
		return true;
	}
	if (!sa || sa->sa_family != AF_INET)
		return false;
	memcpy(out->s6_addr, mapped, sizeof(mapped));
	memcpy(out->s6_addr + 12, &((const struct sockaddr_in *)sa)->sin_addr, 4);
	return true;
}

bool schedule_api_is_local(const struct sockaddr *peer, const struct sockaddr *self)
{
	struct in6_addr p, s;

	if (!address_of(peer, &p))
		return false;
	if (IN6_IS_ADDR_LOOPBACK(&p) || (IN6_IS_ADDR_V4MAPPED(&p) && p.s6_addr[12] == 127))
		return true;
	return address_of(self, &s) && !memcmp(&p, &s, sizeof(p));
}

/* --- what is asked ------------------------------------------------------------------------ */

static int answer(json_t **out, int status, const char *error)
{
	*out = json_pack("{s:s}", "error", error);
	return status;
}

static int do_set(struct schedules *s, const json_t *body, json_t **out)
{
	struct schedule_spec spec;
	char why[200];
	int ret;

	if (schedule_spec_from_json(body, &spec, why))
		return answer(out, 400, why);
	ret = schedules_set(s, &spec, out);
	if (!ret)
		return 200;
	if (ret != -ENOSPC)
		return answer(out, 500, strerror(-ret));
	snprintf(why, sizeof(why), "no space left, or %u schedules are there", SCHEDULES_MAX);
	return answer(out, 507, why);
}

static int do_stop(struct schedules *s, const json_t *body, json_t **out)
{
	const char *domain = json_string_value(json_object_get(body, "domain"));
	int ret;

	if (!domain)
		return answer(out, 400, "domain: a name or uuid");
	ret = schedules_stop(s, domain);
	if (ret == -ENOENT)
		return answer(out, 404, "no schedule of that domain");
	if (ret == -ENOTUNIQ)
		return answer(out, 409, "several domains had that name: give the uuid");
	if (ret)
		return answer(out, 500, strerror(-ret));
	*out = json_pack("{s:s}", "stopped", domain);
	return 200;
}

static int do_post(struct schedules *s, const char *path, const char *body, size_t len,
		   json_t **out)
{
	json_t *json;
	int status;

	if (len > SCHEDULE_API_BODY_MAX)
		return answer(out, 413, "the body is too long");
	json = json_loadb(body ? body : "", len, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(json))
		status = answer(out, 400, "the body is no JSON object");
	else if (!strcmp(path, SCHEDULE_API_PATH))
		status = do_set(s, json, out);
	else
		status = do_stop(s, json, out);
	json_decref(json);
	return status;
}

int schedule_api_handle(struct schedules *s, bool local, const char *method, const char *path,
			const char *body, size_t len, json_t **out)
{
	bool root = !strcmp(path, SCHEDULE_API_PATH);

	*out = NULL;
	if (!local)
		return answer(out, 403, "schedules are set from the host itself");
	if (!s || (!root && strcmp(path, STOP)))
		return answer(out, 404, "no such path");
	if (!strcmp(method, "POST"))
		return do_post(s, path, body, len, out);
	if (!root || strcmp(method, "GET"))
		return answer(out, 405, root ? "only GET and POST" : "only POST");
	*out = schedules_list(s);
	return 200;
}
