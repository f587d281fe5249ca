/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A domain that a micro-guest makes as domain 0, and orders about.
 *
 * Its vCPUs do what the order in their control page says, then say so.  Page n of its memory is at
 * DOMU_BASE + n * 4096 in its only address space, tables read-only:
 *	0..3 code, 4..7 control page of each vCPU, 8..11 their stacks, 12 L4, 13 L3, 14 L2,
 *	15 shared_info if wanted, 16.. L1 tables, DOMU_DATA.. free for the test
 * It counts upcalls and breakpoints (TRAP) in its control page.
 */
#pragma once
#include "tests/guest/lib/guest.h"
#include "hypervisor/include/public/godwit.h"

#define DOMU_BASE	0x8000000000ul
#define DOMU_MAX_VCPUS	4u
#define DOMU_CONTROL	4u
#define DOMU_STACK	8u
#define DOMU_L4		12u
#define DOMU_SHARED	15u
#define DOMU_L1		16u
#define DOMU_DATA	128u
#define DOMU_MAX_PAGES	32768u
#define DOMU_VA(pfn)	(DOMU_BASE + (uint64_t)(pfn) * PAGE_SIZE)

enum { DOMU_IDLE, DOMU_FILL, DOMU_COUNT, DOMU_CALL, DOMU_READ, DOMU_READ_ALL, DOMU_TRAP };

/* One vCPU's control page: domain 0 writes the arguments, then order; the vCPU makes it IDLE. */
struct domu_control {
	volatile uint32_t order, stop;
	uint64_t first, end;		/* FILL, COUNT, READ_ALL: pages; READ: address in first */
	uint64_t value;			/* FILL: domu_word() of it goes to each page */
	uint64_t call[6];		/* CALL: number, arguments */
	volatile uint64_t result;	/* of CALL, READ; READ_ALL: pages that do not hold value */
	volatile uint64_t rounds;	/* COUNT: passes begun so far */
	volatile uint64_t events;	/* upcalls and breakpoints so far */
	uint64_t data[64];		/* for hypercalls: DOMU_VA(DOMU_CONTROL + vcpu) + offset */
};

/* What FILL with @value writes to words 0, 256 and 511 of page @pfn. */
static inline __attribute__((always_inline)) uint64_t domu_word(uint64_t pfn, uint64_t value)
{
	return value * 0x9e3779b97f4a7c15ul + pfn;
}

struct domu {
	domid_t id;
	unsigned int nr_pages, nr_vcpus;
	uint64_t mfn[DOMU_MAX_PAGES];
	struct domu_control *control[DOMU_MAX_VCPUS];
};
extern struct domu domu;		/* there is one at a time */
/* Before domu_build(): where vCPU 0's stack pointer starts, and shared_info is mapped for upcalls.  0:
 * at the end of page DOMU_STACK, and it is not (as a domain that suspends has it). */
extern uint64_t domu_upcall_stack;

/** domu_create() - make it with @nr_pages (<= DOMU_MAX_PAGES) and start its vCPUs. */
void domu_create(unsigned int nr_pages, unsigned int nr_vcpus);
/** domu_build() - the same, but leave it paused. */
void domu_build(unsigned int nr_pages, unsigned int nr_vcpus);
void domu_destroy(void);
/** domu_send_event() - unmask vCPU 0's upcalls and signal a channel of the domain. */
void domu_send_event(void);
void domu_pause(void);
void domu_unpause(void);
/** domu_start() - give @vcpu an order; the arguments are in its control page. */
void domu_start(unsigned int vcpu, uint32_t order);
/** domu_wait() - until @vcpu is done; false: not within @ms. */
bool domu_wait(unsigned int vcpu, unsigned int ms);
/** domu_fill() - pages first..end-1 get domu_word(pfn, @value), by vCPU 0. */
void domu_fill(uint64_t first, uint64_t end, uint64_t value);
/** domu_call() - hypercall by vCPU 0. */
long domu_call(unsigned int nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d);
/** domu_data() - address, as the domain sees it, of word @i of vCPU 0's data area. */
uint64_t domu_data(unsigned int i);

/** foreign_map() - page of a fixed window @slot (0..15) onto frame @mfn of @domid, 0 unmaps it. */
void *foreign_map(unsigned int slot, domid_t domid, uint64_t mfn);

long godwit_op(unsigned int cmd, void *arg);
/** heap_frames() - free frames of the host; fails the test if the audit finds an error. */
uint64_t heap_frames(void);
