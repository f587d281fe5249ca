/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of `godwit`: one const table (commands.c), one function each.
 *
 * A function gets its own argv (argv[0] is the command's name), parses it with
 * cmd_options() and returns an exit code.
 */
#ifndef TOOLSTACK_CMD_H
#define TOOLSTACK_CMD_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

/* Exit codes, as `godwit help` and godwit(1) list them. */
enum cmd_exit {
	CMD_OK = 0,
	CMD_FAILED = 1,		/* the operation failed; the message says why */
	CMD_USAGE = 2,		/* wrong command line or configuration file */
	CMD_NO_DOMAIN = 3,	/* no such domain */
	CMD_EXISTS = 4,		/* the name is taken */
	CMD_TIMEOUT = 5,	/* the domain did not do it in time */
	CMD_NO_HOST = 6,	/* not the dom0 of a hypervisor, or no daemon */
};

struct command {
	const char *name;
	const char *args;	/* after the name, for the usage line */
	const char *summary;	/* one line; NULL = not listed by help */
	int (*run)(int argc, char **argv);
};

/** The table, ended by a row without name. */
extern const struct command commands[];

/** cmd_find() - a row by name, NULL if there is none. */
const struct command *cmd_find(const char *name);

/** cmd_exit_code() - exit code for a 0 or -errno result. */
int cmd_exit_code(int ret);

/** cmd_usage_error() - print the usage line of a command; gives CMD_USAGE. */
int cmd_usage_error(const char *name);

/** A value that an option sets. */
struct cmd_option {
	const char *name;	/* long, without -- */
	char letter;		/* or 0 */
	bool *flag;		/* set to true; or ... */
	const char **text;	/* ... set to the argument; or ... */
	unsigned int *number;	/* ... to a number, up to 1e6 */
};

/**
 * cmd_options() - take the options of a command.
 * @options: ended by a row without name; --json and --help need no row
 * @json:    set by --json (a global --json has set the default); may be NULL
 * @min:     fewest remaining arguments
 * @max:     most
 *
 * Return: index of the first remaining argument; or -1, then *code is what the
 * command returns.
 */
int cmd_options(int argc, char **argv, const struct cmd_option *options, bool *json,
		int min, int max, int *code);

/** cmd_signal - the signal that came last after cmd_catch_signals(), 0: none. */
extern volatile sig_atomic_t cmd_signal;

/** cmd_catch_signals() - from now on SIGINT, SIGTERM and SIGHUP are only noted. */
void cmd_catch_signals(void);

/** cmd_json_default() - --json given before the command. */
void cmd_json_default(bool on);

int cmd_create(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_console(int argc, char **argv);
int cmd_pause(int argc, char **argv);
int cmd_unpause(int argc, char **argv);
int cmd_shutdown(int argc, char **argv);
int cmd_reboot(int argc, char **argv);
int cmd_destroy(int argc, char **argv);
int cmd_dmesg(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_rename(int argc, char **argv);
int cmd_weight(int argc, char **argv);
int cmd_monitor(int argc, char **argv);
int cmd_help(int argc, char **argv);

/**
 * cmd_program() - a command that is a program of its own beside this one.
 *
 * It is not linked in: `godwit list` shall not load its libraries.
 */
int cmd_program(int argc, char **argv);

/**
 * console_attach() - join this terminal and a domain's console.
 * @domid: whose; its pty is waited for a few seconds
 *
 * Ends at Ctrl-], when the console closes or the domain is gone.
 * Return: 0, -errno (logged).
 */
struct toolstack;
int console_attach(struct toolstack *ts, unsigned int domid);

#endif
