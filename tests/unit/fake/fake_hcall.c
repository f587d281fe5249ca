// SPDX-License-Identifier: Apache-2.0
/* See fake_hcall.h.  Only what checkpoint/ and migrate/ call is here. */
#include "tests/unit/fake/fake_hcall.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_HOSTS 4
#define P2M_BASE 16u			/* pfns of the p2m leaves */
#define TABLE_BASE 40u			/* pfns of the page tables */
#define NR_TABLES 24u

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct hcall *hosts[MAX_HOSTS];
static struct fake_page *last_memory;	/* of the guest when it last stood */
static unsigned int last_nr;
static uint64_t rng = 88172645463325252ull;

static uint64_t next_random(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	return rng ^= rng << 17;
}

static void die(const char *why)
{
	fprintf(stderr, "fake hypervisor: %s\n", why);
	abort();
}

static bool is_table(uint8_t type)
{
	type &= GODWIT_PAGE_TYPE_MASK;
	return type >= GODWIT_PAGE_L1 && type <= GODWIT_PAGE_L4;
}

static unsigned int nr_leaves(const struct fake_domain *d)
{
	return (d->nr_pages + 511) / 512;
}

/* --- the guest -------------------------------------------------------------------- */

static void touch(struct fake_page *p)
{
	p->hw_dirty = true;
}

/* One store of the guest somewhere; now and then something ruder. */
static void guest_write(struct fake_domain *d)
{
	unsigned int pfn = 64 + next_random() % (d->nr_pages - 64);
	struct fake_page *p = &d->pages[pfn];

	switch (next_random() % 16) {
	case 0:				/* a page becomes zero */
		memset(p->bytes, 0, 4096);
		p->type = GODWIT_PAGE_DATA;
		break;
	case 1:				/* ballooned out */
		memset(p->bytes, 0, 4096);
		p->type = GODWIT_PAGE_ABSENT;
		break;
	case 2:				/* a new page table, pinned */
		p->type = GODWIT_PAGE_L1 | GODWIT_PAGE_PINNED;
		p->bytes[next_random() % 4096] = (uint8_t)next_random();
		break;
	case 3:				/* a table changes */
		p = &d->pages[TABLE_BASE + next_random() % NR_TABLES];
		p->bytes[next_random() % 4096] = (uint8_t)next_random();
		break;
	default:
		if (p->type == GODWIT_PAGE_ABSENT)
			p->type = GODWIT_PAGE_DATA;
		memcpy(p->bytes + 8 * (next_random() % 512), &d->steps, 8);
	}
	touch(p);
}

static void guest_step(struct fake_domain *d)
{
	if (d->run != FAKE_RUNNING || d->paused)
		return;
	d->steps++;
	for (unsigned int i = 0; i < d->writes_per_step; i++)
		guest_write(d);
}

static struct fake_domain *enter(struct hcall *h, domid_t domid, int *err)
{
	if (h->on_call)
		h->on_call(h);
	pthread_mutex_lock(&lock);
	*err = h->dead ? -EIO : 0;
	if (!*err && (domid >= FAKE_MAX_DOMS || h->doms[domid].run == FAKE_GONE))
		*err = -ESRCH;
	if (*err) {
		pthread_mutex_unlock(&lock);
		return NULL;
	}
	guest_step(&h->doms[domid]);
	return &h->doms[domid];
}

static int leave(int ret)
{
	pthread_mutex_unlock(&lock);
	return ret;
}

/* --- the world ----------------------------------------------------------------------- */

struct hcall *fake_host_new(const char *name)
{
	struct hcall *h = calloc(1, sizeof(*h));

	snprintf(h->name, sizeof(h->name), "%s", name);
	for (int i = 0; i < MAX_HOSTS; i++) {
		if (!hosts[i]) {
			hosts[i] = h;
			return h;
		}
	}
	die("too many hosts");
	return NULL;
}

static void domain_free(struct fake_domain *d)
{
	free(d->pages);
	free(d->frozen);
	free(d->frozen_set);
}

