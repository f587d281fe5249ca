/* SPDX-License-Identifier: Apache-2.0 */
/* What the subcommands of `checkpoint` share; see checkpoint/cmd.h. */
#include <errno.h>
#include <string.h>

#include "checkpoint/cmd.h"
#include "checkpoint/proto/stream.pb-c.h"
#include "hypervisor/include/public/godwit.h"

static int open_input(struct cmd_args *a)
{
	if (!strcmp(a->path, "-")) {
		a->in = stdin;
		return CMD_OK;
	}
	a->in = fopen(a->path, "re");
	if (a->in)
		return CMD_OK;
	fprintf(stderr, "checkpoint: %s: %s\n", a->path, strerror(errno));
	return CMD_UNREADABLE;
}

int cmd_parse(struct cmd_args *a, int argc, char **argv)
{
	int i;

	*a = (struct cmd_args){ 0 };
	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json")) {
			a->json = true;
		} else if (!strcmp(argv[i], "--help")) {
			a->help = true;
			printf("usage: checkpoint %s [--json] FILE\n", argv[0]);
			return CMD_OK;
		} else if ((argv[i][0] == '-' && argv[i][1]) || a->path) {
			fprintf(stderr, "checkpoint %s: unexpected '%s'\n", argv[0], argv[i]);
			return CMD_USAGE;
		} else {
			a->path = argv[i];
		}
	}
	if (!a->path) {
		fprintf(stderr, "usage: checkpoint %s [--json] FILE\n", argv[0]);
		return CMD_USAGE;
	}
	return open_input(a);
}

void cmd_close(struct cmd_args *a)
{
	if (a->in && a->in != stdin)
		fclose(a->in);
}

void cmd_print_json_string(const char *s)
{
	if (!s) {
		printf("null");
		return;
	}
	putchar('"');
	for (; *s; s++) {
		unsigned char ch = (unsigned char)*s;

		/* Bytes of UTF-8 pass; what is no UTF-8 is the writer's doing. */
		if (ch == '"' || ch == '\\')
			printf("\\%c", ch);
		else if (ch < 0x20 || ch == 0x7f)
			printf("\\u%04x", ch);
		else
			putchar(ch);
	}
	putchar('"');
}

void cmd_print_uuid(const unsigned char *uuid)
{
	unsigned int i;

	for (i = 0; i < 16; i++)
		printf("%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
}

const char *cmd_mode_name(int mode)
{
	switch (mode) {
	case STREAM__MODE__SAVE: return "save";
	case STREAM__MODE__LIVE: return "live";
	case STREAM__MODE__CHECKPOINT: return "checkpoint";
	default: return "unknown";
	}
}

const char *cmd_type_name(unsigned int type)
{
	static const char *const names[] = {
		[GODWIT_PAGE_DATA] = "data", [GODWIT_PAGE_ZERO] = "zero",
		[GODWIT_PAGE_L1] = "l1", [GODWIT_PAGE_L2] = "l2", [GODWIT_PAGE_L3] = "l3",
		[GODWIT_PAGE_L4] = "l4", [GODWIT_PAGE_P2M] = "p2m",
		[GODWIT_PAGE_ABSENT] = "absent", [GODWIT_PAGE_DELTA] = "delta",
	};

	return type < sizeof(names) / sizeof(names[0]) && names[type] ? names[type] : "unknown";
}
