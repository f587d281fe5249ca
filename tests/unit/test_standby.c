/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Standbys over a fake hypervisor: what waits is always one whole checkpoint,
 * whatever the line does; what was activated is that, to the byte; and nobody
 * takes a lease that is still held.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "checkpoint/describe.h"
#include "checkpoint/save.h"
#include "migrate/cpu.h"
#include "migrate/protect.h"
#include "migrate/spool.h"
#include "migrate/standby.h"
#include "migrate/wire.h"
#include "tests/unit/fake/fake_hcall.h"
#include "toolstack/lib/log.h"

static const uint8_t uuid[16] = { 9, 2, 3, 4, 5, 6, 0x47, 8, 0x89, 10, 11, 12, 13, 14, 15, 16 };
#define SESSION	"0a0b0c0d-0102-4304-8506-0708090a0b0c"
#define PAGES	300u
#define NR	4u

/* A checkpoint as it would come, and the memory it is of. */
struct shot {
	struct stream_mem bytes;
	uint64_t hash;
	struct fake_page *memory;
};

struct rig {
	struct hcall *src, *dst;
	domid_t domid;
	char dir[64];
	struct domain_config cfg;
	struct standbys *t;
	domid_t there;
	bool introduce_fails;
	struct shot *stopping;

	/* protect_run() */
	int fds[2];
	struct stream_fd src_in, src_out, dst_in, dst_out;
	struct stream_io cut_out;
	uint64_t sent, cut_at;
	unsigned int cuts, connects;
	pthread_t thread;
	bool thread_runs;
	volatile sig_atomic_t cancel;
	uint64_t wanted;
	struct fake_page *last_applied, *last_stop;
	bool paused;
};

/* --- the host below the standby -------------------------------------------------------- */

static int host_prepare(void *ctx, const struct target_demand *demand, void **host,
			struct restore_domain_ids *ids, char why[200], enum target_refusal *refusal)
{
	struct rig *r = ctx;

	assert_true(demand->standby);
	r->there = fake_domain_empty(r->dst, demand->cfg.uuid, (unsigned int)demand->tot_pages, 1);
	*ids = (struct restore_domain_ids) { .domid = r->there, .max_pages = demand->tot_pages };
	*host = r;
	return 0;
}

static struct hcall *host_hcall(void *host)
{
	return ((struct rig *)host)->dst;
}

static int host_introduce(void *host, const struct restore_result *res)
{
	return ((struct rig *)host)->introduce_fails ? -EIO : 0;
}

static int host_unpause(void *host)
{
	struct rig *r = host;

	fake_run(r->dst, r->there);
	return 0;
}

static void host_announce(void *host)
{
}

static void host_destroy(void *host)
{
	struct rig *r = host;

	fake_destroy(r->dst, r->there);
}

static void host_release(void *host)
{
}

static int host_alive(void *ctx, domid_t domid, const uint8_t id[16])
{
	return fake_find(((struct rig *)ctx)->dst, id) != 0;
}

static void host_unpause_found(void *ctx, domid_t domid, const uint8_t id[16])
{
}

static void host_reap(void *ctx, domid_t domid, const uint8_t id[16])
{
	struct rig *r = ctx;

	if (fake_find(r->dst, id) == domid)
		fake_destroy(r->dst, domid);
}

static const struct target_host_ops host_ops = {
	.prepare = host_prepare, .hcall = host_hcall, .introduce = host_introduce,
	.unpause = host_unpause, .announce = host_announce, .destroy = host_destroy,
	.release = host_release, .alive = host_alive, .unpause_found = host_unpause_found,
	.reap = host_reap,
};