void fake_host_free(struct hcall *h)
{
	if (h->bufs)
		die("hypercall buffers leaked");
	for (unsigned int i = 0; i < FAKE_MAX_DOMS; i++)
		domain_free(&h->doms[i]);
	for (int i = 0; i < MAX_HOSTS; i++)
		if (hosts[i] == h)
			hosts[i] = NULL;
	free(h);
	free(last_memory);
	last_memory = NULL;
}

domid_t fake_domain_empty(struct hcall *h, const uint8_t uuid[16], unsigned int nr_pages,
			  unsigned int nr_vcpus)
{
	domid_t domid = 0;

	pthread_mutex_lock(&lock);
	for (domid_t i = 1; i < FAKE_MAX_DOMS && !domid; i++)
		if (h->doms[i].run == FAKE_GONE)
			domid = i;
	if (domid) {
		struct fake_domain *d = &h->doms[domid];

		free(d->pages);
		memset(d, 0, sizeof(*d));
		d->run = FAKE_NEVER_RAN;
		memcpy(d->uuid, uuid, 16);
		d->nr_pages = nr_pages;
		d->nr_vcpus = nr_vcpus;
		d->pages = calloc(nr_pages, sizeof(*d->pages));
		for (unsigned int i = 0; i < nr_pages; i++)
			d->pages[i].type = GODWIT_PAGE_ABSENT;
	}
	pthread_mutex_unlock(&lock);
	return domid;
}

domid_t fake_guest_build(struct hcall *h, const uint8_t uuid[16], unsigned int nr_pages,
			 unsigned int writes_per_step, unsigned int seed)
{
	domid_t domid = fake_domain_empty(h, uuid, nr_pages, 1);
	struct fake_domain *d = &h->doms[domid];

	rng = 88172645463325252ull + seed;
	for (unsigned int i = 0; i < nr_pages; i++) {
		d->pages[i].type = GODWIT_PAGE_DATA;
		if (next_random() % 4 == 0)
			for (unsigned int k = 0; k < 4096; k += 8)
				memcpy(d->pages[i].bytes + k, &(uint64_t) { next_random() }, 8);
	}
	for (unsigned int i = 0; i < NR_TABLES; i++)
		d->pages[TABLE_BASE + i].type = (GODWIT_PAGE_L1 + i % 4) |
						(i % 4 == 3 ? GODWIT_PAGE_PINNED : 0);
	strcpy((char *)d->pages[FAKE_START_INFO].bytes, "xen-3.0-x86_64");
	for (unsigned int i = 0; i < nr_leaves(d); i++)
		d->pages[P2M_BASE + i].type = GODWIT_PAGE_P2M;
	for (unsigned int i = 0; i < FAKE_CONTEXT; i++)
		d->contexts[0][i] = (uint8_t)next_random();
	memset(d->shared_info, 0x5a, sizeof(d->shared_info));
	d->writes_per_step = writes_per_step;
	d->finished = true;
	d->contexts_set = 1;
	fake_run(h, domid);
	return domid;
}

void fake_suspend(struct hcall *h, domid_t domid)
{
	struct fake_domain *d = &h->doms[domid];

	pthread_mutex_lock(&lock);
	if (d->run != FAKE_RUNNING)
		die("suspend of a domain that does not run");
	for (int i = 0; i < 5; i++)
		guest_step(d);		/* it writes until the very end */
	d->contexts[0][0]++;
	d->run = FAKE_SUSPENDED;
	free(last_memory);
	last_memory = malloc(d->nr_pages * sizeof(*last_memory));
	memcpy(last_memory, d->pages, d->nr_pages * sizeof(*last_memory));
	last_nr = d->nr_pages;
	pthread_mutex_unlock(&lock);
}

