/* SPDX-License-Identifier: Apache-2.0 */
/* `checkpoint merge`, `delete`, `prune`: what checkpoint/retain.h does, by hand. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/cmd_chain.h"
#include "checkpoint/retain.h"

struct steps {
	bool json;
	unsigned int nr;
};

static void say_step(void *ctx, const char *verb, const char *object)
{
	struct steps *s = ctx;

	if (s->json)
		printf("%s\n  {\"%s\": \"%s\"}", s->nr ? "," : "", verb, object);
	else
		printf("%s %s\n", verb, object);
	s->nr++;
}

static void steps_begin(const struct chain_args *a)
{
	if (a->json)
		printf("{\"steps\": [");
}

/* JSON stays whole when a step fails: the reason is a member. */
static int steps_end(const struct chain_args *a, int ret, const char *why)
{
	if (a->json) {
		printf("], \"error\": ");
		cmd_print_json_string(ret < 0 ? why : NULL);
		printf("}\n");
	}
	return ret < 0 ? chain_say(a->command, ret, why) : CMD_OK;
}

int cmd_merge(int argc, char **argv)
{
	bool keep = false;
	const struct chain_option options[] = { { "--keep", &keep, NULL }, { 0 } };
	char why[CATALOG_WHY] = "";
	struct steps steps = { 0 };
	struct retain_log log = { say_step, &steps };
	struct chain_args a;
	struct catalog cat;
	size_t i;
	int ret = chain_args_parse(&a, argc, argv, "merge [--keep] [--json] STORE DOMAIN[@ID]", 2,
				   2, options);

	if (ret != CMD_OK || a.help)
		return ret;
	steps.json = a.json;
	ret = chain_args_find(&a, a.arg[1], &cat, &i);
	if (ret == CMD_OK) {
		steps_begin(&a);
		ret = retain_merge(&cat, i, keep, &log, why);
		if (ret == 1 && !a.json)
			printf("%s is full already\n", cat.c[i].obj.name);
		ret = steps_end(&a, ret, why);
	}
	catalog_free(&cat);
	chain_args_close(&a);
	return ret;
}

int cmd_delete(int argc, char **argv)
{
	bool chain = false;
	const struct chain_option options[] = { { "--chain", &chain, NULL }, { 0 } };
	char why[CATALOG_WHY] = "";
	struct steps steps = { 0 };
	struct retain_log log = { say_step, &steps };
	struct chain_args a;
	struct catalog cat;
	size_t i;
	int ret = chain_args_parse(&a, argc, argv, "delete [--chain] [--json] STORE DOMAIN@ID", 2,
				   2, options);

	if (ret != CMD_OK || a.help)
		return ret;
	steps.json = a.json;
	/* What cannot be had again is named, "latest" included. */
	if (!strchr(a.arg[1], '@')) {
		fprintf(stderr, "checkpoint delete: say which: %s@ID\n", a.arg[1]);
		chain_args_close(&a);
		return CMD_USAGE;
	}
	ret = chain_args_find(&a, a.arg[1], &cat, &i);
	if (ret == CMD_OK) {
		steps_begin(&a);
		ret = steps_end(&a, retain_delete(&cat, i, chain, &log, why), why);
	}
	catalog_free(&cat);
	chain_args_close(&a);
	return ret;
}

static int prune(const struct chain_args *a, unsigned int keep, bool merge,
		 struct retain_log *log)
{
	char domain[STORE_NAME_MAX + 1], why[CATALOG_WHY] = "";
	const char *id = chain_args_target(a, a->arg[1], domain);
	struct retain_pruned done = { 0 };
	struct catalog cat;
	int ret;

	if (!id || id[0]) {
		if (id)
			fprintf(stderr, "checkpoint prune: a domain, not a checkpoint of it\n");
		return CMD_USAGE;
	}
	ret = catalog_load(&cat, a->store, domain, why);
	steps_begin(a);
	if (!ret)
		ret = retain_prune(&cat, keep, merge, log, &done, why);
	catalog_free(&cat);
	if (!ret && !a->json)
		printf("%u kept, %u that they stand on, %u merged, %u deleted\n", done.kept,
		       done.ancestors, done.merged, done.deleted);
	if (done.broken)
		fprintf(stderr, "checkpoint prune: %u that cannot be restored left alone\n",
			done.broken);
	return steps_end(a, ret, why);
}

int cmd_prune(int argc, char **argv)
{
	const char *text = NULL;
	bool no_merge = false;
	const struct chain_option options[] = {
		{ "--keep", NULL, &text }, { "--no-merge", &no_merge, NULL }, { 0 }
	};
	struct steps steps = { 0 };
	struct retain_log log = { say_step, &steps };
	struct chain_args a;
	unsigned long keep;
	char *end;
	int ret = chain_args_parse(&a, argc, argv, "prune [--json] STORE DOMAIN --keep N "
				   "[--no-merge]", 2, 2, options);

	if (ret != CMD_OK || a.help)
		return ret;
	keep = text && text[0] >= '0' && text[0] <= '9' ? strtoul(text, &end, 10) : 0;
	if (!keep || *end || keep > STORE_OBJECTS_MAX) {
		fprintf(stderr, "checkpoint prune: --keep needs a number, 1..%u\n",
			STORE_OBJECTS_MAX);
		ret = CMD_USAGE;
	} else {
		steps.json = a.json;
		ret = prune(&a, (unsigned int)keep, !no_merge, &log);
	}
	chain_args_close(&a);
	return ret;
}
