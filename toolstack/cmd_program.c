// SPDX-License-Identifier: Apache-2.0
/* godwit migrate, godwit checkpoint: programs beside this one, see cmd.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "toolstack/cmd.h"
#include "toolstack/lib/log.h"

int cmd_program(int argc, char **argv)
{
	char path[512];
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *slash;

	/* A command of checkpoint's: the program is told which. */
	if (!strcmp(argv[0], "failover")) {
		const char *program = "checkpoint";
		char *with[16] = { (char *)program };

		for (int i = 0; i < argc && i < 14; i++)
			with[i + 1] = argv[i];
		return cmd_program(argc + 1 > 15 ? 15 : argc + 1, with);
	}
	path[len > 0 ? len : 0] = '\0';
	slash = strrchr(path, '/');
	/* The one of the same build first, then whatever PATH has. */
	if (slash && slash + 1 + strlen(argv[0]) < path + sizeof(path)) {
		strcpy(slash + 1, argv[0]);
		execv(path, argv);
	}
	execvp(argv[0], argv);
	log_errno(errno, "cannot run %s", argv[0]);
	return CMD_FAILED;
}