unsigned int fake_nr_running(const uint8_t uuid[16])
{
	unsigned int nr = 0;

	for (int i = 0; i < MAX_HOSTS; i++)
		for (unsigned int k = 0; hosts[i] && k < FAKE_MAX_DOMS; k++)
			nr += hosts[i]->doms[k].run == FAKE_RUNNING && !hosts[i]->doms[k].paused &&
			      !memcmp(hosts[i]->doms[k].uuid, uuid, 16);
	return nr;
}

void fake_resume(struct hcall *h, domid_t domid)
{
	pthread_mutex_lock(&lock);
	if (h->doms[domid].run != FAKE_SUSPENDED)
		die("resumed, but it did not stand");
	h->doms[domid].run = FAKE_RUNNING;
	pthread_mutex_unlock(&lock);
}

void fake_run(struct hcall *h, domid_t domid)
{
	struct fake_domain *d = &h->doms[domid];

	pthread_mutex_lock(&lock);
	if (d->run == FAKE_GONE)
		die("a domain that is gone shall run");
	if (!d->finished || d->contexts_set != d->nr_vcpus)
		die("an incomplete domain shall run");
	if (fake_nr_running(d->uuid))
		die("a second copy shall run");
	d->run = FAKE_RUNNING;
	pthread_mutex_unlock(&lock);
}

void fake_destroy(struct hcall *h, domid_t domid)
{
	struct fake_domain *d = &h->doms[domid];

	pthread_mutex_lock(&lock);
	domain_free(d);
	memset(d, 0, sizeof(*d));
	pthread_mutex_unlock(&lock);
}

enum fake_run fake_state(struct hcall *h, domid_t domid)
{
	enum fake_run run;

	pthread_mutex_lock(&lock);
	run = h->doms[domid].run;
	pthread_mutex_unlock(&lock);
	return run;
}

domid_t fake_find(struct hcall *h, const uint8_t uuid[16])
{
	domid_t domid = 0;

	pthread_mutex_lock(&lock);
	for (domid_t i = 1; i < FAKE_MAX_DOMS; i++)
		if (h->doms[i].run != FAKE_GONE && !memcmp(h->doms[i].uuid, uuid, 16))
			domid = i;
	pthread_mutex_unlock(&lock);
	return domid;
}

/* A leaf's bytes are the destination's own; everything else must be equal. */
static bool page_same(const struct fake_page *a, const struct fake_page *b)
{
	if (a->type != b->type)
		return false;
	if (a->type == GODWIT_PAGE_P2M || a->type == GODWIT_PAGE_ABSENT)
		return true;
	return !memcmp(a->bytes, b->bytes, 4096);
}

bool fake_same_memory(struct hcall *h, domid_t domid)
{
	struct fake_domain *d = &h->doms[domid];

	if (!last_memory || d->nr_pages != last_nr)
		return false;
	for (unsigned int i = 0; i < last_nr; i++) {
		if (!page_same(&d->pages[i], &last_memory[i])) {
			fprintf(stderr, "pfn %u differs: type %#x, was %#x\n", i,
				d->pages[i].type, last_memory[i].type);
			return false;
		}
	}
	return true;
}

/* --- hcall.h ------------------------------------------------------------------------------ */

void *hcall_buf_alloc(struct hcall *h, size_t len_bytes)
{
	void *p = NULL;

	if (posix_memalign(&p, 4096, len_bytes ? len_bytes : 1))
		return NULL;
	__atomic_add_fetch(&h->bufs, 1, __ATOMIC_RELAXED);
	return p;
}

void hcall_buf_free(struct hcall *h, void *buf, size_t len_bytes)
{
	if (buf)
		__atomic_sub_fetch(&h->bufs, 1, __ATOMIC_RELAXED);
	free(buf);
}

int hcall_godwit_domain_facts(struct hcall *h, struct godwit_domain_facts *op)
{
	int err;
	struct fake_domain *d = enter(h, op->domid, &err);

	if (!d)
		return err;
	op->nr_vcpus = d->nr_vcpus;
	op->tot_pages = op->max_pages = op->end_pfn = d->nr_pages;
	op->start_info_pfn = d->run == FAKE_SUSPENDED ? FAKE_START_INFO : UINT64_MAX;
	memcpy(op->uuid, d->uuid, 16);
	if (op->shared_info)
		memcpy((void *)(uintptr_t)op->shared_info, d->shared_info, 4096);
	return leave(0);
}

