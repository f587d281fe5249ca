/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Store: a directory.  ROOT/DOMAIN/OBJECT, directories 0700, files 0600.
 *
 * Invariant: a name without a leading dot is a whole object, on disk.  A writer
 * fills DOMAIN/.put-RANDOM, holding an flock(2) on it; commit syncs the file,
 * gives it its name with RENAME_NOREPLACE (an object is never replaced) and
 * syncs the directory.  A .put- file that nobody holds belongs to a dead writer
 * and is swept at the next open.  Objects never change, so an open descriptor of
 * one that still has a link is the object.
 *
 * Below ROOT no symbolic link is followed.  ROOT itself may be one: it is the
 * administrator's word.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checkpoint/store_priv.h"
#include "toolstack/lib/io.h"

#define PUT_PREFIX	".put-"
#define PUT_TRIES	16
/* Dirty page cache of one writer stays near this; the commit's fsync then waits for little. */
#define WRITEBACK_STEP	(8u << 20)

struct dir {
	int root;
	int cached;				/* the object read last, or -1 */
	char cached_name[2 * STORE_NAME_MAX + 2];
};

struct dir_put {
	int dirfd;				/* the domain's directory */
	int fd;
	uint64_t written, started;		/* bytes; of them given to write-back */
	char tmp[sizeof(PUT_PREFIX) + 16];
};

static const char *object_of(const char *name)
{
	return strchr(name, '/') + 1;
}

static int fail_errno(struct store *s, const char *what, const char *name)
{
	int err = errno;

	return store_fail(s, -err, "%s: %s: %s", name, what, strerror(err));
}

/* --- opening and sweeping -------------------------------------------------------- */

/* Remove DOMAIN/.put-* that no living writer holds. */
static void sweep_file(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return;
	/* Random names never come back, so what is unlinked is what was locked. */
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && !flock(fd, LOCK_EX | LOCK_NB))
		unlinkat(dirfd, name, 0);
	close(fd);
}

static DIR *open_dir_at(int fd, const char *name)
{
	int sub = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d;

	if (sub < 0)
		return NULL;
	d = fdopendir(sub);
	if (!d)
		close(sub);
	return d;
}

static void sweep_domain(int root, const char *domain)
{
	DIR *d = open_dir_at(root, domain);
	struct dirent *e;

	if (!d)
		return;
	while ((e = readdir(d))) {
		if (!strncmp(e->d_name, PUT_PREFIX, strlen(PUT_PREFIX)))
			sweep_file(dirfd(d), e->d_name);
	}
	closedir(d);
}

static int sweep(int root)
{
	DIR *d = open_dir_at(root, ".");
	struct dirent *e;

	if (!d)
		return -errno;
	while ((e = readdir(d))) {
		if (store_part_valid(e->d_name, strlen(e->d_name)))
			sweep_domain(root, e->d_name);
	}
	closedir(d);
	return 0;
}

/* A file system that cannot sync a directory (EINVAL) has no more to offer. */
static int sync_dir(int fd)
{
	return fsync(fd) < 0 && errno != EINVAL ? -errno : 0;
}

static int make_root(const char *path)
{
	int ret;

	if (mkdir(path, 0700) < 0)
		return errno == EEXIST ? 0 : -errno;
	ret = io_sync_dir_of(path);
	return ret == -EINVAL ? 0 : ret;
}

/* io_sync_dir_of() takes what is before the last slash for the parent. */
static int strip_slashes(const char *path, char out[4096])
{
	size_t len = strlen(path);

	if (!len)
		return -EINVAL;
	if (len >= 4096)
		return -ENAMETOOLONG;
	while (len > 1 && path[len - 1] == '/')
		len--;
	memcpy(out, path, len);
	out[len] = '\0';
	return 0;
}

static int dir_open(struct store *s, const char *address, char why[200])
{
	const char *given = strncmp(address, "file:", 5) ? address : address + 5;
	struct dir *d = calloc(1, sizeof(*d));
	char path[4096];
	int ret;

	if (!d)
		return -ENOMEM;
	d->cached = -1;
	ret = strip_slashes(given, path);
	if (!ret)
		ret = make_root(path);
	if (!ret) {
		d->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		ret = d->root < 0 ? -errno : sweep(d->root);
		if (ret && d->root >= 0)
			close(d->root);
	}
	if (ret) {
		snprintf(why, 200, "%.120s: %s", given, strerror(-ret));
		free(d);
		return ret;
	}
	s->priv = d;
	return 0;
}

static void drop_cached(struct dir *d)
{
	if (d->cached >= 0)
		close(d->cached);
	d->cached = -1;
}

static void dir_close(struct store *s)
{
	struct dir *d = s->priv;

	drop_cached(d);
	close(d->root);
	free(d);
}

