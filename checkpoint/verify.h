/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The second reader of docs/spec/stream.md: accepts or explains a stream.
 *
 * Invariant: it shares the specification with the library, the generated
 * protobuf code, LZ4 and XXH3, and nothing else.  When the two readers
 * disagree about a stream, one of them or the specification is wrong.
 */
#ifndef CHECKPOINT_VERIFY_H
#define CHECKPOINT_VERIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define VERIFY_ROUNDS_MAX	1024	/* the format's own limit */
#define VERIFY_NOTES_MAX	8

enum verify_result {
	VERIFY_SOUND = 0,
	VERIFY_DEFECT = 1,
	VERIFY_UNREADABLE = 3,		/* the input could not be read, or no memory */
};

struct verify_round {
	uint32_t number;
	bool last;
	uint64_t pages;
	uint64_t data_pages;
	uint64_t bytes;			/* page bytes as packed in the stream */
	uint64_t dirty;			/* as ROUND_END says */
	uint64_t us;			/* between ROUND_BEGIN and ROUND_END */
};

struct verify_report {
	char defect[256];		/* "" when sound */
	uint64_t defect_record;
	uint64_t defect_offset;
	char defect_type[24];		/* "" outside a record */

	char writer[256];		/* text is safe to print */
	char writer_version[256];
	char host[256];
	uint64_t time_ns;
	int mode;			/* Stream__Mode, 0 before STREAM_INFO */
	bool in_chain;
	uint8_t chain_id[16];
	uint64_t chain_seq;
	bool is_child;			/* sound in itself, but not whole without: */
	uint64_t parent_hash;
	bool replaces;
	uint64_t replaces_hash;
	bool indexed;			/* has a PAGE_INDEX */

	char name[132];
	uint8_t uuid[16];
	uint32_t vcpus;
	uint64_t pfn_limit;

	uint64_t bytes;
	uint64_t records;
	uint64_t skipped;		/* optional records of unknown type */
	uint64_t stream_hash;

	uint64_t rounds;
	struct verify_round round[VERIFY_ROUNDS_MAX];

	uint64_t pages;			/* entries in PAGES records */
	uint64_t data_pages;
	uint64_t packed_bytes;
	uint64_t lz4_blocks;
	uint64_t raw_blocks;
	uint64_t final[8];		/* pfns by type as the guest would resume; of a child
					 * those that it mentions */
	uint64_t final_pinned;

	unsigned int nr_notes;		/* legal, yet worth a look */
	char note[VERIFY_NOTES_MAX][160];
};

/**
 * verify_stream() - read a stream to its end and judge it.
 * @in:  opened for reading; not closed
 * @rep: filled in as far as the stream was read
 *
 * Return: enum verify_result.
 */
int verify_stream(FILE *in, struct verify_report *rep);

#endif
