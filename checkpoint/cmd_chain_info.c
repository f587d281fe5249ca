/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `checkpoint info|verify STORE DOMAIN[@ID]`: one checkpoint with all that it
 * stands on.  verify has both readers go over every byte of the chain.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/chain.h"
#include "checkpoint/cmd_chain.h"
#include "checkpoint/object.h"
#include "checkpoint/verify.h"

static int open_target(const struct chain_args *a, unsigned int flags, struct catalog *cat,
		       struct chain **c)
{
	char why[CHAIN_WHY] = "";
	size_t i;
	int ret = chain_args_find(a, a->arg[1], cat, &i);

	if (ret != CMD_OK)
		return ret;
	ret = chain_open_at(cat, i, flags, c, why);
	if (!ret)
		return CMD_OK;
	if (a->json) {
		printf("{\"sound\": false, \"error\": ");
		cmd_print_json_string(why);
		printf("}\n");
	}
	return chain_say(a->command, ret, why);
}

/* --- info -------------------------------------------------------------------------- */

static void text_info(const struct chain *c)
{
	const struct ckpt *k = chain_level(c, 0);
	uint64_t by_type[GODWIT_PAGE_TYPE_MASK + 1], pinned, size = 0;
	char when[64];
	unsigned int i;

	chain_count_types(c, by_type, &pinned);
	for (i = 0; i < chain_depth(c); i++)
		size += chain_level(c, i)->obj.size;
	printf("object:     %s\nid:         %016" PRIx64 "\nkind:       %s, number %" PRIu64
	       " of its chain, %s\n", k->obj.name, catalog_id(k), chain_kind(k), k->seq,
	       chain_time(k->time_ns, when));
	printf("domain:     %s\nuuid:       ", k->domain);
	cmd_print_uuid(k->uuid);
	printf("\nvcpus:      %u\npfn limit:  %" PRIu64 "\nwritten on: %s\n", k->vcpus,
	       k->pfn_limit, k->host);
	printf("own size:   %" PRIu64 " bytes, %" PRIu64 " pages, %" PRIu64 " with bytes%s\n",
	       k->obj.size, k->pages, k->data_pages, k->indexed ? ", indexed" : "");
	printf("stands on:  %u checkpoints, with it %" PRIu64 " bytes\nimage:     ",
	       chain_depth(c) - 1, size);
	for (i = 0; i < 8; i++) {
		if (by_type[i])
			printf(" %s %" PRIu64, cmd_type_name(i), by_type[i]);
	}
	printf(", %" PRIu64 " tables pinned\n", pinned);
}

static void json_info(const struct chain *c)
{
	uint64_t by_type[GODWIT_PAGE_TYPE_MASK + 1], pinned;
	unsigned int i;

	chain_count_types(c, by_type, &pinned);
	printf("{");
	chain_json_ckpt(chain_level(c, 0));
	printf(", \"uuid\": \"");
	cmd_print_uuid(chain_level(c, 0)->uuid);
	printf("\", \"vcpus\": %u, \"pfn_limit\": %" PRIu64 ", \"host\": ",
	       chain_level(c, 0)->vcpus, chain_level(c, 0)->pfn_limit);
	cmd_print_json_string(chain_level(c, 0)->host);
	printf(",\n \"image\": {");
	for (i = 0; i < 8; i++)
		printf("\"%s\": %" PRIu64 ", ", cmd_type_name(i), by_type[i]);
	printf("\"pinned\": %" PRIu64 "},\n \"chain_of\": [", pinned);
	for (i = 0; i < chain_depth(c); i++)
		printf("%s\"%s\"", i ? ", " : "", chain_level(c, i)->obj.name);
	printf("]}\n");
}