/* The directory of @name's domain; -ENOENT if there is none. */
static int open_domain(struct dir *d, const char *name)
{
	char domain[STORE_NAME_MAX + 1];
	int fd;

	snprintf(domain, sizeof(domain), "%.*s", (int)strcspn(name, "/"), name);
	fd = openat(d->root, domain, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* --- writing --------------------------------------------------------------------- */

static int make_domain(struct store *s, const char *name)
{
	struct dir *d = s->priv;
	char domain[STORE_NAME_MAX + 1];
	int fd, ret;

	snprintf(domain, sizeof(domain), "%.*s", (int)strcspn(name, "/"), name);
	if (mkdirat(d->root, domain, 0700) < 0) {
		if (errno != EEXIST)
			return fail_errno(s, "making the domain's directory", name);
	} else {
		ret = sync_dir(d->root);
		if (ret)
			return store_fail(s, ret, "%s: syncing the store: %s", name, strerror(-ret));
	}
	fd = open_domain(d, name);
	return fd >= 0 ? fd : store_fail(s, fd, "%s: the domain's directory: %s", name,
					 strerror(-fd));
}

/*
 * A new file that this process holds.  A sweeper may come between making and
 * locking it: then the lock is refused, or the file has no link any more.
 */
static int make_tmp_once(struct dir_put *dp)
{
	struct stat st;
	uint64_t random;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return -EIO;
	snprintf(dp->tmp, sizeof(dp->tmp), PUT_PREFIX "%016llx", (unsigned long long)random);
	dp->fd = openat(dp->dirfd, dp->tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			0600);
	if (dp->fd < 0)
		return errno == EEXIST ? -EAGAIN : -errno;
	if (!flock(dp->fd, LOCK_EX | LOCK_NB) && !fstat(dp->fd, &st) && st.st_nlink)
		return 0;
	close(dp->fd);
	return -EAGAIN;
}

static int make_tmp(struct dir_put *dp)
{
	int tries, ret = -EAGAIN;

	for (tries = 0; ret == -EAGAIN && tries < PUT_TRIES; tries++)
		ret = make_tmp_once(dp);
	return ret;
}

static int dir_put_begin(struct store_put *p)
{
	struct dir_put *dp = calloc(1, sizeof(*dp));
	struct stat st;
	int ret;

	if (!dp)
		return store_fail(p->store, -ENOMEM, "%s: %s", p->name, strerror(ENOMEM));
	dp->dirfd = make_domain(p->store, p->name);
	ret = dp->dirfd;
	if (ret < 0)
		goto err_free;
	ret = -EEXIST;
	if (!fstatat(dp->dirfd, object_of(p->name), &st, AT_SYMLINK_NOFOLLOW)) {
		store_fail(p->store, ret, "%s: exists already", p->name);
		goto err_close;
	}
	ret = make_tmp(dp);
	if (ret) {
		store_fail(p->store, ret, "%s: making a file: %s", p->name, strerror(-ret));
		goto err_close;
	}
	p->priv = dp;
	return 0;
err_close:
	close(dp->dirfd);
err_free:
	free(dp);
	return ret;
}

static int dir_put_write(struct store_put *p, const void *buf, size_t len)
{
	struct dir_put *dp = p->priv;
	int ret = io_write_full(dp->fd, buf, len);

	if (ret)
		return store_fail(p->store, ret, "%s: writing at byte %llu: %s", p->name,
				  (unsigned long long)dp->written, strerror(-ret));
	dp->written += len;
	if (dp->written - dp->started >= WRITEBACK_STEP) {
		/* A hint: what fails here fails in fsync() again. */
		sync_file_range(dp->fd, (off_t)dp->started, (off_t)(dp->written - dp->started),
				SYNC_FILE_RANGE_WRITE);
		dp->started = dp->written;
	}
	return 0;
}

static void put_free(struct dir_put *dp)
{
	close(dp->fd);
	close(dp->dirfd);
	free(dp);
}

/* rename() without RENAME_NOREPLACE for file systems that lack it: link, then unlink. */
static int give_name(struct dir_put *dp, const char *object)
{
	if (!renameat2(dp->dirfd, dp->tmp, dp->dirfd, object, RENAME_NOREPLACE))
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (linkat(dp->dirfd, dp->tmp, dp->dirfd, object, 0) < 0)
		return -errno;
	unlinkat(dp->dirfd, dp->tmp, 0);
	return 0;
}

static int dir_put_commit(struct store_put *p)
{
	struct dir_put *dp = p->priv;
	const char *object = object_of(p->name);
	bool named = false;
	int ret = 0;

	/* The bytes before the name: after a power cut the name must not point at holes. */
	if (fsync(dp->fd) < 0)
		ret = -errno;
	if (!ret) {
		ret = give_name(dp, object);
		named = !ret;
	}
	if (!ret)
		ret = sync_dir(dp->dirfd);
	if (ret) {
		unlinkat(dp->dirfd, named ? object : dp->tmp, 0);
		store_fail(p->store, ret, "%s: finishing: %s", p->name, strerror(-ret));
	}
	put_free(dp);
	return ret;
}

static void dir_put_abort(struct store_put *p)
{
	struct dir_put *dp = p->priv;

	unlinkat(dp->dirfd, dp->tmp, 0);
	put_free(dp);
}

/* --- reading --------------------------------------------------------------------- */

/* Into the cache, or still there from the last call. */
static int open_object(struct store *s, const char *name)
{
	struct dir *d = s->priv;
	struct stat st;
	int dirfd_;

	if (d->cached >= 0 && !strcmp(d->cached_name, name) && !fstat(d->cached, &st) &&
	    st.st_nlink)
		return 0;
	drop_cached(d);
	dirfd_ = open_domain(d, name);
	if (dirfd_ < 0)
		return store_fail(s, dirfd_, "%s: %s", name, strerror(-dirfd_));
	d->cached = openat(dirfd_, object_of(name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (d->cached < 0) {
		int ret = fail_errno(s, "opening", name);

		close(dirfd_);
		return ret;
	}
	close(dirfd_);
	if (fstat(d->cached, &st) < 0 || !S_ISREG(st.st_mode)) {
		drop_cached(d);
		return store_fail(s, -EINVAL, "%s: not a regular file", name);
	}
	strcpy(d->cached_name, name);
	return 0;
}

static ssize_t dir_get(struct store *s, const char *name, uint64_t offset, void *buf, size_t len)
{
	struct dir *d = s->priv;
	size_t got = 0;
	int ret = open_object(s, name);

	if (ret)
		return ret;
	while (got < len) {
		ssize_t n = pread(d->cached, (char *)buf + got, len - got, (off_t)(offset + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno(s, "reading", name);
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

static int64_t mtime_of(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

static int dir_stat(struct store *s, const char *name, struct store_object *out)
{
	struct dir *d = s->priv;
	struct stat st;
	int ret = open_object(s, name);

	if (ret)
		return ret;
	if (fstat(d->cached, &st) < 0)
		return fail_errno(s, "looking", name);
	out->size = (uint64_t)st.st_size;
	out->mtime_ns = mtime_of(&st);
	return 0;
}

static int list_domain(struct dir *d, const char *domain, struct store_list *l)
{
	DIR *dir = open_dir_at(d->root, domain);
	struct dirent *e;
	struct stat st;
	int ret = 0;

	if (!dir)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0 : -errno;
	while (!ret && (e = readdir(dir))) {
		if (!store_part_valid(e->d_name, strlen(e->d_name)))
			continue;
		/* Gone since readdir() saw it: then it is not there. */
		if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(st.st_mode))
			continue;
		ret = store_list_add(l, domain, e->d_name, (uint64_t)st.st_size, mtime_of(&st));
	}
	closedir(dir);
	return ret;
}

static int list_all(struct dir *d, struct store_list *l)
{
	DIR *dir = open_dir_at(d->root, ".");
	struct dirent *e;
	int ret = 0;

	if (!dir)
		return -errno;
	while (!ret && (e = readdir(dir))) {
		if (store_part_valid(e->d_name, strlen(e->d_name)))
			ret = list_domain(d, e->d_name, l);
	}
	closedir(dir);
	return ret;
}

static int dir_list(struct store *s, const char *domain, struct store_object **out, size_t *nr)
{
	struct store_list l = { 0 };
	int ret = domain ? list_domain(s->priv, domain, &l) : list_all(s->priv, &l);

	if (ret) {
		free(l.objects);
		return store_fail(s, ret, "listing: %s", strerror(-ret));
	}
	*out = l.objects;
	*nr = l.nr;
	return 0;
}

static int dir_remove(struct store *s, const char *name)
{
	struct dir *d = s->priv;
	int fd = open_domain(d, name);
	int ret = 0;

	if (fd < 0)
		return store_fail(s, fd, "%s: %s", name, strerror(-fd));
	if (unlinkat(fd, object_of(name), 0) < 0)
		ret = fail_errno(s, "deleting", name);
	if (!ret)
		ret = sync_dir(fd);
	close(fd);
	return ret;
}

const struct store_ops store_dir_ops = {
	.scheme = "file",
	.open = dir_open,
	.close = dir_close,
	.put_begin = dir_put_begin,
	.put_write = dir_put_write,
	.put_commit = dir_put_commit,
	.put_abort = dir_put_abort,
	.get = dir_get,
	.stat = dir_stat,
	.list = dir_list,
	.remove = dir_remove,
};
