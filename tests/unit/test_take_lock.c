/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One at a time: a checkpoint makes room for a move, nothing else does; and a process
 * that merely has the number of a dead holder is not touched.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "checkpoint/lock.h"
#include "toolstack/lib/io.h"

#define STEP_US 4000u

static const uint8_t a[16] = { 1 }, b[16] = { 2 };

enum way { STUBBORN = 1, YIELDS = 2 };

/* A process that holds a's lock, in one of the ways above; it ends by itself after 60 s. */
static pid_t holder(int way)
{
	int ready[2], fd;
	char c = 0;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		fd = take_lock_domain(a);
		if (fd < 0)
			_exit(1);
		if (way & YIELDS)
			take_lock_yields(fd);
		if (way & STUBBORN)
			signal(SIGTERM, SIG_IGN);
		c = 'r';
		if (write(ready[1], &c, 1) != 1)
			_exit(1);
		sleep(60);
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static int end_of(pid_t pid)
{
	int status = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

static void one_at_a_time(void **state)
{
	int fd = take_lock_domain(a), other = take_lock_domain(b);

	assert_true(fd >= 0 && other >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(take_lock_domain(a), -EBUSY);
	close(fd);
	fd = take_lock_overrule(a, NULL);
	assert_true(fd >= 0);
	assert_int_equal(take_lock_domain(a), -EBUSY);
	/* nor does a second move wait for the first for long, or end it */
	assert_int_equal(take_lock_overrule(a, NULL), -EBUSY);
	close(fd);
	close(other);
}

static void a_checkpoint_makes_room(void **state)
{
	pid_t pid = holder(YIELDS);
	uint64_t begin = io_now_ns();
	int fd = take_lock_overrule(a, NULL);

	assert_true(fd >= 0);
	assert_true(io_now_ns() - begin >= 100u * STEP_US * 1000);	/* it had its time */
	assert_int_equal(end_of(pid), SIGTERM);
	close(fd);
}

static void a_stubborn_one_is_killed(void **state)
{
	pid_t pid = holder(YIELDS | STUBBORN);
	int fd = take_lock_overrule(a, NULL);

	assert_true(fd >= 0);
	assert_int_equal(end_of(pid), SIGKILL);
	close(fd);
}

static void others_stay(void **state)
{
	pid_t pid = holder(0);

	assert_int_equal(take_lock_overrule(a, NULL), -EBUSY);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	kill(pid, SIGKILL);
	assert_int_equal(end_of(pid), SIGKILL);
}

/* The file names a process that has not got it open: we hold the lock in its place. */
static void a_number_that_came_again(void **state)
{
	sig_atomic_t cancel = 0;
	pid_t bystander = fork(), mover;
	char text[16];
	int fd, status;

	if (!bystander) {
		sleep(60);
		_exit(0);
	}
	fd = take_lock_domain(a);
	assert_true(fd >= 0);
	snprintf(text, sizeof(text), "%d", bystander);
	assert_int_equal(pwrite(fd, text, strlen(text), 0), (ssize_t)strlen(text));
	mover = fork();
	if (!mover) {
		close(fd);
		_exit(take_lock_overrule(a, &cancel) == -EBUSY ? 0 : 1);
	}
	assert_int_equal(waitpid(mover, &status, 0), mover);
	assert_int_equal(status, 0);
	assert_int_equal(waitpid(bystander, NULL, WNOHANG), 0);
	kill(bystander, SIGKILL);
	end_of(bystander);
	cancel = 1;
	assert_int_equal(take_lock_overrule(a, &cancel), -ECANCELED);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_at_a_time), cmocka_unit_test(a_checkpoint_makes_room),
		cmocka_unit_test(a_stubborn_one_is_killed), cmocka_unit_test(others_stay),
		cmocka_unit_test(a_number_that_came_again),
	};
	char dir[256];
	const char *tmp = getenv("TEST_TMP");
	int ret;

	snprintf(dir, sizeof(dir), "%s/locks-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(dir))
		return 1;
	take_lock_dir = dir;
	take_lock_step_us = STEP_US;
	ret = cmocka_run_group_tests(tests, NULL, NULL);
	for (uint8_t i = 1; i <= 2; i++) {
		char path[400];

		snprintf(path, sizeof(path),
			 "%s/%02x000000-0000-0000-0000-000000000000.lock", dir, i);
		unlink(path);
	}
	rmdir(dir);
	return ret;
}
