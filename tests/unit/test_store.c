/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stores: the judgement of addresses and names, and the directory store: an
 * object is there entirely or not at all, whatever dies when.
 */
#include <setjmp.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "checkpoint/store.h"

#define BIG	(3u << 20)

static char top[64];

/* File systems that lack RENAME_NOREPLACE, and disks that cannot keep a promise. */
int __real_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned int flags);
int __wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned int flags);
int __real_fsync(int fd);
int __wrap_fsync(int fd);

static bool no_renameat2;
static int fsyncs, failing_fsync;		/* the how-manieth fails, 0 none */

int __wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned int flags)
{
	if (!no_renameat2)
		return __real_renameat2(from_fd, from, to_fd, to, flags);
	errno = EINVAL;
	return -1;
}

int __wrap_fsync(int fd)
{
	if (++fsyncs != failing_fsync)
		return __real_fsync(fd);
	errno = EIO;
	return -1;
}

static int make_top(void **state)
{
	strcpy(top, "/tmp/test_store.XXXXXX");
	return mkdtemp(top) ? 0 : -1;
}

static int remove_top(void **state)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", top);
	return system(cmd);
}

static struct store *open_store(void)
{
	char why[200], path[128];
	struct store *s;
	int ret;

	snprintf(path, sizeof(path), "%s/store/", top);
	ret = store_open(path, &s, why);
	if (ret)
		fail_msg("store_open: %d %s", ret, why);
	return s;
}

static void put(struct store *s, const char *name, const void *data, size_t len)
{
	struct store_put *p;

	assert_int_equal(store_put_begin(s, name, &p), 0);
	assert_int_equal(store_put_write(p, data, len), 0);
	assert_int_equal(store_put_commit(p), 0);
}

/* Names in the domain's directory that start with a dot, "." and ".." aside. */
static unsigned int leftovers(const char *domain)
{
	unsigned int n = 0;
	char path[160];
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "%s/store/%s", top, domain);
	d = opendir(path);
	if (!d)
		return 0;
	while ((e = readdir(d)))
		n += e->d_name[0] == '.' && strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
	closedir(d);
	return n;
}

static void addresses(void **state)
{
	static const struct {
		const char *address;
		const char *why;
	} bad[] = {
		{ "", "1..2048 bytes" },
		{ "gopher://x/", "no kind of store" },
		{ "HTTP://x/", "no kind of store" },
		{ "http://user:secret@host/x/", "do not belong" },
		{ "https://user@host/", "do not belong" },
		{ "s3://key:secret@bucket/x", "do not belong" },
		{ "/tmp/new\nline", "control character" },
		{ "file:", "Invalid argument" },
		{ "s3:", "has the form s3://" },
		{ "s3:/", "has the form s3://" },
		{ "s3://", "has the form s3://" },
		{ "s3://b", "has the form s3://" },
		{ "s3://bucket?x/", "has the form s3://" },
		{ "http:", "has the form http" },
		{ "https://", "has the form http" },
		{ "/nonexistent-directory/below/it", "No such file" },
		{ "/dev/null", "Not a directory" },
	};
	struct store *s = (struct store *)1;
	char why[200], longer[3000];
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_true(store_open(bad[i].address, &s, why) < 0);
		assert_null(s);
		if (!strstr(why, bad[i].why))
			fail_msg("%s: %s", bad[i].address, why);
		assert_null(strstr(why, "secret"));
	}
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(store_open(longer, &s, why), -EINVAL);
}

static void names(void **state)
{
	static const char *const bad[] = {
		"", "/", "a", "a/", "/b", "a//b", "a/b/c", "../x", "a/..", "./a", "a/.put-1",
		".a/b", "a/b c", "a/b\n", "a/\xc3\xa4", "a\\b/c", "a/%2e", "a/b?", "a/b:c",
	};
	char name[400];
	struct store *s = open_store();
	struct store_object o, *list;
	struct store_put *p;
	size_t i, nr;
	char buf[4];

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(store_put_begin(s, bad[i], &p), -EINVAL);
		assert_null(p);
		assert_true(store_error(s)[0]);
		assert_null(strchr(store_error(s), '\n'));
		assert_int_equal(store_get(s, bad[i], 0, buf, 4), -EINVAL);
		assert_int_equal(store_stat(s, bad[i], &o), -EINVAL);
		assert_int_equal(store_delete(s, bad[i]), -EINVAL);
	}
	assert_int_equal(store_list(s, "..", &list, &nr), -EINVAL);
	assert_int_equal(store_list(s, "a/b", &list, &nr), -EINVAL);
	memset(name, 'n', sizeof(name));
	name[STORE_NAME_MAX] = '/';
	name[2 * STORE_NAME_MAX + 2] = '\0';
	assert_int_equal(store_put_begin(s, name, &p), -EINVAL);
	name[2 * STORE_NAME_MAX + 1] = '\0';
	put(s, name, "x", 1);
	assert_int_equal(store_list(s, NULL, &list, &nr), 0);
	assert_int_equal(nr, 1);
	assert_string_equal(list[0].name, name);
	free(list);
	store_close(s);
	store_close(NULL);
}

