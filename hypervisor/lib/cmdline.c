/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options on the hypervisor's command line: words separated by blanks, "name=value"
 * or a bare "name".  The last one given counts, so that a line typed in GRUB's
 * editor overrides what stands before it.
 */
#include <pv/lib.h>
#include <pv/platform.h>

char hv_cmdline[1024];

static const char *skip_blanks(const char *s)
{
	while (*s == ' ' || *s == '\t')
		s++;
	return s;
}

static size_t word_len(const char *s)
{
	size_t n = 0;

	while (s[n] && s[n] != ' ' && s[n] != '\t')
		n++;
	return n;
}

bool cmdline_get(const char *name, char *buf, size_t size)
{
	size_t len = strlen(name), n;
	bool found = false;

	for (const char *w = skip_blanks(hv_cmdline); *w; w = skip_blanks(w + n)) {
		const char *value = "";
		size_t value_len = 0;

		n = word_len(w);
		if (n < len || strncmp(w, name, len))
			continue;
		if (n > len) {
			if (w[len] != '=')
				continue;
			value = w + len + 1;
			value_len = n - len - 1;
		}
		found = true;
		if (size) {
			value_len = min(value_len, size - 1);
			memcpy(buf, value, value_len);
			buf[value_len] = 0;
		}
	}
	return found;
}

uint64_t cmdline_get_u64(const char *name, uint64_t dflt)
{
	char buf[32];
	const char *end;
	uint64_t v;

	if (!cmdline_get(name, buf, sizeof(buf)))
		return dflt;
	v = parse_u64(buf, &end);
	if (end == buf || *end) {
		pr_warn("option %s=%s is not a number; using %lu", name, buf, dflt);
		return dflt;
	}
	return v;
}
