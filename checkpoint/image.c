// SPDX-License-Identifier: Apache-2.0
/* See image.h. */
#define LOG_PREFIX "image"
#include "checkpoint/image.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checkpoint/describe.h"
#include "checkpoint/suspend.h"
#include "toolstack/lib/io.h"
#include "toolstack/lib/log.h"
#include "toolstack/lib/uuid.h"

#define PLUG_TIMEOUT_MS 20000u

/* --- a file that appears whole or not at all ---------------------------------------- */

struct new_file {
	int fd;
	char *partial;
};

static int new_file_open(struct new_file *f, const char *path)
{
	*f = (struct new_file) { .fd = -1 };
	if (asprintf(&f->partial, "%s.partial", path) < 0) {
		f->partial = NULL;
		return -ENOMEM;
	}
	f->fd = open(f->partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	return f->fd < 0 ? -errno : 0;
}

static int new_file_commit(struct new_file *f, const char *path)
{
	int ret = 0;

	if (fsync(f->fd) || close(f->fd))
		ret = -errno;
	else
		f->fd = -1;
	if (!ret && rename(f->partial, path))
		ret = -errno;
	if (ret)
		return ret;
	free(f->partial);
	f->partial = NULL;
	return io_sync_dir_of(path);
}

/* Of what was not committed nothing stays; harmless after a commit. */
static void new_file_release(struct new_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	if (f->partial)
		unlink(f->partial);
	free(f->partial);
}

/* --- save ------------------------------------------------------------------------------ */

struct saver {
	const struct image_save_params *p;
	struct image_result *out;
	uint64_t stop_ns;
};

static int hook_stop(void *ctx)
{
	struct saver *s = ctx;
	char why[200] = "";
	int ret;

	s->stop_ns = io_now_ns();
	ret = suspend_guest(s->p->ts, s->p->domid, s->p->suspend_timeout_ms, s->p->cancel, why);
	if (ret && why[0])
		snprintf(s->out->error, sizeof(s->out->error), "%s", why);
	return ret;
}

static int hook_batch(void *ctx, const struct save_round *so_far)
{
	struct saver *s = ctx;

	return s->p->cancel && *s->p->cancel ? -ECANCELED : 0;
}

static const struct save_hooks image_hooks = { .stop_guest = hook_stop, .batch = hook_batch };

static int write_stream(struct saver *s, const struct domain_config *cfg, int fd)
{
	struct save_facts facts;
	struct save_result saved = { 0 };
	struct stream_fd file = { 0 };
	struct describe desc;
	struct save_params sp = {
		.hcall = s->p->ts->hcall, .domid = s->p->domid, .info = &desc.info,
		.domain = &desc.domain, .hooks = &image_hooks, .ctx = s,
	};
	int ret;

	ret = save_get_facts(sp.hcall, sp.domid, &facts);
	if (!ret)
		ret = stream_fd_init(&file, fd, -1);
	if (ret)
		return ret;
	ret = describe_make(&desc, cfg, &facts, STREAM__MODE__SAVE);
	if (!ret)
		ret = stream_writer_new(&file.io, &sp.writer);
	if (!ret) {
		ret = save_domain(&sp, &saved);
		stream_writer_free(sp.writer);
	}
	if (ret && !s->out->error[0])
		snprintf(s->out->error, sizeof(s->out->error), "%s", saved.error);
	s->out->bytes = saved.bytes;
	s->out->pages = saved.pages;
	describe_release(&desc);
	stream_fd_release(&file);
	return ret;
}

/* The guest's copy in memory is no longer needed, or is needed after all. */
static int settle_guest(struct saver *s, int ret)
{
	int resumed;

	if (!ret && !s->p->keep_running)
		return domain_destroy(s->p->ts, s->p->domid);
	resumed = suspend_resume(s->p->ts, s->p->domid);
	if (resumed)
		log_errno(resumed, "domain %u stands and cannot be resumed; try: migrate --recover %u",
			  s->p->domid, s->p->domid);
	s->out->stopped_us = s->stop_ns ? (io_now_ns() - s->stop_ns) / 1000 : 0;
	return ret ? ret : resumed;
}

static int save_config(struct saver *s, const struct domain_config *cfg)
{
	struct new_file f;
	int ret;

	snprintf(s->out->name, sizeof(s->out->name), "%s", cfg->name);
	ret = new_file_open(&f, s->p->path);
	if (ret) {
		snprintf(s->out->error, sizeof(s->out->error), "%.150s.partial: %s", s->p->path,
			 strerror(-ret));
		if (ret == -EEXIST)
			free(f.partial);	/* another save's: not ours to remove */
		else
			new_file_release(&f);
		return ret;
	}
	ret = write_stream(s, cfg, f.fd);
	if (!ret) {
		ret = new_file_commit(&f, s->p->path);
		if (ret)
			snprintf(s->out->error, sizeof(s->out->error), "%.150s: %s", s->p->path,
				 strerror(-ret));
	}
	new_file_release(&f);
	return settle_guest(s, ret);
}

int image_save(const struct image_save_params *p, struct image_result *out)
{
	struct saver s = { .p = p, .out = out };
	uint64_t start = io_now_ns();
	struct domain_config cfg;
	int ret;

	*out = (struct image_result) { .domid = p->domid };
	ret = domain_config_load(p->ts, p->domid, &cfg);
	if (ret)
		snprintf(out->error, sizeof(out->error), "%.200s", log_last_error());
	/* One that stands for another's sake must not be resumed as ours. */
	if (!ret)
		ret = suspend_check(p->ts, p->domid, out->error);
	if (!ret) {
		/* It may have been renamed since. */
		domain_get_name(p->ts, p->domid, cfg.name);
		ret = save_config(&s, &cfg);
	}
	if (ret && !out->error[0])
		snprintf(out->error, sizeof(out->error), "%s", strerror(-ret));
	out->us = (io_now_ns() - start) / 1000;
	config_release(&cfg);
	return ret;
}

/* --- restore ----------------------------------------------------------------------------- */

struct restorer {
	const struct image_restore_params *p;
	struct toolstack *ts;
	struct domain_config cfg;
	struct domain_new dom;
	bool made;
};

/* What makes it another guest than the one it was. */
static int new_identity(struct restorer *r)
{
	int ret = uuid_generate(r->cfg.uuid);

	for (size_t i = 0; !ret && i < r->cfg.nr_vifs; i++)
		ret = mac_generate(r->cfg.vifs[i].mac);
	return ret;
}

/* The guest learns of it where it looks for everything else about itself. */
static int tell_clone(struct restorer *r, const uint8_t original[16])
{
	char path[64], text[UUID_TEXT_BYTES];

	uuid_format(original, text);
	snprintf(path, sizeof(path), "/local/domain/%u/clone-of", r->dom.domid);
	return xs_write(r->ts->xs, XBT_NULL, path, text, strlen(text)) ? 0 : -errno;
}

static int make_domain(struct restorer *r, const Stream__DomainInfo *d)
{
	int ret = domain_create_empty(r->ts, &r->cfg, &r->dom);

	if (ret)
		return ret;
	r->made = true;
	ret = domain_xenstore_setup(r->ts, &r->cfg, &r->dom);
	if (!ret && r->p->clone)
		ret = tell_clone(r, d->uuid.data);
	return ret ? ret : domain_devices_plug(r->ts, &r->cfg, &r->dom, PLUG_TIMEOUT_MS);
}

static int hook_prepare(void *ctx, const Stream__StreamInfo *info, const Stream__DomainInfo *d,
			struct restore_domain_ids *ids, char why[200])
{
	struct config_error err = { "" };
	struct restorer *r = ctx;
	int ret;

	ret = describe_read(d, &r->cfg, why);
	if (!ret)
		ret = describe_check_cpu(d, why);
	if (ret)
		return ret;
	if (r->p->name)
		snprintf(r->cfg.name, sizeof(r->cfg.name), "%s", r->p->name);
	ret = r->p->clone ? new_identity(r) : 0;
	if (ret)
		return ret;
	ret = config_finalise(&r->cfg, &err);
	if (ret) {
		snprintf(why, 200, "%.199s", err.text);
		return ret;
	}
	ret = make_domain(r, d);
	if (ret) {
		snprintf(why, 200, "%.199s", log_last_error());
		return ret;
	}
	*ids = (struct restore_domain_ids) {
		.domid = r->dom.domid, .store_port = r->dom.store_port,
		.console_port = r->dom.console_port,
		.max_pages = (uint64_t)r->cfg.maxmem_mb << 8,
	};
	return 0;
}

static const struct restore_hooks image_restore_hooks = { .prepare = hook_prepare };

static int read_stream(struct restorer *r, int fd, struct image_result *out)
{
	struct restore_result res = { 0 };
	struct stream_fd file = { 0 };
	struct stream_reader *reader;
	int ret;

	ret = stream_fd_init(&file, fd, -1);
	if (ret)
		return ret;
	ret = stream_reader_new(&file.io, &reader);
	if (!ret) {
		ret = restore_domain(r->ts->hcall, reader, &image_restore_hooks, r, &res);
		if (ret)
			snprintf(out->error, sizeof(out->error), "%s", res.error);
		else if ((ret = stream_read_eof(reader)))
			snprintf(out->error, sizeof(out->error), "%s", stream_error(reader));
		stream_reader_free(reader);
	}
	stream_fd_release(&file);
	out->bytes = res.bytes;
	out->pages = res.pages;
	r->dom.store_mfn = res.store_mfn;
	r->dom.console_mfn = res.console_mfn;
	return ret;
}

static int restore_file(struct restorer *r, int fd, bool paused, struct image_result *out)
{
	int ret = read_stream(r, fd, out);

	if (!ret && r->p->built)
		ret = r->p->built(r->p->ctx, r->dom.domid);
	if (!ret)
		ret = domain_introduce(r->ts, &r->dom);
	if (!ret && !paused)
		ret = domain_unpause(r->ts, r->dom.domid);
	if (ret && r->made)
		domain_destroy(r->ts, r->dom.domid);
	out->domid = r->dom.domid;
	snprintf(out->name, sizeof(out->name), "%s", r->cfg.name);
	return ret;
}

int image_restore_fd(const struct image_restore_params *p, int fd, struct image_result *out)
{
	struct restorer r = { .p = p, .ts = p->ts };
	uint64_t start = io_now_ns();
	int ret;

	*out = (struct image_result) { 0 };
	config_init(&r.cfg);
	log_clear_error();
	ret = restore_file(&r, fd, p->paused, out);
	if (ret && !out->error[0])
		snprintf(out->error, sizeof(out->error), "%.200s",
			 log_last_error()[0] ? log_last_error() : strerror(-ret));
	config_release(&r.cfg);
	out->us = (io_now_ns() - start) / 1000;
	return ret;
}

int image_restore(const struct image_restore_params *p, const char *path,
		  struct image_result *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret;

	if (fd < 0) {
		ret = -errno;
		*out = (struct image_result) { 0 };
		snprintf(out->error, sizeof(out->error), "%.200s: %s", path, strerror(-ret));
		return ret;
	}
	posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	ret = image_restore_fd(p, fd, out);
	close(fd);
	return ret;
}
