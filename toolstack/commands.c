// SPDX-License-Identifier: Apache-2.0
/* The table of commands and what all of them share: see cmd.h. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/cmd_save.h"
#include "toolstack/cmd.h"
#include "toolstack/lib/log.h"

#define MAX_OPTIONS 16
#define NUMBER_MAX 1000000ul

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
	{ "top", "[-d SECONDS] [-n TIMES]", "CPU use of the domains", cmd_top },
	{ "dmesg", "[-c]", "messages of the hypervisor", cmd_dmesg },
	{ "help", "[COMMAND]", "this text", cmd_help },
	{ "monitor", "DOM", NULL, cmd_monitor },
	{ NULL, NULL, NULL, NULL },
};

static bool json_default;

void cmd_json_default(bool on)
{
	json_default = on;
}

const struct command *cmd_find(const char *name)
{
	const struct command *c;

	for (c = commands; c->name; c++)
		if (!strcmp(c->name, name))
			return c;
	return NULL;
}

int cmd_exit_code(int ret)
{
	switch (ret) {
	case 0:
		return CMD_OK;
	case -ESRCH:
		return CMD_NO_DOMAIN;
	case -EEXIST:
		return CMD_EXISTS;
	case -ETIMEDOUT:
		return CMD_TIMEOUT;
	default:
		return CMD_FAILED;
	}
}

int cmd_usage_error(const char *name)
{
	const struct command *c = cmd_find(name);

	fprintf(stderr, "usage: godwit %s %s\n", name, c ? c->args : "");
	return CMD_USAGE;
}

/* --- options ------------------------------------------------------------------------- */

static bool take_option(const struct cmd_option *o, const char *arg)
{
	unsigned long n;
	char *end;

	if (o->flag) {
		*o->flag = true;
	} else if (o->text) {
		*o->text = arg;
	} else {
		n = strtoul(arg, &end, 10);
		if (end == arg || *end || arg[0] == '-' || n > NUMBER_MAX) {
			log_err("--%s: \"%s\" is not a number up to %lu", o->name, arg,
				NUMBER_MAX);
			return false;
		}
		*o->number = (unsigned int)n;
	}
	return true;
}

int cmd_options(int argc, char **argv, const struct cmd_option *options, bool *json,
		int min, int max, int *code)
{
	struct option longs[MAX_OPTIONS + 3] = { 0 };
	char shorts[MAX_OPTIONS * 2 + 3] = "h";
	size_t n = 0, s = 1;
	int c;

	/* Values of 256 on cannot be letters: they number the rows. */
	for (; options && options[n].name && n < MAX_OPTIONS; n++) {
		longs[n] = (struct option){ options[n].name, !options[n].flag, NULL,
					    256 + (int)n };
		if (options[n].letter) {
			shorts[s++] = options[n].letter;
			if (!options[n].flag)
				shorts[s++] = ':';
		}
	}
	longs[n] = (struct option){ "help", no_argument, NULL, 'h' };
	longs[n + 1] = (struct option){ "json", no_argument, NULL, 'J' };
	if (json)
		*json = json_default;
	*code = CMD_USAGE;
	optind = 0;
	while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		size_t i = c >= 256 ? (size_t)(c - 256) : 0;

		if (c == 'h') {
			printf("usage: godwit %s %s\n", argv[0], cmd_find(argv[0])->args);
			*code = CMD_OK;
			return -1;
		}
		if (c == 'J' && json) {
			*json = true;
			continue;
		}
		if (c == '?' || c == 'J')
			goto usage;
		if (c < 256)
			while (options[i].letter != c)
				i++;
		if (!take_option(&options[i], optarg))
			return -1;
	}
	if (argc - optind >= min && (max < 0 || argc - optind <= max))
		return optind;
usage:
	cmd_usage_error(argv[0]);
	return -1;
}

/* --- help -------------------------------------------------------------------------------- */

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
