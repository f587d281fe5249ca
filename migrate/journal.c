// SPDX-License-Identifier: Apache-2.0
/* See journal.h for the layout and why two slots. */
#include "toolstack/lib/io.h"
#include "migrate/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static const char magic[8] = "GWJRNL1\n";

struct slot {
	char magic[8];
	uint32_t seq;
	uint32_t len;
	uint64_t check;
	char text[JOURNAL_TEXT_MAX];
};
_Static_assert(sizeof(struct slot) == JOURNAL_SLOT_BYTES, "a slot is its documented size");

static uint64_t slot_check(const struct slot *s)
{
	/* seq and len stand in front of check; text follows it. */
	uint64_t head = (uint64_t)s->seq << 32 | s->len;

	return XXH3_64bits_withSeed(s->text, s->len, head);
}

static bool slot_valid(const struct slot *s)
{
	return !memcmp(s->magic, magic, sizeof(magic)) && s->seq &&
	       s->len <= JOURNAL_TEXT_MAX && s->check == slot_check(s);
}

/* A new journal: both slots zero, which is "no record yet". */
static int format(struct journal *j)
{
	static const struct slot empty;

	for (int i = 0; i < 2; i++) {
		ssize_t n = pwrite(j->fd, &empty, sizeof(empty), i * (off_t)sizeof(empty));

		if (n != sizeof(empty))
			return n < 0 ? -errno : -ENOSPC;
	}
	if (fsync(j->fd))
		return -errno;
	return io_sync_dir_of(j->path);
}

static bool is_blank(const struct slot *s)
{
	static const struct slot empty;

	return !memcmp(s, &empty, sizeof(empty));
}

static int load(struct journal *j, json_t **latest)
{
	struct slot slots[2];
	const struct slot *best = NULL;
	json_error_t err;
	ssize_t n = pread(j->fd, slots, sizeof(slots), 0);

	if (n < 0)
		return -errno;
	/* Its maker died before the empty slots were durable, so no record followed. */
	if ((size_t)n < sizeof(slots))
		return 0;
	for (int i = 0; i < 2; i++)
		if (slot_valid(&slots[i]) && (!best || slots[i].seq > best->seq))
			best = &slots[i];
	if (!best)
		/* A torn first record is as good as none: nothing followed it. */
		return is_blank(&slots[0]) || is_blank(&slots[1]) ? 0 : -EBADMSG;
	j->seq = best->seq;
	*latest = json_loadb(best->text, best->len, 0, &err);
	return *latest ? 0 : -EBADMSG;
}

int journal_open(struct journal *j, const char *path, bool create, json_t **latest)
{
	struct stat st;
	int ret;

	*latest = NULL;
	*j = (struct journal) { .fd = -1, .path = strdup(path) };
	if (!j->path)
		return -ENOMEM;
	j->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0), 0600);
	if (j->fd < 0) {
		ret = -errno;
		goto err;
	}
	if (flock(j->fd, LOCK_EX | LOCK_NB)) {
		ret = errno == EWOULDBLOCK ? -EBUSY : -errno;
		goto err;
	}
	/* Its last owner may have removed the file while we waited at open. */
	if (fstat(j->fd, &st) || !st.st_nlink) {
		ret = -EBUSY;
		goto err;
	}
	if (!st.st_size && create)
		ret = format(j);
	else
		ret = load(j, latest);
	if (!ret)
		return 0;
err:
	journal_close(j, false);
	return ret;
}

int journal_write(struct journal *j, const json_t *record, bool durable)
{
	struct slot s = { .seq = j->seq + 1 };
	size_t len = json_dumpb(record, s.text, sizeof(s.text), JSON_COMPACT);
	ssize_t n;

	if (!len)
		return -ENOMEM;
	if (len > sizeof(s.text))
		return -EMSGSIZE;
	memcpy(s.magic, magic, sizeof(magic));
	s.len = len;
	s.check = slot_check(&s);
	n = pwrite(j->fd, &s, sizeof(s), (s.seq & 1) * (off_t)sizeof(s));
	if (n != sizeof(s))
		return n < 0 ? -errno : -ENOSPC;
	j->seq = s.seq;
	if (durable && fdatasync(j->fd))
		return -errno;
	return 0;
}

void journal_close(struct journal *j, bool remove)
{
	if (j->fd >= 0) {
		if (remove)
			unlink(j->path);
		close(j->fd);
	}
	free(j->path);
	*j = (struct journal) { .fd = -1 };
}
