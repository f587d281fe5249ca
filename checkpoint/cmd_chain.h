/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the subcommands of `checkpoint` that work on a store have in common:
 * STORE and DOMAIN[@ID] on the command line, one line for an error, an exit code.
 */
#ifndef CHECKPOINT_CMD_CHAIN_H
#define CHECKPOINT_CMD_CHAIN_H

#include "checkpoint/catalog.h"
#include "checkpoint/cmd.h"

#define CHAIN_CMD_ARGS	4

/* An option without or with a value; the table ends with a NULL name. */
struct chain_option {
	const char *name;	/* "--keep" */
	bool *flag;		/* set, or */
	const char **value;	/* gets the next argument */
};

struct chain_args {
	const char *command;
	bool json, help;
	const char *arg[CHAIN_CMD_ARGS];	/* what is no option, in order */
	int nr;
	struct store *store;
};

/**
 * chain_args_parse() - options and arguments; opens the store that arg[0] names.
 * @a:       result; chain_args_close() it
 * @usage:   one line behind "usage: checkpoint "
 * @min, @max: arguments that are no options
 * @options: beside --json and --help; may be NULL
 *
 * Return: CMD_OK (with @a->help: the help is printed, nothing to do), or an exit
 * code after one line on standard error.
 */
int chain_args_parse(struct chain_args *a, int argc, char **argv, const char *usage, int min,
		     int max, const struct chain_option *options);

/** chain_args_close() - close the store. */
void chain_args_close(struct chain_args *a);

/**
 * chain_args_target() - split DOMAIN[@ID].
 * @text:   the argument
 * @domain: STORE_NAME_MAX + 1 bytes
 *
 * Return: the id, "" if there is none, NULL after one line when the domain's name
 * is too long.
 */
const char *chain_args_target(const struct chain_args *a, const char *text, char *domain);

/**
 * chain_args_find() - load the catalogue of a target and find it there.
 * @cat: catalog_free() it, also after a failure
 * Return: CMD_OK or an exit code, after one line.
 */
int chain_args_find(const struct chain_args *a, const char *text, struct catalog *cat,
		    size_t *i);

/** chain_say() - one line about a failure.  Return: the exit code for @err. */
int chain_say(const char *command, int err, const char *why);

/** chain_time() - "2026-11-20 15:00:00.123 UTC". */
const char *chain_time(uint64_t time_ns, char buf[64]);

/** chain_kind() - "full", "delta" or "merged". */
const char *chain_kind(const struct ckpt *c);

/** chain_json_ckpt() - members of a JSON object about @c, without braces. */
void chain_json_ckpt(const struct ckpt *c);

int cmd_list(int argc, char **argv);
int cmd_chain_info(int argc, char **argv);
int cmd_chain_verify(int argc, char **argv);
int cmd_diff(int argc, char **argv);
int cmd_merge(int argc, char **argv);
int cmd_delete(int argc, char **argv);
int cmd_prune(int argc, char **argv);
int cmd_export(int argc, char **argv);

#endif
