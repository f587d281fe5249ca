/* SPDX-License-Identifier: Apache-2.0 */
/* `checkpoint export STORE DOMAIN[@ID] FILE.core`. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "checkpoint/cmd_chain.h"
#include "checkpoint/export.h"

static void report(const char *path, const struct export_report *r, bool json)
{
	if (json) {
		printf("{\"file\": ");
		cmd_print_json_string(path);
		printf(", \"bytes\": %" PRIu64 ", \"frames\": %" PRIu64 ", \"loads\": %u, "
		       "\"vcpus\": %u, \"vmcoreinfo\": %s, \"truncated\": %s, \"direct_map\": ",
		       r->bytes, r->frames, r->loads, r->vcpus,
		       r->has_vmcoreinfo ? "true" : "false", r->truncated ? "true" : "false");
		if (r->has_direct)
			printf("\"0x%016" PRIx64 "\"}\n", r->direct);
		else
			printf("null}\n");
		return;
	}
	printf("%s: %" PRIu64 " frames, %u segments, registers of %u vcpus%s\n", path, r->frames,
	       r->loads, r->vcpus, r->has_vmcoreinfo ? ", vmcoreinfo" : "");
	if (r->has_direct)
		printf("  direct map at 0x%016" PRIx64 "\n", r->direct);
	else
		printf("  no direct map found: frames lie at their physical addresses\n");
	if (r->truncated)
		printf("  more kernel mappings than a core has room for: some are left out\n");
}

int cmd_export(int argc, char **argv)
{
	struct export_report rep;
	char why[CHAIN_WHY] = "";
	struct chain_args a;
	struct catalog cat;
	struct chain *c = NULL;
	size_t i;
	int ret = chain_args_parse(&a, argc, argv, "export [--json] STORE DOMAIN[@ID] FILE.core", 3,
				   3, NULL);

	if (ret != CMD_OK || a.help)
		return ret;
	ret = chain_args_find(&a, a.arg[1], &cat, &i);
	if (ret == CMD_OK) {
		ret = chain_open_at(&cat, i, 0, &c, why);
		if (!ret)
			ret = export_core(c, a.arg[2], &rep, why);
		if (!ret)
			report(a.arg[2], &rep, a.json);
		ret = ret ? chain_say(a.command, ret, why) : CMD_OK;
	}
	chain_close(c);
	catalog_free(&cat);
	chain_args_close(&a);
	return ret;
}