static void put_get_list_delete(void **state)
{
	struct store_object o, *list;
	struct store *s = open_store();
	struct store_put *p;
	char *data = malloc(BIG), *back = malloc(BIG);
	struct stat st;
	char path[160];
	size_t i, nr;

	for (i = 0; i < BIG; i++)
		data[i] = (char)(i * 2654435761u >> 13);
	assert_int_equal(store_stat(s, "d/o", &o), -ENOENT);
	assert_int_equal(store_list(s, "d", &list, &nr), 0);
	assert_int_equal(nr, 0);
	assert_int_equal(store_put_begin(s, "d/o", &p), 0);
	for (i = 0; i < BIG; i += 8191)
		assert_int_equal(store_put_write(p, data + i, i + 8191 < BIG ? 8191 : BIG - i), 0);
	/* Not there before it is whole. */
	assert_int_equal(store_get(s, "d/o", 0, back, 1), -ENOENT);
	assert_int_equal(store_list(s, NULL, &list, &nr), 0);
	assert_int_equal(nr, 0);
	assert_int_equal(store_put_commit(p), 0);
	assert_int_equal(store_get(s, "d/o", 0, back, BIG), BIG);
	assert_memory_equal(data, back, BIG);
	assert_int_equal(store_get(s, "d/o", BIG - 5, back, 100), 5);
	assert_memory_equal(data + BIG - 5, back, 5);
	assert_int_equal(store_get(s, "d/o", BIG, back, 100), 0);
	assert_int_equal(store_get(s, "d/o", UINT64_MAX, back, 100), -EINVAL);
	assert_int_equal(store_get(s, "d/o", 0, back, (4u << 20) + 1), -EINVAL);
	assert_int_equal(store_stat(s, "d/o", &o), 0);
	assert_int_equal(o.size, BIG);
	assert_true(o.mtime_ns > 1600000000ll * 1000000000);
	snprintf(path, sizeof(path), "%s/store/d/o", top);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	snprintf(path, sizeof(path), "%s/store/d", top);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);

	put(s, "c/2", "two", 3);
	put(s, "c/1", "", 0);
	assert_int_equal(store_list(s, NULL, &list, &nr), 0);
	assert_int_equal(nr, 3);
	assert_string_equal(list[0].name, "c/1");
	assert_int_equal(list[0].size, 0);
	assert_string_equal(list[1].name, "c/2");
	assert_string_equal(list[2].name, "d/o");
	assert_int_equal(list[2].size, BIG);
	free(list);
	assert_int_equal(store_list(s, "c", &list, &nr), 0);
	assert_int_equal(nr, 2);
	free(list);

	/* Read last, so its descriptor is kept: deleted is deleted all the same. */
	assert_int_equal(store_get(s, "d/o", 0, back, 1), 1);
	assert_int_equal(store_delete(s, "d/o"), 0);
	assert_int_equal(store_get(s, "d/o", 0, back, 1), -ENOENT);
	assert_int_equal(store_delete(s, "d/o"), -ENOENT);
	assert_int_equal(store_delete(s, "nowhere/o"), -ENOENT);
	assert_int_equal(leftovers("d"), 0);
	free(data);
	free(back);
	store_close(s);
}

static void never_replaced(void **state)
{
	struct store *s = open_store();
	struct store_put *p, *q;
	char buf[8];

	put(s, "d/o", "first", 5);
	assert_int_equal(store_put_begin(s, "d/o", &p), -EEXIST);
	/* Two writers of one name: the first to finish has it. */
	assert_int_equal(store_put_begin(s, "d/race", &p), 0);
	assert_int_equal(store_put_begin(s, "d/race", &q), 0);
	assert_int_equal(store_put_write(p, "loser", 5), 0);
	assert_int_equal(store_put_write(q, "winner", 6), 0);
	assert_int_equal(store_put_commit(q), 0);
	assert_int_equal(store_put_commit(p), -EEXIST);
	assert_int_equal(store_get(s, "d/race", 0, buf, 8), 6);
	assert_memory_equal(buf, "winner", 6);
	assert_int_equal(leftovers("d"), 0);
	assert_int_equal(store_put_begin(s, "d/gone", &p), 0);
	store_put_abort(p);
	store_put_abort(NULL);
	assert_int_equal(leftovers("d"), 0);
	store_close(s);
}

