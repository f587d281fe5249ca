/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoder of gzip files from memory to memory, for domain 0's kernel.
 *
 * The output buffer holds everything decoded so far, so it is the window.  Nothing of the
 * input is trusted: bits come through `struct bits', which hands out zeros and remembers it when the
 * input is at its end; a copy reaches back no further than the output's start and writes no
 * further than its end; code lengths must make a complete code, or the single code or none
 * that a block with hardly any symbols has.
 *
 * Sources: RFC 1951 (deflate; section numbers below), RFC 1952 (gzip).
 */
#include <pv/crc32.h>
#include <pv/errno.h>
#include <pv/lib.h>
#include <pv/unxz.h>

/* --- bits, least significant first --- */

struct bits {
	const uint8_t *p, *end;
	uint64_t hold;
	unsigned int n;			/* bits in hold */
	unsigned int beyond;		/* bytes of them, the last ones, that the input did not have */
};

/* At least 32 bits in hold afterwards: a code of 15 and its 13 extra bits take no more. */
static inline __init void bits_fill(struct bits *b)
{
	uint64_t next;

	if (b->n >= 32)
		return;
	if (likely(b->end - b->p >= 8)) {
		__builtin_memcpy(&next, b->p, 8);
		b->hold |= next << b->n;
		b->p += 4;
		b->n += 32;
		b->hold &= (1ul << b->n) - 1;
		return;
	}
	for (; b->n < 32; b->n += 8) {
		if (b->p < b->end)
			b->hold |= (uint64_t)*b->p++ << b->n;
		else
			b->beyond++;
	}
}

/* Were bits used that the input did not have? */
static inline __init bool bits_overrun(const struct bits *b) { return b->beyond * 8 > b->n; }

static __init uint32_t bits_take(struct bits *b, unsigned int n)
{
	uint32_t val;

	bits_fill(b);
	val = b->hold & ((1ul << n) - 1);
	b->hold >>= n;
	b->n -= n;
	return val;
}

/* --- Huffman codes (3.2.2) --- */

#define MAX_BITS	15
#define FAST_BITS	10
#define MAX_SYMBOLS	288

struct code {
	uint16_t fast[1 << FAST_BITS];	/* symbol << 4 | length, by the next bits; 0: longer, or none */
	uint16_t count[MAX_BITS + 1];
	uint16_t symbol[MAX_SYMBOLS];	/* in the order of their codes */
};

static struct code lengths_code __initdata, literal_code __initdata, distance_code __initdata;

static __init void fast_fill(struct code *c, unsigned int code, unsigned int len, unsigned int symbol)
{
	unsigned int reversed = 0;

	for (unsigned int i = 0; i < len; i++)
		reversed |= (code >> i & 1) << (len - 1 - i);
	for (; reversed < 1u << FAST_BITS; reversed += 1u << len)
		c->fast[reversed] = symbol << 4 | len;
}

/* A code must use up all patterns, unless @may_lack: then one code of one bit, or none, will do. */
static __init int code_build(struct code *c, const uint8_t *len, unsigned int n, bool may_lack)
{
	uint16_t next[MAX_BITS + 1], place[MAX_BITS + 1];
	int left = 1;

	memset(c, 0, sizeof(*c));
	for (unsigned int i = 0; i < n; i++)
		c->count[len[i]]++;
	c->count[0] = 0;
	next[0] = place[0] = 0;
	for (unsigned int l = 1; l <= MAX_BITS; l++) {
		left = left * 2 - c->count[l];
		if (left < 0)
			return -EBADMSG;
		next[l] = (next[l - 1] + c->count[l - 1]) << 1;
		place[l] = place[l - 1] + c->count[l - 1];
	}
	if (left && !(may_lack && (left == 1 << MAX_BITS ||
				   (left == 1 << (MAX_BITS - 1) && c->count[1]))))
		return -EBADMSG;
	for (unsigned int i = 0; i < n; i++) {
		if (!len[i])
			continue;
		c->symbol[place[len[i]]++] = i;
		if (len[i] <= FAST_BITS)
			fast_fill(c, next[len[i]], len[i], i);
		next[len[i]]++;
	}
	return 0;
}

/* The slow way, bit by bit, as 3.2.2 counts codes.  -EBADMSG: no such code. */
static __init int code_long(struct bits *b, const struct code *c)
{
	int code = 0, first = 0, index = 0;

	for (unsigned int l = 1; l <= MAX_BITS; l++) {
		code |= b->hold >> (l - 1) & 1;
		if (code - first < c->count[l]) {
			b->hold >>= l;
			b->n -= l;
			return c->symbol[index + code - first];
		}
		index += c->count[l];
		first = (first + c->count[l]) << 1;
		code <<= 1;
	}
	return -EBADMSG;
}

static inline __init int code_next(struct bits *b, const struct code *c)
{
	unsigned int f;

	bits_fill(b);
	f = c->fast[b->hold & ((1u << FAST_BITS) - 1)];
	if (!f)
		return code_long(b, c);
	b->hold >>= f & 15;
	b->n -= f & 15;
	return f >> 4;
}

/* --- blocks (3.2.3 to 3.2.7) --- */

#define END_OF_BLOCK	256
#define FIRST_LENGTH	257
#define NR_LENGTHS	29
#define NR_DISTANCES	30

struct output {
	uint8_t *start, *p, *end;
};

static __init int copy_back(struct output *o, size_t dist, size_t len)
{
	const uint8_t *from = o->p - dist;

	if (dist > (size_t)(o->p - o->start) || len > (size_t)(o->end - o->p))
		return -EBADMSG;
	if (dist >= 8 && (size_t)(o->end - o->p) >= len + 8) {
		/* may write over the end of the copy: that is written next */
		for (size_t i = 0; i < len; i += 8)
			__builtin_memcpy(o->p + i, from + i, 8);
		o->p += len;
		return 0;
	}
	while (len--)
		*o->p++ = *from++;
	return 0;
}

static __init int inflate_codes(struct bits *b, struct output *o)
{
	static const uint16_t len_base[NR_LENGTHS] = {
		3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99,
		115, 131, 163, 195, 227, 258 };
	static const uint8_t len_extra[NR_LENGTHS] = {
		0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0 };
	static const uint16_t dist_base[NR_DISTANCES] = {
		1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025,
		1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577 };
	int sym, dsym, ret;
	size_t len;

	while (!bits_overrun(b)) {
		sym = code_next(b, &literal_code);
		if (sym < 0)
			return sym;
		if (sym < END_OF_BLOCK) {
			if (o->p == o->end)
				return -EBADMSG;
			*o->p++ = sym;
			continue;
		}
		if (sym == END_OF_BLOCK)
			return 0;
		sym -= FIRST_LENGTH;
		if (sym >= NR_LENGTHS)
			return -EBADMSG;
		len = len_base[sym] + bits_take(b, len_extra[sym]);
		dsym = code_next(b, &distance_code);
		if (dsym < 0 || dsym >= NR_DISTANCES)
			return -EBADMSG;
		ret = copy_back(o, dist_base[dsym] + bits_take(b, dsym < 2 ? 0 : dsym / 2 - 1), len);
		if (ret)
			return ret;
	}
	return -EBADMSG;
}

static __init int inflate_stored(struct bits *b, struct output *o)
{
	uint32_t len, inverse;

	bits_take(b, b->n & 7);			/* to the next byte */
	len = bits_take(b, 16);
	inverse = bits_take(b, 16);
	if (len != (inverse ^ 0xffff) || len > (size_t)(o->end - o->p))
		return -EBADMSG;
	while (len--)
		*o->p++ = bits_take(b, 8);
	return bits_overrun(b) ? -EBADMSG : 0;
}

static __init int build_fixed(void)
{
	static uint8_t len[MAX_SYMBOLS] __initdata;
	int ret;

	memset(len, 8, 144);
	memset(len + 144, 9, 112);
	memset(len + 256, 7, 24);
	memset(len + 280, 8, 8);
	ret = code_build(&literal_code, len, MAX_SYMBOLS, false);
	if (ret)
		return ret;
	memset(len, 5, 32);
	return code_build(&distance_code, len, 32, false);
}

/* Lengths of both codes, themselves coded with repetitions (3.2.7). */
static __init int read_lengths(struct bits *b, uint8_t *len, unsigned int n)
{
	unsigned int i = 0;

	while (i < n) {
		int sym = code_next(b, &lengths_code);
		unsigned int repeat;
		uint8_t val = 0;

		if (sym < 0 || bits_overrun(b))
			return -EBADMSG;
		if (sym < 16) {
			len[i++] = sym;
			continue;
		}
		if (sym == 16) {
			if (!i)
				return -EBADMSG;
			val = len[i - 1];
			repeat = 3 + bits_take(b, 2);
		} else {
			repeat = sym == 17 ? 3 + bits_take(b, 3) : 11 + bits_take(b, 7);
		}
		if (repeat > n - i)
			return -EBADMSG;
		memset(len + i, val, repeat);
		i += repeat;
	}
	return 0;
}

static __init int build_dynamic(struct bits *b)
{
	static const uint8_t order[19] = {
		16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15 };
	static uint8_t len[MAX_SYMBOLS + 32] __initdata;
	unsigned int nr_lit = bits_take(b, 5) + 257, nr_dist = bits_take(b, 5) + 1;
	unsigned int nr_len = bits_take(b, 4) + 4;
	int ret;

	if (nr_lit > FIRST_LENGTH + NR_LENGTHS || nr_dist > NR_DISTANCES)
		return -EBADMSG;
	memset(len, 0, sizeof(len));
	for (unsigned int i = 0; i < nr_len; i++)
		len[order[i]] = bits_take(b, 3);
	ret = code_build(&lengths_code, len, 19, false);
	if (!ret)
		ret = read_lengths(b, len, nr_lit + nr_dist);
	if (!ret && !len[END_OF_BLOCK])
		ret = -EBADMSG;
	if (!ret)
		ret = code_build(&literal_code, len, nr_lit, true);
	if (!ret)
		ret = code_build(&distance_code, len + nr_lit, nr_dist, true);
	return ret;
}

static __init int inflate(struct bits *b, struct output *o)
{
	bool last;
	int ret;

	do {
		last = bits_take(b, 1);
		switch (bits_take(b, 2)) {
		case 0:
			ret = inflate_stored(b, o);
			break;
		case 1:
			ret = build_fixed();
			ret = ret ? ret : inflate_codes(b, o);
			break;
		case 2:
			ret = build_dynamic(b);
			ret = ret ? ret : inflate_codes(b, o);
			break;
		default:
			ret = -EBADMSG;
		}
	} while (!ret && !last);
	return ret;
}

/* --- the file (RFC 1952, 2.3) --- */

#define FLAG_HEADER_CRC	0x02
#define FLAG_EXTRA	0x04
#define FLAG_NAME	0x08
#define FLAG_COMMENT	0x10
#define FLAG_RESERVED	0xe0

static __init int skip_text(struct bits *b)
{
	while (bits_take(b, 8))
		if (bits_overrun(b))
			return -EBADMSG;
	return 0;
}

static __init int gzip_header(struct bits *b)
{
	unsigned int flags;

	if (bits_take(b, 16) != 0x8b1f)
		return -EBADMSG;
	if (bits_take(b, 8) != 8)		/* deflate, the only method there is */
		return -EOPNOTSUPP;
	flags = bits_take(b, 8);
	if (flags & FLAG_RESERVED)
		return -EOPNOTSUPP;
	bits_take(b, 32);			/* time */
	bits_take(b, 16);			/* extra flags, operating system */
	if (flags & FLAG_EXTRA)
		for (unsigned int n = bits_take(b, 16); n; n--)
			bits_take(b, 8);
	if ((flags & FLAG_NAME) && skip_text(b))
		return -EBADMSG;
	if ((flags & FLAG_COMMENT) && skip_text(b))
		return -EBADMSG;
	if (flags & FLAG_HEADER_CRC)
		bits_take(b, 16);
	return bits_overrun(b) ? -EBADMSG : 0;
}

__init int gunzip(const void *src, size_t src_size, void *dst, size_t dst_size)
{
	struct bits b = { .p = src, .end = (const uint8_t *)src + src_size };
	struct output o = { dst, dst, (uint8_t *)dst + dst_size };
	uint32_t crc, size;
	int ret;

	ret = gzip_header(&b);
	if (!ret)
		ret = inflate(&b, &o);
	if (ret)
		return ret;
	bits_take(&b, b.n & 7);
	crc = bits_take(&b, 32);
	size = bits_take(&b, 32);
	if (bits_overrun(&b) || b.p != b.end || b.n != b.beyond * 8)
		return -EBADMSG;
	crc32_prepare();
	if (o.p != o.end || size != (uint32_t)dst_size || crc != crc32_ieee(dst, dst_size))
		return -EBADMSG;
	return 0;
}
