/* SPDX-License-Identifier: Apache-2.0 */
/* `checkpoint verify FILE`: the second reader's judgement, for people or scripts. */
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "checkpoint/cmd.h"
#include "checkpoint/verify.h"

#define MIB (1024.0 * 1024.0)

static const char *utc(uint64_t time_ns, char *buf, size_t size)
{
	time_t t = (time_t)(time_ns / 1000000000);
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(buf, size, "%Y-%m-%d %H:%M:%S UTC", &tm))
		snprintf(buf, size, "at an unknown time");
	return buf;
}

static void print_rounds(const struct verify_report *r)
{
	uint64_t i;

	printf("  round      pages       data   MiB packed      dirty        ms\n");
	for (i = 0; i < r->rounds; i++)
		printf("  %5u %10" PRIu64 " %10" PRIu64 " %12.1f %10" PRIu64 " %9.1f%s\n",
		       r->round[i].number, r->round[i].pages, r->round[i].data_pages,
		       r->round[i].bytes / MIB, r->round[i].dirty, r->round[i].us / 1e3,
		       r->round[i].last ? "  last" : "");
}

static void print_final(const struct verify_report *r)
{
	unsigned int t;

	printf("  guest:    ");
	for (t = 0; t < 8; t++) {
		if (r->final[t])
			printf(" %s %" PRIu64, cmd_type_name(t), r->final[t]);
	}
	printf(", %" PRIu64 " tables pinned\n", r->final_pinned);
}

static void print_sound(const char *path, const struct verify_report *r)
{
	char when[64];
	unsigned int i;

	printf("%s: sound, version 1, %s\n", path, cmd_mode_name(r->mode));
	printf("  written by %s %s on %s, %s\n", r->writer, r->writer_version, r->host,
	       utc(r->time_ns, when, sizeof(when)));
	printf("  domain:    %s, uuid ", r->name);
	cmd_print_uuid(r->uuid);
	printf(", %u vcpus, %" PRIu64 " pfns\n", r->vcpus, r->pfn_limit);
	printf("  records:   %" PRIu64 " (%" PRIu64 " unknown, skipped), %.1f MiB, hash %016" PRIx64
	       "\n", r->records, r->skipped, r->bytes / MIB, r->stream_hash);
	printf("  pages:     %" PRIu64 " in %" PRIu64 " rounds, %" PRIu64
	       " with bytes: %.1f MiB packed to %.1f MiB, %" PRIu64 " blocks lz4, %" PRIu64
	       " raw\n", r->pages, r->rounds, r->data_pages, r->data_pages * 4096 / MIB,
	       r->packed_bytes / MIB, r->lz4_blocks, r->raw_blocks);
	if (r->in_chain)
		printf("  chain:     number %" PRIu64 ", %s%s\n", r->chain_seq,
		       r->is_child ? "delta" : r->replaces ? "merged" : "full",
		       r->indexed ? ", indexed" : "");
	print_final(r);
	print_rounds(r);
	for (i = 0; i < r->nr_notes; i++)
		printf("  note:      %s\n", r->note[i]);
}

static void print_defect(FILE *out, const char *path, const struct verify_report *r)
{
	fprintf(out, "%s: record %" PRIu64 " at offset %" PRIu64 "%s%s%s: %s\n", path,
		r->defect_record, r->defect_offset, r->defect_type[0] ? " (" : "",
		r->defect_type, r->defect_type[0] ? ")" : "", r->defect);
}

static void json_rounds(const struct verify_report *r)
{
	uint64_t i;

	printf(",\n \"rounds\": [");
	for (i = 0; i < r->rounds; i++)
		printf("%s\n  {\"number\": %u, \"last\": %s, \"pages\": %" PRIu64
		       ", \"data_pages\": %" PRIu64 ", \"packed_bytes\": %" PRIu64
		       ", \"dirty\": %" PRIu64 ", \"us\": %" PRIu64 "}", i ? "," : "",
		       r->round[i].number, r->round[i].last ? "true" : "false",
		       r->round[i].pages, r->round[i].data_pages, r->round[i].bytes,
		       r->round[i].dirty, r->round[i].us);
	printf("]");
}

