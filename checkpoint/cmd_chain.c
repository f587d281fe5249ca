/* SPDX-License-Identifier: Apache-2.0 */
/* See checkpoint/cmd_chain.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "checkpoint/cmd_chain.h"

int chain_say(const char *command, int err, const char *why)
{
	fprintf(stderr, "checkpoint %s: %s\n", command, why[0] ? why : strerror(-err));
	switch (err) {
	case -ENOENT:		/* no such checkpoint, or a parent is missing */
	case -ENOTUNIQ:
	case -ELOOP:
	case -E2BIG:
	case -EBADMSG:
	case -ENODATA:
	case -EPROTO:
	case -EPROTONOSUPPORT:
	case -EOPNOTSUPP:
	case -EBUSY:		/* others depend on it */
	case -EEXIST:
		return CMD_REFUSED;
	case -EINVAL:
	case -ENAMETOOLONG:
		return CMD_USAGE;
	default:
		return CMD_UNREADABLE;
	}
}

static const struct chain_option *find_option(const struct chain_option *o, const char *name)
{
	for (; o && o->name; o++) {
		if (!strcmp(o->name, name))
			return o;
	}
	return NULL;
}

/* Return: CMD_OK; CMD_USAGE after saying why. */
static int parse_one(struct chain_args *a, int argc, char **argv, int *i, int max,
		     const struct chain_option *options)
{
	const struct chain_option *o = find_option(options, argv[*i]);

	if (!strcmp(argv[*i], "--json")) {
		a->json = true;
	} else if (!strcmp(argv[*i], "--help")) {
		a->help = true;
	} else if (o && o->flag) {
		*o->flag = true;
	} else if (o && *i + 1 < argc) {
		*o->value = argv[++*i];
	} else if (o) {
		fprintf(stderr, "checkpoint %s: %s needs a value\n", a->command, o->name);
		return CMD_USAGE;
	} else if ((argv[*i][0] == '-' && argv[*i][1]) || a->nr == max) {
		fprintf(stderr, "checkpoint %s: unexpected '%s'\n", a->command, argv[*i]);
		return CMD_USAGE;
	} else {
		a->arg[a->nr++] = argv[*i];
	}
	return CMD_OK;
}

int chain_args_parse(struct chain_args *a, int argc, char **argv, const char *usage, int min,
		     int max, const struct chain_option *options)
{
	char why[200] = "";
	int i, ret;

	*a = (struct chain_args){ .command = argv[0] };
	for (i = 1; i < argc; i++) {
		ret = parse_one(a, argc, argv, &i, max, options);
		if (ret != CMD_OK)
			return ret;
	}
	if (a->help) {
		printf("usage: checkpoint %s\n", usage);
		return CMD_OK;
	}
	if (a->nr < min) {
		fprintf(stderr, "usage: checkpoint %s\n", usage);
		return CMD_USAGE;
	}
	ret = store_open(a->arg[0], &a->store, why);
	return ret ? chain_say(a->command, ret, why) : CMD_OK;
}

void chain_args_close(struct chain_args *a)
{
	store_close(a->store);
	a->store = NULL;
}

const char *chain_args_target(const struct chain_args *a, const char *text, char *domain)
{
	size_t n = strcspn(text, "@");

	if (!n || n > STORE_NAME_MAX) {
		fprintf(stderr, "checkpoint %s: '%.60s': the domain's name has 1..%u bytes\n",
			a->command, text, STORE_NAME_MAX);
		return NULL;
	}
	memcpy(domain, text, n);
	domain[n] = '\0';
	return text[n] ? text + n + 1 : "";
}

int chain_args_find(const struct chain_args *a, const char *text, struct catalog *cat, size_t *i)
{
	char domain[STORE_NAME_MAX + 1], why[CATALOG_WHY] = "";
	const char *id = chain_args_target(a, text, domain);
	int ret;

	*cat = (struct catalog){ 0 };
	if (!id)
		return CMD_USAGE;
	ret = catalog_load(cat, a->store, domain, why);
	if (!ret)
		ret = catalog_find(cat, id, i, why);
	return ret ? chain_say(a->command, ret, why) : CMD_OK;
}

const char *chain_time(uint64_t time_ns, char buf[64])
{
	time_t t = (time_t)(time_ns / 1000000000);
	struct tm tm;
	size_t n;

	if (!gmtime_r(&t, &tm))
		return "at an unknown time";
	n = strftime(buf, 64, "%Y-%m-%d %H:%M:%S", &tm);
	snprintf(buf + n, 64 - n, ".%03u UTC", (unsigned int)(time_ns / 1000000 % 1000));
	return buf;
}

const char *chain_kind(const struct ckpt *c)
{
	return c->is_child ? "delta" : c->has_replaces ? "merged" : "full";
}

static void json_hash(const char *name, bool there, uint64_t hash)
{
	if (there)
		printf(", \"%s\": \"%016" PRIx64 "\"", name, hash);
	else
		printf(", \"%s\": null", name);
}

void chain_json_ckpt(const struct ckpt *c)
{
	unsigned int i;

	printf("\"object\": \"%s\", \"size\": %" PRIu64, c->obj.name, c->obj.size);
	if (c->state != CKPT_SOUND)
		return;
	printf(", \"id\": \"%016" PRIx64 "\"", catalog_id(c));
	json_hash("hash", true, c->hash);
	printf(", \"kind\": \"%s\", \"seq\": %" PRIu64 ", \"time_ns\": %" PRIu64
	       ", \"pages\": %" PRIu64 ", \"data_pages\": %" PRIu64 ", \"indexed\": %s",
	       chain_kind(c), c->seq, c->time_ns, c->pages, c->data_pages,
	       c->indexed ? "true" : "false");
	json_hash("parent", c->is_child, c->parent_hash);
	json_hash("replaces", c->has_replaces, c->replaces);
	printf(", \"chain\": ");
	if (c->in_chain)
		putchar('"');
	for (i = 0; c->in_chain && i < sizeof(c->chain_id); i++)
		printf("%02x", c->chain_id[i]);
	printf(c->in_chain ? "\"" : "null");
	printf(", \"name\": ");
	cmd_print_json_string(c->domain);
}
