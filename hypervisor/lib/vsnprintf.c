/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Formatted text: %d %i %u %x %X %c %s %p %%, with flags - and 0, a width (or *),
 * a precision (or *), and the sizes h hh l ll z j t.  Output never exceeds the buffer and
 * is always terminated; the return value is what the whole text would have taken.
 */
#include <pv/lib.h>

struct out {
	char *buf;
	size_t size, len;
};

struct spec {
	bool left, zero, upper;
	unsigned int width;
	int precision;			/* -1: none */
};

static void out_char(struct out *o, char c)
{
	if (o->len + 1 < o->size)
		o->buf[o->len] = c;
	o->len++;
}

static void out_padded(struct out *o, const struct spec *sp, const char *s, size_t n)
{
	size_t pad = sp->width > n ? sp->width - n : 0;

	if (!sp->left) {
		for (size_t i = 0; i < pad; i++)
			out_char(o, ' ');
	}
	for (size_t i = 0; i < n; i++)
		out_char(o, s[i]);
	if (sp->left) {
		for (size_t i = 0; i < pad; i++)
			out_char(o, ' ');
	}
}

static void out_number(struct out *o, const struct spec *sp, uint64_t v, unsigned int base,
		       bool negative)
{
	const char *digits = sp->upper ? "0123456789ABCDEF" : "0123456789abcdef";
	char tmp[64];
	size_t pos = sizeof(tmp), want = 1;

	if (sp->precision >= 0)
		want = (size_t)sp->precision;
	else if (sp->zero && !sp->left)
		want = sp->width - (negative && sp->width ? 1 : 0);
	want = min(want, sizeof(tmp) - 1);
	while (v || sizeof(tmp) - pos < want) {
		tmp[--pos] = digits[v % base];
		v /= base;
	}
	if (pos == sizeof(tmp) && sp->precision != 0)
		tmp[--pos] = '0';
	if (negative)
		tmp[--pos] = '-';
	out_padded(o, sp, tmp + pos, sizeof(tmp) - pos);
}

static unsigned int parse_count(const char **f, va_list *ap)
{
	unsigned int n = 0;

	if (**f == '*') {
		int v = va_arg(*ap, int);

		(*f)++;
		return v > 0 ? (unsigned int)v : 0;
	}
	for (; **f >= '0' && **f <= '9'; (*f)++)
		n = min(n * 10 + (unsigned int)(**f - '0'), 4096u);
	return n;
}

static const char *parse_spec(const char *f, struct spec *sp, va_list *ap)
{
	*sp = (struct spec){ .precision = -1 };
	for (;; f++) {
		if (*f == '-')
			sp->left = true;
		else if (*f == '0')
			sp->zero = true;
		else
			break;
	}
	sp->width = parse_count(&f, ap);
	if (*f == '.') {
		f++;
		sp->precision = (int)parse_count(&f, ap);
	}
	return f;
}

/* Sizes: 0 int, 1 long and everything as wide. h and hh arrive as int. */
static const char *parse_size(const char *f, bool *is_long)
{
	*is_long = false;
	for (;; f++) {
		if (*f == 'l' || *f == 'z' || *f == 'j' || *f == 't')
			*is_long = true;
		else if (*f != 'h')
			return f;
	}
}

static void out_string(struct out *o, const struct spec *sp, const char *s)
{
	if (!s)
		s = "(null)";
	out_padded(o, sp, s, strnlen(s, sp->precision >= 0 ? (size_t)sp->precision : SIZE_MAX));
}

static void out_arg(struct out *o, struct spec *sp, char conv, bool is_long, va_list *ap)
{
	int64_t sv;
	uint64_t v;
	char c;

	switch (conv) {
	case 'd':
	case 'i':
		sv = is_long ? va_arg(*ap, long) : va_arg(*ap, int);
		out_number(o, sp, sv < 0 ? -(uint64_t)sv : (uint64_t)sv, 10, sv < 0);
		break;
	case 'u':
	case 'x':
	case 'X':
		v = is_long ? va_arg(*ap, unsigned long) : va_arg(*ap, unsigned int);
		sp->upper = conv == 'X';
		out_number(o, sp, v, conv == 'u' ? 10 : 16, false);
		break;
	case 'p':
		sp->precision = 16;
		out_number(o, sp, (uintptr_t)va_arg(*ap, void *), 16, false);
		break;
	case 's':
		out_string(o, sp, va_arg(*ap, const char *));
		break;
	case 'c':
		c = (char)va_arg(*ap, int);
		out_padded(o, sp, &c, 1);
		break;
	default:	/* '%' itself, and what we do not know is shown as it stands */
		out_char(o, conv);
	}
}

int vsnprintf(char *buf, size_t size, const char *fmt, va_list ap_)
{
	struct out o = { .buf = buf, .size = size };
	struct spec sp;
	bool is_long;
	va_list ap;

	va_copy(ap, ap_);
	for (const char *f = fmt; *f; f++) {
		if (*f != '%') {
			out_char(&o, *f);
			continue;
		}
		f = parse_size(parse_spec(f + 1, &sp, &ap), &is_long);
		if (!*f)
			break;
		out_arg(&o, &sp, *f, is_long, &ap);
	}
	va_end(ap);
	if (size)
		buf[min(o.len, size - 1)] = 0;
	return (int)o.len;
}

int snprintf(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf, size, fmt, ap);
	va_end(ap);
	return n;
}