/* --- a rig ---------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *f)
{
	return remove(path);
}

static void rig_open(struct rig *r)
{
	struct standbys_params p = { .ops = &host_ops, .ctx = r, .dir = r->dir,
				     .spool_dir = r->dir, .state_dir = r->dir };

	assert_int_equal(standbys_open(&p, &r->t), 0);
}

static void rig_init(struct rig *r, unsigned int writes)
{
	*r = (struct rig) { .cut_at = UINT64_MAX };
	strcpy(r->dir, "/tmp/godwit-standby.XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	r->src = fake_host_new("src");
	r->dst = fake_host_new("dst");
	r->domid = fake_guest_build(r->src, uuid, PAGES, writes, 7);
	config_init(&r->cfg);
	strcpy(r->cfg.name, "web1");
	memcpy(r->cfg.uuid, uuid, 16);
	r->cfg.has_uuid = true;
	r->cfg.memory_mb = r->cfg.maxmem_mb = 16;
	r->cfg.vcpus = 1;
	r->cfg.cmdline = strdup("quiet");
	rig_open(r);
}

static void rig_free(struct rig *r)
{
	standbys_close(r->t);
	fake_destroy(r->src, r->domid);
	fake_host_free(r->src);
	fake_host_free(r->dst);
	config_release(&r->cfg);
	free(r->last_applied);
	free(r->last_stop);
	nftw(r->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct fake_page *copy_memory(struct hcall *h, domid_t domid)
{
	struct fake_page *copy = malloc(PAGES * sizeof(*copy));

	memcpy(copy, h->doms[domid].pages, PAGES * sizeof(*copy));
	return copy;
}

static bool same(const struct fake_page *a, const struct fake_page *b)
{
	for (unsigned int i = 0; i < PAGES; i++) {
		if (a[i].type != b[i].type)
			return false;
		if (a[i].type != GODWIT_PAGE_P2M && a[i].type != GODWIT_PAGE_ABSENT &&
		    memcmp(a[i].bytes, b[i].bytes, 4096))
			return false;
	}
	return true;
}

static json_t *request_of(struct rig *r, const char *witness, unsigned int after_ms)
{
	struct cpu_features cpu;
	json_t *j;

	cpu_features_read(&cpu);
	j = json_pack("{s:s, s:i, s:i, s:o, s:i, s:o, s:i, s:i}", "session", SESSION, "protocol", 1,
		      "stream_version", (int)STREAM_VERSION, "domain", config_to_json(&r->cfg),
		      "tot_pages", (int)PAGES, "cpu", cpu_features_to_json(&cpu), "lease_ms", 500,
		      "failover_after_ms", (int)after_ms);
	if (witness)
		json_object_set_new(j, "witness", json_string(witness));
	return j;
}

static void prepare(struct rig *r, const char *witness, unsigned int after_ms)
{
	json_t *j = request_of(r, witness, after_ms), *reply = NULL;

	assert_int_equal(standbys_prepare(r->t, j, &reply), 201);
	json_decref(j);
	json_decref(reply);
}

/* --- checkpoints as bytes ------------------------------------------------------------------------ */

static int shot_stop(void *ctx)
{
	struct rig *r = ctx;

	fake_suspend(r->src, r->domid);
	r->stopping->memory = copy_memory(r->src, r->domid);
	return 0;
}

static int shot_resume(void *ctx)
{
	struct rig *r = ctx;

	fake_run(r->src, r->domid);
	return 0;
}

static const struct save_hooks shot_hooks = {
	.stop_guest = shot_stop, .resume_guest = shot_resume,
};

/* Of the running guest; @parent NULL: a full one.  @commit: the next one stands on it. */
static void shoot(struct rig *r, struct shot *out, const struct shot *parent, bool commit)
{
	uint8_t chain[16] = { 1 };
	struct save_facts facts;
	struct describe d;
	Stream__Parent above;
	struct save_snapshot snap = { .delta = parent != NULL, .parent = &above,
				      .reserve_pages = 64 };
	struct godwit_snapshot op = { .domid = r->domid };
	struct save_result res;
	struct stream_writer *w;
	struct save_params p;

	assert_int_equal(save_get_facts(r->src, r->domid, &facts), 0);
	assert_int_equal(describe_make(&d, &r->cfg, &facts, STREAM__MODE__CHECKPOINT), 0);
	d.info.has_chain_id = d.info.has_chain_seq = 1;
	d.info.chain_id.data = chain;
	d.info.chain_id.len = 16;
	d.info.chain_seq = parent ? 1 : 0;
	stream__parent__init(&above);
	above.has_stream_hash = above.has_chain_seq = 1;
	above.stream_hash = parent ? parent->hash : 0;
	stream_mem_init(&out->bytes);
	assert_int_equal(stream_writer_new(&out->bytes.io, &w), 0);
	r->stopping = out;
	p = (struct save_params) { .hcall = r->src, .domid = r->domid, .writer = w, .info = &d.info,
				   .domain = &d.domain, .snapshot = &snap, .hooks = &shot_hooks,
				   .ctx = r };
	assert_int_equal(save_domain(&p, &res), 0);
	out->hash = stream_writer_hash(w);
	op.action = commit ? GODWIT_SNAPSHOT_COMMIT : GODWIT_SNAPSHOT_ABORT;
	op.cookie = out->hash;
	assert_int_equal(hcall_godwit_snapshot(r->src, &op), 0);
	stream_writer_free(w);
	describe_release(&d);
}

