/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole moves between two fake hosts, with everything that can break broken at
 * every place: the data connection cut at byte N in either direction, HTTP
 * requests or answers lost, the source's process or both sides killed at step
 * N, the guest deaf, the target full.
 *
 * The property, after recovery where a side died: exactly one copy can
 * execute, and its memory is what the guest had when it last stood (or it
 * never stood and still runs at the source).  The fake hypervisor aborts the
 * moment a second copy runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "migrate/client.h"
#include "migrate/journal.h"
#include "migrate/server.h"
#include "migrate/source.h"
#include "migrate/target.h"
#include "migrate/wire.h"
#include "tests/unit/fake/fake_hcall.h"
#include "toolstack/lib/log.h"
#include "toolstack/lib/uuid.h"

static const uint8_t uuid[16] = { 1, 2, 3, 4, 5, 6, 0x47, 8, 0x89, 10, 11, 12, 13, 14, 15, 16 };
#define PAGES	300u
#define IO_TIMEOUT_MS	3000
#define READY_MS	150
#define DECIDE_MS	700

#define NEVER	UINT64_MAX

struct rig {
	struct hcall *src, *dst;
	domid_t domid;
	char dir[64], src_dir[80], dst_dir[80];
	struct domain_config cfg;
	struct target *target;
	pthread_t thread;
	bool thread_runs;
	char session[SESSION_ID_BYTES];
	int fds[2];			/* source, target */
	struct stream_fd src_in, src_out, dst_in, dst_out;
	struct stream_io cut_out, cut_in; /* the source's view of the line */

	/* faults */
	uint64_t cut_out_at, cut_in_at;	/* bytes until the line is cut */
	bool cut_in_go, cut_in_running;	/* in the middle of these messages */
	bool go_sent;
	uint64_t sent, received;
	int lose_request;		/* index of the POST whose request is lost */
	int lose_reply;			/* ... whose answer is lost */
	int lose_from;			/* all POSTs from here on are lost */
	int posts;
	bool deaf, paused;
	enum target_refusal refuse;
	bool refusing;
	bool introduce_fails;
	uint64_t die_at;		/* source's step at which its process dies */
	uint64_t steps;
	bool died;
	char snapshot[2 * JOURNAL_SLOT_BYTES];
	ssize_t snapshot_len;

	volatile sig_atomic_t cancel;
	uint64_t cancel_at;
	struct source_result out;
};

static struct rig *rig;			/* the one under test, for on_call */

/* --- the target's host ---------------------------------------------------------------- */

struct fake_host {
	struct rig *r;
	domid_t domid;
};

static int host_prepare(void *ctx, const struct target_demand *demand, void **host,
			struct restore_domain_ids *ids, char why[200],
			enum target_refusal *refusal)
{
	struct rig *r = ctx;
	struct fake_host *h;

	*host = NULL;
	if (r->refusing) {
		*refusal = r->refuse;
		strcpy(why, "no room here");
		return -ENOMEM;
	}
	if (demand->dry_run)
		return 0;
	h = calloc(1, sizeof(*h));
	h->r = r;
	h->domid = fake_domain_empty(r->dst, demand->cfg.uuid, (unsigned int)demand->tot_pages,
				     demand->cfg.vcpus);
	*ids = (struct restore_domain_ids) { .domid = h->domid, .max_pages = demand->tot_pages };
	*host = h;
	return 0;
}

static struct hcall *host_hcall(void *host)
{
	return ((struct fake_host *)host)->r->dst;
}

static int host_introduce(void *host, const struct restore_result *res)
{
	assert_int_equal(res->store_mfn, 0x1000);
	return ((struct fake_host *)host)->r->introduce_fails ? -EIO : 0;
}

static int host_unpause(void *host)
{
	struct fake_host *h = host;

	assert_true(fake_same_memory(h->r->dst, h->domid));
	fake_run(h->r->dst, h->domid);
	return 0;
}

static void host_announce(void *host)
{
}

static void host_destroy(void *host)
{
	struct fake_host *h = host;

	fake_destroy(h->r->dst, h->domid);
}

static void host_release(void *host)
{
	free(host);
}

static int host_alive(void *ctx, domid_t domid, const uint8_t id[16])
{
	struct rig *r = ctx;
	domid_t found = fake_find(r->dst, id);

	return found && (!domid || found == domid);
}

static void host_unpause_found(void *ctx, domid_t domid, const uint8_t id[16])
{
	struct rig *r = ctx;

	if (fake_state(r->dst, domid) == FAKE_NEVER_RAN)
		fake_run(r->dst, domid);
}

static void host_reap(void *ctx, domid_t domid, const uint8_t id[16])
{
	struct rig *r = ctx;

	if (fake_find(r->dst, id) == domid && domid)
		fake_destroy(r->dst, domid);
}

static const struct target_host_ops host_ops = {
	.prepare = host_prepare, .hcall = host_hcall, .introduce = host_introduce,
	.unpause = host_unpause, .announce = host_announce, .destroy = host_destroy,
	.release = host_release, .alive = host_alive, .unpause_found = host_unpause_found,
	.reap = host_reap,
};

static void open_target(struct rig *r)
{
	struct target_params p = {
		.ops = &host_ops, .ctx = r, .dir = r->dst_dir,
		.prepared_timeout_ms = READY_MS, .ready_timeout_ms = READY_MS,
	};

	assert_int_equal(target_open(&p, &r->target), 0);
}

static void *target_thread(void *arg)
{
	struct rig *r = arg;

	target_receive(r->target, r->session, &r->dst_in.io, &r->dst_out.io);
	shutdown(r->fds[1], SHUT_RDWR);
	return NULL;
}

/* --- the source's process can die at any step ------------------------------------------------ */

static void cut_line(struct rig *r)
{
	if (r->fds[0] >= 0)
		shutdown(r->fds[0], SHUT_RDWR);
}

