/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the web stores read from others: S3's answers, credentials files,
 * addresses, percent-encoding.  The first byte chooses; beside memory errors, no
 * name that is not a valid object may come out of a list.
 */
#include <stdlib.h>
#include <string.h>

#include "checkpoint/store_cred.h"
#include "checkpoint/store_s3_xml.h"
#include "checkpoint/store_web.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_answer(const uint8_t *data, size_t size)
{
	struct store_list list = { 0 };
	struct s3_answer a = { .prefix = "p/", .list = &list, .before_s = INT64_MAX };
	size_t half = size / 2, i;

	if (!s3_answer_begin(&a) && !s3_answer_sink(&a, data, half) &&
	    !s3_answer_sink(&a, data + half, size - half))
		s3_answer_finish(&a, "ListBucketResult");
	for (i = 0; i < list.nr; i++) {
		if (!store_name_valid(list.objects[i].name))
			abort();
	}
	for (i = 0; i < a.nr_uploads; i++) {
		if (!store_name_valid(a.uploads[i].key))
			abort();
	}
	s3_answer_free(&a);
	free(list.objects);
}

static void read_text(char kind, char *text)
{
	struct store_cred cred;
	struct web_base base;
	char why[200], *again = malloc(3 * strlen(text) + 1), *copy = strdup(text);

	if (kind == 1) {
		store_cred_parse(text, "host", &cred);
	} else if (kind == 2) {
		if (!web_base_parse(text, &base, why) && base.path[strlen(base.path) - 1] != '/')
			abort();
	} else if (again && copy) {
		/* What was encoded decodes to itself. */
		if (web_encode(text, again, 3 * strlen(text) + 1) == 0 &&
		    (web_decode(again) || strcmp(again, copy)))
			abort();
		web_decode(text);
	}
	free(again);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (!size)
		return 0;
	if (data[0] % 4 == 0) {
		read_answer(data + 1, size - 1);
		return 0;
	}
	text = malloc(size);
	if (!text)
		return 0;
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	read_text((char)(data[0] % 4), text);
	free(text);
	return 0;
}
