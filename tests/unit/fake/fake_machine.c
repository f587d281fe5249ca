// SPDX-License-Identifier: Apache-2.0
/*
 * See fake_machine.h.  Counts are kept apart from what the code under test
 * believes, so that a leak or a double release shows.
 */
#include "tests/unit/fake/fake_machine.h"
#include <pv/hypercall.h>
#include <pv/lazy.h>
#include <pv/snapshot.h>

#include <stdio.h>

struct fake_frame { unsigned int refs, writers; bool table, used; };
struct fake_dom {
	struct domain d;
	struct vcpu v[FAKE_VCPUS];
	struct vcpu_info info[FAKE_VCPUS];
	uint64_t slot[FAKE_SLOTS];
	unsigned int holds;	/* references above the table's one */
};

uint8_t fake_ram[FAKE_FRAMES][PAGE_SIZE] __aligned(4096);
struct frame *frame_table;
uint64_t max_mfn = FAKE_FRAMES;
struct domain *dom0;
struct vcpu *fake_current;
struct cpu_features cpu_features = { .nx = true };
enum log_level log_level = LOG_INFO;
unsigned int nr_flushes, nr_unblocks[FAKE_DOMAINS][FAKE_VCPUS], nr_marks[FAKE_FRAMES];
unsigned int nr_preserved[FAKE_FRAMES];
bool missing[FAKE_FRAMES];
unsigned int nr_info_marks, fail_copy_after, fail_alloc_after;
void (*after_claim_hook)(void);

static struct frame frames[FAKE_FRAMES];
static struct fake_frame ff[FAKE_FRAMES];
static struct fake_dom doms[FAKE_DOMAINS];
static unsigned int nr_allocs;
static uint64_t rnd_state = 88172645463325252UL;

uint32_t rnd(uint32_t bound)
{
	rnd_state ^= rnd_state << 13;
	rnd_state ^= rnd_state >> 7;
	rnd_state ^= rnd_state << 17;
	return (uint32_t)(rnd_state >> 32) % bound;
}

static bool fails(unsigned int *after)
{
	return *after && --*after == 0;
}

/* --- lib, locks, memory --- */

void smp_poll(void) { abort(); }	/* one thread: a lock that is taken stays taken */
bool hypercall_should_yield(void) { return false; }
long hypercall_again3(unsigned int nr, uint64_t a0, uint64_t a1, uint64_t a2) { abort(); }

void printk(enum log_level level, const char *fmt, ...)
{
	(void)level;
	(void)fmt;
}

bool ratelimit_ok(struct ratelimit *r) { return r != NULL; }

void panic(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	abort();
}

void *xzalloc(size_t size)
{
	if (fails(&fail_alloc_after))
		return NULL;
	nr_allocs++;
	return calloc(1, size);
}

void xfree(void *p)
{
	nr_allocs -= p != NULL;
	free(p);
}

static unsigned int ram_take(void)
{
	unsigned int m;

	for (m = 1; m < FAKE_FRAMES && ff[m].used; m++)
		;
	assert_true(m < FAKE_FRAMES);
	ff[m] = (struct fake_frame){ .used = true };
	memset(fake_ram[m], 0, PAGE_SIZE);
	return m;
}

/* Pages that the code shares with a guest come from the RAM, as their mfn counts. */
void *page_alloc(void)
{
	unsigned int m;

	if (fails(&fail_alloc_after))
		return NULL;
	m = ram_take();
	frames[m].owner = DOMID_XEN;
	return fake_ram[m];
}

void page_free(void *p)
{
	uint64_t m = mfn_x(virt_to_mfn(p));

	assert_true(m < FAKE_FRAMES && ff[m].used && !ff[m].refs);
	ff[m].used = false;
}

void frame_share(void *page, struct domain *d)
{
	uint64_t m = mfn_x(virt_to_mfn(page));

	frames[m].owner = d->id;
	ff[m].refs = 1;
}

void frame_unshare(void *page) { frame_put(mfn_to_frame(virt_to_mfn(page))); }

/* --- frames --- */

bool frame_get(struct frame *f, const struct domain *d)
{
	struct fake_frame *x = &ff[f - frames];

	if (after_claim_hook)
		after_claim_hook();
	if (!x->used || !x->refs || f->owner != d->id)
		return false;
	x->refs++;
	return true;
}

