/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of web servers: see checkpoint/store_web.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/store_web.h"

static bool unreserved(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_' || c == '~';
}

/* "HOST", "HOST:PORT", "[V6]:PORT" of @len bytes into @host. */
static int parse_host(const char *at, size_t len, char host[260])
{
	const char *end = at + len, *h = at, *port;
	size_t n, i;

	if (len && *at == '[') {
		h++;
		n = strspn(h, "0123456789abcdefABCDEF:.");
		if (h + n >= end || h[n] != ']')
			return -EINVAL;
		port = h + n + 1;
	} else {
		for (n = 0; h + n < end && (unreserved(h[n])); n++)
			;
		port = h + n;
	}
	if (!n || n >= 256)
		return -EINVAL;
	memcpy(host, h, n);
	host[n] = '\0';
	if (port == end)
		return 0;
	if (*port++ != ':' || port == end || end - port > 5)
		return -EINVAL;
	for (i = 0; port + i < end; i++) {
		if (port[i] < '0' || port[i] > '9')
			return -EINVAL;
	}
	n = strtoul(port, NULL, 10);
	return n >= 1 && n <= 65535 ? 0 : -EINVAL;
}

/* Segments of unreserved characters, none empty, ".", or ".."; a slash at the end is fine. */
static int judge_path(const char *path)
{
	while (*path == '/' && path[1]) {
		const char *seg = ++path;

		while (unreserved(*path))
			path++;
		if (path == seg || (path - seg == 1 && *seg == '.') ||
		    (path - seg == 2 && seg[0] == '.' && seg[1] == '.'))
			return -EINVAL;
	}
	return *path == '\0' || !strcmp(path, "/") ? 0 : -EINVAL;
}

int web_base_parse(const char *address, struct web_base *out, char why[200])
{
	const char *at = strstr(address, "://");
	size_t host_len, len = strlen(address);
	int ret = -EINVAL;

	memset(out, 0, sizeof(*out));
	out->tls = !strncmp(address, "https://", 8);
	if (at && (out->tls || !strncmp(address, "http://", 7)) && len + 2 < sizeof(out->url)) {
		at += 3;
		host_len = strcspn(at, "/?#");
		ret = parse_host(at, host_len, out->host);
		if (!ret)
			ret = judge_path(at + host_len);
	}
	if (ret) {
		snprintf(why, 200, "an address has the form http(s)://HOST[:PORT]/PATH/, the path of "
			 "A-Z a-z 0-9 - . _ ~ only");
		return ret;
	}
	snprintf(out->url, sizeof(out->url), "%s%s", address, address[len - 1] == '/' ? "" : "/");
	out->path = strchr(strstr(out->url, "://") + 3, '/');
	out->loopback = !strcmp(out->host, "localhost") || !strncmp(out->host, "127.", 4) ||
			!strcmp(out->host, "::1");
	return 0;
}

int web_encode(const char *in, char *out, size_t size)
{
	size_t n = 0;

	for (; *in; in++) {
		if (n + 4 > size)
			return -ENAMETOOLONG;
		if (unreserved(*in))
			out[n++] = *in;
		else
			n += (size_t)snprintf(out + n, 4, "%%%02X", (unsigned char)*in);
	}
	if (n >= size)
		return -ENAMETOOLONG;
	out[n] = '\0';
	return 0;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int web_decode(char *text)
{
	char *out = text;

	for (; *text; text++) {
		if (*text != '%') {
			*out++ = *text;
			continue;
		}
		/* hex() of the closing NUL is -1: no byte behind the end is looked at. */
		if (hex(text[1]) < 0 || hex(text[2]) < 0)
			return -EINVAL;
		*out = (char)(hex(text[1]) << 4 | hex(text[2]));
		if (!*out++)
			return -EINVAL;
		text += 2;
	}
	*out = '\0';
	return 0;
}