static void shot_free(struct shot *s)
{
	stream_mem_release(&s->bytes);
	free(s->memory);
}

/* Feed a connection with a checkpoint cut at @len; the last word of the answer. */
static int feed(struct rig *r, const struct shot *s, size_t len, const char *answer)
{
	static const char line[] = "{\"msg\":\"checkpoint\",\"age_us\":1000}\n";
	struct stream_mem in, out;
	int ret;

	stream_mem_init(&in);
	stream_mem_init(&out);
	in.io.write(in.io.ctx, line, sizeof(line) - 1);
	in.io.write(in.io.ctx, s->bytes.data, len);
	ret = standbys_serve(r->t, SESSION, &in.io, &out.io);
	if (answer && !memmem(out.data, out.len, answer, strlen(answer)))
		fail_msg("no \"%s\" in %.*s", answer, (int)out.len, (char *)out.data);
	stream_mem_release(&in);
	stream_mem_release(&out);
	return ret;
}

static int ask(struct rig *r, const char *verb, bool force)
{
	json_t *body = json_pack("{s:b}", "force", force), *reply = NULL;
	int status = standbys_ask(r->t, SESSION, verb, body, &reply);

	json_decref(body);
	json_decref(reply);
	return status;
}

static const struct fake_page *memory_there(struct rig *r)
{
	return r->dst->doms[r->there].pages;
}

/* --- tests: applying ---------------------------------------------------------------------------------- */

static void test_cut_anywhere(void **state)
{
	struct shot full, delta;
	struct rig r;
	size_t step;

	rig_init(&r, 3);
	shoot(&r, &full, NULL, true);
	shoot(&r, &delta, &full, true);
	prepare(&r, NULL, 0);
	assert_int_equal(ask(&r, "failover", true), 409);	/* nothing to run yet */
	assert_int_equal(feed(&r, &full, full.bytes.len / 2, "error"), -ENODATA);
	assert_int_equal(ask(&r, "failover", true), 409);
	assert_int_equal(feed(&r, &full, full.bytes.len, "applied"), 0);
	assert_true(same(memory_there(&r), full.memory));
	assert_false(same(full.memory, delta.memory));
	/* Every byte of the framing at both ends, and samples of what is between. */
	for (size_t at = 0; at < delta.bytes.len; at += step) {
		step = at < 600 || at + 600 > delta.bytes.len ? 1 : 97;
		assert_int_equal(feed(&r, &delta, at, "error"), -ENODATA);
		if (step > 1 || at % 50 == 0)
			assert_true(same(memory_there(&r), full.memory));
	}
	assert_true(same(memory_there(&r), full.memory));
	assert_int_equal(feed(&r, &delta, delta.bytes.len, "applied"), 0);
	assert_true(same(memory_there(&r), delta.memory));
	shot_free(&full);
	shot_free(&delta);
	rig_free(&r);
}

static void test_damage(void **state)
{
	struct shot full, delta;
	struct rig r;

	rig_init(&r, 3);
	shoot(&r, &full, NULL, true);
	shoot(&r, &delta, &full, true);
	prepare(&r, NULL, 0);
	assert_int_equal(feed(&r, &full, full.bytes.len, "applied"), 0);
	for (size_t at = 0; at < delta.bytes.len; at += 211) {
		delta.bytes.data[at] ^= 0x10;
		assert_true(feed(&r, &delta, delta.bytes.len, "error") < 0);
		delta.bytes.data[at] ^= 0x10;
	}
	assert_true(same(memory_there(&r), full.memory));
	assert_int_equal(feed(&r, &delta, delta.bytes.len, "applied"), 0);
	shot_free(&full);
	shot_free(&delta);
	rig_free(&r);
}

