/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hypervisor in memory, behind toolstack/lib/hcall.h: enough of one to move
 * domains.  A struct hcall is a host.  A running domain writes its own memory
 * between any two hypercalls on it, as a real one would.
 *
 * The world knows all hosts.  It aborts the test the moment two copies of one
 * uuid can execute, and it keeps the memory the guest last had when it stood,
 * so that whoever runs next can be compared with it.
 *
 * One lock for everything: two hosts may be driven by two threads.
 */
#ifndef TESTS_UNIT_FAKE_HCALL_H
#define TESTS_UNIT_FAKE_HCALL_H

#include <stdbool.h>
#include <stdint.h>

#include "toolstack/lib/hcall.h"

#define FAKE_MAX_PAGES	4096u
#define FAKE_MAX_DOMS	8u
#define FAKE_MAX_VCPUS	4u
#define FAKE_CONTEXT	640u
#define FAKE_START_INFO	3u		/* its pfn */

enum fake_run {
	FAKE_GONE,			/* no such domain */
	FAKE_NEVER_RAN,			/* built, paused */
	FAKE_RUNNING,
	FAKE_SUSPENDED,
};

struct fake_page {
	uint8_t type;			/* GODWIT_PAGE_*, ABSENT = no frame */
	bool dirty;			/* in the bitmap */
	bool hw_dirty;			/* written, not collected yet */
	uint8_t bytes[4096];
};

struct fake_domain {
	enum fake_run run;
	uint8_t uuid[16];
	unsigned int nr_pages;
	unsigned int nr_vcpus;
	bool logdirty;
	bool finished;			/* finish_restore succeeded */
	unsigned int contexts_set;
	uint64_t steps;			/* what the guest has executed */
	unsigned int writes_per_step;
	bool paused;			/* beside run: it executes nothing */
	uint64_t cookie;
	uint32_t snapshot;		/* GODWIT_SNAPSHOT_IS_* */
	uint64_t snapshot_left;
	uint8_t *frozen_set;		/* per pfn: 1 in the set, 2 read */
	struct fake_page *frozen;
	uint8_t contexts[FAKE_MAX_VCPUS][FAKE_CONTEXT];
	uint8_t shared_info[4096];
	struct fake_page *pages;
};

struct hcall {
	char name[16];
	struct fake_domain doms[FAKE_MAX_DOMS];	/* index = domid */
	unsigned int bufs;		/* hypercall buffers not freed yet */
	bool dead;			/* every call fails: its dom0 process died */
	void (*on_call)(struct hcall *h);	/* before each call, without the lock */
};

/** fake_host_new() - an empty host. */
struct hcall *fake_host_new(const char *name);

/** fake_host_free() - asserts that no hypercall buffer leaked. */
void fake_host_free(struct hcall *h);

/** fake_guest_build() - a running guest with page tables, p2m and a start_info. */
domid_t fake_guest_build(struct hcall *h, const uint8_t uuid[16], unsigned int nr_pages,
			 unsigned int writes_per_step, unsigned int seed);

/** fake_domain_empty() - a domain that waits for memory; 0 if there is no room. */
domid_t fake_domain_empty(struct hcall *h, const uint8_t uuid[16], unsigned int nr_pages,
			  unsigned int nr_vcpus);

/** fake_suspend() - the guest stands; the world keeps its memory. */
void fake_suspend(struct hcall *h, domid_t domid);

/** fake_resume() - a suspended guest goes on in place. */
void fake_resume(struct hcall *h, domid_t domid);

/** fake_run() - let it execute: asserts that it is complete and the only one. */
void fake_run(struct hcall *h, domid_t domid);

/** fake_destroy() - the domain is gone. */
void fake_destroy(struct hcall *h, domid_t domid);

/** fake_state() - of a domain. */
enum fake_run fake_state(struct hcall *h, domid_t domid);

/** fake_find() - domid of a uuid on a host, 0 if there is none. */
domid_t fake_find(struct hcall *h, const uint8_t uuid[16]);

/** fake_nr_running() - copies of a uuid that execute, on all hosts. */
unsigned int fake_nr_running(const uint8_t uuid[16]);

/** fake_same_memory() - has the domain exactly the memory the guest last stood with? */
bool fake_same_memory(struct hcall *h, domid_t domid);

#endif