static void take_snapshot(struct rig *r)
{
	char path[256], text[UUID_TEXT_BYTES];
	int fd;

	uuid_format(uuid, text);
	snprintf(path, sizeof(path), "%s/%s.journal", r->src_dir, text);
	fd = open(path, O_RDONLY);
	r->snapshot_len = fd < 0 ? -1 : pread(fd, r->snapshot, sizeof(r->snapshot), 0);
	if (fd >= 0)
		close(fd);
}

/* What the dead process writes after its death never happened. */
static void restore_snapshot(struct rig *r)
{
	char path[256], text[UUID_TEXT_BYTES];
	int fd;

	uuid_format(uuid, text);
	snprintf(path, sizeof(path), "%s/%s.journal", r->src_dir, text);
	unlink(path);
	if (r->snapshot_len < 0)
		return;
	fd = open(path, O_RDWR | O_CREAT, 0600);
	assert_int_equal(pwrite(fd, r->snapshot, r->snapshot_len, 0), r->snapshot_len);
	close(fd);
}

/* One step of the source's process; false: it is dead and this does not happen. */
static bool step(struct rig *r)
{
	if (++r->steps == r->cancel_at)
		r->cancel = 1;
	if (r->died)
		return false;
	if (r->steps < r->die_at)
		return true;
	take_snapshot(r);
	r->died = true;
	r->src->dead = true;
	cut_line(r);
	return false;
}

static void on_src_call(struct hcall *h)
{
	step(rig);
}

static int guest_check(void *ctx, char why[200])
{
	struct rig *r = ctx;

	if (!r->paused)
		return 0;
	strcpy(why, "it is paused");
	return -EBUSY;
}

static int guest_suspend(void *ctx, char why[200])
{
	struct rig *r = ctx;

	if (!step(r))
		return -EIO;
	if (r->deaf) {
		strcpy(why, "it does not answer");
		return -ETIMEDOUT;
	}
	fake_suspend(r->src, r->domid);
	return step(r) ? 0 : -EIO;
}

static int guest_resume(void *ctx)
{
	struct rig *r = ctx;

	if (!step(r))
		return -EIO;
	if (fake_state(r->src, r->domid) == FAKE_SUSPENDED) {
		assert_true(fake_same_memory(r->src, r->domid));
		fake_run(r->src, r->domid);
	}
	return hcall_godwit_logdirty_disable(r->src, r->domid);
}

static int guest_destroy(void *ctx)
{
	struct rig *r = ctx;

	if (!step(r))
		return -EIO;
	assert_int_equal(fake_state(r->src, r->domid), FAKE_SUSPENDED);
	fake_destroy(r->src, r->domid);
	return 0;
}

static bool guest_exists(void *ctx)
{
	struct rig *r = ctx;

	return fake_state(r->src, r->domid) != FAKE_GONE;
}

static const struct source_guest_ops guest_ops = {
	.check = guest_check, .suspend = guest_suspend, .resume = guest_resume, .destroy = guest_destroy,
	.exists = guest_exists,
};

/* --- the line ------------------------------------------------------------------------------------ */

static int line_write(void *ctx, const void *buf, size_t len)
{
	struct rig *r = ctx;
	size_t part = len;
	int ret;

	if (!step(r))
		return -EPIPE;
	if (r->sent + len > r->cut_out_at)
		part = r->cut_out_at - r->sent;
	r->go_sent |= len < 64 && memmem(buf, len, "\"go\"", 4);
	if (r->cut_in_go && r->go_sent)
		part = len / 2;
	ret = r->src_out.io.write(r->src_out.io.ctx, buf, part);
	r->sent += part;
	if (part == len)
		return ret;
	r->src_out.io.flush(r->src_out.io.ctx);
	cut_line(r);
	return -EPIPE;
}

static int line_flush(void *ctx)
{
	struct rig *r = ctx;

	return r->src_out.io.flush(r->src_out.io.ctx);
}

static ssize_t line_read(void *ctx, void *buf, size_t len)
{
	struct rig *r = ctx;
	ssize_t n;

	if (r->died)
		return 0;
	if (r->received >= r->cut_in_at) {
		cut_line(r);
		return 0;
	}
	n = r->src_in.io.read(r->src_in.io.ctx, buf, len);
	if (n <= 0)
		return n;
	/* What comes after the go is "running". */
	if (r->cut_in_running && r->go_sent) {
		cut_line(r);
		return 0;
	}
	r->received += n;
	return n;
}

static bool post_lost(struct rig *r, int which)
{
	return r->posts == which || (r->lose_from && r->posts >= r->lose_from);
}

static int peer_post(void *ctx, const char *path, const json_t *body, int *status,
		     json_t **reply, char why[200])
{
	struct rig *r = ctx;
	char id[SESSION_ID_BYTES] = "";
	const char *slash = strrchr(path, '/');
	uint8_t raw[16];

	r->posts++;
	strcpy(why, "no route");
	if (!step(r) || post_lost(r, r->lose_request))
		return -EHOSTUNREACH;
	if (!strcmp(path, "/v1/sessions")) {
		strcpy(r->session, wire_text(body, "session", ""));
		*status = target_prepare(r->target, body, reply);
	} else {
		assert_int_equal(uuid_parse(wire_text(body, "uuid", ""), raw), 0);
		memcpy(id, path + strlen("/v1/sessions/"), sizeof(id) - 1);
		*status = target_ask(r->target, id, slash + 1, raw, reply);
	}
	if (post_lost(r, r->lose_reply) || !step(r)) {
		json_decref(*reply);
		*reply = NULL;
		return -ETIMEDOUT;
	}
	return 0;
}

