/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoder of .xz streams from memory to memory, for domain 0's kernel.
 *
 * The output buffer holds everything decoded so far, so it is the dictionary: a
 * match copies from it and no window is kept.  The x86 filter runs over a block
 * only when LZMA2 is done with it, for matches refer to unfiltered bytes.
 *
 * Nothing of the input is trusted.  Three rules bound all work: input is read only
 * through a `struct in' or the range decoder, both of which know their end; a chunk
 * writes at most what its header announced, checked against the room first; a match
 * reaches back no further than the last reset of the dictionary.
 *
 * Sources: "The .xz File Format" 1.0.4 (containers, section numbers below); the LZMA
 * specification of the LZMA SDK (symbols, probabilities, states).
 */
#include <pv/errno.h>
#include <pv/lib.h>
#include <pv/unxz.h>

#define __always_inline	inline __attribute__((always_inline))

/* --- CRC32 (IEEE 802.3, reflected), eight bytes a step --- */

static uint32_t crc_table[8][256] __initdata;

static __init void crc_prepare(void)
{
	for (unsigned int i = 0; i < 256; i++) {
		uint32_t c = i;

		for (unsigned int bit = 0; bit < 8; bit++)
			c = c >> 1 ^ (c & 1 ? 0xedb88320u : 0);
		crc_table[0][i] = c;
	}
	/* Table k: the effect of a byte that k more bytes follow. */
	for (unsigned int k = 1; k < 8; k++)
		for (unsigned int i = 0; i < 256; i++) {
			uint32_t c = crc_table[k - 1][i];

			crc_table[k][i] = c >> 8 ^ crc_table[0][c & 0xff];
		}
}

static __init uint32_t crc32(const uint8_t *p, size_t n)
{
	uint32_t c = ~0u;

	for (; n >= 8; p += 8, n -= 8) {
		uint64_t x;

		__builtin_memcpy(&x, p, 8);
		x ^= c;
		c = crc_table[7][x & 0xff] ^ crc_table[6][x >> 8 & 0xff] ^
		    crc_table[5][x >> 16 & 0xff] ^ crc_table[4][x >> 24 & 0xff] ^
		    crc_table[3][x >> 32 & 0xff] ^ crc_table[2][x >> 40 & 0xff] ^
		    crc_table[1][x >> 48 & 0xff] ^ crc_table[0][x >> 56];
	}
	while (n--)
		c = c >> 8 ^ crc_table[0][(c ^ *p++) & 0xff];
	return ~c;
}

/* --- bounded input --- */

struct in {
	const uint8_t *p, *end;
};

static __init size_t in_left(const struct in *in) { return in->end - in->p; }

static __init int in_byte(struct in *in)
{
	return in->p < in->end ? *in->p++ : -EBADMSG;
}

static __init uint32_t le32(const uint8_t *p)
{
	return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Section 1.2: seven bits a byte, least significant first, at most nine bytes, shortest form. */
static __init int in_number(struct in *in, uint64_t *val)
{
	*val = 0;
	for (unsigned int i = 0; i < 9; i++) {
		int b = in_byte(in);

		if (b < 0 || (!b && i))
			return -EBADMSG;
		*val |= (uint64_t)(b & 0x7f) << (7 * i);
		if (!(b & 0x80))
			return 0;
	}
	return -EBADMSG;
}

static __init int in_zeros(struct in *in, size_t n)
{
	while (n--)
		if (in_byte(in))
			return -EBADMSG;
	return 0;
}

/* --- range decoder --- */

#define PROB_BITS	11
#define PROB_HALF	(1u << (PROB_BITS - 1))
#define PROB_SHIFT	5

struct rc {
	const uint8_t *p, *end;
	uint32_t range, code;
	bool overrun;
};

static __always_inline void rc_normalise(struct rc *rc)
{
	if (rc->range >= 1u << 24)
		return;
	rc->range <<= 8;
	rc->code <<= 8;
	if (likely(rc->p < rc->end))
		rc->code |= *rc->p++;
	else
		rc->overrun = true;	/* zeros from here on; the chunk ends in an error */
}

static __always_inline unsigned int rc_bit(struct rc *rc, uint16_t *prob)
{
	uint32_t p = *prob, bound;

	rc_normalise(rc);
	bound = (rc->range >> PROB_BITS) * p;
	if (rc->code < bound) {
		rc->range = bound;
		*prob = p + (((1u << PROB_BITS) - p) >> PROB_SHIFT);
		return 0;
	}
	rc->range -= bound;
	rc->code -= bound;
	*prob = p - (p >> PROB_SHIFT);
	return 1;
}

/* A tree of @bits levels, most significant bit first; probs[0] is not used. */
static __always_inline unsigned int rc_tree(struct rc *rc, uint16_t *probs, unsigned int bits)
{
	unsigned int node = 1;

	for (unsigned int i = 0; i < bits; i++)
		node = node << 1 | rc_bit(rc, &probs[node]);
	return node - (1u << bits);
}

/* The same, least significant bit first. */
static __always_inline unsigned int rc_reverse_tree(struct rc *rc, uint16_t *probs,
						    unsigned int bits)
{
	unsigned int node = 1, val = 0;

	for (unsigned int i = 0; i < bits; i++) {
		unsigned int b = rc_bit(rc, &probs[node]);

		node = node << 1 | b;
		val |= b << i;
	}
	return val;
}

/* Bits of even odds, without a probability. */
static __always_inline uint32_t rc_direct(struct rc *rc, unsigned int bits)
{
	uint32_t val = 0;

	while (bits--) {
		uint32_t lower;

		rc_normalise(rc);
		rc->range >>= 1;
		lower = -(uint32_t)(rc->code < rc->range);
		rc->code -= rc->range & ~lower;
		val = val << 1 | (lower + 1);
	}
	return val;
}

/* --- LZMA --- */

#define STATES		12
#define LITERAL_STATES	7	/* states below: the last symbol was a literal */
#define POS_STATES	16
#define MATCH_MIN	2
#define LITERAL_PROBS	0x300
#define LC_LP_MAX	4	/* LZMA2's limit of lc + lp */

struct lengths {
	uint16_t beyond_low, beyond_mid;
	uint16_t low[POS_STATES][8], mid[POS_STATES][8], high[256];
};

/* All of it is probabilities; lzma_reset() relies on that. */
struct probs {
	uint16_t is_match[STATES][POS_STATES], is_rep[STATES];
	uint16_t not_rep0[STATES], not_rep1[STATES], not_rep2[STATES];
	uint16_t rep0_long[STATES][POS_STATES];
	uint16_t slot[4][64], middle[128], align[16];
	struct lengths match_len, rep_len;
	uint16_t literal[LITERAL_PROBS << LC_LP_MAX];
};

static struct lzma {
	uint32_t rep[4];	/* last distances, less one */
	unsigned int state, lc, lp, pb;
	struct probs probs;
} lzma __initdata;

static __init void lzma_reset(struct lzma *l)
{
	uint16_t *p = (uint16_t *)&l->probs;

	l->state = 0;
	memset(l->rep, 0, sizeof(l->rep));
	for (size_t i = 0; i < sizeof(l->probs) / sizeof(*p); i++)
		p[i] = PROB_HALF;
}

static __init int lzma_set_props(struct lzma *l, unsigned int b)
{
	if (b >= 9 * 5 * 5)
		return -EBADMSG;
	l->lc = b % 9;
	l->lp = b / 9 % 5;
	l->pb = b / 45;
	return l->lc + l->lp > LC_LP_MAX ? -EBADMSG : 0;
}

static __always_inline unsigned int length(struct rc *rc, struct lengths *l, unsigned int pos)
{
	if (!rc_bit(rc, &l->beyond_low))
		return MATCH_MIN + rc_tree(rc, l->low[pos], 3);
	if (!rc_bit(rc, &l->beyond_mid))
		return MATCH_MIN + 8 + rc_tree(rc, l->mid[pos], 3);
	return MATCH_MIN + 16 + rc_tree(rc, l->high, 8);
}

static __always_inline uint32_t distance(struct rc *rc, struct probs *p, unsigned int len)
{
	unsigned int slot = rc_tree(rc, p->slot[min(len - MATCH_MIN, 3u)], 6), bits;
	uint32_t dist;

	if (slot < 4)
		return slot;
	bits = (slot >> 1) - 1;
	dist = (2 | (slot & 1)) << bits;
	/* The tree of slot s begins at (start of its distances) - s: trees lie back to back. */
	if (slot < 14)
		return dist + rc_reverse_tree(rc, p->middle + dist - slot, bits);
	dist += rc_direct(rc, bits - 4) << 4;
	return dist + rc_reverse_tree(rc, p->align, 4);
}

/* After a match the byte at distance rep0 is known not to follow: it picks other trees as long as
 * the literal agrees with it. */
static __always_inline uint8_t literal(struct rc *rc, uint16_t *probs, bool after_match,
				       unsigned int other)
{
	unsigned int node = 1, offset = 0x100;

	if (after_match)
		while (node < 0x100) {
			unsigned int bit;

			other <<= 1;
			bit = rc_bit(rc, &probs[offset + (other & offset) + node]);
			node = node << 1 | bit;
			offset &= bit ? other : ~other;
		}
	else
		while (node < 0x100)
			node = node << 1 | rc_bit(rc, &probs[node]);
	return node;
}

/* The caller saw that @len bytes fit and that @dist bytes lie behind @out; up to @room bytes may
 * be scribbled on, for they are written later. */
static __always_inline void copy_match(uint8_t *out, size_t dist, size_t len, size_t room)
{
	const uint8_t *from = out - dist;

	if (likely(dist >= 8 && room >= len + 8)) {
		for (size_t i = 0; i < len; i += 8)
			__builtin_memcpy(out + i, from + i, 8);
		return;
	}
	while (len--)
		*out++ = *from++;
}

/*
 * One chunk: from @out to @chunk_end exactly.  @dict: where the dictionary began; @out_end: end of
 * the whole buffer.  Range decoder and distances are copies, so that they live in registers.
 */
static __init int lzma_run(struct lzma *l, struct rc *chunk_rc, const uint8_t *dict, uint8_t *out,
			   uint8_t *chunk_end, uint8_t *out_end)
{
	struct rc copy = *chunk_rc, *rc = &copy;
	struct probs *p = &l->probs;
	uint32_t rep0 = l->rep[0], rep1 = l->rep[1], rep2 = l->rep[2], rep3 = l->rep[3];
	unsigned int state = l->state, lc = l->lc;
	size_t pos_mask = (1u << l->pb) - 1, lp_mask = (1u << l->lp) - 1;

	while (out < chunk_end && !rc->overrun) {
		size_t done = out - dict;
		unsigned int pos = done & pos_mask, len;

		if (!rc_bit(rc, &p->is_match[state][pos])) {
			unsigned int prev = done ? out[-1] : 0;
			size_t which = ((done & lp_mask) << lc) + (prev >> (8 - lc));
			bool after_match = state >= LITERAL_STATES;

			/* A distance was checked when it became rep0, but the dictionary may
			 * have been reset since. */
			if (after_match && rep0 >= done)
				return -EBADMSG;
			*out = literal(rc, p->literal + which * LITERAL_PROBS, after_match,
				       after_match ? out[-(size_t)rep0 - 1] : 0);
			out++;
			state = state < 4 ? 0 : state < 10 ? state - 3 : state - 6;
			continue;
		}
		if (!rc_bit(rc, &p->is_rep[state])) {
			rep3 = rep2;
			rep2 = rep1;
			rep1 = rep0;
			len = length(rc, &p->match_len, pos);
			rep0 = distance(rc, p, len);
			state = state < LITERAL_STATES ? 7 : 10;
		} else if (!rc_bit(rc, &p->not_rep0[state]) &&
			   !rc_bit(rc, &p->rep0_long[state][pos])) {
			len = 1;
			state = state < LITERAL_STATES ? 9 : 11;
		} else {
			len = 0;	/* to come, when the distance is known */
		}
		if (!len)
			return -EBADMSG;
		if (rep0 >= done || len > (size_t)(chunk_end - out))
			return -EBADMSG;
		copy_match(out, (size_t)rep0 + 1, len, out_end - out);
		out += len;
	}
	return 0;
}
