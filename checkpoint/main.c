/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command `checkpoint`: looks at streams kept in files.
 *
 * One table row per subcommand; a subcommand gets argc and argv from its own
 * name on and returns the exit code.
 */
#include <stdio.h>
#include <string.h>

#include "checkpoint/cmd.h"
#include "checkpoint/cmd_standby.h"
#include "checkpoint/cmd_take.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *usage;
	const char *help;
} commands[] = {
	{ "take", cmd_take, "[take] [--full] DOM STORE",
	  "take a checkpoint of a running domain" },
	{ "standby", cmd_standby, "DOM HOST --standby [--every 200ms]",
	  "keep a copy of a running domain on another host" },
	{ "failover", cmd_failover, "failover [--force] DOM",
	  "run the standby that this host keeps" },
	{ "restore", cmd_restore_checkpoint, "restore [--clone] [-n NAME] STORE DOM[@ID]",
	  "make a domain from a checkpoint" },
	{ "verify", cmd_verify, "verify [--json] FILE",
	  "read all of a stream, accept it or name the defect and its place" },
	{ "info", cmd_info, "info [--json] FILE",
	  "show what a stream says about its domain, without unpacking pages" },
	{ "store", cmd_store, "store ls|put|get|rm ...",
	  "objects of a store by hand; `checkpoint store --help`" },
};

static void print_help(FILE *out)
{
	size_t i;

	fprintf(out, "usage: checkpoint COMMAND [OPTIONS]\n\n");
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(out, "  %-24s %s\n", commands[i].usage, commands[i].help);
	fprintf(out,
		"\nFILE may be - for standard input.\n"
		"exit codes: 0 sound, 1 damaged or refused, 2 wrong usage, 3 not readable\n");
}

int main(int argc, char **argv)
{
	size_t i;

	if (argc >= 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help"))) {
		print_help(stdout);
		return CMD_OK;
	}
	for (i = 0; argc >= 2 && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	}
	for (i = 1; i < (size_t)argc; i++) {
		if (!strcmp(argv[i], "--standby"))
			return cmd_standby(argc, argv);
	}
	if (argc >= 3) {
		argv[0] = (char *)"take";	/* checkpoint DOM STORE */
		return cmd_take(argc, argv);
	}
	if (argc >= 2)
		fprintf(stderr, "checkpoint: unknown command '%s'\n", argv[1]);
	print_help(stderr);
	return CMD_USAGE;
}
