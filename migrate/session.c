// SPDX-License-Identifier: Apache-2.0
/* The drawings of session.h as tables. */
#include "migrate/session.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define BIT(s) (1u << (s))

struct state_row {
	const char *name;
	unsigned int to;		/* BIT() of each legal successor */
};

static const struct state_row source_rows[SOURCE_NR_STATES] = {
	[SOURCE_PREPARING] = { "preparing", BIT(SOURCE_COPYING) | BIT(SOURCE_KEPT) },
	[SOURCE_COPYING] = { "copying", BIT(SOURCE_STOPPED) | BIT(SOURCE_KEPT) },
	[SOURCE_STOPPED] = { "stopped", BIT(SOURCE_HANDED_OVER) | BIT(SOURCE_KEPT) },
	[SOURCE_HANDED_OVER] = { "handed-over", BIT(SOURCE_MOVED) | BIT(SOURCE_KEPT) },
	[SOURCE_MOVED] = { "moved", 0 },
	[SOURCE_KEPT] = { "kept", 0 },
};

static const struct state_row target_rows[TARGET_NR_STATES] = {
	[TARGET_PREPARING] = { "preparing", BIT(TARGET_PREPARED) | BIT(TARGET_ABORTED) },
	[TARGET_PREPARED] = { "prepared", BIT(TARGET_RECEIVING) | BIT(TARGET_ABORTED) },
	[TARGET_RECEIVING] = { "receiving", BIT(TARGET_READY) | BIT(TARGET_ABORTED) },
	[TARGET_READY] = { "ready", BIT(TARGET_OWNER) | BIT(TARGET_ABORTED) },
	[TARGET_OWNER] = { "owner", BIT(TARGET_RUNNING) },
	[TARGET_RUNNING] = { "running", 0 },
	[TARGET_ABORTED] = { "aborted", 0 },
};

static int parse(const struct state_row *rows, int nr, const char *name)
{
	for (int i = 0; name && i < nr; i++)
		if (!strcmp(rows[i].name, name))
			return i;
	return -EINVAL;
}

const char *source_state_name(enum source_state s)
{
	return source_rows[s].name;
}

int source_state_parse(const char *name, enum source_state *s)
{
	int i = parse(source_rows, SOURCE_NR_STATES, name);

	if (i < 0)
		return i;
	*s = i;
	return 0;
}

bool source_may(enum source_state from, enum source_state to)
{
	return source_rows[from].to & BIT(to);
}

const char *target_state_name(enum target_state s)
{
	return target_rows[s].name;
}

int target_state_parse(const char *name, enum target_state *s)
{
	int i = parse(target_rows, TARGET_NR_STATES, name);

	if (i < 0)
		return i;
	*s = i;
	return 0;
}

bool target_may(enum target_state from, enum target_state to)
{
	return target_rows[from].to & BIT(to);
}

bool target_state_owns(enum target_state s)
{
	return s == TARGET_OWNER || s == TARGET_RUNNING;
}