static int peer_connect(void *ctx, const char *session, const struct stream_io **out,
			const struct stream_io **in, char why[200])
{
	struct rig *r = ctx;

	if (!step(r))
		return -EIO;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, r->fds), 0);
	assert_int_equal(stream_fd_init(&r->src_in, r->fds[0], IO_TIMEOUT_MS), 0);
	assert_int_equal(stream_fd_init(&r->src_out, r->fds[0], IO_TIMEOUT_MS), 0);
	assert_int_equal(stream_fd_init(&r->dst_in, r->fds[1], IO_TIMEOUT_MS), 0);
	assert_int_equal(stream_fd_init(&r->dst_out, r->fds[1], IO_TIMEOUT_MS), 0);
	r->cut_out = (struct stream_io) { .write = line_write, .flush = line_flush, .ctx = r };
	r->cut_in = (struct stream_io) { .read = line_read, .ctx = r };
	*out = &r->cut_out;
	*in = &r->cut_in;
	assert_int_equal(pthread_create(&r->thread, NULL, target_thread, r), 0);
	r->thread_runs = true;
	return 0;
}

static void peer_disconnect(void *ctx)
{
	cut_line(ctx);
}

static const struct source_peer_ops peer_ops = {
	.post = peer_post, .connect = peer_connect, .disconnect = peer_disconnect,
};

/* --- running a move ---------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	return remove(path);
}

static void rig_init(struct rig *r, unsigned int seed)
{
	*r = (struct rig) {
		.cut_out_at = NEVER, .cut_in_at = NEVER, .die_at = NEVER, .cancel_at = NEVER,
		.fds = { -1, -1 },
	};
	rig = r;
	strcpy(r->dir, "/tmp/test-session.XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->src_dir, sizeof(r->src_dir), "%s/src", r->dir);
	snprintf(r->dst_dir, sizeof(r->dst_dir), "%s/dst", r->dir);
	assert_int_equal(mkdir(r->src_dir, 0700) | mkdir(r->dst_dir, 0700), 0);
	r->src = fake_host_new("src");
	r->dst = fake_host_new("dst");
	r->domid = fake_guest_build(r->src, uuid, PAGES, 3, seed);
	r->src->on_call = on_src_call;
	config_init(&r->cfg);
	strcpy(r->cfg.name, "web1");
	memcpy(r->cfg.uuid, uuid, 16);
	r->cfg.has_uuid = true;
	r->cfg.memory_mb = r->cfg.maxmem_mb = 16;
	r->cfg.vcpus = 1;
	r->cfg.cmdline = strdup("quiet");
	open_target(r);
}

static struct source_params params(struct rig *r)
{
	return (struct source_params) {
		.hcall = r->src, .domid = r->domid, .cfg = &r->cfg, .peer_name = "http://b:7070",
		.journal_dir = r->src_dir, .guest = &guest_ops, .guest_ctx = r,
		.peer = &peer_ops, .peer_ctx = r,
		.limits = { .max_downtime_ms = 300, .max_rounds = 4 },
		.costs = policy_default_costs, .decide_timeout_ms = DECIDE_MS,
		.cancel = &r->cancel,
	};
}

static void join_target(struct rig *r)
{
	if (r->thread_runs)
		pthread_join(r->thread, NULL);
	r->thread_runs = false;
}

static int move(struct rig *r)
{
	struct source_params p = params(r);

	return source_move(&p, &r->out);
}

static int recover(struct rig *r, bool force)
{
	struct source_params p = params(r);

	r->die_at = NEVER;
	r->died = r->src->dead = false;
	r->cancel = 0;
	return source_recover(&p, force, &r->out);
}

static void rig_release(struct rig *r)
{
	join_target(r);
	if (r->fds[0] >= 0) {
		close(r->fds[0]);
		close(r->fds[1]);
	}
	stream_fd_release(&r->src_in);
	stream_fd_release(&r->src_out);
	stream_fd_release(&r->dst_in);
	stream_fd_release(&r->dst_out);
	target_close(r->target);
	config_release(&r->cfg);
	fake_host_free(r->src);
	fake_host_free(r->dst);
	assert_int_equal(nftw(r->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* One copy executes, and no half-built one is left. */
static void assert_one_copy(struct rig *r)
{
	domid_t there = fake_find(r->dst, uuid);

	assert_int_equal(fake_nr_running(uuid), 1);
	if (fake_state(r->src, r->domid) == FAKE_RUNNING) {
		assert_int_equal(there, 0);
		assert_false(r->src->doms[r->domid].logdirty);
	} else {
		assert_int_equal(fake_state(r->src, r->domid), FAKE_GONE);
		assert_int_equal(fake_state(r->dst, there), FAKE_RUNNING);
	}
}

static void assert_no_journal(struct rig *r)
{
	json_t *rec;

	assert_int_equal(source_journal_peek(r->src_dir, uuid, &rec), -ENOENT);
}

/* --- tests ------------------------------------------------------------------------------------------------ */

static void test_states(void **state)
{
	enum source_state s;
	enum target_state t;

	for (int i = 0; i < SOURCE_NR_STATES; i++) {
		assert_int_equal(source_state_parse(source_state_name(i), &s), 0);
		assert_int_equal(s, i);
		/* The ends are ends. */
		assert_false(source_may(SOURCE_MOVED, i));
		assert_false(source_may(SOURCE_KEPT, i));
	}
	for (int i = 0; i < TARGET_NR_STATES; i++) {
		assert_int_equal(target_state_parse(target_state_name(i), &t), 0);
		assert_int_equal(t, i);
		assert_false(target_may(TARGET_ABORTED, i));
		/* An owner never gives up. */
		assert_false(target_state_owns(i) && target_may(i, TARGET_ABORTED));
		/* Only READY can become owner. */
		assert_int_equal(target_may(i, TARGET_OWNER), i == TARGET_READY);
	}
	assert_true(source_may(SOURCE_STOPPED, SOURCE_HANDED_OVER));
	assert_false(source_may(SOURCE_COPYING, SOURCE_HANDED_OVER));
	assert_int_equal(source_state_parse("nonsense", &s), -EINVAL);
	assert_int_equal(source_state_parse(NULL, &s), -EINVAL);
	assert_int_equal(target_state_parse("", &t), -EINVAL);
}