void frame_put(struct frame *f)
{
	struct fake_frame *x = &ff[f - frames];

	assert_true(x->used && x->refs);
	if (!--x->refs) {
		assert_int_equal(x->writers, 0);
		x->used = false;
		f->owner = DOMID_INVALID;
	}
}

bool frame_get_rw(struct frame *f, const struct domain *d)
{
	struct fake_frame *x = &ff[f - frames];

	if (!frame_get(f, d))
		return false;
	if (x->table) {
		frame_put(f);
		return false;
	}
	x->writers++;
	return true;
}

void frame_put_rw(struct frame *f)
{
	struct fake_frame *x = &ff[f - frames];

	assert_true(x->writers);
	x->writers--;
	frame_put(f);
}

mfn_t give_frame(unsigned int id)
{
	unsigned int m = ram_take();

	frames[m].owner = doms[id].d.id;
	ff[m].refs = 1;
	return _mfn(m);
}

unsigned int frame_refs(mfn_t m) { return ff[m.mfn].refs; }
unsigned int frame_writers(mfn_t m) { return ff[m.mfn].writers; }
void frame_make_table(mfn_t m, bool table) { ff[m.mfn].table = table; }

/* --- page table entries --- */

uint64_t slot_addr(unsigned int slot) { return 0x1000 + slot * 8UL; }
uint64_t fake_slot(unsigned int id, unsigned int slot) { return doms[id].slot[slot]; }

static struct fake_dom *fake_of(struct domain *d) { return (struct fake_dom *)d; }

static uint64_t *slot_at(struct domain *d, uint64_t host_addr)
{
	uint64_t n = (host_addr - 0x1000) / 8;

	return n < FAKE_SLOTS ? &fake_of(d)->slot[n] : NULL;
}

static void slot_clear(uint64_t *e)
{
	struct frame *f = mfn_to_frame(pte_mfn(*e));

	if (*e & PTE_RW)
		frame_put_rw(f);
	else
		frame_put(f);
	*e = 0;
}

int mmu_install_foreign(struct domain *d, uint64_t host_addr, bool is_pte, mfn_t mfn,
			uint64_t flags)
{
	uint64_t *e = slot_at(d, host_addr);
	struct frame *f = mfn_to_frame(mfn);
	struct domain *owner = domain_get(f->owner);
	int ret = -EINVAL;

	(void)is_pte;
	assert_non_null(owner);
	/* the grant lock of no domain may be held: mm_lock is outside it */
	assert_false(spin_is_locked(&owner->grant.lock) || spin_is_locked(&d->grant.lock));
	if (e && !*e && (flags & PTE_RW ? frame_get_rw(f, owner) : frame_get(f, owner))) {
		*e = mfn_x(mfn) << PAGE_SHIFT | flags;
		ret = 0;
	}
	domain_put(owner);
	return ret;
}

int mmu_remove_foreign(struct domain *d, uint64_t host_addr, bool is_pte, mfn_t mfn)
{
	uint64_t *e = slot_at(d, host_addr);

	(void)is_pte;
	assert_false(spin_is_locked(&d->grant.lock));
	if (!e || !(*e & PTE_P) || !mfn_eq(pte_mfn(*e), mfn))
		return -EINVAL;
	slot_clear(e);
	return 0;
}

void slot_overwrite(unsigned int id, unsigned int slot)
{
	if (doms[id].slot[slot])
		slot_clear(&doms[id].slot[slot]);
}

void tlb_flush_mask(uint64_t mask)
{
	(void)mask;
	nr_flushes++;
}

void logdirty_mark_mfn(mfn_t m)
{
	if (m.mfn < FAKE_FRAMES)
		nr_marks[m.mfn]++;
}

bool lazy_blocks(mfn_t m)
{
	return m.mfn < FAKE_FRAMES && missing[m.mfn];
}

bool hypercall_must_wait(void) { return false; }

void snapshot_before_write(mfn_t m)
{
	if (m.mfn < FAKE_FRAMES)
		nr_preserved[m.mfn]++;
}

/* --- guest memory: every address is one of ours --- */

int copy_from_guest(void *dst, uint64_t gva, size_t n)
{
	if (!gva || fails(&fail_copy_after))
		return -EFAULT;
	memcpy(dst, (const void *)gva, n);
	return 0;
}

