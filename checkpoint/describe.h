/* SPDX-License-Identifier: Apache-2.0 */
/*
 * STREAM_INFO and DOMAIN_INFO of a domain of ours, and back to a configuration.
 *
 * The configuration travels as the JSON of toolstack/config.h, which is the
 * authority; the other fields repeat what a reader needs before it parses that.
 */
#ifndef CHECKPOINT_DESCRIBE_H
#define CHECKPOINT_DESCRIBE_H

#include "checkpoint/save.h"
#include "checkpoint/stream.h"
#include "migrate/cpu.h"
#include "toolstack/config.h"

/** The two messages with the storage behind their pointers. */
struct describe {
	Stream__StreamInfo info;
	Stream__DomainInfo domain;
	char host[65];
	char name[CONFIG_MAX_NAME + 1];
	uint8_t uuid[16];
	char *config_json;
	Stream__CpuidLeaf cpuid[CPU_NR_WORDS];
	Stream__CpuidLeaf *cpuid_list[CPU_NR_WORDS];
};

/**
 * describe_make() - fill both messages.
 * @d:     storage; describe_release() it after success; must not be moved
 * @cfg:   what the domain was made with
 * @facts: of it
 * @mode:  what the stream is for
 *
 * Return: 0 or -ENOMEM.
 */
int describe_make(struct describe *d, const struct domain_config *cfg,
		  const struct save_facts *facts, Stream__Mode mode);

/** describe_release() - free what describe_make() allocated. */
void describe_release(struct describe *d);

/**
 * describe_read() - the configuration in a DOMAIN_INFO.
 * @m:   checked by the reader
 * @cfg: config_init()ed; filled; config_release() it in any case
 * @why: gets one line on failure
 *
 * Return: 0; -EBADMSG if the configuration is unusable or contradicts the
 * fields beside it.
 */
int describe_read(const Stream__DomainInfo *m, struct domain_config *cfg, char why[200]);

/**
 * describe_check_cpu() - can this machine's CPU take the guest?
 * @m:   checked by the reader; one without CPUID leaves asks for nothing
 * @why: gets one line on failure, with the names of what is missing
 *
 * Return: 0; -EOPNOTSUPP.
 */
int describe_check_cpu(const Stream__DomainInfo *m, char why[200]);

#endif