static void test_journal(void **state)
{
	char dir[] = "/tmp/test-journal.XXXXXX", path[64];
	struct journal j, other;
	json_t *rec, *latest;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/a.journal", dir);
	assert_int_equal(journal_open(&j, path, false, &latest), -ENOENT);
	assert_int_equal(journal_open(&j, path, true, &latest), 0);
	assert_null(latest);
	assert_int_equal(journal_open(&other, path, true, &latest), -EBUSY);
	for (int i = 1; i <= 5; i++) {
		rec = json_pack("{s:i}", "n", i);
		assert_int_equal(journal_write(&j, rec, i == 3), 0);
		json_decref(rec);
	}
	journal_close(&j, false);
	/* Damage the newest slot (sequence 5 is in slot 1): the one before counts. */
	for (int damaged = 0; damaged < 2; damaged++) {
		assert_int_equal(journal_open(&j, path, false, &latest), 0);
		assert_int_equal(json_integer_value(json_object_get(latest, "n")), 5 - damaged);
		json_decref(latest);
		if (!damaged)
			assert_int_equal(pwrite(j.fd, "x", 1, JOURNAL_SLOT_BYTES + 30), 1);
		journal_close(&j, false);
	}
	assert_int_equal(journal_open(&j, path, false, &latest), 0);
	json_decref(latest);
	assert_int_equal(pwrite(j.fd, "x", 1, 30), 1);
	journal_close(&j, false);
	assert_int_equal(journal_open(&j, path, false, &latest), -EBADMSG);
	assert_int_equal(unlink(path) | rmdir(dir), 0);
}

static void test_good_move(void **state)
{
	for (unsigned int seed = 0; seed < 5; seed++) {
		struct rig r;
		uint64_t us;

		rig_init(&r, seed);
		assert_int_equal(move(&r), 0);
		join_target(&r);
		assert_int_equal(r.out.outcome, SOURCE_OUT_MOVED);
		assert_string_equal(r.out.why, "");
		assert_int_equal(fake_state(r.src, r.domid), FAKE_GONE);
		assert_one_copy(&r);
		assert_no_journal(&r);
		assert_true(r.out.nr_rounds >= 1);
		assert_true(ledger_downtime_us(&r.out.ledger, &us));
		assert_true(ledger_phase_us(&r.out.ledger, "finish") < 10000000);
		rig_release(&r);
	}
}

static void test_dry_run(void **state)
{
	struct source_params p;
	struct rig r;

	rig_init(&r, 9);
	p = params(&r);
	p.dry_run = true;
	assert_int_equal(source_move(&p, &r.out), 0);
	assert_int_equal(r.out.outcome, SOURCE_OUT_DRY);
	assert_true(r.out.nr_rounds >= 1);
	assert_true(r.out.forecast.bytes > 0);
	assert_int_equal(fake_find(r.dst, uuid), 0);
	assert_one_copy(&r);
	assert_no_journal(&r);
	rig_release(&r);
}

static void test_refused(void **state)
{
	for (int dry = 0; dry < 2; dry++) {
		struct source_params p;
		struct rig r;

		rig_init(&r, 1);
		r.refusing = true;
		r.refuse = TARGET_REFUSED_MEMORY;
		p = params(&r);
		p.dry_run = dry;
		assert_int_not_equal(source_move(&p, &r.out), 0);
		assert_int_equal(r.out.cause, SOURCE_CAUSE_REFUSED);
		assert_non_null(strstr(r.out.why, "no room here"));
		assert_one_copy(&r);
		assert_no_journal(&r);
		rig_release(&r);
	}
}

static void test_deaf_guest(void **state)
{
	struct rig r;

	rig_init(&r, 1);
	r.deaf = true;
	assert_int_equal(move(&r), -ETIMEDOUT);
	join_target(&r);
	assert_int_equal(r.out.outcome, SOURCE_OUT_KEPT);
	assert_int_equal(r.out.cause, SOURCE_CAUSE_SUSPEND);
	assert_non_null(strstr(r.out.why, "does not answer"));
	assert_one_copy(&r);
	rig_release(&r);
}

/* A paused guest: said at once, and nothing was begun anywhere. */
static void test_paused_guest(void **state)
{
	struct rig r;

	rig_init(&r, 1);
	r.paused = true;
	assert_int_equal(move(&r), -EBUSY);
	assert_int_equal(r.out.outcome, SOURCE_OUT_KEPT);
	assert_int_equal(r.out.cause, SOURCE_CAUSE_SUSPEND);
	assert_non_null(strstr(r.out.why, "paused"));
	assert_int_equal(r.posts, 0);
	assert_one_copy(&r);
	assert_no_journal(&r);
	rig_release(&r);
}

static void test_target_fails_late(void **state)
{
	struct rig r;

	rig_init(&r, 1);
	r.introduce_fails = true;
	assert_int_not_equal(move(&r), 0);
	join_target(&r);
	assert_int_equal(r.out.outcome, SOURCE_OUT_KEPT);
	assert_non_null(strstr(r.out.why, "xenstored"));
	assert_one_copy(&r);
	rig_release(&r);
}

