/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XML as HTTP stores answer with it, read as it arrives.
 *
 * Invariant: memory is one element's text and a bounded depth, however long the
 * answer is.  A document type declaration ends the parse: no entities, nothing
 * to expand.  Names come without their namespace ("response", not "DAV:response").
 */
#ifndef CHECKPOINT_STORE_XML_H
#define CHECKPOINT_STORE_XML_H

#include <stddef.h>
#include <stdint.h>

#define STORE_XML_TEXT_MAX	2048u		/* of one element, bytes */
#define STORE_XML_DEPTH_MAX	32u
#define STORE_XML_BYTES_MAX	(128u << 20)	/* of one document; streamed, not kept */

struct store_xml;

/** Who gets the elements; each returns 0 or -errno, which ends the parse. */
struct store_xml_ops {
	int (*start)(void *arg, const char *name);
	int (*end)(void *arg, const char *name, const char *text);	/* text trimmed of nothing */
};

/** store_xml_open() - a parser; NULL without memory. */
struct store_xml *store_xml_open(const struct store_xml_ops *ops, void *arg);

/**
 * store_xml_feed() - the next bytes of the document.
 * Return: 0; -EPROTO no XML, too deep, too long, a DOCTYPE; what an op returned.
 */
int store_xml_feed(struct store_xml *x, const void *data, size_t len);

/** store_xml_finish() - that was all.  0 if the document is complete; else as feed. */
int store_xml_finish(struct store_xml *x);

/** store_xml_close() - free it; NULL is fine. */
void store_xml_close(struct store_xml *x);

#endif
