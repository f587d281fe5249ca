/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the stream tests and fuzzers share: a small complete stream that is the
 * same on each run, and a naive framer that builds records from octets without
 * the library, so that wrong streams can be made too.
 */
#ifndef TESTS_UNIT_TEST_STREAM_UTIL_H
#define TESTS_UNIT_TEST_STREAM_UTIL_H

#include "checkpoint/stream.h"

#define SAMPLE_NAME		"golden"
#define SAMPLE_PFN_LIMIT	64u
#define SAMPLE_VCPUS		2u
#define SAMPLE_CONTEXT		"opaque context of vcpu 0"
#define SAMPLE_START_INFO	5u

/** sample_page() - fill 4096 bytes that follow from @pfn and @round alone. */
void sample_page(uint8_t *page, uint64_t pfn, unsigned int round);

/** sample_type() - the type that @pfn has in the sample, pinned bit included. */
uint8_t sample_type(uint64_t pfn);

/**
 * sample_write() - the whole sample stream through @w: two rounds, the first
 * with all 64 pfns, the last with every fourth of them.
 *
 * Return: 0 or the writer's first error.
 */
int sample_write(struct stream_writer *w);

/** sample_build() - the same into memory; release it with stream_mem_release(). */
void sample_build(struct stream_mem *m);

/** sample_build_small() - without the pages of noise: about 8 KiB. */
void sample_build_small(struct stream_mem *m);

/** sample_build_child() - the small one as a child of a chain, with an index. */
void sample_build_child(struct stream_mem *m);

/**
 * sample_read_all() - everything a restore would do with a stream.
 * @io:     source
 * @error:  gets stream_error() on failure; 512 bytes; may be NULL
 * @memory: NULL, or nr_pages pages of 4096 bytes that get the final contents
 *          (zeros for ZERO, P2M and ABSENT)
 * @types:  NULL, or nr_pages final types
 * @nr_pages: pfns beyond it are decoded and dropped
 *
 * Return: 0, or the first error of the library.
 */
int sample_read_all(const struct stream_io *io, char *error, uint8_t *memory, uint8_t *types,
		    uint64_t nr_pages);

/** sample_verify() - verify_stream() over memory; @why gets the defect, 256 bytes or NULL. */
int sample_verify(const uint8_t *data, size_t len, char *why);

/* --- the naive framer ------------------------------------------------------ */

/** raw_hash() - XXH3-64, not through the library. */
uint64_t raw_hash(const void *data, size_t len);

/** raw_header() - a stream header with the given fields and a right check. */
void raw_header(struct stream_mem *m, uint32_t version, uint32_t order, uint32_t flags);

/** raw_record() - append a record with right checks around any payload. */
void raw_record(struct stream_mem *m, uint32_t type, uint32_t flags, uint32_t number,
		const void *payload, size_t len);

/** raw_msg() - the same with a packed message. */
void raw_msg(struct stream_mem *m, uint32_t type, uint32_t number, const ProtobufCMessage *msg);

/**
 * raw_set_end() - cut the stream at its END record, or at its last whole record,
 * and append an END with totals and stream hash that are right, computed from
 * the octets alone.
 */
void raw_set_end(struct stream_mem *m);

/**
 * raw_index() - the payload that a PAGE_INDEX after the records in @data must have.
 * Return: its bytes, at most @room; rows beyond that are left out.
 */
size_t raw_index(const uint8_t *data, size_t len, uint8_t *out, size_t room);

/** raw_fix_index() - rewrite an index of the right size in place; checks are not touched. */
void raw_fix_index(uint8_t *data, size_t len);

/**
 * raw_fix_checks() - walk the records of @data and make numbers and checks
 * right again after a change; stops where the framing makes no sense.
 */
void raw_fix_checks(uint8_t *data, size_t len);

#endif
