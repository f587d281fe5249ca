/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The durable memory of one side of one move.
 *
 * A journal is a small file of two slots.  A write goes to the slot that does
 * not hold the newest record, so a crash in the middle of it leaves the record
 * before it valid: a reader takes the slot with a right checksum and the higher
 * sequence number.  The file never changes its size, so that making a record
 * durable is one data write, not a change of metadata: it is paid while the
 * guest stands.
 *
 * Whoever holds the file open holds its lock (flock).  A journal that can be
 * locked by someone else has lost its owner: that is how a crash is noticed.
 *
 * slot: magic "GWJRNL1\n", u32 sequence, u32 length, u64 XXH3 of the text with
 * sequence << 32 | length as its seed, then JSON text; 4096 bytes each.
 */
#ifndef MIGRATE_JOURNAL_H
#define MIGRATE_JOURNAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define JOURNAL_SLOT_BYTES	4096u
#define JOURNAL_TEXT_MAX	(JOURNAL_SLOT_BYTES - 24u)

struct journal {
	int fd;				/* -1 when closed */
	uint32_t seq;			/* of the newest record, 0 = none */
	char *path;
};

/**
 * journal_open() - open or make a journal and lock it.
 * @j:      storage
 * @path:   the file; its directory must exist
 * @create: make it if it is absent (then two empty slots, synced with the directory)
 * @latest: gets the newest record (new reference) or NULL if there is none
 *
 * Return: 0; -EBUSY someone else has it; -ENOENT; -EBADMSG neither slot of a
 * used journal is valid, or it is no journal; -errno.
 */
int journal_open(struct journal *j, const char *path, bool create, json_t **latest);

/**
 * journal_write() - add a record.
 * @j:       open journal
 * @record:  JSON object, at most JOURNAL_TEXT_MAX bytes as compact text
 * @durable: return only when it is on stable storage
 *
 * Return: 0, -EMSGSIZE, -ENOMEM, or -errno of the write or the sync.  After an
 * error either record may be found later: do not act on the new one.
 */
int journal_write(struct journal *j, const json_t *record, bool durable);

/** journal_close() - unlock and close; @remove deletes the file first. */
void journal_close(struct journal *j, bool remove);

#endif
