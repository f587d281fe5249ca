/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command `checkpoint`: looks at streams kept in files, and works on chains
 * of them in stores.
 *
 * One table row per subcommand; a subcommand gets argc and argv from its own
 * name on and returns the exit code.
 */
#include <stdio.h>
#include <string.h>

#include "checkpoint/cmd.h"
#include "checkpoint/cmd_chain.h"
#include "checkpoint/cmd_standby.h"
#include "checkpoint/cmd_take.h"
#include "checkpoint/guard.h"

/* FILE, or STORE and DOMAIN: as many arguments that are no options. */
static int count_plain(int argc, char **argv)
{
	int i, nr = 0;

	for (i = 1; i < argc; i++)
		nr += argv[i][0] != '-' || !argv[i][1];
	return nr;
}

static int run_verify(int argc, char **argv)
{
	return (count_plain(argc, argv) == 2 ? cmd_chain_verify : cmd_verify)(argc, argv);
}

static int run_info(int argc, char **argv)
{
	return (count_plain(argc, argv) == 2 ? cmd_chain_info : cmd_info)(argc, argv);
}

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *usage;
	const char *help;
} commands[] = {
	{ "take", cmd_take, "[take] [--full] DOM STORE",
	  "take a checkpoint of a running domain" },
	{ "take", cmd_take, "[take] DOM STORE --every 5s",
	  "from now on take one every so often" },
	{ "schedule", cmd_schedule, "schedule list|stop ...", "what is taken every so often" },
	{ "standby", cmd_standby, "DOM HOST --standby [--every 200ms]",
	  "keep a copy of a running domain on another host" },
	{ "failover", cmd_failover, "failover [--force] DOM",
	  "run the standby that this host keeps" },
	{ "restore", cmd_restore_checkpoint, "restore [--lazy] [--clone] [-n NAME] STORE DOM[@ID]",
	  "make a domain from a checkpoint" },
	{ "verify", run_verify, "verify FILE",
	  "read all of a stream, accept it or name the defect and its place" },
	{ "info", run_info, "info FILE",
	  "show what a stream says about its domain, without unpacking pages" },
	{ "list", cmd_list, "list STORE [DOMAIN]", "checkpoints as a tree by chain" },
	{ "info", run_info, "info STORE DOMAIN[@ID]", "one checkpoint and what it stands on" },
	{ "verify", run_verify, "verify STORE DOMAIN[@ID]",
	  "every byte of a checkpoint and of what it stands on" },
	{ "diff", cmd_diff, "diff STORE DOMAIN@A DOMAIN@B", "pages that differ, by kind" },
	{ "merge", cmd_merge, "merge [--keep] STORE DOMAIN[@ID]",
	  "make it a full one, which stands on nothing" },
	{ "delete", cmd_delete, "delete [--chain] STORE DOMAIN@ID",
	  "remove it; --chain: and what stands on it" },
	{ "prune", cmd_prune, "prune STORE DOMAIN --keep N",
	  "keep the newest N restorable, merge and delete the rest" },
	{ "export", cmd_export, "export STORE DOMAIN[@ID] FILE.core",
	  "an ELF core for gdb or crash; --stream: one stream, for restore" },
	{ "store", cmd_store, "store ls|put|get|rm ...",
	  "objects of a store by hand; `checkpoint store --help`" },
};

static void print_help(FILE *out)
{
	size_t i;

	fprintf(out, "usage: checkpoint COMMAND [OPTIONS]\n\n");
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(out, "  %-34s %s\n", commands[i].usage, commands[i].help);
	fprintf(out,
		"\nFILE may be - for standard input.  --json and --help go with each.\n"
		"STORE: a directory, http(s)://HOST[:PORT]/PREFIX/, s3://BUCKET/PREFIX\n"
		"ID: a stream hash in hex or its front, a number in the newest chain, latest\n"
		"exit codes: 0 done, sound; 1 damaged, refused, not there, depended on;\n"
		"            2 wrong usage; 3 not readable or not writable\n");
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
	if (argc >= 2 && !strcmp(argv[1], "guard"))
		return guard_main(argc - 1, argv + 1);
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
