/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a micro-guest has: hypercalls, a console, traps it can expect, its page tables.
 *
 * A test program defines `tests', a list ended by a NULL name.  Each test is run in turn and ends
 * with a line "PASS name" or "FAIL name: reason"; a failed CHECK leaves the test at once.  A test
 * with @crash set must bring its own domain down with a reason that has this text in it; it gets a
 * boot of its own (tests/guest/run_guest.py).
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define __XEN_INTERFACE_VERSION__ 0x00040e00
#include <xen/xen.h>
#include <xen/arch-x86/cpuid.h>
#include <xen/callback.h>
#include <xen/errno.h>
#include <xen/event_channel.h>
#include <xen/features.h>
#include <xen/grant_table.h>
#include <xen/memory.h>
#include <xen/physdev.h>
#include <xen/platform.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>
#include <xen/io/console.h>

#define PAGE_SIZE	4096ul
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define M2P		((const volatile uint64_t *)0xffff800000000000ul)
#define HV_START	0xffff800000000000ul	/* slots 256..271: not the guest's */
#define HV_END		0xffff880000000000ul

/* --- tests ---------------------------------------------------------------------------- */

struct test {
	const char *name;
	void (*run)(void);
	const char *crash;	/* NULL, or text of the reason the hypervisor must give */
};
extern const struct test tests[];

__attribute__((format(printf, 1, 2))) void printf_(const char *fmt, ...);
__attribute__((noreturn, format(printf, 1, 2))) void test_fail(const char *fmt, ...);
__attribute__((noreturn)) void test_done(void);		/* leave the test: it passed */
__attribute__((noreturn)) void guest_shutdown(unsigned int reason);

#define CHECK(cond, fmt, ...) do {							\
	if (!(cond))									\
		test_fail("line %d: %s: " fmt, __LINE__, #cond, ##__VA_ARGS__);		\
} while (0)
/** EXPECT() - a call that returns a long must return exactly this. */
#define EXPECT(call, want) do {								\
	long _got = (long)(call), _want = (long)(want);					\
	if (_got != _want)								\
		test_fail("line %d: %s is %ld, not %ld", __LINE__, #call, _got, _want);	\
} while (0)
/** REFUSED() - a call must fail, whatever the error. */
#define REFUSED(call) do {								\
	long _got = (long)(call);							\
	if (_got >= 0)									\
		test_fail("line %d: %s is %ld, not an error", __LINE__, #call, _got);	\
} while (0)

void *memcpy(void *d, const void *s, size_t n);
void *memset(void *d, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
bool contains(const char *s, const char *part);

/* --- hypercalls ----------------------------------------------------------------------- */

static inline long hypercall(unsigned int nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
	register uint64_t r10 __asm__("r10") = d;
	register uint64_t r8 __asm__("r8") = e;
	long ret = nr;

	__asm__ __volatile__("syscall" : "+a"(ret), "+D"(a), "+S"(b), "+d"(c), "+r"(r10), "+r"(r8)
			     :: "rcx", "r11", "memory");
	return ret;
}
#define HC5(nr, a, b, c, d, e) hypercall(__HYPERVISOR_##nr, (uint64_t)(a), (uint64_t)(b),	\
					 (uint64_t)(c), (uint64_t)(d), (uint64_t)(e))
#define HC4(nr, a, b, c, d)	HC5(nr, a, b, c, d, 0)
#define HC3(nr, a, b, c)	HC5(nr, a, b, c, 0, 0)
#define HC2(nr, a, b)		HC5(nr, a, b, 0, 0, 0)
#define HC1(nr, a)		HC5(nr, a, 0, 0, 0, 0)

/* --- the domain ------------------------------------------------------------------------ */

extern struct start_info *start_info;
extern struct shared_info *shared_info;
extern const char *cmdline;
/** privileged() - is this domain 0?  Expectations differ for an ordinary guest. */
static inline bool privileged(void) { return start_info->flags & SIF_INITDOMAIN; }
static inline struct vcpu_info *vcpu_info(void) { return &shared_info->vcpu_info[0]; }

/* --- traps ----------------------------------------------------------------------------- */

struct regs {
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t vector, error, rip, cs, rflags, rsp, ss;
};
enum { VEC_EVENT = 256, VEC_FAILSAFE, VEC_SYSCALL, NR_VECTORS };

/* The last trap that TRY() or user_run() caught. */
struct caught {
	bool any;
	struct regs r;
	uint64_t cr2;
};
extern struct caught caught;
extern volatile uint64_t try_resume;	/* rip to go on at after an expected trap; 0: none expected */
extern const uint64_t stub_table[256];
/** trap_hook - when set, called first; true: the trap is dealt with. */
extern bool (*trap_hook)(struct regs *r);
extern volatile unsigned int nr_events;		/* event upcalls so far */
extern void (*event_hook)(void);		/* called at each */

void event_entry(void);
void failsafe_entry(void);
void syscall_entry(void);
/** traps_install() - all 256 vectors with interrupt gates where @mask_events says so. */
void traps_install(void);
void trap_set(unsigned int vector, uint64_t handler, unsigned int flags);

/**
 * TRY() - run one instruction (asm text with operands in C's asm syntax); afterwards `caught' tells
 * whether it trapped.  rax is used to set up the resumption, so operands must not be in it.
 */