static void json_sound(const struct verify_report *r)
{
	unsigned int t;

	printf(",\n \"version\": 1, \"mode\": \"%s\", \"writer\": ", cmd_mode_name(r->mode));
	cmd_print_json_string(r->writer);
	printf(", \"host\": ");
	cmd_print_json_string(r->host);
	printf(", \"time_ns\": %" PRIu64 ",\n \"domain\": {\"name\": ", r->time_ns);
	cmd_print_json_string(r->name);
	printf(", \"uuid\": \"");
	cmd_print_uuid(r->uuid);
	printf("\", \"vcpus\": %u, \"pfn_limit\": %" PRIu64 "},\n", r->vcpus, r->pfn_limit);
	printf(" \"bytes\": %" PRIu64 ", \"records\": %" PRIu64 ", \"skipped\": %" PRIu64
	       ", \"hash\": \"%016" PRIx64 "\",\n", r->bytes, r->records, r->skipped,
	       r->stream_hash);
	printf(" \"pages\": %" PRIu64 ", \"data_pages\": %" PRIu64 ", \"packed_bytes\": %" PRIu64
	       ", \"lz4_blocks\": %" PRIu64 ", \"raw_blocks\": %" PRIu64 ",\n \"final\": {",
	       r->pages, r->data_pages, r->packed_bytes, r->lz4_blocks, r->raw_blocks);
	for (t = 0; t < 8; t++)
		printf("\"%s\": %" PRIu64 ", ", cmd_type_name(t), r->final[t]);
	printf("\"pinned\": %" PRIu64 "}", r->final_pinned);
	if (r->in_chain)
		printf(",\n \"chain_seq\": %" PRIu64, r->chain_seq);
	if (r->is_child)
		printf(", \"parent\": \"%016" PRIx64 "\"", r->parent_hash);
	if (r->replaces)
		printf(", \"replaces\": \"%016" PRIx64 "\"", r->replaces_hash);
	json_rounds(r);
	printf(",\n \"notes\": [");
	for (t = 0; t < r->nr_notes; t++) {
		printf("%s", t ? ", " : "");
		cmd_print_json_string(r->note[t]);
	}
	printf("]");
}

static void json_report(const char *path, int result, const struct verify_report *r)
{
	printf("{\"file\": ");
	cmd_print_json_string(path);
	printf(", \"sound\": %s", result == VERIFY_SOUND ? "true" : "false");
	if (result == VERIFY_SOUND) {
		json_sound(r);
	} else {
		printf(", \"record\": %" PRIu64 ", \"offset\": %" PRIu64 ", \"type\": ",
		       r->defect_record, r->defect_offset);
		cmd_print_json_string(r->defect_type[0] ? r->defect_type : NULL);
		printf(", \"reason\": ");
		cmd_print_json_string(r->defect);
	}
	printf("}\n");
}

int cmd_verify(int argc, char **argv)
{
	struct verify_report *rep;
	struct cmd_args a;
	int result = cmd_parse(&a, argc, argv);

	if (result != CMD_OK || a.help)
		return result;
	rep = malloc(sizeof(*rep));
	if (!rep) {
		fprintf(stderr, "checkpoint: no memory\n");
		cmd_close(&a);
		return CMD_UNREADABLE;
	}
	result = verify_stream(a.in, rep);
	if (a.json)
		json_report(a.path, result, rep);
	else if (result == VERIFY_SOUND)
		print_sound(a.path, rep);
	else
		print_defect(stderr, a.path, rep);
	free(rep);
	cmd_close(&a);
	/* enum verify_result has the values of the exit codes. */
	return result;
}
