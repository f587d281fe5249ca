/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `checkpoint list STORE [DOMAIN]`: what is there, as a tree by chain.
 *
 * A full checkpoint begins a branch; what stands on it follows in the same
 * column, and only a second child of the same parent moves to the right.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/cmd_chain.h"

#define NO_PARENT	SIZE_MAX
#define KIB		1024.0

/* The catalogue of one domain, and how its members hang together. */
struct tree {
	struct catalog cat;
	size_t *parent;		/* index, NO_PARENT */
	char (*why)[CATALOG_WHY];	/* not empty: it cannot be restored */
	bool *shown;
};

static void tree_free(struct tree *t)
{
	free(t->parent);
	free(t->why);
	free(t->shown);
	catalog_free(&t->cat);
}

/* What is wrong with one that is sound in itself: the first broken one below it. */
static void look_down(struct tree *t, size_t i)
{
	size_t at = i, steps;

	for (steps = 0; steps <= t->cat.nr && t->parent[at] != NO_PARENT; steps++) {
		at = t->parent[at];
		if (t->why[at][0]) {
			snprintf(t->why[i], CATALOG_WHY, "%s is broken",
				 ckpt_object(&t->cat.c[at]));
			return;
		}
	}
}

static int tree_load(struct tree *t, struct store *s, const char *domain, char *why)
{
	size_t i;
	int ret = catalog_load(&t->cat, s, domain, why);

	if (ret)
		return ret;
	t->parent = calloc(t->cat.nr + 1, sizeof(*t->parent));
	t->why = calloc(t->cat.nr + 1, sizeof(*t->why));
	t->shown = calloc(t->cat.nr + 1, sizeof(*t->shown));
	if (!t->parent || !t->why || !t->shown)
		return -ENOMEM;
	for (i = 0; i < t->cat.nr; i++) {
		const struct ckpt *c = catalog_get(&t->cat, i);

		t->parent[i] = NO_PARENT;
		if (c->state != CKPT_SOUND)
			memcpy(t->why[i], c->why, CATALOG_WHY);
		else if (c->is_child && catalog_parent(&t->cat, i, &t->parent[i], t->why[i]))
			t->parent[i] = NO_PARENT;
	}
	for (i = 0; i < t->cat.nr; i++) {
		if (!t->why[i][0])
			look_down(t, i);
	}
	return 0;
}

static const char *state_of(const struct tree *t, size_t i)
{
	if (t->cat.c[i].state == CKPT_DAMAGED)
		return "damaged";
	if (t->cat.c[i].state != CKPT_SOUND)
		return "unreadable";
	return t->why[i][0] ? "broken" : "sound";
}

static void print_line(const struct tree *t, size_t i, unsigned int depth)
{
	const struct ckpt *c = &t->cat.c[i];
	char when[64];

	if (c->state != CKPT_SOUND) {
		printf("  %-16s  %s, %.1f KiB: %s\n", state_of(t, i), ckpt_object(c),
		       (double)c->obj.size / KIB, c->why);
		return;
	}
	printf("  %016" PRIx64 "  %*s%s%-6s %6" PRIu64 "  %s %11.1f KiB %9" PRIu64 " pages\n",
	       catalog_id(c), (int)depth * 2, "", c->is_child ? "+ " : "* ", chain_kind(c),
	       c->seq, chain_time(c->time_ns, when), (double)c->obj.size / KIB, c->pages);
	if (t->why[i][0])
		printf("  %-16s  %*s  %s\n", state_of(t, i), (int)depth * 2, "", t->why[i]);
}

/* The next child of @i that was not shown yet, or cat.nr. */
static size_t next_child(const struct tree *t, size_t i)
{
	size_t k;

	for (k = 0; k < t->cat.nr; k++) {
		if (!t->shown[k] && t->parent[k] == i)
			return k;
	}
	return t->cat.nr;
}

/* One straight line down from @i; the side branches of its members afterwards. */
static void print_branch(struct tree *t, size_t i, unsigned int depth)
{
	size_t at, k;

	for (at = i; at < t->cat.nr; at = next_child(t, at)) {
		t->shown[at] = true;
		print_line(t, at, depth);
	}
	/* Not deeper than a terminal is wide: a chain of branches is drawn flat. */
	if (depth == 16)
		return;
	for (at = 0; at < t->cat.nr; at++) {
		while (t->shown[at] && (k = next_child(t, at)) < t->cat.nr)
			print_branch(t, k, depth + 1);
	}
}

static void print_tree(struct tree *t)
{
	size_t i;

	printf("%s: %zu checkpoint%s\n", t->cat.domain, t->cat.nr, t->cat.nr == 1 ? "" : "s");
	for (i = 0; i < t->cat.nr; i++) {
		if (!t->shown[i] && t->parent[i] == NO_PARENT)
			print_branch(t, i, 0);
	}
	for (i = 0; i < t->cat.nr; i++) {
		if (!t->shown[i])
			print_line(t, i, 0);
	}
}

static void json_tree(const struct tree *t, bool *first)
{
	size_t i;

	for (i = 0; i < t->cat.nr; i++) {
		printf("%s\n {\"domain\": \"%s\", \"state\": \"%s\", ", *first ? "" : ",",
		       t->cat.domain, state_of(t, i));
		chain_json_ckpt(&t->cat.c[i]);
		printf(", \"error\": ");
		cmd_print_json_string(t->why[i][0] ? t->why[i] : NULL);
		printf("}");
		*first = false;
	}
}

static int list_domain(const struct chain_args *a, const char *domain, bool *first)
{
	char why[CATALOG_WHY] = "";
	struct tree t = { 0 };
	int ret = tree_load(&t, a->store, domain, why);

	if (!ret && a->json)
		json_tree(&t, first);
	else if (!ret)
		print_tree(&t);
	tree_free(&t);
	return ret ? chain_say(a->command, ret, why) : CMD_OK;
}

/* Every domain that has objects; the list is sorted by name. */
static int list_all(const struct chain_args *a, bool *first)
{
	struct store_object *list = NULL;
	char domain[STORE_NAME_MAX + 1] = "";
	size_t nr = 0, i, n;
	int ret = store_list(a->store, NULL, &list, &nr);

	if (ret)
		return chain_say(a->command, ret, store_error(a->store));
	for (i = 0; i < nr && !ret; i++) {
		n = strcspn(list[i].name, "/");
		if (n > STORE_NAME_MAX || (strlen(domain) == n &&
					   !strncmp(domain, list[i].name, n)))
			continue;
		memcpy(domain, list[i].name, n);
		domain[n] = '\0';
		ret = list_domain(a, domain, first);
	}
	free(list);
	return ret;
}

int cmd_list(int argc, char **argv)
{
	struct chain_args a;
	bool first = true;
	int ret = chain_args_parse(&a, argc, argv, "list [--json] STORE [DOMAIN]", 1, 2, NULL);

	if (ret != CMD_OK || a.help)
		return ret;
	if (a.json)
		printf("[");
	ret = a.arg[1] ? list_domain(&a, a.arg[1], &first) : list_all(&a, &first);
	if (a.json)
		printf("\n]\n");
	chain_args_close(&a);
	return ret;
}
