// SPDX-License-Identifier: Apache-2.0
/*
 * migrate/progress.c: the lines' exact text, one line a round in a log, and
 * repainting on a pseudo-terminal.
 */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmocka.h>

#include "migrate/progress.h"

static const struct policy_round round_1 = {
	.pages_sent = 12000, .pages_zero = 34, .pages_dirty = 500,
	.bytes = 25000000, .duration_us = 500000,
};
static const struct policy_verdict go_on = {
	.action = POLICY_CONTINUE, .downtime_us = 41999, .reason = "more",
};

static void state_line_is_exact(void **state)
{
	struct progress_state s = {
		.round = 2, .pages_done = 1000, .pages_total = 4000, .bytes = 3000000,
		.pages_dirty = 17, .elapsed_us = 500000,
	};
	char line[PROGRESS_LINE_MAX];

	progress_format_state(&s, line, sizeof(line));
	assert_string_equal(line, "round 2: 1000/4000 pages 25%  6.0 MB/s  dirty 17  ETA 1.5 s");
}

static void nothing_done_has_no_eta(void **state)
{
	struct progress_state s = { .pages_total = 4000 };
	char line[PROGRESS_LINE_MAX];

	progress_format_state(&s, line, sizeof(line));
	assert_string_equal(line, "round 0: 0/4000 pages 0%  0.0 MB/s  dirty 0  ETA ?");
	s.pages_total = 0;
	progress_format_state(&s, line, sizeof(line));
	assert_non_null(strstr(line, "100%"));
}

static void wild_numbers_stay_in_the_buffer(void **state)
{
	struct progress_state s;
	struct policy_round r;
	char *line = malloc(20);

	assert_non_null(line);
	memset(&s, 0xff, sizeof(s));
	memset(&r, 0xff, sizeof(r));
	progress_format_state(&s, line, 20);
	assert_int_equal(strlen(line), 19);
	progress_format_round(~0u, &r, &go_on, line, 20);
	assert_int_equal(strlen(line), 19);
	free(line);
}

static void round_line_is_exact(void **state)
{
	char line[PROGRESS_LINE_MAX];

	progress_format_round(1, &round_1, &go_on, line, sizeof(line));
	assert_string_equal(line, "round=1 sent=12000 zero=34 dirty=500 bytes=25000000 ms=500 "
			    "rate_mb_s=50.0 dirty_per_s=1000 predicted_ms=41 action=continue");
}

static void log_gets_one_line_a_round(void **state)
{
	struct progress_state s = { .pages_total = 1 };
	struct progress p;
	char text[1024];
	FILE *f = tmpfile();
	size_t n;

	assert_non_null(f);
	progress_init(&p, f);
	assert_false(p.tty);
	progress_update(&p, &s, 1);
	progress_note(&p, "suspending");
	progress_round(&p, 0, &round_1, &go_on);
	progress_update(&p, &s, 1000000);
	progress_round(&p, 1, &round_1, &go_on);
	progress_end(&p);
	rewind(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	assert_int_equal(strncmp(text, "round=0 ", 8), 0);
	assert_non_null(strstr(text, "action=continue\nround=1 "));
	assert_null(strchr(text, '\r'));
	assert_ptr_equal(strrchr(text, '\n'), text + n - 1);
	fclose(f);
}

/* Bytes cross a pseudo-terminal when the kernel's worker likes. */
static void read_to_newline(int fd, char *text, size_t len)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t n = 0;

	text[0] = '\0';
	while (n + 1 < len && !strchr(text, '\n') && poll(&p, 1, 5000) == 1) {
		ssize_t got = read(fd, text + n, len - 1 - n);

		assert_true(got > 0);
		n += (size_t)got;
		text[n] = '\0';
	}
}

/* A pseudo-terminal of 30 columns; what is written comes out of the master. */
static void terminal_repaints_one_line(void **state)
{
	struct progress_state s = { .round = 1, .pages_done = 1, .pages_total = 9,
				    .elapsed_us = 1 };
	struct winsize size = { .ws_row = 24, .ws_col = 30 };
	struct progress p;
	char text[2048];
	int master = posix_openpt(O_RDWR | O_NOCTTY), slave;
	FILE *f;

	assert_true(master >= 0);
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	/* a session leader would get it as its terminal, and its hang-up */
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	assert_true(slave >= 0);
	f = fdopen(slave, "r+");
	assert_non_null(f);
	assert_int_equal(ioctl(fileno(f), TIOCSWINSZ, &size), 0);
	progress_init(&p, f);
	assert_true(p.tty);
	progress_update(&p, &s, 1000000);
	progress_update(&p, &s, 1099999);	/* too soon */
	s.pages_done = 9;
	progress_update(&p, &s, 1100000);
	progress_end(&p);
	progress_end(&p);
	read_to_newline(master, text, sizeof(text));
	assert_string_equal(text, "\rround 1: 1/9 pages 11%  0.0 M\033[K"
			    "\rround 1: 9/9 pages 100%  0.0 \033[K\r\n");
	progress_update(&p, &s, 2000000);
	progress_round(&p, 1, &round_1, &go_on);
	assert_false(p.painted);
	read_to_newline(master, text, sizeof(text));
	assert_non_null(strstr(text, "\rround 1: 12000 pages, 34 zero, 25.0 MB in 0.50 s"));
	assert_non_null(strstr(text, "; more\033[K\r\n"));
	fclose(f);
	close(master);
}

static void silence_is_silent(void **state)
{
	struct progress_state s = { 0 };
	struct progress p;

	progress_init(&p, NULL);
	progress_update(&p, &s, 5);
	progress_round(&p, 0, &round_1, &go_on);
	progress_note(&p, "x");
	progress_end(&p);
	assert_false(p.tty);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(state_line_is_exact),
		cmocka_unit_test(nothing_done_has_no_eta),
		cmocka_unit_test(wild_numbers_stay_in_the_buffer),
		cmocka_unit_test(round_line_is_exact),
		cmocka_unit_test(log_gets_one_line_a_round),
		cmocka_unit_test(terminal_repaints_one_line),
		cmocka_unit_test(silence_is_silent),
	};

	return cmocka_run_group_tests_name("progress", tests, NULL, NULL);
}
