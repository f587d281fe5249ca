// SPDX-License-Identifier: Apache-2.0
/* See describe.h. */
#include "checkpoint/describe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WRITER_NAME "godwit"
#define WRITER_VERSION "0.1"

static void fill_info(struct describe *d, Stream__Mode mode)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (gethostname(d->host, sizeof(d->host) - 1))
		snprintf(d->host, sizeof(d->host), "unknown");
	stream__stream_info__init(&d->info);
	d->info.writer = (char *)WRITER_NAME;
	d->info.writer_version = (char *)WRITER_VERSION;
	d->info.host = d->host;
	d->info.has_time_ns = d->info.has_mode = 1;
	d->info.time_ns = (uint64_t)now.tv_sec * 1000000000ull + now.tv_nsec;
	d->info.mode = mode;
}

/* One message a word: its leaf, and the one register of it that counts. */
static void fill_cpuid(struct describe *d, Stream__DomainInfo *m)
{
	struct cpu_features here;
	unsigned int reg;

	cpu_features_read(&here);
	for (int i = 0; i < CPU_NR_WORDS; i++) {
		Stream__CpuidLeaf *l = &d->cpuid[i];

		stream__cpuid_leaf__init(l);
		l->has_leaf = l->has_subleaf = 1;
		cpu_word_place((enum cpu_word)i, &l->leaf, &l->subleaf, &reg);
		*(reg == 0 ? &l->has_eax : reg == 1 ? &l->has_ebx : reg == 2 ? &l->has_ecx :
		  &l->has_edx) = 1;
		*(reg == 0 ? &l->eax : reg == 1 ? &l->ebx : reg == 2 ? &l->ecx : &l->edx) =
			here.words[i];
		d->cpuid_list[i] = l;
	}
	m->cpuid = d->cpuid_list;
	m->n_cpuid = CPU_NR_WORDS;
	m->has_xcr0 = 1;
	m->xcr0 = here.xcr0;
}

static void read_word(struct cpu_features *f, enum cpu_word w, const Stream__CpuidLeaf *l)
{
	const bool has[4] = { l->has_eax, l->has_ebx, l->has_ecx, l->has_edx };
	const uint32_t value[4] = { l->eax, l->ebx, l->ecx, l->edx };
	uint32_t leaf, subleaf;
	unsigned int reg;

	cpu_word_place(w, &leaf, &subleaf, &reg);
	if (l->leaf == leaf && l->subleaf == subleaf && has[reg])
		f->words[w] = value[reg];
}

int describe_check_cpu(const Stream__DomainInfo *m, char why[200])
{
	struct cpu_features need = { .xcr0 = m->xcr0 }, have;
	char names[150] = "";

	for (size_t i = 0; i < m->n_cpuid; i++)
		for (int w = 0; w < CPU_NR_WORDS; w++)
			read_word(&need, (enum cpu_word)w, m->cpuid[i]);
	cpu_features_read(&have);
	if (!cpu_features_missing(&need, &have, names, sizeof(names)))
		return 0;
	snprintf(why, 200, "this host's CPU lacks what the guest may use: %s", names);
	return -EOPNOTSUPP;
}

int describe_make(struct describe *d, const struct domain_config *cfg,
		  const struct save_facts *facts, Stream__Mode mode)
{
	json_t *json = config_to_json(cfg);
	Stream__DomainInfo *m = &d->domain;

	memset(d, 0, sizeof(*d));
	d->config_json = json ? json_dumps(json, JSON_COMPACT) : NULL;
	json_decref(json);
	if (!d->config_json)
		return -ENOMEM;
	fill_info(d, mode);
	snprintf(d->name, sizeof(d->name), "%s", cfg->name);
	memcpy(d->uuid, cfg->uuid, sizeof(d->uuid));
	stream__domain_info__init(m);
	m->name = d->name;
	m->has_uuid = m->has_vcpus = m->has_pfn_limit = m->has_tot_pages = 1;
	m->has_max_mem_kb = m->has_target_mem_kb = m->has_tsc_khz = m->has_domid = 1;
	m->uuid.data = d->uuid;
	m->uuid.len = sizeof(d->uuid);
	m->vcpus = facts->facts.nr_vcpus;
	m->pfn_limit = facts->pfn_limit;
	m->tot_pages = facts->facts.tot_pages;
	m->max_mem_kb = (uint64_t)cfg->maxmem_mb * 1024;
	m->target_mem_kb = (uint64_t)cfg->memory_mb * 1024;
	m->config_json = d->config_json;
	m->tsc_khz = facts->facts.tsc_khz;
	m->domid = facts->facts.domid;
	fill_cpuid(d, m);
	return 0;
}

void describe_release(struct describe *d)
{
	free(d->config_json);
	d->config_json = NULL;
}

int describe_read(const Stream__DomainInfo *m, struct domain_config *cfg, char why[200])
{
	struct config_error err = { "" };

	if (!m->config_json) {
		snprintf(why, 200, "the stream has no configuration of the domain");
		return -EBADMSG;
	}
	if (config_from_json_text(cfg, m->config_json, strlen(m->config_json), &err)) {
		snprintf(why, 200, "configuration in the stream: %.150s", err.text);
		return -EBADMSG;
	}
	if (memcmp(cfg->uuid, m->uuid.data, 16) || strcmp(cfg->name, m->name) ||
	    cfg->vcpus != m->vcpus) {
		snprintf(why, 200, "the stream's configuration contradicts its domain record");
		return -EBADMSG;
	}
	return 0;
}