int cmd_chain_info(int argc, char **argv)
{
	struct chain_args a;
	struct catalog cat;
	struct chain *c;
	int ret = chain_args_parse(&a, argc, argv, "info [--json] STORE DOMAIN[@ID]", 2, 2, NULL);

	if (ret != CMD_OK || a.help)
		return ret;
	ret = open_target(&a, 0, &cat, &c);
	if (ret == CMD_OK) {
		if (a.json)
			json_info(c);
		else
			text_info(c);
		chain_close(c);
	}
	catalog_free(&cat);
	chain_args_close(&a);
	return ret;
}

/* --- verify ------------------------------------------------------------------------ */

/* The second reader on one member of the chain. */
static int verify_member(struct store *s, const struct ckpt *k, struct verify_report *rep)
{
	struct object o;
	FILE *in = NULL;
	int ret = object_open(&o, s, k->obj.name, OBJECT_AHEAD_ALL);

	if (!ret)
		in = object_file(&o);
	if (!in) {
		memset(rep, 0, sizeof(*rep));
		snprintf(rep->defect, sizeof(rep->defect), "%s", strerror(ret ? -ret : errno));
		ret = VERIFY_UNREADABLE;
	} else {
		ret = verify_stream(in, rep);
		fclose(in);
		if (ret == VERIFY_SOUND && rep->stream_hash != k->hash) {
			snprintf(rep->defect, sizeof(rep->defect), "changed while it was read");
			ret = VERIFY_DEFECT;
		}
	}
	object_close(&o);
	return ret;
}

static int report_member(const struct chain_args *a, const struct ckpt *k, int result,
			 const struct verify_report *rep, bool first)
{
	if (a->json) {
		printf("%s\n  {\"object\": \"%s\", \"hash\": \"%016" PRIx64 "\", \"sound\": %s, "
		       "\"pages\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"error\": ",
		       first ? "" : ",", k->obj.name, k->hash,
		       result == VERIFY_SOUND ? "true" : "false", rep->pages, rep->bytes);
		cmd_print_json_string(result == VERIFY_SOUND ? NULL : rep->defect);
		printf("}");
	} else if (result == VERIFY_SOUND) {
		printf("%s: sound, %s, %" PRIu64 " pages, %" PRIu64 " bytes, hash %016" PRIx64 "\n",
		       k->obj.name, chain_kind(k), rep->pages, rep->bytes, k->hash);
	}
	if (result != VERIFY_SOUND)
		fprintf(stderr, "checkpoint verify: %s: record %" PRIu64 " at offset %" PRIu64
			": %s\n", k->obj.name, rep->defect_record, rep->defect_offset, rep->defect);
	/* enum verify_result has the values of the exit codes. */
	return result;
}

static int verify_chain(const struct chain_args *a, const struct chain *c)
{
	struct verify_report *rep = malloc(sizeof(*rep));
	int worst = CMD_OK, result;
	unsigned int i;

	if (!rep)
		return chain_say(a->command, -ENOMEM, "");
	if (a->json)
		printf("{\"members\": [");
	for (i = chain_depth(c); i-- > 0;) {
		result = verify_member(a->store, chain_level(c, i), rep);
		report_member(a, chain_level(c, i), result, rep, i == chain_depth(c) - 1);
		worst = result > worst ? result : worst;
	}
	if (a->json)
		printf("],\n \"sound\": %s}\n", worst == CMD_OK ? "true" : "false");
	else if (worst == CMD_OK)
		printf("%s: sound, with %u that it stands on\n", chain_level(c, 0)->obj.name,
		       chain_depth(c) - 1);
	free(rep);
	return worst;
}

int cmd_chain_verify(int argc, char **argv)
{
	struct chain_args a;
	struct catalog cat;
	struct chain *c;
	int ret = chain_args_parse(&a, argc, argv, "verify [--json] STORE DOMAIN[@ID]", 2, 2,
				   NULL);

	if (ret != CMD_OK || a.help)
		return ret;
	ret = open_target(&a, CHAIN_CHECK, &cat, &c);
	if (ret == CMD_OK) {
		ret = verify_chain(&a, c);
		chain_close(c);
	}
	catalog_free(&cat);
	chain_args_close(&a);
	return ret;
}
