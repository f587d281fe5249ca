/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `checkpoint store`: objects of a store by hand, as bytes.  What checkpoints
 * mean is not known here; docs/stores.md.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checkpoint/cmd.h"
#include "checkpoint/store.h"

#define CHUNK	(1u << 20)

static const char usage[] =
	"usage: checkpoint store ls [--json] STORE [DOMAIN]\n"
	"       checkpoint store put STORE DOMAIN/OBJECT < FILE\n"
	"       checkpoint store get STORE DOMAIN/OBJECT [OFFSET LENGTH] > FILE\n"
	"       checkpoint store rm STORE DOMAIN/OBJECT\n"
	"STORE: a directory, http(s)://HOST[:PORT]/PREFIX/, s3://BUCKET/PREFIX\n";

/* One line; the errno's name is for scripts. */
static int failed(struct store *s, const char *name, int err)
{
	const char *code = strerrorname_np(-err), *why = s ? store_error(s) : "";

	fprintf(stderr, "checkpoint store: %s [%s]\n", *why ? why : name, code ? code : "?");
	return CMD_REFUSED;
}

static int run_ls(struct store *s, const char *domain, bool json)
{
	struct store_object *list;
	size_t nr, i;
	int ret = store_list(s, domain, &list, &nr);

	if (ret)
		return failed(s, "ls", ret);
	if (json)
		putchar('[');
	for (i = 0; i < nr; i++) {
		if (json)
			printf("%s\n {\"name\": \"%s\", \"size\": %" PRIu64 ", \"mtime_ns\": %" PRId64
			       "}", i ? "," : "", list[i].name, list[i].size, list[i].mtime_ns);
		else
			printf("%14" PRIu64 "  %s\n", list[i].size, list[i].name);
	}
	if (json)
		printf("\n]\n");
	free(list);
	return CMD_OK;
}

static ssize_t read_some(void *buf)
{
	ssize_t n;

	do
		n = read(STDIN_FILENO, buf, CHUNK);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static int copy_in(struct store *s, const char *name, void *buf)
{
	struct store_put *p;
	ssize_t n;
	int ret = store_put_begin(s, name, &p);

	if (ret)
		return ret;
	while ((n = read_some(buf)) > 0) {
		ret = store_put_write(p, buf, (size_t)n);
		if (ret)
			break;
	}
	if (n < 0 || ret) {
		store_put_abort(p);
		return ret ? ret : (int)n;
	}
	return store_put_commit(p);
}

static int copy_out(struct store *s, const char *name, uint64_t offset, uint64_t len, void *buf)
{
	while (len) {
		ssize_t n = store_get(s, name, offset, buf, len < CHUNK ? len : CHUNK);

		if (n < 0)
			return (int)n;
		if (!n)
			return 0;
		if (fwrite(buf, 1, (size_t)n, stdout) != (size_t)n)
			return -EIO;
		offset += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return fflush(stdout) ? -errno : 0;
}

static bool number(const char *text, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno;
}

static int run_copy(struct store *s, int argc, char **argv)
{
	uint64_t offset = 0, len = UINT64_MAX;
	void *buf;
	int ret;

	if (argc == 5 && (!number(argv[3], &offset) || !number(argv[4], &len))) {
		fputs(usage, stderr);
		return CMD_USAGE;
	}
	buf = malloc(CHUNK);
	if (!buf)
		return failed(s, argv[2], -ENOMEM);
	ret = !strcmp(argv[0], "put") ? copy_in(s, argv[2], buf) :
	      copy_out(s, argv[2], offset, len, buf);
	free(buf);
	return ret ? failed(s, argv[2], ret) : CMD_OK;
}

/* argv: verb, STORE, arguments; their number is right. */
static int run(int argc, char **argv, bool json)
{
	struct store *s;
	char why[200];
	int ret = store_open(argv[1], &s, why);

	if (ret) {
		fprintf(stderr, "checkpoint store: %s [%s]\n", why, strerrorname_np(-ret));
		return CMD_UNREADABLE;
	}
	if (!strcmp(argv[0], "ls")) {
		ret = run_ls(s, argv[2], json);
	} else if (!strcmp(argv[0], "rm")) {
		ret = store_delete(s, argv[2]);
		ret = ret ? failed(s, argv[2], ret) : CMD_OK;
	} else {
		ret = run_copy(s, argc, argv);
	}
	store_close(s);
	return ret;
}

static bool right_number(const char *verb, int argc)
{
	if (!strcmp(verb, "ls"))
		return argc == 2 || argc == 3;
	if (!strcmp(verb, "get"))
		return argc == 3 || argc == 5;
	return (!strcmp(verb, "put") || !strcmp(verb, "rm")) && argc == 3;
}

int cmd_store(int argc, char **argv)
{
	bool json = false;

	argc--;
	argv++;
	if (argc && (!strcmp(argv[0], "--help") || !strcmp(argv[0], "help"))) {
		fputs(usage, stdout);
		return CMD_OK;
	}
	if (argc >= 2 && !strcmp(argv[0], "ls") && !strcmp(argv[1], "--json")) {
		json = true;
		argv[1] = argv[0];
		argc--;
		argv++;
	}
	if (!argc || !right_number(argv[0], argc)) {
		fputs(usage, stderr);
		return CMD_USAGE;
	}
	return run(argc, argv, json);
}
