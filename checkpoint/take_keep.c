// SPDX-License-Identifier: Apache-2.0
/* See take_keep.h. */
#include "checkpoint/take_keep.h"

int take_keep(struct store *s, const char *domain, const uint8_t uuid[16], unsigned int keep,
	      bool merge, struct retain_pruned *done, char why[CATALOG_WHY])
{
	struct catalog cat;
	int ret = catalog_load(&cat, s, domain, why);

	*done = (struct retain_pruned){ 0 };
	if (!ret) {
		retain_only(&cat, uuid);
		ret = retain_prune(&cat, keep, false, NULL, done, why);
	}
	if (!ret && merge && done->ancestors >= keep) {
		unsigned int deleted = done->deleted;

		ret = retain_prune(&cat, keep, true, NULL, done, why);
		done->deleted += deleted;
	}
	catalog_free(&cat);
	return ret;
}