int hcall_godwit_logdirty_enable_all(struct hcall *h, domid_t domid)
{
	int err;
	struct fake_domain *d = enter(h, domid, &err);

	if (!d)
		return err;
	if (d->logdirty)
		return leave(-EEXIST);
	d->logdirty = true;
	d->cookie = 0;
	for (unsigned int i = 0; i < d->nr_pages; i++)
		d->pages[i].dirty = d->pages[i].hw_dirty = false;
	return leave(0);
}

int hcall_godwit_logdirty_disable(struct hcall *h, domid_t domid)
{
	int err;
	struct fake_domain *d = enter(h, domid, &err);

	if (!d)
		return err;
	d->logdirty = false;
	d->cookie = 0;
	d->snapshot = GODWIT_SNAPSHOT_IS_NONE;
	return leave(0);
}

int hcall_godwit_logdirty_collect(struct hcall *h, domid_t domid, uint64_t *nr_dirty)
{
	int err;
	struct fake_domain *d = enter(h, domid, &err);

	if (!d)
		return err;
	if (!d->logdirty)
		return leave(-EINVAL);
	*nr_dirty = 0;
	for (unsigned int i = 0; i < d->nr_pages; i++) {
		d->pages[i].dirty |= d->pages[i].hw_dirty;
		d->pages[i].hw_dirty = false;
		*nr_dirty += d->pages[i].dirty;
	}
	return leave(0);
}

int hcall_godwit_logdirty_fetch(struct hcall *h, domid_t domid, uint64_t *pfns,
				unsigned int max, uint64_t *cursor, uint64_t *end_pfn)
{
	int err;
	struct fake_domain *d = enter(h, domid, &err);
	int nr = 0;

	if (!d)
		return err;
	for (; *cursor < d->nr_pages && (unsigned int)nr < max; ++*cursor) {
		if (!d->pages[*cursor].dirty)
			continue;
		d->pages[*cursor].dirty = false;
		pfns[nr++] = *cursor;
	}
	*end_pfn = d->nr_pages;
	return leave(nr);
}

static bool all_zero(const uint8_t *bytes)
{
	return !bytes[0] && !memcmp(bytes, bytes + 1, 4095);
}

int hcall_godwit_read_frames_all(struct hcall *h, domid_t domid, const uint64_t *pfns,
				 uint8_t *types, void *buffer, unsigned int nr)
{
	int err;
	struct fake_domain *d = enter(h, domid, &err);

	if (!d)
		return err;
	for (unsigned int i = 0; i < nr; i++) {
		bool frozen = d->snapshot == GODWIT_SNAPSHOT_IS_OPEN;
		struct fake_page *p = pfns[i] >= d->nr_pages ? NULL :
				      frozen ? &d->frozen[pfns[i]] : &d->pages[pfns[i]];
		uint8_t *slot = (uint8_t *)buffer + 4096 * i;

		if (frozen && (!p || d->frozen_set[pfns[i]] != 1))
			return leave(-EINVAL);
		if (frozen) {
			d->frozen_set[pfns[i]] = 2;
			d->snapshot_left--;
		}
		types[i] = p ? p->type : GODWIT_PAGE_ABSENT;
		if (!frozen && p && is_table(p->type) && d->run == FAKE_RUNNING && next_random() % 3 == 0)
			types[i] = GODWIT_PAGE_RETRY;
		else if (types[i] == GODWIT_PAGE_DATA && all_zero(p->bytes))
			types[i] = GODWIT_PAGE_ZERO;
		else if (types[i] == GODWIT_PAGE_DATA || is_table(types[i]))
			memcpy(slot, p->bytes, 4096);
	}
	return leave(0);
}