/* A writer's file stays while it lives, in this process or in another, and no longer. */
static void sweep_spares_the_living(void **state)
{
	struct store *s = open_store(), *other;
	struct store_put *p;
	int fds[2], status;
	char c;
	pid_t pid;

	assert_int_equal(store_put_begin(s, "d/mine", &p), 0);
	assert_int_equal(store_put_write(p, "abc", 3), 0);
	store_close(open_store());
	assert_int_equal(leftovers("d"), 1);
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (!pid) {
		struct store_put *q;

		other = open_store();
		if (store_put_begin(other, "d/theirs", &q) || store_put_write(q, "x", 1))
			_exit(1);
		if (write(fds[1], "r", 1) != 1)
			_exit(1);
		pause();
		_exit(1);
	}
	assert_int_equal(read(fds[0], &c, 1), 1);
	store_close(open_store());
	assert_int_equal(leftovers("d"), 2);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	assert_true(WIFSIGNALED(status));
	/* The child inherited a descriptor of "d/mine"; that one is this process's still. */
	store_close(open_store());
	assert_int_equal(leftovers("d"), 1);
	assert_int_equal(store_put_commit(p), 0);
	assert_int_equal(leftovers("d"), 0);
	close(fds[0]);
	close(fds[1]);
	store_close(s);
}

static void no_links_followed(void **state)
{
	struct store *s = open_store();
	struct store_object *list;
	struct store_put *p;
	char from[160], to[160], buf[16];
	size_t nr;

	put(s, "d/o", "x", 1);
	snprintf(to, sizeof(to), "%s/outside", top);
	assert_int_equal(mkdir(to, 0700), 0);
	snprintf(from, sizeof(from), "%s/store/link", top);
	assert_int_equal(symlink(to, from), 0);
	snprintf(from, sizeof(from), "%s/store/d/secret", top);
	assert_int_equal(symlink("/etc/passwd", from), 0);
	snprintf(from, sizeof(from), "%s/store/d/fifo", top);
	assert_int_equal(mkfifo(from, 0600), 0);
	snprintf(from, sizeof(from), "%s/outside/.put-0000000000000000", top);
	close(open(from, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));

	store_close(s);
	s = open_store();
	assert_int_equal(access(from, F_OK), 0);
	assert_true(store_put_begin(s, "link/o", &p) < 0);
	assert_int_equal(store_put_begin(s, "d/secret", &p), -EEXIST);
	assert_int_equal(store_get(s, "d/secret", 0, buf, 16), -ELOOP);
	assert_int_equal(store_get(s, "d/fifo", 0, buf, 16), -EINVAL);
	assert_int_equal(store_list(s, NULL, &list, &nr), 0);
	assert_int_equal(nr, 1);
	free(list);
	store_close(s);
}

/* A full disk, as far as a file can be told: the error is said, sticks, and leaves nothing. */
static void no_space(void **state)
{
	struct rlimit old, small = { 100000, RLIM_INFINITY };
	struct store *s = open_store();
	struct store_object o;
	struct store_put *p;
	char block[4096] = { 0 };
	int i, ret = 0;

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small.rlim_max = old.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(store_put_begin(s, "d/big", &p), 0);
	for (i = 0; !ret && i < 100; i++)
		ret = store_put_write(p, block, sizeof(block));
	assert_int_equal(ret, -EFBIG);
	assert_non_null(strstr(store_error(s), "at byte "));
	assert_int_equal(store_put_write(p, block, 1), -EFBIG);
	assert_int_equal(store_put_commit(p), -EFBIG);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(leftovers("d"), 0);
	assert_int_equal(store_stat(s, "d/big", &o), -ENOENT);
	put(s, "d/big", "y", 1);
	store_close(s);
}

static void without_renameat2(void **state)
{
	no_renameat2 = true;
	never_replaced(state);
	no_renameat2 = false;
}

/* Whichever sync fails, the commit fails, and nothing of the object is there. */
static void syncs_that_fail(void **state)
{
	struct store *s = open_store();
	struct store_object o;
	struct store_put *p;
	int ret, nr;

	put(s, "d/before", "x", 1);
	for (nr = 1;; nr++) {
		assert_int_equal(store_put_begin(s, "d/o", &p), 0);
		assert_int_equal(store_put_write(p, "y", 1), 0);
		fsyncs = 0;
		failing_fsync = nr;
		ret = store_put_commit(p);
		failing_fsync = 0;
		if (!ret)
			break;
		assert_int_equal(ret, -EIO);
		assert_int_equal(store_stat(s, "d/o", &o), -ENOENT);
		assert_int_equal(leftovers("d"), 0);
	}
	/* One of the file, one of the directory. */
	assert_int_equal(nr, 3);
	assert_int_equal(store_stat(s, "d/o", &o), 0);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(addresses, make_top, remove_top),
		cmocka_unit_test_setup_teardown(names, make_top, remove_top),
		cmocka_unit_test_setup_teardown(put_get_list_delete, make_top, remove_top),
		cmocka_unit_test_setup_teardown(never_replaced, make_top, remove_top),
		cmocka_unit_test_setup_teardown(sweep_spares_the_living, make_top, remove_top),
		cmocka_unit_test_setup_teardown(no_links_followed, make_top, remove_top),
		cmocka_unit_test_setup_teardown(no_space, make_top, remove_top),
		cmocka_unit_test_setup_teardown(without_renameat2, make_top, remove_top),
		cmocka_unit_test_setup_teardown(syncs_that_fail, make_top, remove_top),
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
