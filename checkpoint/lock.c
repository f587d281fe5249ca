// SPDX-License-Identifier: Apache-2.0
/* See lock.h. */
#define LOG_PREFIX "lock"
#include "checkpoint/lock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "toolstack/lib/log.h"
#include "toolstack/lib/uuid.h"

/* In looks, of which there are ten a second. */
#define SOON		30		/* a guard, after one that was killed */
#define PATIENCE	100
#define KILL		200
#define GIVE_UP		260

const char *take_lock_dir = "/run/godwit/checkpoints";
unsigned int take_lock_step_us = 100000;

static int open_file(const uint8_t uuid[16], char path[PATH_MAX])
{
	char text[UUID_TEXT_BYTES];
	int fd;

	if ((mkdir("/run/godwit", 0755) && errno != EEXIST) ||
	    (mkdir(take_lock_dir, 0700) && errno != EEXIST))
		return -errno;
	uuid_format(uuid, text);
	if (snprintf(path, PATH_MAX, "%s/%s.lock", take_lock_dir, text) >= PATH_MAX)
		return -ENAMETOOLONG;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? -errno : fd;
}

/* What an earlier holder wrote is not ours. */
static bool try_lock(int fd)
{
	if (flock(fd, LOCK_EX | LOCK_NB))
		return false;
	if (ftruncate(fd, 0))
		log_warn_errno(errno, "cannot empty a lock's file");
	return true;
}

int take_lock_domain(const uint8_t uuid[16])
{
	char path[PATH_MAX];
	int fd = open_file(uuid, path);

	if (fd < 0)
		return fd;
	for (int n = 0; n <= SOON; n++) {
		if (try_lock(fd))
			return fd;
		usleep(take_lock_step_us);
	}
	close(fd);
	return -EBUSY;
}

void take_lock_yields(int fd)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d", getpid());

	if (pwrite(fd, text, (size_t)len, 0) != len)
		log_warn("a move will not end this checkpoint");
}

/* --- overruling ------------------------------------------------------------------------- */

static pid_t read_pid(int fd)
{
	char text[16] = "";
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	long pid = n > 0 ? strtol(text, NULL, 10) : 0;

	return pid > 1 && pid < INT_MAX ? (pid_t)pid : 0;
}

/* Numbers of processes come again: the one that is meant has the lock's file open. */
static bool has_open(pid_t pid, const char *path)
{
	char dir[32], link[PATH_MAX], real[PATH_MAX];
	bool found = false;
	struct dirent *e;
	DIR *d;

	snprintf(dir, sizeof(dir), "/proc/%d/fd", pid);
	d = realpath(path, real) ? opendir(dir) : NULL;
	while (d && !found && (e = readdir(d))) {
		ssize_t n = readlinkat(dirfd(d), e->d_name, link, sizeof(link) - 1);

		link[n > 0 ? n : 0] = '\0';
		found = !strcmp(link, real);
	}
	if (d)
		closedir(d);
	return found;
}

/* The descriptor is opened before it is looked at: what is looked at is what is signalled. */
static void end_holder(int fd, const char *path, int sig)
{
	pid_t pid = read_pid(fd);
	int pidfd = pid ? pidfd_open(pid, 0) : -1;

	if (pidfd < 0)
		return;
	if (pid != getpid() && has_open(pid, path) && !pidfd_send_signal(pidfd, sig, NULL, 0))
		log_info("process %d, which takes a checkpoint, is %s", pid,
			 sig == SIGTERM ? "asked to end" : "killed");
	close(pidfd);
}

static int wait_for(int fd, const char *path, const volatile sig_atomic_t *cancel)
{
	for (int n = 0; n < GIVE_UP; n++) {
		if (try_lock(fd))
			return 0;
		if (cancel && *cancel)
			return -ECANCELED;
		if (n >= SOON && !read_pid(fd))
			return -EBUSY;
		if (n == PATIENCE || n == KILL)
			end_holder(fd, path, n == PATIENCE ? SIGTERM : SIGKILL);
		usleep(take_lock_step_us);
	}
	return -EBUSY;
}

int take_lock_overrule(const uint8_t uuid[16], const volatile sig_atomic_t *cancel)
{
	char path[PATH_MAX];
	int fd = open_file(uuid, path), ret;

	if (fd < 0)
		return fd;
	ret = wait_for(fd, path, cancel);
	if (!ret)
		return fd;
	close(fd);
	return ret;
}