int hcall_godwit_write_frames_all(struct hcall *h, domid_t domid, const uint64_t *pfns,
				  const uint8_t *types, const void *buffer, unsigned int nr)
{
	int err;
	struct fake_domain *d = enter(h, domid, &err);

	if (!d)
		return err;
	if (d->run != FAKE_NEVER_RAN)
		die("write_frames to a domain that ran");
	for (unsigned int i = 0; i < nr; i++) {
		struct fake_page *p;

		if (pfns[i] >= d->nr_pages)
			return leave(-ENOMEM);
		p = &d->pages[pfns[i]];
		if (types[i] == GODWIT_PAGE_DELTA) {
			if (p->type != GODWIT_PAGE_DATA)
				die("delta of a page that is no data");
			for (unsigned int k = 0; k < 4096; k++)
				p->bytes[k] ^= ((const uint8_t *)buffer)[4096 * i + k];
			continue;
		}
		p->type = types[i] == GODWIT_PAGE_ZERO ? GODWIT_PAGE_DATA : types[i];
		if (types[i] == GODWIT_PAGE_DATA || is_table(types[i]))
			memcpy(p->bytes, (const uint8_t *)buffer + 4096 * i, 4096);
		else
			memset(p->bytes, 0, 4096);
	}
	return leave(0);
}

int hcall_godwit_p2m_frames(struct hcall *h, struct godwit_p2m_frames *op)
{
	int err;
	struct fake_domain *d = enter(h, op->domid, &err);
	uint64_t *out = (void *)(uintptr_t)op->pfns;

	if (!d)
		return err;
	op->nr_leaves = nr_leaves(d);
	op->max_pfn = d->nr_pages;
	for (unsigned int i = 0; out && i < op->nr_leaves && i < op->max_leaves; i++)
		out[i] = P2M_BASE + i;
	return leave(0);
}

int hcall_godwit_get_context(struct hcall *h, struct godwit_context *op)
{
	int err;
	struct fake_domain *d = enter(h, op->domid, &err);

	if (!d)
		return err;
	if (d->run == FAKE_RUNNING || op->vcpu >= d->nr_vcpus || op->size < FAKE_CONTEXT)
		return leave(-EINVAL);
	memcpy((void *)(uintptr_t)op->buffer, d->contexts[op->vcpu], FAKE_CONTEXT);
	op->size = FAKE_CONTEXT;
	return leave(0);
}

int hcall_godwit_set_context(struct hcall *h, struct godwit_context *op)
{
	int err;
	struct fake_domain *d = enter(h, op->domid, &err);

	if (!d)
		return err;
	if (!d->finished || op->vcpu >= d->nr_vcpus || op->size != FAKE_CONTEXT)
		return leave(-EINVAL);
	memcpy(d->contexts[op->vcpu], (void *)(uintptr_t)op->buffer, FAKE_CONTEXT);
	d->contexts_set++;
	return leave(0);
}

int hcall_godwit_finish_restore(struct hcall *h, struct godwit_finish_restore *op)
{
	int err;
	struct fake_domain *d = enter(h, op->domid, &err);
	const uint64_t *pins = (void *)(uintptr_t)op->pins;
	const uint64_t *leaves = (void *)(uintptr_t)op->p2m_leaves;
	uint64_t pinned = 0;

	if (!d)
		return err;
	for (unsigned int i = 0; i < d->nr_pages; i++)
		pinned += d->pages[i].type != GODWIT_PAGE_ABSENT &&
			  d->pages[i].type & GODWIT_PAGE_PINNED;
	if (pinned != op->nr_pins || op->nr_leaves != nr_leaves(d) ||
	    op->start_info_pfn != FAKE_START_INFO)
		return leave(-EINVAL);
	for (uint64_t i = 0; i < op->nr_pins; i++) {
		uint64_t pfn = pins[i] & ((1ull << 60) - 1);
		unsigned int type = d->pages[pfn].type;

		if (pfn >= d->nr_pages || type != ((pins[i] >> 60) + GODWIT_PAGE_L1 - 1 +
						   GODWIT_PAGE_PINNED))
			return leave(-EINVAL);
	}
	for (unsigned int i = 0; i < op->nr_leaves; i++)
		if (leaves[i] != P2M_BASE + i || d->pages[leaves[i]].type != GODWIT_PAGE_P2M)
			return leave(-EINVAL);
	memcpy(d->shared_info, (void *)(uintptr_t)op->shared_info, 4096);
	op->store_mfn = 0x1000;
	op->console_mfn = 0x1001;
	d->finished = true;
	return leave(0);
}

