/* SPDX-License-Identifier: Apache-2.0 */
/* What the web stores read: addresses, credentials, XML; no server needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>

#include <cmocka.h>

#include "checkpoint/store_cred.h"
#include "checkpoint/store_s3_xml.h"
#include "checkpoint/store_web.h"

static void addresses(void **state)
{
	static const char *const bad[] = {
		"", "http://", "http:///x", "ftp://h/", "http:/h/", "http://h:0/", "http://h:65536/",
		"http://h:/", "http://h:1x/", "http://[::1/", "http://[]/", "http://[g]/",
		"http://[::1]x/", "http://h//x", "http://h/x//", "http://h/.", "http://h/../x",
		"http://h/x/..", "http://h/a b", "http://h/%41", "http://h/?q", "http://h?q",
		"http://h/#f", "http://h#f", "http://u@h/", "http://h\\x/", "http://h/x;y", "//h/",
		"http://h:123456/",
	};
	struct web_base b;
	char why[200];
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (web_base_parse(bad[i], &b, why) != -EINVAL)
			fail_msg("%s was accepted", bad[i]);
	}
	assert_int_equal(web_base_parse("http://store", &b, why), 0);
	assert_string_equal(b.url, "http://store/");
	assert_string_equal(b.path, "/");
	assert_false(b.tls || b.loopback);
	assert_int_equal(web_base_parse("https://10.0.0.1:8443/a/b-c_d.e~f", &b, why), 0);
	assert_string_equal(b.url, "https://10.0.0.1:8443/a/b-c_d.e~f/");
	assert_string_equal(b.path, "/a/b-c_d.e~f/");
	assert_string_equal(b.host, "10.0.0.1");
	assert_true(b.tls);
	assert_int_equal(web_base_parse("http://[::1]:80/.x/...", &b, why), 0);
	assert_string_equal(b.host, "::1");
	assert_true(b.loopback);
	assert_int_equal(web_base_parse("http://127.9.9.9/", &b, why), 0);
	assert_true(b.loopback);
}

static void escapes(void **state)
{
	char out[64], text[64];

	assert_int_equal(web_encode("aZ09-_.~ /+=\xff", out, sizeof(out)), 0);
	assert_string_equal(out, "aZ09-_.~%20%2F%2B%3D%FF");
	assert_int_equal(web_encode("//", out, 6), -ENAMETOOLONG);
	assert_int_equal(web_encode("//", out, 7), 0);
	assert_int_equal(web_encode("abcd", out, 4), -ENAMETOOLONG);
	strcpy(text, "%41%2f%2F%7e+b");
	assert_int_equal(web_decode(text), 0);
	assert_string_equal(text, "A//~+b");
	strcpy(text, "a%00b");
	assert_int_equal(web_decode(text), -EINVAL);
	strcpy(text, "a%4");
	assert_int_equal(web_decode(text), -EINVAL);
	strcpy(text, "a%");
	assert_int_equal(web_decode(text), -EINVAL);
	strcpy(text, "%g1");
	assert_int_equal(web_decode(text), -EINVAL);
}

static void check_cred(const char *text, const char *host, const char *user, const char *secret)
{
	struct store_cred c;

	assert_int_equal(store_cred_parse(text, host, &c), 0);
	assert_string_equal(c.user, user);
	assert_string_equal(c.secret, secret);
}

static void credentials(void **state)
{
	static const char text[] =
		"# a comment with machine words\n"
		"machine one login u1 password p#1 # more\n\n"
		"machine two\n\tpassword p2\r\n\tlogin u2\n"
		"machine two login late password late\n"
		"default login any password thing\n";
	static const char *const bad[] = {
		"login u", "machine", "machine h login", "machine h user u", "machine h login u password",
		"default port 1", "password p machine h",
	};
	char *long_word = calloc(1, 2000);
	struct store_cred c;
	size_t i;

	check_cred(text, "one", "u1", "p#1");
	check_cred(text, "two", "u2", "p2");
	check_cred(text, "three", "any", "thing");
	check_cred("", "one", "", "");
	check_cred("machine x login u password p", "X", "", "");
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (store_cred_parse(bad[i], "h", &c) != -EINVAL)
			fail_msg("'%s' was accepted", bad[i]);
		assert_string_equal(c.user, "");
		assert_string_equal(c.secret, "");
	}
	memset(long_word, 'x', 1999);
	assert_int_equal(store_cred_parse(long_word, "h", &c), -EINVAL);
	free(long_word);
}

/* The answer fed in pieces of @step bytes, as a network may cut it. */
static int read_answer(struct s3_answer *a, const char *text, size_t step, const char *root)
{
	size_t len = strlen(text), at, n;
	int ret = s3_answer_begin(a);

	for (at = 0; !ret && at < len; at += n) {
		n = len - at < step ? len - at : step;
		ret = s3_answer_sink(a, text + at, n);
	}
	return ret ? ret : s3_answer_finish(a, root);
}

