/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The live checkpoint: memory as it was at an instant, read while the domain runs on.
 *
 * A pfn of the set is in one of three states:
 *
 *	frozen: the domain's own frame still holds the contents of the instant
 *	   |  \
 *	   |   aside: something is about to change the frame; aside[pfn] holds what it held
 *	   |  /
 *	taken: handed out, once
 *
 * Invariants:
 *  - nobody writes to a frozen frame, changes its type, pin or pfn, or lets it go: who is about to
 *    makes it `aside' first, under snap_lock.  The domain's own stores fault (mm/shadow.c, "Write
 *    protection"), everybody else calls snapshot_before_write();
 *  - so a frozen page table names only frames the domain has had since the instant, and M2P says
 *    of these what it said then, but for those in moved[];
 *  - frozen goes to aside or taken, never back; hence who sees it clear needs no lock.
 * The A and D bits of tables are no exception worth a copy: a table that is restored with one more
 * of them set is as good.
 *
 * The domain is never the victim: without memory, or a reader, the snapshot fails, and all that is
 * frozen then is free to be written.
 *
 * Lock: snap_lock for all of it; d->lock makes one operation at a time; d->snapshot changes under
 * mm_lock and snap_lock.
 */
#include <pv/errno.h>
#include <pv/lazy.h>
#include <pv/lib.h>
#include <pv/snapshot.h>
#include <pv/timer.h>
#include <pv/track.h>

#define READER_TIMEOUT_NS	2000000000L
#define HEAP_LEAVE	1024u		/* frames of the heap that copies do not take, as mm/frame.c says */
#define MOVED_MAX	256u

/* What aside[pfn] holds but 0 (nothing) and the mfn of a copy: contents without bytes. */
#define ASIDE_ZERO	(~0u - GODWIT_PAGE_ZERO)
#define ASIDE_P2M	(~0u - GODWIT_PAGE_P2M)
#define ASIDE_ABSENT	(~0u - GODWIT_PAGE_ABSENT)
#define ASIDE_RETRY	(~0u - GODWIT_PAGE_RETRY)
#define ASIDE_NO_FRAME	(~0u - 255u)	/* from here on */

#define COPY_MARK	0x40u		/* frame.aside of a copy: this and GODWIT_PAGE_* | PINNED */

struct snapshot {
	uint32_t state;			/* GODWIT_SNAPSHOT_IS_* */
	uint64_t nr_pfns;
	uint64_t *set, *left, *frozen;	/* bitmaps: all; not taken yet; of these, not aside */
	uint32_t *aside;
	uint64_t nr_set, nr_left;
	uint64_t reserve, copied, copies_now, copies_max;
	s_time_t begin_ns;		/* what BEGIN took */

	struct { uint32_t mfn; uint64_t pfn; } *moved;	/* frames with another pfn than at the instant */
	unsigned int nr_moved;

	/* vCPUs that wait because the reserve is used up */
	uint32_t waiting;		/* by id */
	struct { uint64_t pfn; s_time_t since; } wait[MAX_VCPUS];
	uint64_t waits;
	s_time_t wait_ns;
	s_time_t progress;		/* when a pfn was last taken */
	struct timer timer;		/* pending while somebody waits */
};

static uint64_t total_copies;

uint64_t snapshot_copies(void) { return ACCESS_ONCE(total_copies); }

static bool is_open(const struct snapshot *s)
{
	return s && ACCESS_ONCE(s->state) == GODWIT_SNAPSHOT_IS_OPEN;
}

bool snapshot_is_open(const struct domain *d)
{
	const struct snapshot *s = ACCESS_ONCE(d->snapshot);

	return s && ACCESS_ONCE(s->state) >= GODWIT_SNAPSHOT_IS_OPEN;
}

/* --- vCPUs that wait ---------------------------------------------------------------- */

static void wake_one(struct domain *d, struct snapshot *s, unsigned int id)
{
	s->waiting &= ~(1u << id);
	s->wait_ns += now_ns() - s->wait[id].since;
	vcpu_clear_pause(d->vcpu[id], PAUSE_MEMORY);
}

static void wake_all(struct domain *d, struct snapshot *s)
{
	while (s->waiting)
		wake_one(d, s, (unsigned int)__builtin_ctz(s->waiting));
}

/* Those that can go on now: there is room for a copy, or what they wait for needs none any more. */
static void wake_ready(struct domain *d, struct snapshot *s)
{
	uint32_t ids = s->waiting;

	for (; ids; ids &= ids - 1) {
		unsigned int id = (unsigned int)__builtin_ctz(ids);

		if (s->copies_now < s->reserve || !test_bit((unsigned int)s->wait[id].pfn, s->frozen))
			wake_one(d, s, id);
	}
}

static void fail(struct domain *d, struct snapshot *s, const char *why)
{
	if (s->state != GODWIT_SNAPSHOT_IS_OPEN)
		return;
	ACCESS_ONCE(s->state) = GODWIT_SNAPSHOT_IS_FAILED;
	wake_all(d, s);
	pr_warn("d%u snapshot failed: %s (%lu of %lu frames left, %lu copies)\n", d->id, why, s->nr_left,
		s->nr_set, s->copies_now);
}

/* Somebody waits.  Is anybody reading? */
static void reader_check(void *data)
{
	struct domain *d = data;
	struct snapshot *s;

	spin_lock(&d->snap_lock);
	s = d->snapshot;
	if (s && s->waiting) {
		if (now_ns() - s->progress >= READER_TIMEOUT_NS)
			fail(d, s, "nobody reads it");
		else
			timer_set(&s->timer, s->progress + READER_TIMEOUT_NS);
	}
	spin_unlock(&d->snap_lock);
}

static void wait_for_room(struct vcpu *v, struct snapshot *s, uint64_t pfn)
{
	s_time_t now = now_ns();

	if (!s->waiting) {
		s->progress = now;	/* of a reader that had no hurry, nothing is said yet */
		timer_set(&s->timer, now + READER_TIMEOUT_NS);
	}
	s->waiting |= 1u << v->id;
	s->wait[v->id].pfn = pfn;
	s->wait[v->id].since = now;
	s->waits++;
	vcpu_set_pause(v, PAUSE_MEMORY);
}

/* --- copies ------------------------------------------------------------------------------ */

static struct frame *copy_alloc(void)
{
	struct frame *f = heap_free_frames() > HEAP_LEAVE ? heap_alloc(0, 0) : NULL;

	if (f) {
		f->aside = COPY_MARK;
		atomic_add(&total_copies, 1);
	}
	return f;
}

void snapshot_release(struct frame *f)
{
	f->aside = 0;
	f->count = FRAME_DIRTY;		/* zeroed when somebody needs it, or has time */
	atomic_sub(&total_copies, 1);
	heap_free(f, 0);
}

static struct frame *copy_of(const struct snapshot *s, uint64_t pfn)
{
	uint32_t a = s->aside[pfn];

	return a && a < ASIDE_NO_FRAME ? &frame_table[a] : NULL;
}

/* --- contents --------------------------------------------------------------------------------- */

/* The pfn by which the domain knew @m at the instant; only for frames that it has had since. */
static uint64_t pfn_then(struct domain *d, mfn_t m)
{
	const struct snapshot *s = d->snapshot;
	unsigned int i;

	if (!mfn_valid(m) || mfn_to_frame(m)->owner != d->id)
		return ~0UL;
	for (i = 0; i < s->nr_moved; i++)
		if (s->moved[i].mfn == m.mfn)
			return s->moved[i].pfn;
	return m2p[m.mfn] < s->nr_pfns ? m2p[m.mfn] : ~0UL;
}

static bool is_table(const struct frame *f)
{
	return frame_type(f) >= FTYPE_L1 && frame_type(f) <= FTYPE_L4 && (f->type & FTYPE_COUNT_MASK);
}

/* What the frozen @pfn is, without a look at a table's entries; *@f: the frame with its bytes. */
static unsigned int kind_of(const struct domain *d, uint64_t pfn, struct frame **f)
{
	mfn_t m = track_lookup(d->track, pfn);

	*f = NULL;
	if (!mfn_valid(m))
		return GODWIT_PAGE_ABSENT;
	if (test_bit((unsigned int)pfn, d->track->p2m_leaf))
		return GODWIT_PAGE_P2M;
	*f = mfn_to_frame(m);
	if (is_table(*f))
		return (GODWIT_PAGE_L1 + frame_type(*f) - 1) | ((*f)->type & FTYPE_PINNED ? GODWIT_PAGE_PINNED : 0);
	if (!page_is_zero(frame_to_virt(*f)))
		return GODWIT_PAGE_DATA;
	*f = NULL;
	return GODWIT_PAGE_ZERO;
}

/* The bytes of @f, which is of kind @kind, to @page; what they are after all. */
static unsigned int copy_bytes(struct domain *d, struct frame *f, unsigned int kind, uint64_t *page)
{
	if (kind == GODWIT_PAGE_DATA)
		memcpy(page, frame_to_virt(f), PAGE_SIZE);
	else if (!table_canonicalise(d, frame_to_virt(f), frame_type(f), page, pfn_then))
		return GODWIT_PAGE_RETRY;
	return kind;
}

static int copy_aside(struct domain *d, struct snapshot *s, struct frame *f, unsigned int kind, uint32_t *aside)
{
	struct frame *copy = copy_alloc();

	if (!copy)
		return -ENOMEM;
	kind = copy_bytes(d, f, kind, frame_to_virt(copy));
	if (kind == GODWIT_PAGE_RETRY) {
		snapshot_release(copy);
		*aside = ASIDE_RETRY;
		return 0;
	}
	copy->aside = (uint8_t)(COPY_MARK | kind);
	*aside = (uint32_t)frame_to_mfn(copy).mfn;
	s->copied++;
	s->copies_now++;
	s->copies_max = max(s->copies_max, s->copies_now);
	return 0;
}

/* Make the frozen @pfn aside.  -EAGAIN: that needs a frame, and @limit of them are in use; -ENOMEM. */
static int set_aside(struct domain *d, struct snapshot *s, uint64_t pfn, uint64_t limit)
{
	struct frame *f;
	unsigned int kind = kind_of(d, pfn, &f);
	int ret = 0;

	if (!f)
		s->aside[pfn] = ~0u - kind;
	else if (s->copies_now >= limit)
		return -EAGAIN;
	else
		ret = copy_aside(d, s, f, kind, &s->aside[pfn]);
	if (!ret)
		clear_bit((unsigned int)pfn, s->frozen);
	return ret;
}

static bool pfn_is_frozen(const struct snapshot *s, uint64_t pfn)
{
	return pfn < s->nr_pfns && test_bit((unsigned int)pfn, s->frozen);
}

static void set_aside_or_fail(struct domain *d, struct snapshot *s, uint64_t pfn)
{
	if (s->state == GODWIT_SNAPSHOT_IS_OPEN && pfn_is_frozen(s, pfn) && set_aside(d, s, pfn, ~0UL))
		fail(d, s, "no memory for a copy");
}

/* The pfn whose contents @m holds; ~0: none, the view has another frame for it. */
static uint64_t source_of(const struct domain *d, mfn_t m)
{
	return track_lookup(d->track, m2p[m.mfn]).mfn == m.mfn ? m2p[m.mfn] : ~0UL;
}

/* --- hooks ---------------------------------------------------------------------------------------- */

void snapshot_before_write(mfn_t m)
{
	struct domain *d = mfn_valid(m) ? domain_get_any(mfn_to_frame(m)->owner) : NULL;

	if (likely(!d || !ACCESS_ONCE(d->snapshot)))
		return;
	spin_lock(&d->snap_lock);
	if (is_open(d->snapshot))
		set_aside_or_fail(d, d->snapshot, source_of(d, m));
	spin_unlock(&d->snap_lock);
}

static void note_move(struct domain *d, struct snapshot *s, mfn_t m, uint64_t pfn)
{
	unsigned int i;

	for (i = 0; i < s->nr_moved; i++)
		if (s->moved[i].mfn == m.mfn)
			return;		/* the first pfn is the one of the instant */
	if (s->nr_moved == MOVED_MAX) {
		fail(d, s, "the domain renames its frames");
		return;
	}
	s->moved[s->nr_moved].mfn = (uint32_t)m.mfn;
	s->moved[s->nr_moved++].pfn = pfn;
}

void snapshot_before_rename(struct domain *d, mfn_t m, pfn_t p)
{
	struct snapshot *s;
	uint64_t old;

	if (likely(!ACCESS_ONCE(d->snapshot)))
		return;
	spin_lock(&d->snap_lock);
	s = d->snapshot;
	old = m2p[m.mfn];
	if (is_open(s) && (old != p.pfn || source_of(d, m) != p.pfn)) {
		set_aside_or_fail(d, s, source_of(d, m));
		set_aside_or_fail(d, s, p.pfn);		/* whatever it was: no longer that */
		if (old < s->nr_pfns && old != p.pfn)
			note_move(d, s, m, old);
	}
	spin_unlock(&d->snap_lock);
}

bool snapshot_is_frozen(const struct domain *d, mfn_t m)
{
	const struct snapshot *s = d->snapshot;

	return unlikely(s) && is_open(s) && mfn_valid(m) && mfn_to_frame(m)->owner == d->id &&
	       pfn_is_frozen(s, source_of(d, m));
}

bool snapshot_before_store(struct vcpu *v, mfn_t m, bool may_wait)
{
	struct domain *d = v->domain;
	bool go_on = true;
	uint64_t pfn;
	int ret;

	if (!snapshot_is_frozen(d, m))
		return true;
	spin_lock(&d->snap_lock);
	pfn = source_of(d, m);
	if (is_open(d->snapshot) && pfn_is_frozen(d->snapshot, pfn)) {
		ret = set_aside(d, d->snapshot, pfn, may_wait ? d->snapshot->reserve : ~0UL);
		if (ret == -EAGAIN) {
			wait_for_room(v, d->snapshot, pfn);
			go_on = false;
		} else if (ret) {
			fail(d, d->snapshot, "no memory for a copy");
		}
	}
	spin_unlock(&d->snap_lock);
	return go_on;
}

/* --- reading --------------------------------------------------------------------------------------- */

static uint8_t take_frozen(struct domain *d, struct snapshot *s, uint64_t pfn, uint64_t *page)
{
	struct frame *f;
	unsigned int kind = kind_of(d, pfn, &f);

	if (f)
		kind = copy_bytes(d, f, kind, page);
	clear_bit((unsigned int)pfn, s->frozen);
	return (uint8_t)kind;
}

static uint8_t take_aside(struct snapshot *s, uint64_t pfn, struct frame **aside)
{
	*aside = copy_of(s, pfn);
	if (!*aside)
		return (uint8_t)(~0u - s->aside[pfn]);
	s->copies_now--;
	return (*aside)->aside & (uint8_t)~COPY_MARK;
}

int snapshot_take(struct domain *d, uint64_t pfn, uint64_t *page, uint8_t *type, struct frame **aside)
{
	struct snapshot *s;
	int ret = 0;

	*aside = NULL;
	spin_lock(&d->snap_lock);
	s = d->snapshot;
	if (!is_open(s)) {
		ret = -ESTALE;
	} else if (pfn >= s->nr_pfns || !test_bit((unsigned int)pfn, s->left)) {
		ret = -EINVAL;
	} else {
		*type = pfn_is_frozen(s, pfn) ? take_frozen(d, s, pfn, page) : take_aside(s, pfn, aside);
		clear_bit((unsigned int)pfn, s->left);
		s->nr_left--;
		s->progress = now_ns();
		wake_ready(d, s);
	}
	spin_unlock(&d->snap_lock);
	return ret;
}

void snapshot_lost(struct domain *d)
{
	spin_lock(&d->snap_lock);
	if (is_open(d->snapshot))
		fail(d, d->snapshot, "its reader's buffer is not writable");
	spin_unlock(&d->snap_lock);
}

#define FETCH_CHUNK	64u

static int fetch(struct snapshot *s, struct godwit_snapshot *op)
{
	uint64_t out[FETCH_CHUNK], pfn = op->cursor;
	unsigned int n;

	if (op->max_pfns == 0 || op->max_pfns > 65536)
		return -EINVAL;
	while (pfn < s->nr_pfns && op->nr_out < op->max_pfns) {
		for (n = 0; pfn < s->nr_pfns && n < min(FETCH_CHUNK, op->max_pfns - op->nr_out);) {
			uint64_t w = ACCESS_ONCE(s->left[pfn / 64]) >> (pfn % 64);

			if (!w) {
				pfn = (pfn / 64 + 1) * 64;
				continue;
			}
			pfn += (unsigned int)__builtin_ctzl(w);
			out[n++] = pfn++;
		}
		if (copy_to_guest(op->pfns + op->nr_out * sizeof(out[0]), out, n * sizeof(out[0])))
			return -EFAULT;
		op->nr_out += n;
	}
	op->cursor = min(pfn, s->nr_pfns);
	return 0;
}

/* --- life ---------------------------------------------------------------------------------------------- */

static void snapshot_free(struct snapshot *s)
{
	uint64_t i, w;

	if (!s)
		return;
	for (i = 0; s->left && s->frozen && i < s->nr_pfns / 64; i++)
		for (w = s->left[i] & ~s->frozen[i]; w; w &= w - 1) {
			struct frame *copy = copy_of(s, i * 64 + (uint64_t)__builtin_ctzl(w));

			if (copy)
				snapshot_release(copy);
		}
	xfree(s->set);
	xfree(s->left);
	xfree(s->frozen);
	xfree(s->aside);
	xfree(s->moved);
	xfree(s);
}

static struct snapshot *snapshot_make(struct domain *d, uint64_t reserve)
{
	struct snapshot *s = xzalloc(sizeof(*s));
	uint64_t nr = d->logdirty->nr_pfns;

	if (!s)
		return NULL;
	s->state = GODWIT_SNAPSHOT_IS_PREPARED;
	s->nr_pfns = nr;
	s->reserve = reserve;
	s->set = xzalloc_array(uint64_t, nr / 64);
	s->left = xzalloc_array(uint64_t, nr / 64);
	s->frozen = xzalloc_array(uint64_t, nr / 64);
	s->aside = xzalloc_array(uint32_t, nr);
	s->moved = xzalloc(MOVED_MAX * sizeof(s->moved[0]));
	timer_init(&s->timer, reader_check, d);
	if (s->set && s->left && s->frozen && s->aside && s->moved)
		return s;
	snapshot_free(s);
	return NULL;
}

static void snapshot_attach(struct domain *d, struct snapshot *s)
{
	spin_lock(&d->mm_lock);
	spin_lock(&d->snap_lock);
	if (d->snapshot)
		wake_all(d, d->snapshot);
	ACCESS_ONCE(d->snapshot) = s;
	spin_unlock(&d->snap_lock);
	spin_unlock(&d->mm_lock);
}

/* Nobody looks at it any more once it is detached, but a timer that runs now. */
static void snapshot_end(struct domain *d, bool dirty_again)
{
	struct snapshot *s = d->snapshot;
	struct logdirty *ld = d->logdirty;
	uint64_t i;

	if (!s)
		return;
	for (i = 0; dirty_again && ld && i < s->nr_pfns / 64; i++)
		if (s->set[i])
			atomic_or(&ld->bitmap[i], s->set[i]);
	snapshot_attach(d, NULL);
	timer_kill(&s->timer);
	snapshot_free(s);
}

void snapshot_drop(struct domain *d) { snapshot_end(d, true); }

static int prepare(struct domain *d, const struct godwit_snapshot *op)
{
	struct snapshot *s;

	snapshot_drop(d);
	s = snapshot_make(d, op->reserve_pages);
	if (!s)
		return -ENOMEM;
	snapshot_attach(d, s);
	return 0;
}

static void each_vcpu(struct domain *d, void (*fn)(struct vcpu *))
{
	unsigned int i;

	for (i = 0; i < d->max_vcpus; i++)
		fn(d->vcpu[i]);
}

/* From the end of this on nothing that is in the set changes without its copy. */
static void freeze(struct domain *d, struct snapshot *s, bool full)
{
	uint64_t end = d->track->end_pfn, i;

	spin_lock(&d->mm_lock);
	spin_lock(&d->snap_lock);
	s->nr_set = logdirty_move_all(d->logdirty, s->set);
	if (full) {
		memset(s->set, 0xff, end / 64 * 8);
		for (i = end & ~63UL; i < end; i++)
			s->set[i / 64] |= BIT(i % 64);
		for (i = ROUND_UP(end, 64UL) / 64, s->nr_set = end; i < s->nr_pfns / 64; i++)
			s->nr_set += bits_count(s->set[i]);
	}
	memcpy(s->left, s->set, s->nr_pfns / 8);
	memcpy(s->frozen, s->set, s->nr_pfns / 8);
	s->nr_left = s->nr_set;
	s->progress = now_ns();
	ACCESS_ONCE(s->state) = GODWIT_SNAPSHOT_IS_OPEN;
	spin_unlock(&d->snap_lock);
	shadow_protect(d);
	spin_unlock(&d->mm_lock);
	tlb_flush_mask(d->dirty_cpus);
}

/*
 * Who writes without a hook - backends by what they have mapped, the hypervisor to vcpu_info - is
 * found after the freezing: who came to have the right to write before it is in the lists by then,
 * and who comes after it calls the hook.
 */
static int begin(struct domain *d, struct snapshot *s, const struct godwit_snapshot *op)
{
	bool full = op->flags == GODWIT_SNAPSHOT_FULL;
	s_time_t start;

	if (s->state != GODWIT_SNAPSHOT_IS_PREPARED || (!full && op->flags != GODWIT_SNAPSHOT_DELTA))
		return -EINVAL;
	if (d->state != DOM_ALIVE || lazy_is_active(d) || !(d->is_shutdown || d->paused_by_tool))
		return -EBUSY;
	each_vcpu(d, vcpu_pause);
	start = now_ns();
	if (!full)
		logdirty_collect(d);
	freeze(d, s, full);
	logdirty_for_each_shared(d, snapshot_before_write);
	s->begin_ns = now_ns() - start;
	each_vcpu(d, vcpu_unpause);
	if (s->state == GODWIT_SNAPSHOT_IS_OPEN)
		return 0;
	snapshot_drop(d);
	return -ENOMEM;
}

static int commit(struct domain *d, struct snapshot *s, uint64_t cookie)
{
	if (s->state != GODWIT_SNAPSHOT_IS_OPEN)
		return s->state == GODWIT_SNAPSHOT_IS_FAILED ? -ESTALE : -EINVAL;
	if (s->nr_left)
		return -EBUSY;
	snapshot_end(d, false);
	d->logdirty->cookie = cookie;
	return 0;
}

static void report(const struct domain *d, struct godwit_snapshot *op)
{
	const struct snapshot *s = d->snapshot;

	op->cookie = d->logdirty->cookie;
	op->end_pfn = d->logdirty->nr_pfns;
	op->state = GODWIT_SNAPSHOT_IS_NONE;
	if (!s)
		return;
	op->state = s->state;
	op->nr_pfns = s->nr_set;
	op->nr_left = s->nr_left;
	op->copied = s->copied;
	op->copies_now = s->copies_now;
	op->copies_max = s->copies_max;
	op->waits = s->waits;
	op->wait_us = (uint64_t)s->wait_ns / 1000;
	op->begin_us = (uint64_t)s->begin_ns / 1000;
}

static int act(struct domain *d, struct godwit_snapshot *op)
{
	struct snapshot *s = d->snapshot;

	switch (op->action) {
	case GODWIT_SNAPSHOT_PREPARE: return prepare(d, op);
	case GODWIT_SNAPSHOT_STATUS: return 0;
	case GODWIT_SNAPSHOT_ABORT: snapshot_drop(d); return 0;
	}
	if (!s)
		return -EINVAL;
	switch (op->action) {
	case GODWIT_SNAPSHOT_BEGIN: return begin(d, s, op);
	case GODWIT_SNAPSHOT_FETCH: return is_open(s) ? fetch(s, op) : -ESTALE;
	case GODWIT_SNAPSHOT_COMMIT: return commit(d, s, op->cookie);
	default: return -EINVAL;
	}
}

int snapshot_op(struct domain *d, struct godwit_snapshot *op)
{
	int ret;

	op->nr_out = 0;
	if (!d->logdirty || (op->flags && op->action != GODWIT_SNAPSHOT_BEGIN))
		return -EINVAL;
	ret = act(d, op);
	report(d, op);
	return ret;
}