/* --- snapshots ------------------------------------------------------------------------- */

static int snapshot_begin(struct fake_domain *d, unsigned int flags)
{
	if (d->snapshot != GODWIT_SNAPSHOT_IS_PREPARED || d->run == FAKE_RUNNING)
		return -EBUSY;
	free(d->frozen);
	free(d->frozen_set);
	d->frozen = malloc(d->nr_pages * sizeof(*d->frozen));
	d->frozen_set = calloc(1, d->nr_pages);
	d->snapshot_left = 0;
	memcpy(d->frozen, d->pages, d->nr_pages * sizeof(*d->frozen));
	for (unsigned int i = 0; i < d->nr_pages; i++) {
		struct fake_page *p = &d->pages[i];

		d->frozen_set[i] = flags == GODWIT_SNAPSHOT_FULL || p->dirty || p->hw_dirty;
		d->snapshot_left += d->frozen_set[i];
		p->dirty = p->hw_dirty = false;
	}
	d->snapshot = GODWIT_SNAPSHOT_IS_OPEN;
	return 0;
}

static void snapshot_abort(struct fake_domain *d)
{
	for (unsigned int i = 0; d->snapshot == GODWIT_SNAPSHOT_IS_OPEN && i < d->nr_pages; i++)
		d->pages[i].dirty |= d->frozen_set[i] != 0;
	d->snapshot = GODWIT_SNAPSHOT_IS_NONE;
}

static int snapshot_commit(struct fake_domain *d, uint64_t cookie)
{
	if (d->snapshot != GODWIT_SNAPSHOT_IS_OPEN)
		return -EINVAL;
	if (d->snapshot_left)
		return -EBUSY;
	d->snapshot = GODWIT_SNAPSHOT_IS_NONE;
	d->cookie = cookie;
	return 0;
}

static int snapshot_fetch(struct fake_domain *d, struct godwit_snapshot *op)
{
	uint64_t *out = (void *)(uintptr_t)op->pfns;

	if (d->snapshot != GODWIT_SNAPSHOT_IS_OPEN)
		return -EINVAL;
	op->nr_out = 0;
	for (; op->cursor < d->nr_pages && op->nr_out < op->max_pfns; op->cursor++)
		if (d->frozen_set[op->cursor] == 1)
			out[op->nr_out++] = op->cursor;
	return 0;
}

int hcall_godwit_snapshot(struct hcall *h, struct godwit_snapshot *op)
{
	int err;
	struct fake_domain *d = enter(h, op->domid, &err);

	if (!d)
		return err;
	if (op->action == GODWIT_SNAPSHOT_PREPARE) {
		err = d->logdirty ? 0 : -EINVAL;
		snapshot_abort(d);
		d->snapshot = GODWIT_SNAPSHOT_IS_PREPARED;
	} else if (op->action == GODWIT_SNAPSHOT_BEGIN) {
		err = snapshot_begin(d, op->flags);
	} else if (op->action == GODWIT_SNAPSHOT_FETCH) {
		err = snapshot_fetch(d, op);
	} else if (op->action == GODWIT_SNAPSHOT_COMMIT) {
		err = snapshot_commit(d, op->cookie);
	} else if (op->action == GODWIT_SNAPSHOT_ABORT) {
		snapshot_abort(d);
	}
	op->cookie = d->cookie;
	op->end_pfn = d->nr_pages;
	op->nr_left = d->snapshot_left;
	op->state = d->snapshot;
	return leave(err);
}
