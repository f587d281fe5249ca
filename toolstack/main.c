// SPDX-License-Identifier: Apache-2.0
/* godwit: the command that makes, shows and ends domains. */
#include <signal.h>
#include <string.h>

#include "toolstack/cmd.h"
#include "toolstack/lib/log.h"

int main(int argc, char **argv)
{
	const struct command *command;
	char *help[] = { (char[]){ "help" }, NULL };
	int i;

	log_init("godwit", LOG_LEVEL_INFO);
	/* A reader that went away shows as a write error, not as a silent death. */
	signal(SIGPIPE, SIG_IGN);
	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		if (!strcmp(argv[i], "--json")) {
			cmd_json_default(true);
		} else if (!strcmp(argv[i], "-v") || !strcmp(argv[i], "--verbose")) {
			log_init("godwit", LOG_LEVEL_DEBUG);
		} else if (!strcmp(argv[i], "-h") || !strcmp(argv[i], "--help")) {
			return cmd_help(1, help);
		} else {
			log_err("unknown option %s; see godwit help", argv[i]);
			return CMD_USAGE;
		}
	}
	if (i == argc) {
		cmd_help(1, help);
		return CMD_USAGE;
	}
	command = cmd_find(argv[i]);
	if (!command) {
		log_err("unknown command \"%s\"; see godwit help", argv[i]);
		return CMD_USAGE;
	}
	return command->run(argc - i, argv + i);
}