static void test_parents(void **state)
{
	struct shot s[NR], again, full2;
	struct rig r;

	rig_init(&r, 3);
	shoot(&r, &s[0], NULL, true);
	shoot(&r, &s[1], &s[0], true);
	shoot(&r, &s[2], &s[1], false);		/* its answer is lost */
	shoot(&r, &again, &s[1], true);
	shoot(&r, &s[3], &again, true);
	shoot(&r, &full2, NULL, true);
	prepare(&r, NULL, 0);
	assert_true(feed(&r, &s[1], s[1].bytes.len, "error") < 0);	/* nothing to stand on */
	assert_int_equal(feed(&r, &s[0], s[0].bytes.len, "applied"), 0);
	assert_int_equal(feed(&r, &s[2], s[2].bytes.len, "its parent is"), -ESTALE);
	assert_true(same(memory_there(&r), s[0].memory));
	assert_int_equal(feed(&r, &s[1], s[1].bytes.len, "applied"), 0);
	assert_int_equal(feed(&r, &s[2], s[2].bytes.len, "applied"), 0);
	assert_true(same(memory_there(&r), s[2].memory));
	/* All that changed since s[1] is right on top of s[2] as well. */
	assert_int_equal(feed(&r, &again, again.bytes.len, "applied"), 0);
	assert_true(same(memory_there(&r), again.memory));
	assert_int_equal(feed(&r, &s[3], s[3].bytes.len, "applied"), 0);
	assert_true(same(memory_there(&r), s[3].memory));
	assert_int_equal(feed(&r, &s[1], s[1].bytes.len, "its parent is"), -ESTALE);
	/* A full one replaces all, and gives back what it does not have. */
	assert_int_equal(feed(&r, &full2, full2.bytes.len / 3, "error"), -ENODATA);
	assert_true(same(memory_there(&r), s[3].memory));
	assert_int_equal(feed(&r, &full2, full2.bytes.len, "applied"), 0);
	assert_true(same(memory_there(&r), full2.memory));
	for (unsigned int i = 0; i < NR; i++)
		shot_free(&s[i]);
	shot_free(&again);
	shot_free(&full2);
	rig_free(&r);
}

/* --- tests: activation --------------------------------------------------------------------------------- */

static void test_failover(void **state)
{
	struct shot full, delta;
	struct rig r;

	rig_init(&r, 3);
	shoot(&r, &full, NULL, true);
	shoot(&r, &delta, &full, true);
	prepare(&r, NULL, 0);
	assert_int_equal(feed(&r, &full, full.bytes.len, "applied"), 0);
	assert_int_equal(feed(&r, &delta, delta.bytes.len / 2, "error"), -ENODATA);
	assert_int_equal(ask(&r, "failover", false), 409);	/* nobody says it is dead */
	fake_destroy(r.src, r.domid);
	assert_int_equal(ask(&r, "failover", true), 200);
	assert_int_equal(fake_state(r.dst, r.there), FAKE_RUNNING);
	assert_true(same(memory_there(&r), full.memory));
	/* A source that comes back is told. */
	assert_int_equal(feed(&r, &delta, delta.bytes.len, "taken-over"), -ECANCELED);
	assert_int_equal(ask(&r, "drop", false), 409);
	assert_int_equal(fake_state(r.dst, r.there), FAKE_RUNNING);
	shot_free(&full);
	shot_free(&delta);
	rig_free(&r);
}

static void test_release_and_drop(void **state)
{
	struct shot full;
	struct rig r;

	rig_init(&r, 3);
	shoot(&r, &full, NULL, true);
	prepare(&r, NULL, 0);
	assert_int_equal(feed(&r, &full, full.bytes.len, "applied"), 0);
	assert_int_equal(ask(&r, "drop", false), 200);
	assert_int_equal(fake_state(r.dst, r.there), FAKE_GONE);
	assert_int_equal(ask(&r, "failover", true), 409);
	standbys_close(r.t);
	rig_open(&r);
	prepare(&r, NULL, 0);
	assert_int_equal(feed(&r, &full, full.bytes.len, "applied"), 0);
	fake_destroy(r.src, r.domid);
	assert_int_equal(ask(&r, "release", false), 200);
	assert_int_equal(ask(&r, "failover", false), 200);
	shot_free(&full);
	rig_free(&r);
}