#define TRY(text, ...) do {									\
	caught.any = false;									\
	__asm__ __volatile__("leaq 771f(%%rip), %%rax\n\tmovq %%rax, try_resume(%%rip)\n\t"	\
			     text "\n771:\n\tmovq $0, try_resume(%%rip)"			\
			     __VA_ARGS__);							\
} while (0)
#define TRY_CLOBBERS "rax", "rcx", "r11", "memory", "cc"

/** try_write(), try_read() - a store, a load; true when it worked. */
bool try_write(uint64_t va, uint64_t val);
bool try_read(uint64_t va, uint64_t *val);

/* --- memory ---------------------------------------------------------------------------- */

#define PTE_P	0x1ul
#define PTE_RW	0x2ul
#define PTE_US	0x4ul
#define PTE_A	0x20ul
#define PTE_D	0x40ul
#define PTE_PSE	0x80ul
#define PTE_G	0x100ul
#define PTE_NX	(1ul << 63)
#define PTE_ADDR 0x000ffffffffff000ul
#define RW_PAGE	(PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D)
#define RO_PAGE	(PTE_P | PTE_US | PTE_A)
#define TABLE	(PTE_P | PTE_RW | PTE_US | PTE_A)

extern uint64_t *p2m;			/* machine frame of each pseudo-physical frame */
/** page_alloc() - a zeroed page of the image's pool, mapped read-write; never given back. */
void *page_alloc(void);
uint64_t mfn_of(const void *va);	/* of an address in the initial mapping */
uint64_t maddr_of(const void *va);
void *virt_of_mfn(uint64_t mfn);	/* address in the initial mapping, by M2P */
/** pte_of() - the entry at @level (1..4) that translates @va, or NULL; readable, not writable. */
volatile uint64_t *pte_of(uint64_t va, int level);
uint64_t pte_maddr(uint64_t va, int level);	/* machine address of that entry */
/** page_protect() - remap a page of the initial mapping read-only or read-write. */
int page_protect(const void *va, bool writable);
long mmu_update_one(uint64_t ptr, uint64_t val);
long mmuext(unsigned int cmd, uint64_t arg1, uint64_t arg2);
/** pt_new() - a zeroed page, mapped read-only, that can become a page table. */
uint64_t *pt_new(void);
/** map_page() - @mfn with @flags at @va through fresh tables where needed. */
void map_page(uint64_t va, uint64_t mfn, uint64_t flags);

/* --- events and time ------------------------------------------------------------------- */

long evtchn_op(unsigned int cmd, void *arg);
void evtchn_unmask(unsigned int port);
void evtchn_clear(unsigned int port);
bool evtchn_pending(unsigned int port);
domid_t own_domid(void);
uint64_t now_ns(void);			/* system time by the vCPU's time page */

/* --- user mode --------------------------------------------------------------------------- */

#define USER_CODE	0x400000ul
#define USER_DATA	0x600000ul	/* two pages, read-write; the stack grows down from their end */
#define USER_STACK	(USER_DATA + 2 * PAGE_SIZE)
/** user_setup() - tables with one page of code and two of data, known in both modes. */
void user_setup(void);
extern void *user_data;			/* USER_DATA in the kernel's mapping */
/**
 * user_run() - copy @size bytes of position-independent code to USER_CODE and run it in user mode
 * until its first trap, which `caught' then holds.  @rdi: an argument.
 */
void user_run(const void *code, size_t size, uint64_t rdi);
