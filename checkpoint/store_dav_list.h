/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The members of a WebDAV collection (RFC 4918, PROPFIND of depth 1).
 *
 * Invariant: what comes out are valid names of direct members, whatever the
 * server's hrefs say; everything else is passed over.
 */
#ifndef CHECKPOINT_STORE_DAV_LIST_H
#define CHECKPOINT_STORE_DAV_LIST_H

#include "checkpoint/store_web.h"

/**
 * dav_list() - the objects of a domain, or the domains; sweeps what writers left.
 * @w:          the server
 * @url:        of the collection, with its slash
 * @domain:     whose it is; NULL: its collections are wanted, each as "NAME/x"
 * @put_prefix: how temporary names begin, one character that no name has first;
 *              those older than @w->stale_s are deleted
 * @list:       filled anew, not sorted
 * Return: 0; -ENOENT no such collection; -EPROTO no proper list; -E2BIG; -errno.
 */
int dav_list(struct web *w, const char *url, const char *domain, const char *put_prefix,
	     struct store_list *list);

#endif
