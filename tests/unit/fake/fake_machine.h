/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine without a CPU, for code above mm/ and sched/: FAKE_FRAMES frames of
 * RAM with reference counts, three domains, guest addresses that are host
 * addresses, and page table entries that are slots of an array.
 */
#pragma once
#include <pv/domain.h>
#include <pv/errno.h>
#include <pv/lib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#define FAKE_DOMAINS	3u
#define FAKE_VCPUS	2u
#define FAKE_SLOTS	32u	/* page table entries of each domain */

/** machine_start() - three fresh domains: 0 privileged, all with event channels and grants. */
void machine_start(uint32_t max_port, uint32_t grant_frames);
/** machine_stop() - destroy them and assert that nothing leaked: memory, frames, domains. */
void machine_stop(void);
/** machine_kill() - what domain_destroy() does to events and grants of domain @id. */
void machine_kill(unsigned int id);
struct domain *machine_domain(unsigned int id);
/** run_on() - vCPU @vcpu of domain @id makes the next hypercalls. */
void run_on(unsigned int id, unsigned int vcpu);
/** give_frame() - a frame of RAM for domain @id. */
mfn_t give_frame(unsigned int id);
unsigned int frame_refs(mfn_t m);
unsigned int frame_writers(mfn_t m);
/** frame_make_table() - as if a page table: no writable reference can be had. */
void frame_make_table(mfn_t m, bool table);

/** fake_slot() - what "page table entry" @slot of domain @id holds. */
uint64_t fake_slot(unsigned int id, unsigned int slot);
/** slot_addr() - host_addr of a slot. */
uint64_t slot_addr(unsigned int slot);
/** slot_overwrite() - the guest clears its entry behind the back of the grant code. */
void slot_overwrite(unsigned int id, unsigned int slot);

extern unsigned int nr_flushes, nr_unblocks[FAKE_DOMAINS][FAKE_VCPUS], nr_marks[FAKE_FRAMES];
extern bool missing[FAKE_FRAMES];	/* contents not there (mm/lazy.c) */
extern unsigned int nr_preserved[FAKE_FRAMES];	/* announced to a snapshot as about to be written */
extern unsigned int nr_info_marks;
extern unsigned int fail_copy_after;	/* guest copies that work before one faults; 0: all do */
extern unsigned int fail_alloc_after;	/* same for memory */
extern void (*after_claim_hook)(void);	/* runs when a frame reference is asked for */

/** rnd() - the test's own random numbers, the same in each run. */
uint32_t rnd(uint32_t bound);
