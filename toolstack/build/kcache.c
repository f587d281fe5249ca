// SPDX-License-Identifier: Apache-2.0
/* Kernels that were unpacked before: see kcache.h. */
#include "toolstack/build/kcache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <lz4.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "toolstack/build/unpack.h"
#include "toolstack/lib/io.h"

#define MAGIC "GWKERN1"
#define SUFFIX ".lz4"

struct entry_header {
	char magic[8];
	uint64_t elf_len;
	uint64_t lz4_len;
	uint64_t crc;		/* zlib's crc32 of the LZ4 block */
};

static bool entry_path(const char *dir, const struct stat *st, char path[PATH_MAX])
{
	int n = snprintf(path, PATH_MAX, "%s/%llx-%llx-%llx-%llx.%lx-%llx.%lx" SUFFIX, dir,
			 (unsigned long long)st->st_dev, (unsigned long long)st->st_ino,
			 (unsigned long long)st->st_size, (unsigned long long)st->st_mtim.tv_sec,
			 (unsigned long)st->st_mtim.tv_nsec,
			 (unsigned long long)st->st_ctim.tv_sec,
			 (unsigned long)st->st_ctim.tv_nsec);

	return n > 0 && n < PATH_MAX;
}

static uint64_t checksum(const void *data, size_t len)
{
	return crc32(0, data, (uInt)len);
}

/* Judge an entry as read from disk and undo it. */
static int decode(const char *file, size_t len, uint8_t **elf, size_t *elf_len)
{
	struct entry_header h;
	uint8_t *out;

	if (len < sizeof(h))
		return -ENOENT;
	memcpy(&h, file, sizeof(h));
	if (memcmp(h.magic, MAGIC, sizeof(h.magic)) || h.lz4_len != len - sizeof(h) ||
	    h.elf_len == 0 || h.elf_len > UNPACK_MAX_BYTES || h.lz4_len > INT_MAX ||
	    h.crc != checksum(file + sizeof(h), h.lz4_len))
		return -ENOENT;
	out = unpack_alloc(h.elf_len);
	if (!out)
		return -ENOENT;
	if (LZ4_decompress_safe(file + sizeof(h), (char *)out, (int)h.lz4_len,
				(int)h.elf_len) != (int)h.elf_len) {
		free(out);
		return -ENOENT;
	}
	*elf = out;
	*elf_len = h.elf_len;
	return 0;
}

int kcache_get(const char *dir, const struct stat *st, uint8_t **elf, size_t *elf_len)
{
	char path[PATH_MAX], *file;
	size_t len;
	int ret;

	if (!entry_path(dir, st, path) || io_read_file(path, UNPACK_MAX_BYTES, &file, &len))
		return -ENOENT;
	ret = decode(file, len, elf, elf_len);
	free(file);
	return ret;
}

/* Remove the entry that was written longest ago while there are too many. */
static void drop_oldest(const char *dir)
{
	char oldest[NAME_MAX + 1];
	struct timespec when = { 0 };
	unsigned int n;

	do {
		DIR *d = opendir(dir);
		struct dirent *e;
		struct stat st;

		if (!d)
			return;
		for (n = 0; (e = readdir(d));) {
			if (e->d_name[0] == '.' || fstatat(dirfd(d), e->d_name, &st, 0))
				continue;
			if (n++ == 0 || st.st_mtim.tv_sec < when.tv_sec ||
			    (st.st_mtim.tv_sec == when.tv_sec &&
			     st.st_mtim.tv_nsec < when.tv_nsec)) {
				when = st.st_mtim;
				snprintf(oldest, sizeof(oldest), "%s", e->d_name);
			}
		}
		if (n > KCACHE_MAX_ENTRIES && unlinkat(dirfd(d), oldest, 0))
			n = 0;
		closedir(d);
	} while (n > KCACHE_MAX_ENTRIES);
}

static int write_entry(const char *path, const struct entry_header *h, const char *block)
{
	char tmp[PATH_MAX];
	int fd, ret;

	if (snprintf(tmp, sizeof(tmp), "%s.%d", path, (int)getpid()) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	/* Not synced: the checksum finds what a crash left half. */
	ret = io_write_full(fd, h, sizeof(*h));
	if (!ret)
		ret = io_write_full(fd, block, h->lz4_len);
	close(fd);
	if (!ret && rename(tmp, path))
		ret = -errno;
	if (ret)
		unlink(tmp);
	return ret;
}

void kcache_put(const char *dir, const struct stat *st, const uint8_t *elf, size_t elf_len)
{
	struct entry_header h = { .magic = MAGIC, .elf_len = elf_len };
	char path[PATH_MAX], *block;
	int bound, n;

	if (elf_len == 0 || elf_len > UNPACK_MAX_BYTES || !entry_path(dir, st, path) ||
	    io_mkdir_parents(path))
		return;
	bound = LZ4_compressBound((int)elf_len);
	block = malloc((size_t)bound);
	if (!block)
		return;
	n = LZ4_compress_default((const char *)elf, block, (int)elf_len, bound);
	if (n > 0) {
		h.lz4_len = (uint64_t)n;
		h.crc = checksum(block, h.lz4_len);
		if (write_entry(path, &h, block) == 0)
			drop_oldest(dir);
	}
	free(block);
}
