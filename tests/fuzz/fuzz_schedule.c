/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schedules: requests, files and job outputs of any bytes.  What is accepted is within
 * bounds, and what is written of it is read back as the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "migrate/schedule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct schedule_now now = {
	.mono_ns = 1000000000000000000u, .real_ns = 1800000000000000000,
};

static void must(bool condition)
{
	if (!condition)
		abort();
}

static void judge(const struct schedule_spec *s)
{
	must(config_name_valid(s->name));
	must(strlen(s->store) <= SCHEDULE_STORE_MAX && s->store[0] != '-');
	must(s->every_ms >= SCHEDULE_EVERY_MIN_MS && s->every_ms <= SCHEDULE_EVERY_MAX_MS);
	must(s->keep >= 1 && s->keep <= SCHEDULE_KEEP_MAX);
	must(s->full_every <= SCHEDULE_FULL_EVERY_MAX);
}

static void same_again(const struct schedule *s)
{
	json_t *json = schedule_to_json(s, &now);
	struct schedule back;
	char why[200];

	must(json && !schedule_from_json(json, &now, &back, why));
	must(!memcmp(&back.spec, &s->spec, sizeof(back.spec)));
	must(back.due_ns == s->due_ns && back.missed == s->missed);
	must(!strcmp(back.error.text, s->error.text) && !strcmp(back.last.object, s->last.object));
	json_decref(json);
}

static void fuzz_json(const json_t *json)
{
	struct schedule_spec spec;
	struct schedule s;
	char why[200];
	uint64_t missed;

	if (!schedule_spec_from_json(json, &spec, why))
		judge(&spec);
	if (schedule_from_json(json, &now, &s, why))
		return;
	judge(&s.spec);
	must(s.due_ns <= now.mono_ns + s.spec.every_ms * UINT64_C(1000000));
	same_again(&s);
	/* Counts of a file are anybody's: adding to them may wrap, and does no harm. */
	s.missed = 0;
	missed = schedule_resume(&s, &now);
	must(s.missed == missed && s.due_ns >= now.mono_ns);
	schedule_step(&s, &now, false, &missed);
	must(s.due_ns > now.mono_ns);
}

static void fuzz_result(const char *text)
{
	struct schedule_spec spec = {
		.name = "a", .store = "/s", .every_ms = 1000, .keep = 1, .full_every = 1,
	};
	struct schedule_result r = { .out = text, .err = text };
	struct schedule s;
	unsigned int ms;

	schedule_init(&s, &spec, &now);
	schedule_finish(&s, &now, &r);
	must(s.taken + s.failed == 1);
	judge(&s.spec);
	same_again(&s);
	r.exit_code = 1;
	must(!schedule_finish(&s, &now, &r));
	same_again(&s);
	if (!schedule_parse_duration(text, &ms))
		must(ms <= SCHEDULE_EVERY_MAX_MS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *json = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	char *text = malloc(size + 1);

	if (json_is_object(json))
		fuzz_json(json);
	json_decref(json);
	must(text);
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	fuzz_result(text);
	free(text);
	return 0;
}
