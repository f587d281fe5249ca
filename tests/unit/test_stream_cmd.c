/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The subcommands of `checkpoint` as a script sees them: exit code, and on
 * which stream something was said.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "checkpoint/cmd.h"
#include "tests/unit/test_stream_util.h"

#define GOLDEN	"tests/golden/stream-v1.bin"

struct said {
	int code;
	char out[16384];
	char err[2048];
};

static void slurp(FILE *f, char *buf, size_t size)
{
	size_t n;

	rewind(f);
	n = fread(buf, 1, size - 1, f);
	buf[n] = '\0';
	fclose(f);
}

/* Run with standard output and error caught in files. */
static void run(struct said *s, int (*cmd)(int, char **), const char *name, const char *opt,
		const char *path)
{
	char *argv[4] = { (char *)name };
	int argc = 1, out = dup(1), err = dup(2);
	FILE *fo = tmpfile(), *fe = tmpfile();

	assert_true(fo && fe && out >= 0 && err >= 0);
	if (opt)
		argv[argc++] = (char *)opt;
	if (path)
		argv[argc++] = (char *)path;
	fflush(stdout);
	fflush(stderr);
	dup2(fileno(fo), 1);
	dup2(fileno(fe), 2);
	s->code = cmd(argc, argv);
	fflush(stdout);
	fflush(stderr);
	dup2(out, 1);
	dup2(err, 2);
	close(out);
	close(err);
	slurp(fo, s->out, sizeof(s->out));
	slurp(fe, s->err, sizeof(s->err));
}

/* The golden stream with its last @cut bytes missing, in a file of its own. */
static void write_cut(char *path, size_t cut)
{
	static char buf[65536];
	FILE *in = fopen(GOLDEN, "re");
	size_t n;
	int fd;

	assert_non_null(in);
	n = fread(buf, 1, sizeof(buf), in);
	fclose(in);
	strcpy(path, "/tmp/test_stream_cmd.XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_true(write(fd, buf, n - cut) == (ssize_t)(n - cut));
	close(fd);
}

static void sound_stream(void **state)
{
	static struct said s;

	run(&s, cmd_verify, "verify", NULL, GOLDEN);
	assert_int_equal(s.code, CMD_OK);
	assert_non_null(strstr(s.out, "sound"));
	assert_string_equal(s.err, "");
	run(&s, cmd_verify, "verify", "--json", GOLDEN);
	assert_int_equal(s.code, CMD_OK);
	assert_non_null(strstr(s.out, "\"sound\": true"));
	assert_non_null(strstr(s.out, "\"pages\": 80"));
	run(&s, cmd_info, "info", "--json", GOLDEN);
	assert_int_equal(s.code, CMD_OK);
	assert_non_null(strstr(s.out, "\"config\": \"{\\\"name\\\":\\\"golden\\\"}\""));
	run(&s, cmd_info, "info", NULL, GOLDEN);
	assert_int_equal(s.code, CMD_OK);
	assert_non_null(strstr(s.out, "domain:     golden\n"));
}

/* A child in a file of its own: what it says of its parent, and that it is one. */
static void child_of_a_chain(void **state)
{
	static const char path[] = "tests/golden/chain-v1/"
				   "20260921T141321.000Z-000001-01020304.ckpt";
	static struct said s;

	run(&s, cmd_info, "info", NULL, path);
	assert_int_equal(s.code, CMD_OK);
	assert_non_null(strstr(s.out, "chain:      number 1\n"));
	assert_non_null(strstr(s.out, "stands on:  "));
	assert_non_null(strstr(s.out, "20260921T141320.000Z-000000-01020304.ckpt"));
	run(&s, cmd_info, "info", "--json", path);
	assert_non_null(strstr(s.out, "\"chain_seq\": 1"));
	assert_non_null(strstr(s.out, "\"parent_name\": \"20260921T"));
	run(&s, cmd_verify, "verify", NULL, path);
	assert_int_equal(s.code, CMD_OK);
	assert_non_null(strstr(s.out, "chain:     number 1, delta"));
	assert_non_null(strstr(s.out, "only what changed since"));
	run(&s, cmd_verify, "verify", "--json", path);
	assert_non_null(strstr(s.out, "\"parent\": \""));
}

static void damaged_stream(void **state)
{
	static struct said s;
	char path[64];

	write_cut(path, 1);
	run(&s, cmd_verify, "verify", NULL, path);
	assert_int_equal(s.code, CMD_REFUSED);
	assert_string_equal(s.out, "");
	assert_non_null(strstr(s.err, "record 17 at offset "));
	assert_non_null(strstr(s.err, "(END)"));
	run(&s, cmd_verify, "verify", "--json", path);
	assert_int_equal(s.code, CMD_REFUSED);
	assert_non_null(strstr(s.out, "\"sound\": false, \"record\": 17,"));
	run(&s, cmd_info, "info", NULL, path);
	assert_int_equal(s.code, CMD_REFUSED);
	assert_non_null(strstr(s.err, "record 17 at offset "));
	unlink(path);
}

static void wrong_usage(void **state)
{
	static struct said s;

	run(&s, cmd_verify, "verify", NULL, NULL);
	assert_int_equal(s.code, CMD_USAGE);
	run(&s, cmd_verify, "verify", "--frobnicate", GOLDEN);
	assert_int_equal(s.code, CMD_USAGE);
	run(&s, cmd_verify, "verify", GOLDEN, GOLDEN);
	assert_int_equal(s.code, CMD_USAGE);
	run(&s, cmd_info, "info", "--help", NULL);
	assert_int_equal(s.code, CMD_OK);
	assert_non_null(strstr(s.out, "usage:"));
}

static void unreadable_input(void **state)
{
	static struct said s;

	run(&s, cmd_verify, "verify", NULL, "/nonexistent/stream");
	assert_int_equal(s.code, CMD_UNREADABLE);
	assert_non_null(strstr(s.err, "No such file"));
	run(&s, cmd_verify, "verify", NULL, "/");
	assert_int_equal(s.code, CMD_UNREADABLE);
	run(&s, cmd_info, "info", NULL, "/");
	assert_int_equal(s.code, CMD_UNREADABLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sound_stream),
		cmocka_unit_test(child_of_a_chain),
		cmocka_unit_test(damaged_stream),
		cmocka_unit_test(wrong_usage),
		cmocka_unit_test(unreadable_input),
	};

	return cmocka_run_group_tests_name("stream_cmd", tests, NULL, NULL);
}
