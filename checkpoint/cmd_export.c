/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `checkpoint export STORE DOMAIN[@ID] FILE.core`, and with --stream the same
 * checkpoint as one stream that depends on nothing, for `godwit restore`.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "checkpoint/cmd_chain.h"
#include "checkpoint/export.h"
#include "toolstack/lib/io.h"

static void report(const char *path, const struct export_report *r, bool json)
{
	if (json) {
		printf("{\"file\": ");
		cmd_print_json_string(path);
		printf(", \"bytes\": %" PRIu64 ", \"frames\": %" PRIu64 ", \"loads\": %u, "
		       "\"vcpus\": %u, \"vmcoreinfo\": %s, \"truncated\": %s, \"direct_map\": ",
		       r->bytes, r->frames, r->loads, r->vcpus,
		       r->has_vmcoreinfo ? "true" : "false", r->truncated ? "true" : "false");
		if (r->has_direct)
			printf("\"0x%016" PRIx64 "\"}\n", r->direct);
		else
			printf("null}\n");
		return;
	}
	printf("%s: %" PRIu64 " frames, %u segments, registers of %u vcpus%s\n", path, r->frames,
	       r->loads, r->vcpus, r->has_vmcoreinfo ? ", vmcoreinfo" : "");
	if (r->has_direct)
		printf("  direct map at 0x%016" PRIx64 "\n", r->direct);
	else
		printf("  no direct map found: frames lie at their physical addresses\n");
	if (r->truncated)
		printf("  more kernel mappings than a core has room for: some are left out\n");
}

static int put_stream(struct chain *c, int fd, const char *path, char *why)
{
	struct stream_writer *w = NULL;
	struct stream_fd out = { 0 };
	int ret = stream_fd_init(&out, fd, -1);

	if (!ret)
		ret = stream_writer_new(&out.io, &w);
	if (!ret)
		ret = chain_write_merged(c, w, CHAIN_AS_IMAGE);
	if (ret && chain_error(c)[0])
		snprintf(why, CHAIN_WHY, "%s", chain_error(c));
	else if (ret)
		snprintf(why, CHAIN_WHY, "%.200s: %s", path, w && stream_writer_error(w)[0] ?
			 stream_writer_error(w) : strerror(-ret));
	stream_writer_free(w);
	stream_fd_release(&out);
	return ret;
}

/* Complete and durable under its name, or not there. */
static int put_stream_file(struct chain *c, const char *path, char *why)
{
	char tmp[PATH_MAX];
	int fd, ret;

	if (snprintf(tmp, sizeof(tmp), "%s.new", path) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		ret = -errno;
		snprintf(why, CHAIN_WHY, "%.200s: %s", path, strerror(-ret));
		return ret;
	}
	ret = put_stream(c, fd, path, why);
	if (!ret && fsync(fd))
		ret = -errno;
	if (close(fd) && !ret)
		ret = -errno;
	if (!ret && rename(tmp, path))
		ret = -errno;
	if (ret) {
		unlink(tmp);
		return ret;
	}
	ret = io_sync_dir_of(path);
	return ret == -EINVAL ? 0 : ret;
}

static int export_one(const struct chain_args *a, struct chain *c, bool stream, char *why)
{
	const char *path = a->arg[2];
	struct export_report rep;
	int ret;

	if (!stream) {
		ret = export_core(c, path, &rep, why);
		if (!ret)
			report(path, &rep, a->json);
		return ret;
	}
	return strcmp(path, "-") ? put_stream_file(c, path, why) : put_stream(c, 1, path, why);
}

int cmd_export(int argc, char **argv)
{
	bool stream = false;
	const struct chain_option options[] = { { "--stream", &stream, NULL }, { 0 } };
	char why[CHAIN_WHY] = "";
	struct chain_args a;
	struct catalog cat;
	struct chain *c = NULL;
	size_t i;
	int ret = chain_args_parse(&a, argc, argv, "export [--stream] [--json] STORE DOMAIN[@ID] "
				   "FILE", 3, 3, options);

	if (ret != CMD_OK || a.help)
		return ret;
	ret = chain_args_find(&a, a.arg[1], &cat, &i);
	if (ret == CMD_OK) {
		ret = chain_open_at(&cat, i, CHAIN_CHECK, &c, why);
		if (!ret)
			ret = export_one(&a, c, stream, why);
		/* What is not the chain's fault is the file's, whatever its errno. */
		if (ret && c && !chain_error(c)[0]) {
			chain_say(a.command, ret, why);
			ret = CMD_UNREADABLE;
		} else if (ret) {
			ret = chain_say(a.command, ret, why);
		}
	}
	chain_close(c);
	catalog_free(&cat);
	chain_args_close(&a);
	return ret;
}