static void s3_list(void **state)
{
	static const char text[] =
		"<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"http://x/\"><Name>b</Name>"
		"<Contents><Key>p/d/o</Key><LastModified>2026-11-20T12:00:00.500Z</LastModified>"
		"<Size>7</Size></Contents>"
		"<Contents><Key>p/d/o/deeper</Key><Size>1</Size></Contents>"
		"<Contents><Key>other</Key></Contents>"
		"<Contents><Key>p/d/&#x2e;hidden</Key><Size>1</Size></Contents>"
		"<IsTruncated>true</IsTruncated><NextContinuationToken>t&amp;1</NextContinuationToken>"
		"</ListBucketResult>";
	size_t step;

	for (step = 1; step < sizeof(text); step = step * 3 + 1) {
		struct store_list list = { 0 };
		struct s3_answer a = { .prefix = "p/", .list = &list };

		assert_int_equal(read_answer(&a, text, step, "ListBucketResult"), 0);
		assert_int_equal(list.nr, 1);
		assert_string_equal(list.objects[0].name, "d/o");
		assert_int_equal(list.objects[0].size, 7);
		assert_int_equal(list.objects[0].mtime_ns, 1795176000ll * 1000000000);
		assert_true(a.truncated);
		assert_string_equal(a.token, "t&1");
		/* Another attempt starts over. */
		assert_int_equal(read_answer(&a, text, step, "ListBucketResult"), 0);
		assert_int_equal(list.nr, 1);
		assert_int_equal(read_answer(&a, text, step, "Other"), -EPROTO);
		s3_answer_free(&a);
		free(list.objects);
	}
}

static void s3_uploads(void **state)
{
	static const char text[] =
		"<ListMultipartUploadsResult>"
		"<Upload><Key>d/old</Key><UploadId>1</UploadId><Initiated>2020-01-01T00:00:00Z</Initiated>"
		"</Upload><Upload><Key>d/new</Key><UploadId>2</UploadId>"
		"<Initiated>2026-01-01T00:00:00.000Z</Initiated></Upload>"
		"<Upload><Key>d/when</Key><UploadId>3</UploadId></Upload>"
		"<Upload><Key>d/id</Key><Initiated>2020-01-01T00:00:00Z</Initiated></Upload>"
		"<Upload><Key>../x</Key><UploadId>4</UploadId><Initiated>2020-01-01T00:00:00Z</Initiated>"
		"</Upload></ListMultipartUploadsResult>";
	struct s3_answer a = { .prefix = "", .before_s = 1700000000 };

	assert_int_equal(read_answer(&a, text, 10, "ListMultipartUploadsResult"), 0);
	assert_int_equal(a.nr_uploads, 1);
	assert_string_equal(a.uploads[0].key, "d/old");
	assert_string_equal(a.uploads[0].id, "1");
	s3_answer_free(&a);
}

static void s3_times(void **state)
{
	assert_int_equal(s3_time_parse("1970-01-01T00:00:01Z"), 1);
	assert_int_equal(s3_time_parse("2026-11-20T12:00:00.000Z"), 1795176000);
	assert_int_equal(s3_time_parse("2026-11-20"), 0);
	assert_int_equal(s3_time_parse("2026-11-20T12:00:00+01:00"), 0);
	assert_int_equal(s3_time_parse("1960-01-01T00:00:00Z"), 0);
	assert_int_equal(s3_time_parse(""), 0);
}

static void hostile_xml(void **state)
{
	static const char *const bad[] = {
		"", " ", "<a>", "<a></b>", "<a/><b/>", "text", "<a>&b;</a>", "<a\x01/>", "<a>\xff</a>",
		"<!DOCTYPE a><a/>", "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>",
		"<!DOCTYPE a SYSTEM \"/etc/passwd\"><a/>",
		"<?xml version=\"1.0\" encoding=\"no-such\"?><a/>",
	};
	struct s3_answer a = { .prefix = "" };
	char *deep = malloc(STORE_XML_DEPTH_MAX * 7 + 20), *wide = malloc(STORE_XML_TEXT_MAX + 20);
	unsigned int i, depth;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (read_answer(&a, bad[i], 3, "a") != -EPROTO)
			fail_msg("'%s' was accepted", bad[i]);
	}
	for (depth = STORE_XML_DEPTH_MAX; depth <= STORE_XML_DEPTH_MAX + 1; depth++) {
		deep[0] = '\0';
		for (i = 0; i < depth; i++)
			strcat(deep, "<a>");
		for (i = 0; i < depth; i++)
			strcat(deep, "</a>");
		assert_int_equal(read_answer(&a, deep, 1000, "a"),
				 depth > STORE_XML_DEPTH_MAX ? -EPROTO : 0);
	}
	for (i = STORE_XML_TEXT_MAX; i <= STORE_XML_TEXT_MAX + 1; i++) {
		sprintf(wide, "<a>%0*d</a>", (int)i, 1);
		assert_int_equal(read_answer(&a, wide, 7, "a"), i > STORE_XML_TEXT_MAX ? -EPROTO : 0);
	}
	s3_answer_free(&a);
	free(deep);
	free(wide);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses),
		cmocka_unit_test(escapes),
		cmocka_unit_test(credentials),
		cmocka_unit_test(s3_list),
		cmocka_unit_test(s3_uploads),
		cmocka_unit_test(s3_times),
		cmocka_unit_test(hostile_xml),
	};

	return cmocka_run_group_tests_name("store_web", tests, NULL, NULL);
}
