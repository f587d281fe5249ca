/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strings and memory.  Written for general registers only: the vector state on
 * the CPU belongs to whichever guest ran last and is never touched here.
 */
#include <pv/lib.h>

void *memcpy(void *dst, const void *src, size_t n)
{
	void *d = dst;
	size_t words = n / 8;

	n &= 7;
	__asm__ __volatile__("rep movsq" : "+D"(d), "+S"(src), "+c"(words) :: "memory");
	__asm__ __volatile__("rep movsb" : "+D"(d), "+S"(src), "+c"(n) :: "memory");
	return dst;
}

void *memmove(void *dst, const void *src, size_t n)
{
	char *d = dst;
	const char *s = src;

	if (d <= s || d >= s + n)
		return memcpy(dst, src, n);
	while (n--) {
		d[n] = s[n];
		barrier();	/* or the compiler turns this loop into a call of memmove() */
	}
	return dst;
}

void *memset(void *dst, int c, size_t n)
{
	void *d = dst;
	uint64_t word = (uint8_t)c * 0x0101010101010101UL;
	size_t words = n / 8;

	n &= 7;
	__asm__ __volatile__("rep stosq" : "+D"(d), "+c"(words) : "a"(word) : "memory");
	__asm__ __volatile__("rep stosb" : "+D"(d), "+c"(n) : "a"(word) : "memory");
	return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const uint8_t *x = a, *y = b;

	for (size_t i = 0; i < n; i++) {
		if (x[i] != y[i])
			return x[i] - y[i];
	}
	return 0;
}

size_t strnlen(const char *s, size_t max)
{
	size_t n = 0;

	while (n < max && ACCESS_ONCE(s[n]))
		n++;
	return n;
}

size_t strlen(const char *s)
{
	return strnlen(s, SIZE_MAX);
}

int strncmp(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t x = (uint8_t)a[i], y = (uint8_t)b[i];

		if (x != y || !x)
			return x - y;
	}
	return 0;
}

int strcmp(const char *a, const char *b)
{
	return strncmp(a, b, SIZE_MAX);
}

char *strchr(const char *s, int c)
{
	for (;; s++) {
		if (*s == (char)c)
			return (char *)(uintptr_t)s;
		if (!*s)
			return NULL;
	}
}

size_t strlcpy(char *dst, const char *src, size_t size)
{
	size_t len = strlen(src);

	if (size) {
		size_t n = min(len, size - 1);

		memcpy(dst, src, n);
		dst[n] = 0;
	}
	return len;
}

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return 99;
}

static unsigned int size_suffix_shift(char c)
{
	switch (c | 0x20) {
	case 'k': return 10;
	case 'm': return 20;
	case 'g': return 30;
	}
	return 0;
}

/* Too large a number saturates: callers bound what they read anyhow. */
uint64_t parse_u64(const char *s, const char **end)
{
	unsigned int base = 10, shift;
	uint64_t v = 0;

	*end = s;
	if (s[0] == '0' && (s[1] | 0x20) == 'x' && digit_value(s[2]) < 16) {
		base = 16;
		s += 2;
	}
	if (digit_value(*s) >= (int)base)
		return 0;
	for (; digit_value(*s) < (int)base; s++) {
		if (__builtin_mul_overflow(v, base, &v) ||
		    __builtin_add_overflow(v, (uint64_t)digit_value(*s), &v))
			v = UINT64_MAX;
	}
	shift = size_suffix_shift(*s);
	if (shift) {
		s++;
		v = v > UINT64_MAX >> shift ? UINT64_MAX : v << shift;
	}
	*end = s;
	return v;
}