/* What cannot be completed leaves no domain behind. */
static void test_incomplete(void **state)
{
	struct shot full;
	struct rig r;

	rig_init(&r, 3);
	shoot(&r, &full, NULL, true);
	prepare(&r, NULL, 0);
	assert_int_equal(feed(&r, &full, full.bytes.len, "applied"), 0);
	r.introduce_fails = true;
	assert_int_equal(ask(&r, "failover", true), 500);
	assert_int_equal(fake_state(r.dst, r.there), FAKE_GONE);
	shot_free(&full);
	rig_free(&r);
}

/* A daemon that ends, or one that died, leaves no standby. */
static void test_restart(void **state)
{
	struct rig r;

	rig_init(&r, 3);
	prepare(&r, NULL, 0);
	standbys_close(r.t);
	assert_int_equal(fake_state(r.dst, r.there), FAKE_GONE);
	rig_open(&r);
	assert_int_equal(ask(&r, "status", false), 404);
	rig_free(&r);
}

/* --- tests: the witness ------------------------------------------------------------------------------------ */

static void write_lease(struct witness *w, struct witness_version *v, uint64_t renewal, bool ours)
{
	struct witness_lease l = { .lease_ms = 500, .renewal = renewal, .host = "h" };
	char why[200];

	strcpy(l.session, ours ? SESSION : "");
	assert_int_equal(witness_swap(w, &l, v, why), 0);
}

static void test_witness_file(void **state)
{
	struct witness_version v = { "" }, old, none = { "" };
	struct witness_lease l = { .lease_ms = 500 };
	char where[128], why[200];
	struct witness *w;
	struct rig r;

	rig_init(&r, 0);
	snprintf(where, sizeof(where), "%s/lease", r.dir);
	assert_int_equal(witness_open("relative", 100, &w, why), -EINVAL);
	assert_int_equal(witness_open(where, 100, &w, why), 0);
	assert_int_equal(witness_read(w, &l, &v, why), -ENOENT);
	write_lease(w, &v, 1, true);
	old = v;
	assert_int_equal(witness_swap(w, &l, &none, why), -ESTALE);
	for (uint64_t i = 2; i < 12; i++)
		write_lease(w, &v, i, true);
	/* The place behind a version long gone is free again, and must not be taken. */
	assert_int_equal(witness_swap(w, &l, &old, why), -ESTALE);
	assert_int_equal(witness_read(w, &l, &old, why), 0);
	assert_int_equal(l.renewal, 11);
	assert_string_equal(l.session, SESSION);
	assert_string_equal(old.tag, v.tag);
	witness_close(w);
	rig_free(&r);
}

static void test_lease(void **state)
{
	struct witness_version v = { "" };
	struct shot full;
	char where[128], why[200];
	struct witness *w;
	struct rig r;

	rig_init(&r, 3);
	snprintf(where, sizeof(where), "%s/lease", r.dir);
	assert_int_equal(witness_open(where, 100, &w, why), 0);
	shoot(&r, &full, NULL, true);
	prepare(&r, where, 0);
	assert_int_equal(feed(&r, &full, full.bytes.len, "applied"), 0);
	for (uint64_t i = 1; i < 8; i++) {
		write_lease(w, &v, i, true);
		usleep(100000);
		assert_int_equal(ask(&r, "failover", false), 409);
	}
	/* A source that ended well leaves nothing to take. */
	write_lease(w, &v, 9, false);
	usleep(800000);
	assert_int_equal(ask(&r, "failover", false), 409);
	write_lease(w, &v, 10, true);
	fake_destroy(r.src, r.domid);
	usleep(900000);
	assert_int_equal(ask(&r, "failover", false), 200);
	/* The source finds that its lease is gone. */
	assert_int_equal(witness_swap(w, &(struct witness_lease) { .lease_ms = 500 }, &v, why),
			 -ESTALE);
	witness_close(w);
	shot_free(&full);
	rig_free(&r);
}

