// SPDX-License-Identifier: Apache-2.0
/*
 * Command lines: options, usage, exit codes (cmd.h).  The table of commands is the
 * program's own.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "toolstack/cmd.h"
#include "toolstack/lib/log.h"

#define MAX_OPTIONS 16
#define NUMBER_MAX 1000000ul

volatile sig_atomic_t cmd_signal;

static void note_signal(int sig)
{
	cmd_signal = sig;
}

void cmd_catch_signals(void)
{
	struct sigaction sa = { .sa_handler = note_signal };

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
}

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

	fprintf(stderr, "usage: %s %s %s\n", program_invocation_short_name, name, c ? c->args : "");
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
			printf("usage: %s %s %s\n", program_invocation_short_name, argv[0],
			       cmd_find(argv[0])->args);
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