/* The line is cut after N bytes from the source: never after the go, N grows to it. */
static void test_cut_to_target(void **state)
{
	uint64_t total;
	struct rig r;

	rig_init(&r, 7);
	assert_int_equal(move(&r), 0);
	total = r.sent;
	rig_release(&r);
	for (uint64_t n = 0; n <= 64; n++) {
		uint64_t at = n < 40 ? total * n / 40 : total - (n - 40) * 2;

		rig_init(&r, 7);
		r.cut_out_at = at;
		move(&r);
		join_target(&r);
		assert_int_not_equal(r.out.outcome, SOURCE_OUT_IN_DOUBT);
		assert_one_copy(&r);
		assert_no_journal(&r);
		rig_release(&r);
	}
}

/* The line is cut after N bytes from the target: hello, ready, running. */
static void test_cut_from_target(void **state)
{
	for (uint64_t at = 0; at < 800; at += at < 300 ? 9 : 60) {
		struct rig r;

		rig_init(&r, 8);
		r.cut_in_at = at;
		move(&r);
		join_target(&r);
		assert_int_not_equal(r.out.outcome, SOURCE_OUT_IN_DOUBT);
		assert_one_copy(&r);
		assert_no_journal(&r);
		rig_release(&r);
	}
}

/* HTTP requests or answers are lost, alone and together with the line. */
static void test_lost_posts(void **state)
{
	for (int lost = 1; lost < 4; lost++) {
		for (int how = 0; how < 4; how++) {
			struct rig r;

			rig_init(&r, 8);
			r.lose_request = how & 1 ? lost : 0;
			r.lose_reply = how & 1 ? 0 : lost;
			r.cut_in_at = how & 2 ? 100 : NEVER;
			move(&r);
			join_target(&r);
			for (int i = 0; i < 5; i++) {
				/* An answer to prepare that was lost: the target times out. */
				usleep(READY_MS * 300);
				target_tick(r.target);
			}
			assert_int_not_equal(r.out.outcome, SOURCE_OUT_IN_DOUBT);
			assert_one_copy(&r);
			assert_no_journal(&r);
			rig_release(&r);
		}
	}
}

/*
 * After the go nothing is heard any more: the guest stands at the source, in
 * doubt, until the target can be asked.  By then it has the guest, or it has
 * timed out and never will.
 */
static void test_in_doubt(void **state)
{
	for (int go_lost = 0; go_lost < 2; go_lost++) {
		struct rig r;
		json_t *rec;

		rig_init(&r, 8);
		r.lose_from = 2;
		r.cut_in_go = go_lost;
		r.cut_in_running = !go_lost;
		assert_int_not_equal(move(&r), 0);
		join_target(&r);
		assert_int_equal(r.out.outcome, SOURCE_OUT_IN_DOUBT);
		assert_non_null(strstr(r.out.why, "--recover web1"));
		assert_int_equal(fake_state(r.src, r.domid), FAKE_SUSPENDED);
		assert_int_equal(source_journal_peek(r.src_dir, uuid, &rec), 0);
		assert_string_equal(wire_text(rec, "state", ""), "handed-over");
		json_decref(rec);
		/* A second move is refused; so is a recovery that cannot ask. */
		assert_int_equal(move(&r), -EBUSY);
		assert_int_equal(recover(&r, false), -EAGAIN);
		assert_int_equal(fake_state(r.src, r.domid), FAKE_SUSPENDED);
		r.lose_from = 0;
		assert_int_equal(recover(&r, false), 0);
		assert_int_equal(r.out.outcome, go_lost ? SOURCE_OUT_KEPT : SOURCE_OUT_MOVED);
		assert_one_copy(&r);
		assert_no_journal(&r);
		rig_release(&r);
	}
}

/* Whoever made a journal died before its slots were durable: there was no move. */
static void test_short_journal(void **state)
{
	char text[UUID_TEXT_BYTES], path[512];
	struct rig r;
	FILE *f;

	rig_init(&r, 8);
	uuid_format(uuid, text);
	snprintf(path, sizeof(path), "%s/%s.journal", r.src_dir, text);
	for (int bytes = 0; bytes < 5000; bytes += 1000) {
		f = fopen(path, "w");
		assert_non_null(f);
		for (int i = 0; i < bytes; i++)
			fputc(0, f);
		fclose(f);
		assert_no_journal(&r);
	}
	unlink(path);
	rig_release(&r);
}

/* The operator swears that the target is gone. */
static void test_force_local(void **state)
{
	struct rig r;

	rig_init(&r, 8);
	r.lose_from = 2;
	r.cut_in_go = true;
	assert_int_not_equal(move(&r), 0);
	join_target(&r);
	assert_int_equal(recover(&r, true), 0);
	assert_int_equal(r.out.outcome, SOURCE_OUT_KEPT);
	assert_one_copy(&r);
	rig_release(&r);
}

static void test_cancel(void **state)
{
	for (uint64_t at = 1; at < 60; at += 3) {
		struct rig r;

		rig_init(&r, 8);
		r.cancel_at = at;
		move(&r);
		join_target(&r);
		assert_int_not_equal(r.out.outcome, SOURCE_OUT_IN_DOUBT);
		assert_one_copy(&r);
		assert_no_journal(&r);
		rig_release(&r);
	}
}

/*
 * The source's process dies at step N, and with @both the daemon of the target
 * as well; both sides are started again and recover.
 */
static void die_at_each_step(bool both)
{
	uint64_t total;
	struct rig r;

	rig_init(&r, 8);
	assert_int_equal(move(&r), 0);
	total = r.steps;
	rig_release(&r);
	for (uint64_t at = 1; at <= total; at++) {
		rig_init(&r, 8);
		r.die_at = at;
		move(&r);
		join_target(&r);
		restore_snapshot(&r);
		if (both) {
			target_close(r.target);
			open_target(&r);
		}
		usleep(READY_MS * 1100);
		target_tick(r.target);
		recover(&r, false);
		assert_int_not_equal(r.out.outcome, SOURCE_OUT_IN_DOUBT);
		assert_one_copy(&r);
		assert_no_journal(&r);
		rig_release(&r);
	}
}