static void test_by_itself(void **state)
{
	struct witness_version v = { "" };
	struct shot full;
	char where[128], why[200];
	struct witness *w;
	struct rig r;

	rig_init(&r, 3);
	snprintf(where, sizeof(where), "%s/lease", r.dir);
	assert_int_equal(witness_open(where, 100, &w, why), 0);
	shoot(&r, &full, NULL, true);
	prepare(&r, where, 600);
	assert_int_equal(feed(&r, &full, full.bytes.len, "applied"), 0);
	for (uint64_t i = 1; i < 8; i++) {
		write_lease(w, &v, i, true);
		usleep(150000);
		assert_int_equal(fake_state(r.dst, r.there), FAKE_NEVER_RAN);
	}
	fake_destroy(r.src, r.domid);
	for (int i = 0; i < 60 && fake_state(r.dst, r.there) != FAKE_RUNNING; i++)
		usleep(50000);
	assert_int_equal(fake_state(r.dst, r.there), FAKE_RUNNING);
	witness_close(w);
	shot_free(&full);
	rig_free(&r);
}

/* In the fencer's process: what it does shows in shared memory. */
static int fence_pause(void *ctx, bool on)
{
	__atomic_store_n((uint32_t *)ctx, on, __ATOMIC_RELEASE);
	return 0;
}

static bool becomes(uint32_t *word, uint32_t value)
{
	for (int i = 0; i < 200; i++) {
		if (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value)
			return true;
		usleep(20000);
	}
	return false;
}

static void test_fence(void **state)
{
	struct witness_version v = { "" };
	struct witness_lease l = { .lease_ms = 500 };
	char dir[80], away[96], where[128], why[200];
	uint32_t *paused = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct fence_params p = { .where = where, .session = SESSION, .lease_ms = 500,
				  .pause = fence_pause, .ctx = paused };
	struct witness *w;
	struct fence *f;
	struct rig r;

	rig_init(&r, 0);
	snprintf(dir, sizeof(dir), "%s/w", r.dir);
	snprintf(away, sizeof(away), "%s/away", r.dir);
	snprintf(where, sizeof(where), "%s/lease", dir);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(fence_start(&p, &f, why), 0);
	usleep(1200000);
	assert_int_equal(*paused, 0);
	assert_int_equal(fence_state(f, why), FENCE_HELD);
	/* The witness is out of reach, then there again. */
	assert_int_equal(rename(dir, away), 0);
	assert_true(becomes(paused, 1));
	assert_int_equal(fence_state(f, why), FENCE_OVERDUE);
	assert_int_equal(rename(away, dir), 0);
	assert_true(becomes(paused, 0));
	/* Somebody takes it; a renewal may come between reading and writing. */
	assert_int_equal(witness_open(where, 100, &w, why), 0);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(witness_read(w, &l, &v, why), 0);
		assert_string_equal(l.session, SESSION);
		l.standby = true;
		if (!witness_swap(w, &l, &v, why))
			break;
	}
	assert_true(becomes(paused, 1));
	assert_int_equal(fence_state(f, why), FENCE_LOST);
	assert_int_equal(fence_stop(f, FENCE_END_LOST, why), 0);
	assert_int_equal(*paused, 1);
	/* One host's name is taken over by none but itself. */
	strcpy(l.host, "another");
	l.renewal++;
	assert_int_equal(witness_swap(w, &l, &v, why), 0);
	assert_int_equal(fence_start(&p, &f, why), -EOWNERDEAD);
	/* A clean end: a standby cannot take what is left. */
	l.standby = false;
	l.released = true;
	assert_int_equal(witness_swap(w, &l, &v, why), 0);
	*paused = 0;
	assert_int_equal(fence_start(&p, &f, why), 0);
	assert_int_equal(fence_stop(f, FENCE_END_PROTECTION, why), 0);
	assert_int_equal(witness_read(w, &l, &v, why), 0);
	assert_string_equal(l.session, "");
	usleep(700000);
	assert_int_equal(*paused, 0);
	witness_close(w);
	munmap(paused, 4096);
	rig_free(&r);
}

/* --- tests: the source and the standby together ------------------------------------------------------------- */

