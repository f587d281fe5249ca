/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Godwit stream: one format and one library for save, restore, live
 * migration and checkpoints.  Format: docs/spec/stream.md.
 *
 * Invariant: whatever stream_read_next() hands out has been checked: framing,
 * checksums, legal order, every count, length and pfn against its bound, and
 * every field documented as required is present.  Of a PAGES record only the
 * LZ4 data is left, which stream_read_pages() checks.  What remains for the
 * caller is the meaning (is there memory, does this CPU have that feature).
 *
 * A writer obeys the same order rules, so that a mistake is found where it is
 * made.  Errors are sticky: after the first one every call returns it again,
 * and stream_error() or stream_writer_error() keep the first reason.
 *
 * No locks: a writer or a reader belongs to one thread at a time; two of them
 * are independent of each other.
 */
#ifndef CHECKPOINT_STREAM_H
#define CHECKPOINT_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "checkpoint/proto/stream.pb-c.h"
#include "hypervisor/include/public/godwit.h"

#define STREAM_VERSION		1u
#define STREAM_PAGE_SIZE	4096u
#define STREAM_BATCH_MAX	GODWIT_BATCH_MAX	/* pfns in one PAGES record */
#define STREAM_BATCH_BYTES	((size_t)STREAM_BATCH_MAX * STREAM_PAGE_SIZE)
#define STREAM_PFN_LIMIT_MAX	(1ull << 28)		/* 1 TiB of guest memory */
#define STREAM_VCPUS_MAX	128u
#define STREAM_P2M_NONE		UINT64_MAX		/* leaf shared with a "missing" page */

/* Record types (docs/spec/stream.md, "Records").  Bit 31: may be skipped. */
#define STREAM_OPTIONAL		0x80000000u
#define STREAM_END		0x01u		/* Stream__End */
#define STREAM_INFO		0x02u		/* Stream__StreamInfo */
#define STREAM_DOMAIN		0x03u		/* Stream__DomainInfo */
#define STREAM_P2M		0x04u		/* Stream__P2mInfo */
#define STREAM_ROUND_BEGIN	0x05u		/* Stream__RoundBegin */
#define STREAM_ROUND_END	0x06u		/* Stream__RoundEnd */
#define STREAM_PAGES		0x07u		/* page batch, no protobuf */
#define STREAM_VCPU		0x08u		/* Stream__VcpuContext */
#define STREAM_SHARED_INFO	0x09u		/* Stream__SharedInfo */
#define STREAM_FINAL		0x0au		/* Stream__FinalState */
#define STREAM_XENSTORE		0x0bu		/* Stream__Xenstore */
#define STREAM_LEDGER		(0x0cu | STREAM_OPTIONAL) /* Stream__Ledger */
#define STREAM_PARENT		0x0du		/* Stream__Parent */
#define STREAM_INDEX		(0x0eu | STREAM_OPTIONAL) /* rows, no protobuf */

/**
 * stream_type_name() - the name of a record type in docs/spec/stream.md.
 * @type: as on the wire, optional bit included
 *
 * Return: a constant string, "unknown" for a type this version does not have.
 */
const char *stream_type_name(uint32_t type);

/* --- where the bytes go --------------------------------------------------- */

/**
 * struct stream_io - a place to put bytes or to take them from.
 * @write: put all @len bytes; 0 or -errno
 * @read:  take exactly @len bytes; fewer only at the end of the input.
 *         Return: bytes read, or -errno
 * @flush: hand buffered bytes on; 0 or -errno.  NULL if nothing is buffered
 * @ctx:   first argument of each
 *
 * A transport of its own (TLS, say) supplies these three; a writer needs no
 * read and a reader needs no write.
 */
struct stream_io {
	int (*write)(void *ctx, const void *buf, size_t len);
	ssize_t (*read)(void *ctx, void *buf, size_t len);
	int (*flush)(void *ctx);
	void *ctx;
};

/**
 * struct stream_fd - a buffered file descriptor as stream_io.
 * The fields are private; the caller provides the storage, which must stay
 * while a writer or reader uses it, and keeps the ownership of the descriptor.
 */
struct stream_fd {
	struct stream_io io;
	int fd;
	int timeout_ms;
	bool is_socket;
	uint8_t *buf;
	size_t buf_len;			/* bytes waiting in buf */
	size_t buf_pos;			/* of these, already taken (reading) */
};