static void test_source_dies(void **state)
{
	die_at_each_step(false);
}

static void test_both_die(void **state)
{
	die_at_each_step(true);
}

static void make_target_journal(struct rig *r, const char *id, const char *st, domid_t domid)
{
	char path[256], text[UUID_TEXT_BYTES];
	struct journal j;
	json_t *latest, *rec;

	uuid_format(uuid, text);
	snprintf(path, sizeof(path), "%s/%s.journal", r->dst_dir, id);
	assert_int_equal(journal_open(&j, path, true, &latest), 0);
	rec = json_pack("{s:s, s:s, s:s, s:i}", "state", st, "name", "web1", "uuid", text,
			"domid", (int)domid);
	assert_int_equal(journal_write(&j, rec, true), 0);
	json_decref(rec);
	journal_close(&j, false);
}

/* A daemon that died in the middle: what its successor makes of each state. */
static void test_target_restart(void **state)
{
	static const char *const states[] = { "preparing", "prepared", "receiving", "ready",
					      "owner", "running" };
	const char *id = "01020304-0506-4708-890a-0b0c0d0e0f10";

	for (unsigned int i = 0; i < 6; i++) {
		struct rig r;
		json_t *reply;
		domid_t there;
		bool owned = i >= 4;

		rig_init(&r, 1);
		target_close(r.target);
		fake_suspend(r.src, r.domid);
		there = fake_domain_empty(r.dst, uuid, PAGES, 1);
		r.dst->doms[there].finished = true;
		r.dst->doms[there].contexts_set = 1;
		make_target_journal(&r, id, states[i], there);
		if (i == 5)
			fake_run(r.dst, there);
		open_target(&r);
		assert_int_equal(target_ask(r.target, id, "commit", uuid, &reply), 200);
		assert_string_equal(wire_text(reply, "state", ""), owned ? "running" : "aborted");
		json_decref(reply);
		assert_int_equal(fake_state(r.dst, there), owned ? FAKE_RUNNING : FAKE_GONE);
		if (owned) {
			/* The guest is destroyed there later: the source must hear that. */
			fake_destroy(r.dst, there);
			assert_int_equal(target_ask(r.target, id, "status", uuid, &reply), 200);
			assert_false(json_is_true(json_object_get(reply, "alive")));
			json_decref(reply);
			assert_int_equal(target_ask(r.target, id, "forget", uuid, &reply), 200);
			json_decref(reply);
		}
		rig_release(&r);
	}
}

static void test_bad_requests(void **state)
{
	static const char *const bad[] = {
		"{}", "[]", "{\"session\": 5}", "{\"session\": \"../../etc/passwd\"}",
		"{\"session\": \"01020304-0506-4708-890a-0b0c0d0e0f10\"}",
		"{\"session\": \"01020304-0506-4708-890a-0b0c0d0e0f10\", \"protocol\": 1, "
		"\"stream_version\": 1, \"tot_pages\": -1}",
		"{\"session\": \"01020304-0506-4708-890a-0b0c0d0e0f10\", \"protocol\": 99, "
		"\"stream_version\": 1, \"tot_pages\": 1}",
		"{\"session\": \"01020304-0506-4708-890a-0b0c0d0e0f10\", \"protocol\": 1, "
		"\"stream_version\": 1, \"tot_pages\": 1, \"domain\": {\"name\": 7}}",
	};
	struct rig r;
	json_t *reply;

	rig_init(&r, 1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		json_t *req = json_loads(bad[i], 0, NULL);

		assert_non_null(req);
		assert_int_equal(target_prepare(r.target, req, &reply), 400);
		assert_string_not_equal(wire_text(reply, "error", ""), "");
		json_decref(reply);
		json_decref(req);
	}
	assert_int_equal(target_ask(r.target, "nonsense", "status", NULL, &reply), 404);
	json_decref(reply);
	assert_int_equal(target_ask(r.target, "nonsense", "explode", uuid, &reply), 404);
	json_decref(reply);
	assert_int_equal(fake_find(r.dst, uuid), 0);
	rig_release(&r);
}

/* --- the same over real HTTP on loopback ------------------------------------------------ */

static void open_server(struct rig *r, struct server **server, json_t **health, char url[64])
{
	*health = json_pack("{s:s}", "status", "ok");
	assert_int_equal(server_start(r->target, NULL, *health, "127.0.0.1:0", IO_TIMEOUT_MS, server), 0);
	snprintf(url, 64, "http://127.0.0.1:%u", server_port(*server));
}

static void test_over_http(void **state)
{
	for (int round = 0; round < 3; round++) {
		struct source_params p;
		struct server *server;
		struct client *client;
		struct rig r;
		json_t *health;
		char url[64];
		int ret;

		rig_init(&r, 3 + round);
		open_server(&r, &server, &health, url);
		assert_int_equal(client_new(url, IO_TIMEOUT_MS, &client), 0);
		p = params(&r);
		p.peer = &client_ops;
		p.peer_ctx = client;
		p.peer_name = url;
		r.deaf = round == 1;
		r.refusing = round == 2;
		ret = source_move(&p, &r.out);
		if (round == 0)
			assert_string_equal(r.out.why, "");
		assert_int_equal(!ret, round == 0);
		client_free(client);
		server_stop(server);
		assert_one_copy(&r);
		assert_no_journal(&r);
		json_decref(health);
		rig_release(&r);
	}
}

/* A daemon that is told to end while a guest arrives: the source keeps it. */
static void *stop_soon(void *arg)
{
	usleep(20000);
	server_stop(arg);
	return NULL;
}

