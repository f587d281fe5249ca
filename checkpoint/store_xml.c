/* SPDX-License-Identifier: Apache-2.0 */
/* XML as HTTP stores answer with it: see checkpoint/store_xml.h. */
#include "checkpoint/store_xml.h"

#include <errno.h>
#include <expat.h>
#include <stdlib.h>
#include <string.h>

struct store_xml {
	XML_Parser parser;
	const struct store_xml_ops *ops;
	void *arg;
	int err;				/* sticky */
	unsigned int depth;
	uint64_t bytes;
	size_t text_len;
	char text[STORE_XML_TEXT_MAX + 1];
};

static void stop(struct store_xml *x, int err)
{
	if (!x->err)
		x->err = err;
	XML_StopParser(x->parser, XML_FALSE);
}

/* The parser gives "NAMESPACE|NAME". */
static const char *local_name(const char *name)
{
	const char *bar = strrchr(name, '|');

	return bar ? bar + 1 : name;
}

static void XMLCALL on_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
	struct store_xml *x = arg;
	int ret;

	if (x->err)
		return;
	if (++x->depth > STORE_XML_DEPTH_MAX) {
		stop(x, -EPROTO);
		return;
	}
	x->text_len = 0;
	ret = x->ops->start ? x->ops->start(x->arg, local_name(name)) : 0;
	if (ret)
		stop(x, ret);
}

static void XMLCALL on_end(void *arg, const XML_Char *name)
{
	struct store_xml *x = arg;
	int ret;

	if (x->err)
		return;
	x->depth--;
	x->text[x->text_len] = '\0';
	ret = x->ops->end(x->arg, local_name(name), x->text);
	x->text_len = 0;
	if (ret)
		stop(x, ret);
}

static void XMLCALL on_text(void *arg, const XML_Char *data, int len)
{
	struct store_xml *x = arg;

	if (x->err)
		return;
	if (len < 0 || (size_t)len > STORE_XML_TEXT_MAX - x->text_len) {
		stop(x, -EPROTO);
		return;
	}
	memcpy(x->text + x->text_len, data, (size_t)len);
	x->text_len += (size_t)len;
}

static void XMLCALL on_doctype(void *arg, const XML_Char *name, const XML_Char *sysid,
			       const XML_Char *pubid, int has_internal_subset)
{
	stop(arg, -EPROTO);
}

struct store_xml *store_xml_open(const struct store_xml_ops *ops, void *arg)
{
	struct store_xml *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	x->parser = XML_ParserCreateNS(NULL, '|');
	if (!x->parser) {
		free(x);
		return NULL;
	}
	x->ops = ops;
	x->arg = arg;
	XML_SetUserData(x->parser, x);
	XML_SetElementHandler(x->parser, on_start, on_end);
	XML_SetCharacterDataHandler(x->parser, on_text);
	XML_SetStartDoctypeDeclHandler(x->parser, on_doctype);
	return x;
}

static int parse(struct store_xml *x, const void *data, size_t len, int final)
{
	if (x->err)
		return x->err;
	x->bytes += len;
	if (x->bytes > STORE_XML_BYTES_MAX)
		x->err = -EPROTO;
	else if (XML_Parse(x->parser, data, (int)len, final) != XML_STATUS_OK && !x->err)
		x->err = XML_GetErrorCode(x->parser) == XML_ERROR_NO_MEMORY ? -ENOMEM : -EPROTO;
	return x->err;
}

int store_xml_feed(struct store_xml *x, const void *data, size_t len)
{
	/* expat counts in int; curl hands over far less at a time. */
	return len > 1u << 30 ? -EPROTO : parse(x, data, len, 0);
}

int store_xml_finish(struct store_xml *x)
{
	return parse(x, "", 0, 1);
}

void store_xml_close(struct store_xml *x)
{
	if (!x)
		return;
	XML_ParserFree(x->parser);
	free(x);
}