/**
 * stream_fd_init() - prepare a descriptor for writing or for reading.
 * @f:          storage
 * @fd:         file, pipe or socket; stays the caller's
 * @timeout_ms: longest wait for one byte of progress, -1 for ever.  With a
 *              time-out the descriptor is made non-blocking.
 *
 * Short writes and reads and EINTR are handled.  A socket whose peer is gone
 * gives -EPIPE, never a signal.  Both directions of one socket need one struct
 * each.  Later calls may return -ETIMEDOUT and whatever write(2), read(2) give.
 *
 * Return: 0; -ENOMEM; -EBADF or another errno of fstat(2), fcntl(2).
 */
int stream_fd_init(struct stream_fd *f, int fd, int timeout_ms);

/**
 * stream_fd_release() - free the buffer; unflushed bytes are lost.
 * @f: from stream_fd_init(), or all zero
 */
void stream_fd_release(struct stream_fd *f);

/**
 * struct stream_mem - a block of memory as stream_io, for tests and tools.
 * @data: the bytes; owned by the struct unless it was given by stream_mem_view()
 * @len:  bytes in @data
 * @pos:  next byte to read
 */
struct stream_mem {
	struct stream_io io;
	uint8_t *data;
	size_t len;
	size_t pos;
	size_t cap;
	bool borrowed;
};

/** stream_mem_init() - empty and growing; written bytes can be read again. */
void stream_mem_init(struct stream_mem *m);

/**
 * stream_mem_view() - read-only view of the caller's bytes.
 * @m:    storage
 * @data: must stay as long as @m is used
 * @len:  bytes
 */
void stream_mem_view(struct stream_mem *m, const void *data, size_t len);

/** stream_mem_release() - free what stream_mem_init()'s writes allocated. */
void stream_mem_release(struct stream_mem *m);

/* --- totals, kept by both ends -------------------------------------------- */

/**
 * struct stream_totals - what has gone through so far.
 * @bytes:      stream bytes, framing included
 * @records:    records, whatever their type
 * @pages:      pfns in PAGES records
 * @data_pages: of these, with bytes
 * @data_bytes: bytes that these took in the stream
 * @by_type:    pfns by GODWIT_PAGE_* without the pinned bit
 * @rounds:     ROUND_BEGIN records
 */
struct stream_totals {
	uint64_t bytes;
	uint64_t records;
	uint64_t pages;
	uint64_t data_pages;
	uint64_t data_bytes;
	uint64_t by_type[GODWIT_PAGE_TYPE_MASK + 1];
	uint64_t rounds;
};

/* --- writing --------------------------------------------------------------- */

struct stream_writer;

/**
 * stream_writer_new() - a writer over @io.
 * @io:  copied; what its ctx points to must stay
 * @out: the writer; free it with stream_writer_free()
 *
 * Return: 0 or -ENOMEM.
 */
int stream_writer_new(const struct stream_io *io, struct stream_writer **out);

/**
 * stream_writer_keep_index() - have stream_write_end() write a PAGE_INDEX record.
 * @w: writer, before its first PAGES record
 *
 * Costs 40 bytes of memory for each PAGES record, at most 16 MiB: a stream with
 * more than 400000 of them gets no index.
 */
void stream_writer_keep_index(struct stream_writer *w);

/** stream_writer_hash() - stream hash of what has been written; after the end, END's. */
uint64_t stream_writer_hash(const struct stream_writer *w);

/** stream_writer_free() - free it (NULL is fine); flushes nothing. */
void stream_writer_free(struct stream_writer *w);

/**
 * stream_write_header() - the first call: the 32 bytes every stream opens with.
 * @w: writer
 *
 * Return: 0; -EINVAL if it was called before; an error of the io.
 */
int stream_write_header(struct stream_writer *w);

/**
 * stream_write_msg() - one metadata record.
 * @w:    writer
 * @type: STREAM_*, except PAGES, PAGE_INDEX and END
 * @msg:  the message that belongs to the type, e.g. (ProtobufCMessage *)&info
 *
 * The message is checked as the reader will check it (required fields, bounds,
 * order).  ROUND_END and FINAL_STATE also flush, since the other side may be
 * asked to answer them.
 *
 * Return: 0; -EINVAL wrong message, field or order, reason in
 * stream_writer_error(); -EMSGSIZE message of 1 MiB or more; -ENOMEM; an error
 * of the io.
 */