static void test_server_ends(void **state)
{
	struct source_params p;
	struct server *server;
	struct client *client;
	struct rig r;
	pthread_t thread;
	json_t *health;
	char url[64];

	rig_init(&r, 3);
	open_server(&r, &server, &health, url);
	assert_int_equal(client_new(url, 500, &client), 0);
	p = params(&r);
	p.peer = &client_ops;
	p.peer_ctx = client;
	p.peer_name = url;
	p.limits.bandwidth_bytes_per_s = 200000;	/* so that it takes a second */
	assert_int_equal(pthread_create(&thread, NULL, stop_soon, server), 0);
	assert_int_not_equal(source_move(&p, &r.out), 0);
	pthread_join(thread, NULL);
	assert_int_equal(r.out.outcome, SOURCE_OUT_KEPT);
	/* As the daemon does next: a session that never got its line ends here. */
	target_close(r.target);
	open_target(&r);
	assert_one_copy(&r);
	client_free(client);
	json_decref(health);
	rig_release(&r);
}

/* --- a line that falls silent: no end, no error, nothing moves any more ----------------- */

#define SILENT_MS	1000
#define PROXY_LINKS	16

struct proxy {
	int listener;
	unsigned int server_port;
	int fds[PROXY_LINKS][2];	/* client's, server's */
	unsigned int nr;
	uint64_t freeze_at, passed;	/* bytes to the server, but on the first connection */
	const char *freeze_word;	/* what holds it never arrives; NULL: none */
	volatile bool frozen, stop;
	pthread_t thread;
};

static void proxy_accept(struct proxy *p)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(p->server_port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = accept(p->listener, NULL, NULL);

	assert_true(fd >= 0 && p->nr < PROXY_LINKS);
	p->fds[p->nr][0] = fd;
	p->fds[p->nr][1] = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(p->fds[p->nr][1], (struct sockaddr *)&a, sizeof(a)), 0);
	p->nr++;
}

static void proxy_pass(struct proxy *p, unsigned int link, int from)
{
	char buf[4096];
	size_t room = sizeof(buf);
	ssize_t n;

	if (link && !from && p->freeze_at - p->passed < room)
		room = p->freeze_at - p->passed;
	n = room ? recv(p->fds[link][from], buf, room, 0) : 0;
	if (n > 0 && p->freeze_word && memmem(buf, n, p->freeze_word, strlen(p->freeze_word))) {
		p->frozen = true;
		return;
	}
	if (n > 0)
		send(p->fds[link][!from], buf, n, MSG_NOSIGNAL);
	if (n <= 0 && room) {
		shutdown(p->fds[link][!from], SHUT_WR);
		/* poll() passes negative ones by; proxy_stop() turns them back. */
		p->fds[link][from] = -1 - p->fds[link][from];
	}
	if (link && !from && n > 0)
		p->passed += n;
	if (p->passed == p->freeze_at)
		p->frozen = true;
}

static void *proxy_thread(void *arg)
{
	struct proxy *p = arg;

	while (!p->stop) {
		struct pollfd set[1 + 2 * PROXY_LINKS] = { { p->listener, POLLIN, 0 } };
		unsigned int nr = p->nr;

		for (unsigned int i = 0; i < 2 * nr; i++)
			set[1 + i] = (struct pollfd) { p->fds[i / 2][i % 2], POLLIN, 0 };
		if (p->frozen) {
			usleep(10000);
			continue;
		}
		poll(set, 1 + 2 * nr, 10);
		if (set[0].revents)
			proxy_accept(p);
		for (unsigned int i = 0; i < 2 * nr && !p->frozen; i++)
			if (set[1 + i].revents)
				proxy_pass(p, i / 2, i % 2);
	}
	return NULL;
}

static void proxy_start(struct proxy *p, unsigned int server_port, uint64_t freeze_at,
			const char *freeze_word, char url[64])
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);

	*p = (struct proxy) { .server_port = server_port, .freeze_at = freeze_at,
			      .freeze_word = freeze_word };
	p->listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(p->listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(p->listener, 8), 0);
	assert_int_equal(getsockname(p->listener, (struct sockaddr *)&a, &len), 0);
	snprintf(url, 64, "http://127.0.0.1:%u", ntohs(a.sin_port));
	assert_int_equal(pthread_create(&p->thread, NULL, proxy_thread, p), 0);
}

static void proxy_stop(struct proxy *p)
{
	p->stop = true;
	pthread_join(p->thread, NULL);
	for (unsigned int i = 0; i < 2 * p->nr; i++) {
		int fd = p->fds[i / 2][i % 2];

		close(fd < 0 ? -1 - fd : fd);
	}
	close(p->listener);
}

/* A move through the proxy; the bytes that passed on the data connection. */
static uint64_t silent_move(uint64_t freeze_at, const char *freeze_word,
			    enum source_outcome expected)
{
	uint64_t start, spent_ms, passed;
	struct source_params p;
	struct server *server;
	struct client *client;
	struct proxy proxy;
	struct rig r;
	json_t *health;
	char url[64];
	int ret;

	rig_init(&r, 3);
	open_server(&r, &server, &health, url);
	proxy_start(&proxy, server_port(server), freeze_at, freeze_word, url);
	assert_int_equal(client_new(url, SILENT_MS, &client), 0);
	p = params(&r);
	p.peer = &client_ops;
	p.peer_ctx = client;
	p.peer_name = url;
	p.decide_timeout_ms = SILENT_MS;
	start = ledger_now_us();
	ret = source_move(&p, &r.out);
	spent_ms = (ledger_now_us() - start) / 1000;
	assert_int_equal(r.out.outcome, expected);
	if (ret) {
		assert_string_not_equal(r.out.why, "");
		/* One time-out to notice, one for all that is asked then. */
		assert_in_range(spent_ms, SILENT_MS - 100, 2 * SILENT_MS + 700);
	}
	if (r.out.outcome == SOURCE_OUT_IN_DOUBT) {
		/* There if it heard the go, and nowhere else. */
		assert_int_equal(fake_nr_running(uuid), !strcmp(freeze_word, "\"running\""));
		proxy.freeze_at = NEVER;
		proxy.freeze_word = NULL;
		proxy.frozen = false;
		assert_int_equal(source_recover(&p, false, &r.out), 0);
	}
	client_free(client);
	passed = proxy.passed;
	proxy_stop(&proxy);
	server_stop(server);
	target_close(r.target);
	open_target(&r);
	assert_one_copy(&r);
	assert_no_journal(&r);
	json_decref(health);
	rig_release(&r);
	return passed;
}

