/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subcommands of `checkpoint`.  Each takes argc and argv beginning with its
 * own name, prints its result on standard output and one line per failure on
 * standard error, and returns an exit code below.
 */
#ifndef CHECKPOINT_CMD_H
#define CHECKPOINT_CMD_H

#include <stdbool.h>
#include <stdio.h>

enum cmd_exit {
	CMD_OK = 0,
	CMD_REFUSED = 1,	/* the stream is damaged, or not for this reader */
	CMD_USAGE = 2,
	CMD_UNREADABLE = 3,	/* the file cannot be opened or read, or no memory */
};

/* What the subcommands have in common: [--json] [--help] FILE. */
struct cmd_args {
	bool json;
	bool help;
	const char *path;	/* as given */
	FILE *in;		/* opened, standard input for "-" */
};

/**
 * cmd_parse() - options and the file.
 * @a:    result; close with cmd_close()
 * @argc: from the subcommand's name on
 * @argv: the same
 *
 * Return: CMD_OK with @a->in open, or with @a->help and the help printed;
 * CMD_USAGE or CMD_UNREADABLE after saying why.
 */
int cmd_parse(struct cmd_args *a, int argc, char **argv);

/** cmd_close() - close the file; not standard input. */
void cmd_close(struct cmd_args *a);

/** cmd_print_json_string() - @s as a JSON string, quotes included; NULL is null. */
void cmd_print_json_string(const char *s);

/** cmd_print_uuid() - 16 bytes in the usual form. */
void cmd_print_uuid(const unsigned char *uuid);

/** cmd_mode_name() - "save", "live", "checkpoint", or "unknown". */
const char *cmd_mode_name(int mode);

/** cmd_type_name() - GODWIT_PAGE_* without the pinned bit, as a word. */
const char *cmd_type_name(unsigned int type);

int cmd_verify(int argc, char **argv);
int cmd_info(int argc, char **argv);

/** cmd_store() - `checkpoint store`: objects of a store.  Return: exit code. */
int cmd_store(int argc, char **argv);

#endif