int stream_write_msg(struct stream_writer *w, uint32_t type, const ProtobufCMessage *msg);

/**
 * stream_write_p2m() - the p2m list in as many P2M_INFO records as it needs.
 * @w:          writer
 * @leaves:     as GODWIT_OP_p2m_frames gave them
 * @nr:         how many, 1..STREAM_PFN_LIMIT_MAX / 512
 * @max_pfn:    pfns that the list covers
 * @generation: p2m_generation at the walk
 *
 * Return: as stream_write_msg().
 */
int stream_write_p2m(struct stream_writer *w, const uint64_t *leaves, uint32_t nr,
		     uint64_t max_pfn, uint64_t generation);

/**
 * stream_write_pages() - one batch of pages, inside a round.
 * @w:      writer
 * @pfns:   strictly ascending, each below DomainInfo.pfn_limit
 * @types:  GODWIT_PAGE_*, PINNED allowed with L1..L4.  An entry of type RETRY
 *          is left out (the caller keeps it for a later batch, and does not
 *          count it in RoundEnd.pages).
 * @buffer: @nr slots of 4096 bytes, slot i belongs to pfns[i]; only the slots
 *          of DATA and L1..L4 are read.  Same shape as GODWIT_OP_read_frames.
 * @nr:     1..STREAM_BATCH_MAX
 *
 * Return: 0 (also when all entries were RETRY: then nothing is written);
 * -EINVAL with the reason in stream_writer_error(); an error of the io.
 */
int stream_write_pages(struct stream_writer *w, const uint64_t *pfns, const uint8_t *types,
		       const void *buffer, unsigned int nr);

/**
 * stream_write_end() - the index, if one is kept, and the last record, with totals
 * and stream hash; flushes.
 * @w: writer
 *
 * A file is durable only after the caller's fsync(2).
 *
 * Return: 0; -EINVAL if FINAL_STATE has not been written; an error of the io.
 */
int stream_write_end(struct stream_writer *w);

/** stream_writer_flush() - hand on what is buffered; 0 or an error of the io. */
int stream_writer_flush(struct stream_writer *w);

/** stream_writer_totals() - running totals; valid until stream_writer_free(). */
const struct stream_totals *stream_writer_totals(const struct stream_writer *w);

/** stream_writer_error() - reason of the first failure, "" if there was none. */
const char *stream_writer_error(const struct stream_writer *w);

/* --- reading ---------------------------------------------------------------- */

struct stream_reader;

/**
 * struct stream_record - one record, valid until the next stream_read_next().
 * @type:    STREAM_* (skipped records never appear here)
 * @index:   0 for the first record of the stream
 * @offset:  of the record header in the stream
 * @length:  payload bytes
 * @check:   of the payload, as the record header has it
 * @payload: the bytes, 8-byte aligned; only the front of a PAGES payload that
 *           was skimmed
 * @msg and the typed names: the decoded message, NULL for PAGES
 */
struct stream_record {
	uint32_t type;
	uint64_t index;
	uint64_t offset;
	uint64_t length;
	uint64_t check;
	const void *payload;
	union {
		const ProtobufCMessage *msg;
		const Stream__StreamInfo *info;
		const Stream__DomainInfo *domain;
		const Stream__P2mInfo *p2m;
		const Stream__RoundBegin *round_begin;
		const Stream__RoundEnd *round_end;
		const Stream__VcpuContext *vcpu;
		const Stream__SharedInfo *shared_info;
		const Stream__FinalState *final;
		const Stream__Xenstore *xenstore;
		const Stream__Ledger *ledger;
		const Stream__Parent *parent;
		const Stream__End *end;
	};
};

/**
 * struct stream_batch - pages of one PAGES record; about 9 KiB, reuse it.
 * @nr:     entries
 * @nr_data: of these, with bytes
 * @pfns:   strictly ascending, below DomainInfo.pfn_limit
 * @types:  GODWIT_PAGE_DATA, ZERO, L1..L4 (perhaps PINNED), P2M, ABSENT
 * The shape fits GODWIT_OP_write_frames.
 */
struct stream_batch {
	unsigned int nr;
	unsigned int nr_data;
	uint64_t pfns[STREAM_BATCH_MAX];
	uint8_t types[STREAM_BATCH_MAX];
};