static int guest_suspend(void *ctx, char why[200])
{
	struct rig *r = ctx;

	fake_suspend(r->src, r->domid);
	free(r->last_stop);
	r->last_stop = copy_memory(r->src, r->domid);
	return 0;
}

static int guest_resume(void *ctx)
{
	struct rig *r = ctx;

	if (r->src->doms[r->domid].paused)
		r->src->doms[r->domid].run = FAKE_RUNNING;
	else
		fake_run(r->src, r->domid);
	return 0;
}

static enum protect_guest guest_state(void *ctx)
{
	struct rig *r = ctx;

	return fake_state(r->src, r->domid) == FAKE_GONE ? PROTECT_GUEST_ENDED : PROTECT_GUEST_RUNS;
}

static int guest_pause(void *ctx, bool on)
{
	struct rig *r = ctx;

	r->paused = on;
	return 0;
}

static const struct protect_guest_ops guest_ops = {
	.suspend = guest_suspend, .resume = guest_resume, .state = guest_state,
	.pause = guest_pause,
};

static int line_write(void *ctx, const void *buf, size_t len)
{
	struct rig *r = ctx;
	size_t part = r->sent + len > r->cut_at ? r->cut_at - r->sent : len;
	int ret = r->src_out.io.write(r->src_out.io.ctx, buf, part);

	r->sent += part;
	if (part == len)
		return ret;
	r->src_out.io.flush(r->src_out.io.ctx);
	shutdown(r->fds[0], SHUT_RDWR);
	r->cuts++;
	r->cut_at = UINT64_MAX;
	return -EPIPE;
}

static int line_flush(void *ctx)
{
	struct rig *r = ctx;

	return r->src_out.io.flush(r->src_out.io.ctx);
}

static void *serve_thread(void *arg)
{
	struct rig *r = arg;
	struct standbys *t = r->t;

	standbys_serve(t, SESSION, &r->dst_in.io, &r->dst_out.io);
	shutdown(r->fds[1], SHUT_RDWR);
	return NULL;
}

static int peer_post(void *ctx, const char *path, const json_t *body, int *status,
		     json_t **reply, char why[200])
{
	struct rig *r = ctx;
	json_t *copy;

	*reply = NULL;
	if (strcmp(path, "/v1/standbys")) {
		*status = standbys_ask(r->t, SESSION, strrchr(path, '/') + 1, body, reply);
		return 0;
	}
	copy = json_deep_copy(body);
	json_object_set_new(copy, "session", json_string(SESSION));
	*status = standbys_prepare(r->t, copy, reply);
	json_decref(copy);
	return 0;
}

static int peer_connect(void *ctx, const char *session, const struct stream_io **out,
			const struct stream_io **in, char why[200])
{
	struct rig *r = ctx;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, r->fds), 0);
	assert_int_equal(stream_fd_init(&r->src_in, r->fds[0], 5000), 0);
	assert_int_equal(stream_fd_init(&r->src_out, r->fds[0], 5000), 0);
	assert_int_equal(stream_fd_init(&r->dst_in, r->fds[1], 5000), 0);
	assert_int_equal(stream_fd_init(&r->dst_out, r->fds[1], 5000), 0);
	r->cut_out = (struct stream_io) { .write = line_write, .flush = line_flush, .ctx = r };
	r->connects++;
	r->thread_runs = true;
	assert_int_equal(pthread_create(&r->thread, NULL, serve_thread, r), 0);
	*out = &r->cut_out;
	*in = &r->src_in.io;
	return 0;
}

static void peer_disconnect(void *ctx)
{
	struct rig *r = ctx;

	if (!r->thread_runs)
		return;
	shutdown(r->fds[0], SHUT_RDWR);
	pthread_join(r->thread, NULL);
	r->thread_runs = false;
	stream_fd_release(&r->src_in);
	stream_fd_release(&r->src_out);
	stream_fd_release(&r->dst_in);
	stream_fd_release(&r->dst_out);
	close(r->fds[0]);
	close(r->fds[1]);
}

static const struct source_peer_ops peer_ops = {
	.post = peer_post, .connect = peer_connect, .disconnect = peer_disconnect,
};

