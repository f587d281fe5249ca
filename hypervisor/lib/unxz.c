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
#include <pv/crc32.h>
#include <pv/errno.h>
#include <pv/lib.h>
#include <pv/unxz.h>

#define always_inline	inline __attribute__((always_inline))

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

static always_inline void rc_normalise(struct rc *rc)
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

static always_inline unsigned int rc_bit(struct rc *rc, uint16_t *prob)
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
static always_inline unsigned int rc_tree(struct rc *rc, uint16_t *probs, unsigned int bits)
{
	unsigned int node = 1;

	for (unsigned int i = 0; i < bits; i++)
		node = node << 1 | rc_bit(rc, &probs[node]);
	return node - (1u << bits);
}

/* The same, least significant bit first. */
static always_inline unsigned int rc_reverse_tree(struct rc *rc, uint16_t *probs,
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
static always_inline uint32_t rc_direct(struct rc *rc, unsigned int bits)
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

static always_inline unsigned int length(struct rc *rc, struct lengths *l, unsigned int pos)
{
	if (!rc_bit(rc, &l->beyond_low))
		return MATCH_MIN + rc_tree(rc, l->low[pos], 3);
	if (!rc_bit(rc, &l->beyond_mid))
		return MATCH_MIN + 8 + rc_tree(rc, l->mid[pos], 3);
	return MATCH_MIN + 16 + rc_tree(rc, l->high, 8);
}

static always_inline uint32_t distance(struct rc *rc, struct probs *p, unsigned int len)
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
static always_inline uint8_t literal(struct rc *rc, uint16_t *probs, bool after_match,
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
static always_inline void copy_match(uint8_t *out, size_t dist, size_t len, size_t room)
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
static __init int lzma_run(struct lzma *l, struct rc chunk, const uint8_t *dict, uint8_t *out,
			   uint8_t *chunk_end, uint8_t *out_end)
{
	struct rc copy = chunk, *rc = &copy;
	struct probs *p = &l->probs;
	uint32_t rep0 = l->rep[0], rep1 = l->rep[1], rep2 = l->rep[2], rep3 = l->rep[3];
	unsigned int state = l->state, lc = l->lc;
	size_t pos_mask = (1u << l->pb) - 1, lp_mask = (1u << l->lp) - 1;

	while (out < chunk_end && !rc->overrun) {
		size_t done = out - dict;
		unsigned int pos = done & pos_mask, len;
		bool after_literal = state < LITERAL_STATES;

		if (!rc_bit(rc, &p->is_match[state][pos])) {
			unsigned int prev = done ? out[-1] : 0, other = 0;
			size_t which = ((done & lp_mask) << lc) + (prev >> (8 - lc));

			/* The match before proved rep0: a new dictionary comes with a new state. */
			if (!after_literal)
				other = out[-(ptrdiff_t)rep0 - 1];
			*out++ = literal(rc, p->literal + which * LITERAL_PROBS, !after_literal, other);
			state = state < 4 ? 0 : state < 10 ? state - 3 : state - 6;
			continue;
		}
		if (!rc_bit(rc, &p->is_rep[state])) {
			rep3 = rep2;
			rep2 = rep1;
			rep1 = rep0;
			len = length(rc, &p->match_len, pos);
			rep0 = distance(rc, p, len);
			state = after_literal ? 7 : 10;
		} else if (rc_bit(rc, &p->not_rep0[state])) {
			uint32_t dist = rep1;

			if (rc_bit(rc, &p->not_rep1[state])) {
				dist = rep2;
				if (rc_bit(rc, &p->not_rep2[state])) {
					dist = rep3;
					rep3 = rep2;
				}
				rep2 = rep1;
			}
			rep1 = rep0;
			rep0 = dist;
			len = length(rc, &p->rep_len, pos);
			state = after_literal ? 8 : 11;
		} else if (rc_bit(rc, &p->rep0_long[state][pos])) {
			len = length(rc, &p->rep_len, pos);
			state = after_literal ? 8 : 11;
		} else {
			len = 1;
			state = after_literal ? 9 : 11;
		}
		if (rep0 >= done || len > (size_t)(chunk_end - out))
			return -EBADMSG;
		copy_match(out, (size_t)rep0 + 1, len, out_end - out);
		out += len;
	}

	l->rep[0] = rep0;
	l->rep[1] = rep1;
	l->rep[2] = rep2;
	l->rep[3] = rep3;
	l->state = state;
	rc_normalise(rc);
	return rc->overrun || rc->p != rc->end || rc->code ? -EBADMSG : 0;
}

/* --- LZMA2 --- */

/* Control bytes of chunks; from CHUNK_LZMA on bits 0..4 are bits 16..20 of the size. */
enum { CHUNK_END = 0, CHUNK_RAW_NEW_DICT = 1, CHUNK_RAW = 2, CHUNK_LZMA = 0x80,
	CHUNK_NEW_STATE = 0xa0, CHUNK_NEW_PROPS = 0xc0, CHUNK_NEW_DICT = 0xe0 };
#define RC_PREAMBLE	5	/* bytes that start the range decoder: a zero, then its code */

struct lzma2 {
	uint8_t *out, *out_end;
	const uint8_t *dict;	/* NULL until the first reset */
	bool have_props;
};

static __init int lzma2_raw(struct lzma2 *z, struct in *in)
{
	size_t n;

	if (in_left(in) < 2)
		return -EBADMSG;
	n = (in->p[0] << 8 | in->p[1]) + 1;
	in->p += 2;
	if (n > in_left(in) || n > (size_t)(z->out_end - z->out))
		return -EBADMSG;
	memcpy(z->out, in->p, n);
	z->out += n;
	in->p += n;
	return 0;
}

static __init int lzma2_compressed(struct lzma2 *z, struct in *in, unsigned int control)
{
	size_t out_size, in_size;
	struct rc rc = { .range = ~0u };
	int ret;

	if (in_left(in) < 5)
		return -EBADMSG;
	out_size = ((control & 0x1f) << 16 | in->p[0] << 8 | in->p[1]) + 1;
	in_size = (in->p[2] << 8 | in->p[3]) + 1;
	in->p += 4;
	if (control >= CHUNK_NEW_PROPS) {
		ret = lzma_set_props(&lzma, *in->p++);
		if (ret)
			return ret;
		z->have_props = true;
	}
	if (!z->have_props)
		return -EBADMSG;
	if (control >= CHUNK_NEW_STATE)
		lzma_reset(&lzma);
	if (in_size > in_left(in) || in_size < RC_PREAMBLE ||
	    out_size > (size_t)(z->out_end - z->out) || in->p[0])
		return -EBADMSG;
	for (unsigned int i = 1; i < RC_PREAMBLE; i++)
		rc.code = rc.code << 8 | in->p[i];
	rc.p = in->p + RC_PREAMBLE;
	rc.end = in->p + in_size;
	ret = lzma_run(&lzma, rc, z->dict, z->out, z->out + out_size, z->out_end);
	z->out += out_size;
	in->p += in_size;
	return ret;
}

/* Chunks up to the end mark.  Return: bytes written to @out, or -errno. */
static __init int64_t lzma2_decode(struct in *in, uint8_t *out, uint8_t *out_end)
{
	struct lzma2 z = { .out = out, .out_end = out_end };

	for (;;) {
		int control = in_byte(in), ret;

		if (control < 0)
			return control;
		if (control == CHUNK_END)
			return z.out - out;
		if (control == CHUNK_RAW_NEW_DICT || control >= CHUNK_NEW_DICT) {
			z.dict = z.out;
			z.have_props = false;
		}
		if (!z.dict || (control > CHUNK_RAW && control < CHUNK_LZMA))
			return -EBADMSG;
		ret = control >= CHUNK_LZMA ? lzma2_compressed(&z, in, control) : lzma2_raw(&z, in);
		if (ret)
			return ret;
	}
}

/* --- x86 filter --- */

/*
 * The encoder replaced the relative target of CALL (e8) and JMP (e9) by an absolute one where it
 * looked like code: the target's top byte is 00 or ff.  Bytes that look like these opcodes within
 * an operand are told apart by what came up to three bytes before: @recent has bit k - 1 set when
 * k bytes back was an opcode that was left alone.  Two of them: leave this one alone too.  One:
 * leave it alone when the byte that would be that one's top byte is 00 or ff, and never produce
 * such a byte there, or the inverse could not tell.  (Section 5.3.2 names the filter; the rule is
 * that of the LZMA SDK.)
 */
static always_inline bool sign_like(uint8_t b) { return b == 0 || b == 0xff; }

/* Is any of the eight bytes e8 or e9?  May say yes wrongly, never no wrongly. */
static always_inline bool maybe_branch(const uint8_t *p)
{
	uint64_t x;

	__builtin_memcpy(&x, p, 8);
	x = (x & 0xfefefefefefefefeUL) ^ 0xe8e8e8e8e8e8e8e8UL;
	return (x - 0x0101010101010101UL) & ~x & 0x8080808080808080UL;
}

/* @back: distance to the one opcode left alone just before, or 0; @next: place behind the operand. */
static __init void x86_unfilter_operand(uint8_t *operand, unsigned int back, uint32_t next)
{
	uint32_t val = le32(operand) - next;

	/* Once is enough: the low part becomes the complement of what stood there. */
	if (back && sign_like(val >> (24 - 8 * back)))
		val = (val ^ ((1u << (32 - 8 * back)) - 1)) - next;
	val &= 0x01ffffff;
	if (val & 0x01000000)
		val |= 0xff000000;
	__builtin_memcpy(operand, &val, 4);
}

static __init void x86_unfilter(uint8_t *buf, size_t size, uint32_t start)
{
	unsigned int recent = 0;
	size_t i = 0;

	if (size < 5)
		return;
	size -= 4;
	while (i < size) {
		unsigned int back;

		if (!recent && i + 8 <= size && !maybe_branch(buf + i)) {
			i += 8;
			continue;
		}
		if ((buf[i] & 0xfe) != 0xe8) {
			recent = recent << 1 & 7;
			i++;
			continue;
		}
		/* recent is 1, 2 or 4 for one opcode; its top byte is at i - back + 4. */
		back = recent == 4 ? 3 : recent;
		if ((recent & (recent - 1)) || (back && sign_like(buf[i + 4 - back])) ||
		    !sign_like(buf[i + 4])) {
			recent = (recent << 1 | 1) & 7;
			i++;
			continue;
		}
		x86_unfilter_operand(buf + i + 1, back, start + (uint32_t)i + 5);
		recent = 0;
		i += 5;
	}
}

/* --- the container --- */

#define STREAM_HEADER	12
#define STREAM_FOOTER	12
#define CHECK_CRC32	1
#define CHECK_SIZE	4
#define FILTER_X86	0x04
#define FILTER_LZMA2	0x21
#define MAX_BLOCKS	64	/* kernels have one; a multi-threaded xz makes some */
#define NO_SIZE		~0ul

static const uint8_t stream_magic[6] = { 0xfd, '7', 'z', 'X', 'Z', 0 };

struct block {
	uint64_t packed, unpacked;	/* sizes the header gave, or NO_SIZE */
	bool x86;
	uint32_t x86_start;
};

static struct {
	unsigned int nr;
	struct { uint64_t unpadded, unpacked; } seen[MAX_BLOCKS];
} blocks __initdata;

/* Section 2.1.1.  Footer and header carry the same flags. */
static __init int stream_header(const uint8_t *p)
{
	if (memcmp(p, stream_magic, sizeof(stream_magic)) || crc32_ieee(p + 6, 2) != le32(p + 8))
		return -EBADMSG;
	return p[6] || p[7] != CHECK_CRC32 ? -EOPNOTSUPP : 0;
}

/* Section 3.1.5 and 5.3: one or two filters, the last of them LZMA2. */
static __init int block_filters(struct in *h, unsigned int nr, struct block *b)
{
	uint64_t id, len;

	if (in_number(h, &id) || in_number(h, &len) || len > in_left(h))
		return -EBADMSG;
	if (nr == 2) {
		if (id != FILTER_X86)
			return -EOPNOTSUPP;
		if (len != 0 && len != 4)
			return -EBADMSG;
		b->x86 = true;
		b->x86_start = len ? le32(h->p) : 0;
		h->p += len;
		if (in_number(h, &id) || in_number(h, &len) || len > in_left(h))
			return -EBADMSG;
	}
	if (id != FILTER_LZMA2)
		return -EOPNOTSUPP;
	/* The dictionary's size does not matter here: all output is at hand. */
	if (len != 1 || *h->p++ > 40)
		return -EBADMSG;
	return 0;
}

/* Section 3.1.  @in stands at the header and is left behind it. */
static __init int block_header(struct in *in, struct block *b)
{
	size_t size = in->p < in->end ? (*in->p + 1u) * 4 : 0;
	unsigned int flags;
	struct in h;
	int ret;

	if (size < 8 || size > in_left(in))
		return -EBADMSG;
	h = (struct in){ in->p + 2, in->p + size - 4 };
	if (crc32_ieee(in->p, size - 4) != le32(h.end))
		return -EBADMSG;
	flags = in->p[1];
	in->p += size;
	*b = (struct block){ .packed = NO_SIZE, .unpacked = NO_SIZE };
	if ((flags & 0x3c) || (flags & 3) > 1)
		return -EOPNOTSUPP;
	if ((flags & 0x40) && (in_number(&h, &b->packed) || !b->packed))
		return -EBADMSG;
	if ((flags & 0x80) && in_number(&h, &b->unpacked))
		return -EBADMSG;
	ret = block_filters(&h, (flags & 3) + 1, b);
	return ret ? ret : in_zeros(&h, in_left(&h));
}

/* Section 3.  Return: bytes written at @out, or -errno. */
static __init int64_t block_decode(struct in *in, uint8_t *out, uint8_t *out_end)
{
	const uint8_t *start = in->p, *data;
	struct block b;
	int64_t n = block_header(in, &b);
	size_t packed;

	if (n)
		return n;
	if (blocks.nr == MAX_BLOCKS)
		return -EOPNOTSUPP;
	data = in->p;
	n = lzma2_decode(in, out, out_end);
	if (n < 0)
		return n;
	packed = in->p - data;
	if ((b.packed != NO_SIZE && b.packed != packed) ||
	    (b.unpacked != NO_SIZE && b.unpacked != (uint64_t)n))
		return -EBADMSG;
	blocks.seen[blocks.nr].unpadded = in->p - start + CHECK_SIZE;
	blocks.seen[blocks.nr++].unpacked = n;
	if (in_zeros(in, -packed & 3) || in_left(in) < CHECK_SIZE)
		return -EBADMSG;
	if (b.x86)
		x86_unfilter(out, n, b.x86_start);
	if (crc32_ieee(out, n) != le32(in->p))
		return -EBADMSG;
	in->p += CHECK_SIZE;
	return n;
}

/* Sections 4 and 2.1.2: the index lists the blocks just seen, the footer gives the index's size. */
static __init int index_and_footer(struct in *in, const uint8_t *header)
{
	const uint8_t *index = in->p;
	uint64_t val, unpacked;
	size_t size;

	in->p++;	/* the zero by which the caller knew it */
	if (in_number(in, &val) || val != blocks.nr)
		return -EBADMSG;
	for (unsigned int i = 0; i < blocks.nr; i++)
		if (in_number(in, &val) || in_number(in, &unpacked) ||
		    val != blocks.seen[i].unpadded || unpacked != blocks.seen[i].unpacked)
			return -EBADMSG;
	if (in_zeros(in, -(in->p - index) & 3) || in_left(in) != 4 + STREAM_FOOTER)
		return -EBADMSG;
	if (crc32_ieee(index, in->p - index) != le32(in->p))
		return -EBADMSG;
	in->p += 4;
	size = in->p - index;
	if (crc32_ieee(in->p + 4, 6) != le32(in->p) || (le32(in->p + 4) + 1ul) * 4 != size ||
	    memcmp(in->p + 8, header + 6, 2) || in->p[10] != 'Y' || in->p[11] != 'Z')
		return -EBADMSG;
	return 0;
}

__init int unxz(const void *src, size_t src_size, void *dst, size_t dst_size)
{
	struct in in = { src, (const uint8_t *)src + src_size };
	uint8_t *out = dst, *out_end = out + dst_size;
	int ret;

	if (src_size < STREAM_HEADER)
		return -EBADMSG;
	crc32_prepare();
	ret = stream_header(src);
	if (ret)
		return ret;
	in.p += STREAM_HEADER;
	blocks.nr = 0;
	while (in_left(&in) && *in.p) {
		int64_t n = block_decode(&in, out, out_end);

		if (n < 0)
			return n;
		out += n;
	}
	if (!in_left(&in) || out != out_end)
		return -EBADMSG;
	return index_and_footer(&in, src);
}