static void test_silent_line(void **state)
{
	uint64_t total = silent_move(NEVER, NULL, SOURCE_OUT_MOVED);

	silent_move(total / 2, NULL, SOURCE_OUT_KEPT);
	silent_move(NEVER, "\"ready\"", SOURCE_OUT_KEPT);
	silent_move(NEVER, "\"go\"", SOURCE_OUT_IN_DOUBT);
	silent_move(NEVER, "\"running\"", SOURCE_OUT_IN_DOUBT);
}

static int raw_request(unsigned int port, const char *text, char *reply, size_t len)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), status = 0;
	ssize_t n;

	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	n = recv(fd, reply, len - 1, 0);
	reply[n > 0 ? n : 0] = '\0';
	sscanf(reply, "HTTP/1.1 %d", &status);
	close(fd);
	return status;
}

static void test_http_requests(void **state)
{
	static const char session[] = "01020304-0506-4708-890a-0b0c0d0e0f10";
	struct server *server;
	struct rig r;
	json_t *health;
	char url[64], text[512], reply[4096];
	unsigned int port;

	rig_init(&r, 3);
	open_server(&r, &server, &health, url);
	port = server_port(server);
#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"
	assert_int_equal(raw_request(port, GET("/v1/health"), reply, sizeof(reply)), 200);
	assert_non_null(strstr(reply, "\"ok\""));
	assert_int_equal(raw_request(port, GET("/v1/sessions"), reply, sizeof(reply)), 200);
	assert_int_equal(raw_request(port, GET("/"), reply, sizeof(reply)), 404);
	assert_int_equal(raw_request(port, GET("/v1/sessions/../../etc"), reply, sizeof(reply)), 404);
	assert_int_equal(raw_request(port, "PUT / HTTP/1.1\r\nHost: x\r\n\r\n", reply,
				     sizeof(reply)), 405);
	assert_int_equal(raw_request(port, "POST /v1/sessions HTTP/1.1\r\nHost: x\r\n"
				     "Content-Length: 5\r\n\r\n{\"a\":", reply, sizeof(reply)), 400);
	snprintf(text, sizeof(text), "GET /v1/sessions/%s/stream HTTP/1.1\r\nHost: x\r\n\r\n",
		 session);
	assert_int_equal(raw_request(port, text, reply, sizeof(reply)), 426);
	snprintf(text, sizeof(text), "GET /v1/sessions/%s HTTP/1.1\r\nHost: x\r\n\r\n", session);
	assert_int_equal(raw_request(port, text, reply, sizeof(reply)), 404);
	/* An upgrade to a session that does not exist is cut at once. */
	snprintf(text, sizeof(text), "GET /v1/sessions/%s/stream HTTP/1.1\r\nHost: x\r\n"
		 "Connection: Upgrade\r\nUpgrade: godwit-stream/1\r\n\r\n", session);
	assert_int_equal(raw_request(port, text, reply, sizeof(reply)), 101);
	server_stop(server);
	json_decref(health);
	rig_release(&r);
}

static void test_urls(void **state)
{
	char url[64];

	assert_int_equal(client_url("host2", url, sizeof(url)), 0);
	assert_string_equal(url, "http://host2:7070");
	assert_int_equal(client_url("10.0.0.1:99", url, sizeof(url)), 0);
	assert_string_equal(url, "http://10.0.0.1:99");
	assert_int_equal(client_url("[fe80::1]:99", url, sizeof(url)), 0);
	assert_string_equal(url, "http://[fe80::1]:99");
	assert_int_equal(client_url("http://h:1/", url, sizeof(url)), -EINVAL);
	assert_int_equal(client_url("", url, sizeof(url)), -EINVAL);
	assert_int_equal(client_url("a b", url, sizeof(url)), -EINVAL);
	assert_int_equal(client_url("h:0", url, sizeof(url)), -EINVAL);
	assert_int_equal(client_url("h:70000", url, sizeof(url)), -EINVAL);
	assert_int_equal(client_url("user@h", url, sizeof(url)), -EINVAL);
	assert_int_equal(client_url("[::1", url, sizeof(url)), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_journal),
		cmocka_unit_test(test_good_move),
		cmocka_unit_test(test_dry_run),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_deaf_guest),
		cmocka_unit_test(test_paused_guest),
		cmocka_unit_test(test_target_fails_late),
		cmocka_unit_test(test_cut_to_target),
		cmocka_unit_test(test_cut_from_target),
		cmocka_unit_test(test_lost_posts),
		cmocka_unit_test(test_in_doubt),
		cmocka_unit_test(test_short_journal),
		cmocka_unit_test(test_force_local),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_source_dies),
		cmocka_unit_test(test_both_die),
		cmocka_unit_test(test_target_restart),
		cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_over_http),
		cmocka_unit_test(test_server_ends),
		cmocka_unit_test(test_silent_line),
		cmocka_unit_test(test_http_requests),
		cmocka_unit_test(test_urls),
	};

	signal(SIGPIPE, SIG_IGN);
	log_init("test", LOG_LEVEL_ERR);
	/* TEST=test_silent_line: only this one, or a pattern with '*'. */
	if (getenv("TEST"))
		cmocka_set_test_filter(getenv("TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