/* After each applied checkpoint what waits there is what stood here. */
static void on_report(void *ctx, const struct protect_status *st)
{
	struct rig *r = ctx;

	assert_int_equal(fake_state(r->src, r->domid), FAKE_RUNNING);
	if (st->why[0] || !st->count || !st->connected)
		return;
	assert_true(same(memory_there(r), r->last_stop));
	free(r->last_applied);
	r->last_applied = r->last_stop;
	r->last_stop = NULL;
	if (st->count % 5 == 3)
		r->cut_at = r->sent + (st->count * 7919) % 60000;
	if (st->count >= r->wanted)
		r->cancel = 1;
}

static struct protect_params params_of(struct rig *r)
{
	return (struct protect_params) {
		.hcall = r->src, .domid = r->domid, .cfg = &r->cfg, .peer_name = "there",
		.guest = &guest_ops, .guest_ctx = r, .peer = &peer_ops, .peer_ctx = r,
		.timeout_ms = 10000, .keep = true, .cancel = &r->cancel, .report = on_report,
		.report_ctx = r,
	};
}

static void test_protect(void **state)
{
	struct protect_params p;
	struct protect_result out;
	struct rig r;

	rig_init(&r, 2);
	r.wanted = 40;
	p = params_of(&r);
	assert_int_equal(protect_run(&p, &out), 0);
	assert_int_equal(out.outcome, PROTECT_ENDED);
	assert_true(r.cuts >= 4 && r.connects > r.cuts / 2);
	assert_int_equal(out.status.count, 40);
	assert_true(out.status.failed >= 1);
	/* Kept: it can be made to run, once the guest here is dead. */
	assert_true(same(memory_there(&r), r.last_applied));
	fake_destroy(r.src, r.domid);
	assert_int_equal(ask(&r, "failover", true), 200);
	assert_true(same(memory_there(&r), r.last_applied));
	rig_free(&r);
}

static void fail_over_behind(void *ctx, const struct protect_status *st)
{
	struct rig *r = ctx;

	if (st->count != 3 || st->why[0] || !st->connected)
		return;
	/* Somebody forces it although the guest lives: the fake world forbids a second
	 * copy that executes, so this one stands meanwhile. */
	r->src->doms[r->domid].paused = true;
	assert_int_equal(ask(r, "failover", true), 200);
}

static void test_taken_over(void **state)
{
	struct protect_params p;
	struct protect_result out;
	struct rig r;

	rig_init(&r, 2);
	p = params_of(&r);
	p.report = fail_over_behind;
	assert_int_equal(protect_run(&p, &out), -EOWNERDEAD);
	assert_int_equal(out.outcome, PROTECT_TAKEN_OVER);
	assert_true(r.paused);
	assert_int_equal(fake_state(r.dst, r.there), FAKE_RUNNING);
	rig_free(&r);
}

/* --- tests: spool ---------------------------------------------------------------------------------------------- */

static void test_spool(void **state)
{
	uint8_t buf[1000], back[1000];
	struct spool s;

	spool_init(&s, 2500, "/tmp");
	for (int turn = 0; turn < 2; turn++) {
		for (int i = 0; i < 10; i++) {
			memset(buf, i, sizeof(buf));
			assert_int_equal(s.io.write(s.io.ctx, buf, sizeof(buf)), 0);
		}
		for (int i = 0; i < 10; i++) {
			memset(buf, i, sizeof(buf));
			assert_int_equal(s.io.read(s.io.ctx, back, sizeof(back)), sizeof(back));
			assert_memory_equal(buf, back, sizeof(buf));
		}
		assert_int_equal(s.io.read(s.io.ctx, back, 1), 0);
		spool_clear(&s);
	}
	spool_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut_anywhere), cmocka_unit_test(test_damage),
		cmocka_unit_test(test_parents), cmocka_unit_test(test_failover),
		cmocka_unit_test(test_release_and_drop), cmocka_unit_test(test_incomplete),
		cmocka_unit_test(test_restart), cmocka_unit_test(test_witness_file),
		cmocka_unit_test(test_lease), cmocka_unit_test(test_fence), cmocka_unit_test(test_by_itself),
		cmocka_unit_test(test_protect), cmocka_unit_test(test_taken_over),
		cmocka_unit_test(test_spool),
	};

	log_init("test", LOG_LEVEL_ERR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
