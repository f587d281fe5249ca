/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files that implement domain.h; nobody else includes it. */
#ifndef TOOLSTACK_DOMAIN_INTERNAL_H
#define TOOLSTACK_DOMAIN_INTERNAL_H

#include "toolstack/domain.h"

#define DOMAIN_RUN_DIR "/run/godwit"
#define DOMAIN_LIST_MAX 1024u

/** domain_config_save() - remember what a domain was made with. */
int domain_config_save(domid_t domid, const struct domain_config *cfg);

/** domain_config_forget() - the inverse; no file is fine. */
void domain_config_forget(domid_t domid);

/** domain_name_taken() - does a living domain other than @self have it? */
bool domain_name_taken(struct toolstack *ts, const char *name, domid_t self);

/** domain_lock_names() - a descriptor to close when the name is written; or -errno. */
int domain_lock_names(void);

#endif
