// SPDX-License-Identifier: Apache-2.0
/* The table of commands of godwit(1), and help. */
#include <stdio.h>
#include <string.h>

#include "checkpoint/cmd_save.h"
#include "toolstack/cmd.h"
#include "toolstack/lib/log.h"

const struct command commands[] = {
	{ "create", "[-p] [-c] [--no-monitor] FILE [KEY=VALUE ...]",
	  "make a domain from a configuration file", cmd_create },
	{ "list", "[DOM]", "domains, memory, state, CPU time", cmd_list },
	{ "info", "[DOM]", "facts of the host or of a domain", cmd_info },
	{ "console", "DOM", "join a domain's console; Ctrl-] leaves", cmd_console },
	{ "pause", "DOM", "stop a domain's CPUs", cmd_pause },
	{ "unpause", "DOM", "let them run again", cmd_unpause },
	{ "shutdown", "[-w] [-t SECONDS] DOM", "ask a domain to power off", cmd_shutdown },
	{ "reboot", "[-w] [-t SECONDS] DOM", "ask a domain to reboot", cmd_reboot },
	{ "destroy", "DOM", "remove a domain at once", cmd_destroy },
	{ "rename", "DOM NAME", "give a domain another name", cmd_rename },
	{ "weight", "DOM [WEIGHT]", "show or set a domain's share of the CPUs", cmd_weight },
	{ "save", "[-k] [-t SECONDS] DOM FILE", "suspend a domain into a file", cmd_save },
	{ "restore", "[-p] [-n NAME] [--no-monitor] FILE", "make a saved domain run again",
	  cmd_restore },
	{ "migrate", "[OPTION ...] DOM HOST[:PORT]", "move a domain to another host: migrate(1)",
	  cmd_program },
	{ "checkpoint", "[OPTION ...] ...", "look at stream files: checkpoint(1)", cmd_program },
	{ "failover", "[--force] DOM", "run the standby of a domain that this host keeps",
	  cmd_program },
	{ "top", "[-d SECONDS] [-n TIMES]", "CPU use of the domains", cmd_top },
	{ "dmesg", "[-c]", "messages of the hypervisor", cmd_dmesg },
	{ "help", "[COMMAND]", "this text", cmd_help },
	{ "monitor", "DOM", NULL, cmd_monitor },
	{ NULL, NULL, NULL, NULL },
};

static void print_overview(void)
{
	const struct command *c;

	printf("usage: godwit [--json] [-v] COMMAND ...\n\n");
	for (c = commands; c->name; c++)
		if (c->summary)
			printf("  %-10s %s\n", c->name, c->summary);
	printf("\n`godwit COMMAND --help` shows a command's arguments; DOM is a name or an id.\n"
	       "--json prints for scripts.  -v tells more.\n\n"
	       "exit codes: 0 done, 1 failed, 2 wrong command line or configuration,\n"
	       "  3 no such domain, 4 name taken, 5 timed out, 6 not in a dom0\n");
}

int cmd_help(int argc, char **argv)
{
	const struct command *c;

	if (argc < 2) {
		print_overview();
		return CMD_OK;
	}
	c = cmd_find(argv[1]);
	if (!c || !c->summary) {
		log_err("there is no command \"%s\"", argv[1]);
		return CMD_USAGE;
	}
	printf("usage: godwit %s %s\n  %s\n", c->name, c->args, c->summary);
	return CMD_OK;
}
