/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `checkpoint info FILE`: what a stream says about its domain.  Reads the whole
 * file through the library (so its checksums hold), but unpacks no page.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/cmd.h"
#include "checkpoint/stream.h"

static void text_domain(const Stream__DomainInfo *d)
{
	size_t i;

	printf("domain:     %s\nuuid:       ", d->name);
	cmd_print_uuid(d->uuid.data);
	printf("\nvcpus:      %u\nmemory:     %" PRIu64 " KiB, at most %" PRIu64 " KiB\n",
	       d->vcpus, d->target_mem_kb, d->max_mem_kb);
	printf("pfn limit:  %" PRIu64 "\n", d->pfn_limit);
	for (i = 0; i < d->n_vifs; i++)
		printf("vif %u:      mac %s, bridge %s, ip %s\n", d->vifs[i]->devid,
		       d->vifs[i]->mac, d->vifs[i]->bridge ? d->vifs[i]->bridge : "-",
		       d->vifs[i]->ip ? d->vifs[i]->ip : "-");
	if (d->n_cpuid)
		printf("cpuid:      %zu leaves, xcr0 0x%" PRIx64 ", tsc %" PRIu64 " kHz\n",
		       d->n_cpuid, d->xcr0, d->tsc_khz);
}

static void json_domain(const Stream__DomainInfo *d)
{
	size_t i;

	printf(",\n \"name\": ");
	cmd_print_json_string(d->name);
	printf(", \"uuid\": \"");
	cmd_print_uuid(d->uuid.data);
	printf("\", \"vcpus\": %u, \"pfn_limit\": %" PRIu64 ", \"target_mem_kb\": %" PRIu64
	       ", \"max_mem_kb\": %" PRIu64 ", \"tsc_khz\": %" PRIu64 ",\n \"vifs\": [", d->vcpus,
	       d->pfn_limit, d->target_mem_kb, d->max_mem_kb, d->tsc_khz);
	for (i = 0; i < d->n_vifs; i++) {
		printf("%s{\"devid\": %u, \"mac\": ", i ? ", " : "", d->vifs[i]->devid);
		cmd_print_json_string(d->vifs[i]->mac);
		printf(", \"bridge\": ");
		cmd_print_json_string(d->vifs[i]->bridge);
		printf("}");
	}
	/* The text comes from the file: a string to us, whatever it claims to be. */
	printf("],\n \"config\": ");
	cmd_print_json_string(d->config_json);
}

static void show_info(const Stream__StreamInfo *s, bool json)
{
	if (!json) {
		printf("written by: %s %s on %s, %s\n", s->writer ? s->writer : "?",
		       s->writer_version ? s->writer_version : "", s->host ? s->host : "?",
		       cmd_mode_name((int)s->mode));
		return;
	}
	printf(",\n \"mode\": \"%s\", \"time_ns\": %" PRIu64 ", \"writer\": ",
	       cmd_mode_name((int)s->mode), s->time_ns);
	cmd_print_json_string(s->writer);
	printf(", \"host\": ");
	cmd_print_json_string(s->host);
}

static void show_chain(const Stream__StreamInfo *s, bool json)
{
	if (!s->has_chain_id)
		return;
	printf(json ? ",\n \"chain_seq\": %" PRIu64 : "chain:      number %" PRIu64 "\n",
	       s->chain_seq);
	if (s->has_replaces)
		printf(json ? ", \"replaces\": \"%016" PRIx64 "\"" :
		       "replaces:   %016" PRIx64 "\n", s->replaces);
}

static void show_parent(const Stream__Parent *p, bool json)
{
	printf(json ? ",\n \"parent\": \"%016" PRIx64 "\", \"parent_name\": " :
	       "stands on:  %016" PRIx64 " ", p->stream_hash);
	if (json)
		cmd_print_json_string(p->name);
	else
		printf("%s\n", p->name ? p->name : "");
}

static void show_ledger(const Stream__Ledger *l)
{
	size_t i;

	for (i = 0; i < l->n_phases; i++)
		printf("phase:      %-24s %10" PRIu64 " us from %" PRIu64 "\n",
		       l->phases[i]->name ? l->phases[i]->name : "?", l->phases[i]->us,
		       l->phases[i]->start_us);
}

static void show_totals(const struct stream_totals *t, bool json)
{
	printf(json ? ",\n \"bytes\": %" PRIu64 ", \"records\": %" PRIu64 ", \"rounds\": %" PRIu64
		      ", \"pages\": %" PRIu64 ", \"data_pages\": %" PRIu64
		    : "size:       %" PRIu64 " bytes, %" PRIu64 " records, %" PRIu64
		      " rounds, %" PRIu64 " pages, %" PRIu64 " with bytes\n",
	       t->bytes, t->records, t->rounds, t->pages, t->data_pages);
}

static int show_stream(struct stream_reader *r, bool json)
{
	struct stream_record rec;
	int ret;

	do {
		ret = stream_read_next(r, &rec);
		if (ret)
			return ret;
		if (rec.type == STREAM_INFO) {
			show_info(rec.info, json);
			show_chain(rec.info, json);
		} else if (rec.type == STREAM_PARENT) {
			show_parent(rec.parent, json);
		} else if (rec.type == STREAM_DOMAIN && json)
			json_domain(rec.domain);
		else if (rec.type == STREAM_DOMAIN)
			text_domain(rec.domain);
		else if (rec.type == STREAM_LEDGER && !json)
			show_ledger(rec.ledger);
	} while (rec.type != STREAM_END);
	show_totals(stream_reader_totals(r), json);
	return stream_read_eof(r);
}

static int exit_code(int ret)
{
	switch (ret) {
	case 0:
		return CMD_OK;
	case -ENODATA:
	case -EPROTONOSUPPORT:
	case -EOPNOTSUPP:
	case -EBADMSG:
		return CMD_REFUSED;
	default:
		return CMD_UNREADABLE;
	}
}

static int show_file(const struct cmd_args *a)
{
	struct stream_reader *r = NULL;
	struct stream_fd fd = { 0 };
	int ret = stream_fd_init(&fd, fileno(a->in), -1);

	if (!ret)
		ret = stream_reader_new(&fd.io, &r);
	if (ret) {
		fprintf(stderr, "checkpoint: %s: %s\n", a->path, strerror(-ret));
		stream_fd_release(&fd);
		return CMD_UNREADABLE;
	}
	stream_reader_allow_parent(r);
	if (a->json) {
		printf("{\"file\": ");
		cmd_print_json_string(a->path);
	}
	ret = show_stream(r, a->json);
	/* JSON stays whole when the stream breaks off: the reason is a member. */
	if (a->json && ret) {
		printf(",\n \"error\": ");
		cmd_print_json_string(stream_error(r));
	}
	if (a->json)
		printf("}\n");
	if (ret)
		fprintf(stderr, "checkpoint: %s: %s\n", a->path, stream_error(r));
	stream_reader_free(r);
	stream_fd_release(&fd);
	return exit_code(ret);
}

int cmd_info(int argc, char **argv)
{
	struct cmd_args a;
	int ret = cmd_parse(&a, argc, argv);

	if (ret != CMD_OK || a.help)
		return ret;
	ret = show_file(&a);
	cmd_close(&a);
	return ret;
}