/**
 * stream_reader_new() - a reader over @io.
 * @io:  copied; what its ctx points to must stay
 * @out: the reader; free it with stream_reader_free()
 *
 * Return: 0 or -ENOMEM.
 */
int stream_reader_new(const struct stream_io *io, struct stream_reader **out);

/**
 * stream_reader_allow_parent() - accept a child of a chain.
 * @r: reader, before its first record
 *
 * Without this call a stream that depends on a parent is refused with
 * -EOPNOTSUPP: it has only the pages that changed.
 */
void stream_reader_allow_parent(struct stream_reader *r);

/**
 * stream_reader_skim() - do not read the bytes of pages.
 * @r:    reader, before its first record
 * @skip: pass over @len bytes of the input; 0 or -errno.  Its ctx is the io's.
 *
 * Of a PAGES record only the entries are read and checked; its payload check, its
 * blocks, and totals.data_bytes are left out, and stream_read_pages() returns
 * -EINVAL.  All else holds, the stream hash too: it covers the payload checks.
 */
void stream_reader_skim(struct stream_reader *r, int (*skip)(void *ctx, uint64_t len));

/**
 * stream_reader_entries() - entries of the PAGES record that was read last.
 * @r:     reader
 * @count: how many
 *
 * Return: the entries as on the wire (pfn, type << 56), valid until the next
 * stream_read_next(); NULL if the last record was another one.
 */
const uint64_t *stream_reader_entries(const struct stream_reader *r, uint32_t *count);

/** stream_reader_free() - free it and the last record (NULL is fine). */
void stream_reader_free(struct stream_reader *r);

/**
 * stream_read_next() - read, check and decode the next record.
 * @r:   reader; the first call reads the stream header too
 * @rec: filled in; what it points to is the reader's and lives until the next
 *       call.  The last record is STREAM_END; do not call again after it.
 *
 * Unknown optional records are checked and skipped.  Never reads beyond the
 * record it returns (the fd io may buffer ahead).
 *
 * Return: 0, or
 *   -ENODATA          the input ends in the middle (truncated, or peer gone)
 *   -EPROTONOSUPPORT  not a Godwit stream, or a version this reader does not know
 *   -EOPNOTSUPP       unknown mandatory record, flag or feature
 *   -EBADMSG          damaged or against the rules
 *   -ENOMEM, -EINVAL  (called after END), errors of the io.
 * stream_error() names record, offset and cause.
 */
int stream_read_next(struct stream_reader *r, struct stream_record *rec);

/**
 * stream_read_pages() - unpack the PAGES record that was read last.
 * @r:      reader whose last record was PAGES
 * @batch:  entries
 * @buffer: STREAM_BATCH_BYTES, page-aligned if it goes to the hypervisor; slot
 *          i belongs to batch->pfns[i].  Slots of ZERO, P2M and ABSENT entries
 *          are left as they are.
 *
 * Return: 0; -EBADMSG as above; -EINVAL if the last record is another one.
 */
int stream_read_pages(struct stream_reader *r, struct stream_batch *batch, void *buffer);

/**
 * stream_reader_p2m() - the newest complete p2m list, put together of its chunks.
 * @r:       reader
 * @nr:      leaves
 * @max_pfn: pfns it covers
 *
 * Return: the leaves, the reader's, valid until the next P2M_INFO record;
 * NULL before the first complete list.  Never NULL after FINAL_STATE.
 */
const uint64_t *stream_reader_p2m(const struct stream_reader *r, uint32_t *nr,
				  uint64_t *max_pfn);

/** stream_reader_hash() - stream hash so far; after END the stream's own. */
uint64_t stream_reader_hash(const struct stream_reader *r);

/**
 * stream_read_eof() - after END: make sure that nothing follows.
 * @r: reader; its input is a file or a socket whose writer has finished
 *
 * Return: 0; -EBADMSG if bytes follow; -EINVAL before END; errors of the io.
 */
int stream_read_eof(struct stream_reader *r);

/** stream_reader_totals() - running totals; valid until stream_reader_free(). */
const struct stream_totals *stream_reader_totals(const struct stream_reader *r);

/**
 * stream_error() - reason of the first failure, "" if there was none.
 * One line without newline, e.g. "record 17 at offset 4711 (PAGES): checksum
 * of the payload does not match".
 */
const char *stream_error(const struct stream_reader *r);

#endif