int copy_to_guest(uint64_t gva, const void *src, size_t n)
{
	if (!gva || fails(&fail_copy_after))
		return -EFAULT;
	memcpy((void *)gva, src, n);
	return 0;
}

/* --- domains and vCPUs --- */

struct domain *machine_domain(unsigned int id) { return &doms[id].d; }

struct domain *domain_get(uint16_t domid)
{
	unsigned int id = domid == DOMID_SELF ? fake_current->domain->id : domid;

	if (id >= FAKE_DOMAINS || doms[id].d.state >= DOM_DYING)
		return NULL;
	doms[id].holds++;
	return &doms[id].d;
}

void domain_hold(struct domain *d) { fake_of(d)->holds++; }

void domain_put(struct domain *d)
{
	assert_true(fake_of(d)->holds);
	fake_of(d)->holds--;
}

void vcpu_unblock(struct vcpu *v) { nr_unblocks[v->domain->id][v->id]++; }
void vcpu_kick(struct vcpu *v) { (void)v; }
void vcpu_info_dirty(struct vcpu *v)
{
	(void)v;
	nr_info_marks++;
}

void run_on(unsigned int id, unsigned int vcpu) { fake_current = &doms[id].v[vcpu]; }

static void domain_start(unsigned int id, uint32_t max_port, uint32_t grant_frames)
{
	struct fake_dom *f = &doms[id];
	unsigned int i;

	*f = (struct fake_dom){ .d = { .id = (uint16_t)id, .state = DOM_ALIVE, .privileged = id == 0,
				       .max_vcpus = FAKE_VCPUS } };
	for (i = 0; i < FAKE_VCPUS; i++) {
		f->v[i] = (struct vcpu){ .domain = &f->d, .id = i, .info = &f->info[i] };
		f->d.vcpu[i] = &f->v[i];
	}
	f->d.shared_info = page_alloc();
	frame_share(f->d.shared_info, &f->d);
	assert_int_equal(evtchn_init_domain(&f->d, max_port), 0);
	assert_int_equal(grant_init_domain(&f->d, grant_frames), 0);
}

void machine_start(uint32_t max_port, uint32_t grant_frames)
{
	unsigned int i;

	frame_table = frames;
	fail_copy_after = fail_alloc_after = 0;
	nr_flushes = nr_info_marks = 0;
	memset(nr_unblocks, 0, sizeof(nr_unblocks));
	memset(nr_marks, 0, sizeof(nr_marks));
	memset(nr_preserved, 0, sizeof(nr_preserved));
	memset(missing, 0, sizeof(missing));
	for (i = 0; i < FAKE_FRAMES; i++) {
		ff[i] = (struct fake_frame){ .used = false };
		frames[i] = (struct frame){ .owner = DOMID_INVALID };
	}
	for (i = 0; i < FAKE_DOMAINS; i++)
		domain_start(i, max_port, grant_frames);
	dom0 = &doms[0].d;
	run_on(0, 0);
}

void machine_kill(unsigned int id)
{
	struct fake_dom *f = &doms[id];
	unsigned int i;

	f->d.state = DOM_DYING;
	evtchn_destroy_domain(&f->d);
	grant_release_mappings(&f->d);
	for (i = 0; i < FAKE_SLOTS; i++)
		slot_overwrite(id, i);
	grant_destroy_domain(&f->d);
	if (f->d.shared_info)
		frame_unshare(f->d.shared_info);
	f->d.shared_info = NULL;
	for (i = 1; i < FAKE_FRAMES; i++)	/* the owner's own reference of what is left */
		if (ff[i].used && frames[i].owner == f->d.id)
			frame_put(&frames[i]);
}

void machine_stop(void)
{
	unsigned int i;

	for (i = FAKE_DOMAINS; i-- > 0;)
		if (doms[i].d.state < DOM_DYING)
			machine_kill(i);
	for (i = 0; i < FAKE_DOMAINS; i++)
		assert_int_equal(doms[i].holds, 0);
	for (i = 0; i < FAKE_FRAMES; i++)
		assert_false(ff[i].used);
	assert_int_equal(nr_allocs, 0);
	dom0 = NULL;
}
