/* SPDX-License-Identifier: Apache-2.0 */
/*
 * User mode: a second L4 without the kernel's half, sharing the low half's tables.  The first trap
 * out of it comes back to user_run() in kernel mode, on the stack that stack_switch named.
 */
#include "tests/guest/lib/guest.h"

void *user_data;
static void *code_page;
static void *run_frame[5];

void user_setup(void)
{
	static uint8_t data[2][PAGE_SIZE] __attribute__((aligned(4096)));
	static uint8_t trap_stack[4 * PAGE_SIZE] __attribute__((aligned(4096)));
	static bool done;
	uint64_t *l4;

	if (done)
		return;
	code_page = page_alloc();
	user_data = data;
	map_page(USER_CODE, mfn_of(code_page), RW_PAGE);
	map_page(USER_DATA, mfn_of(data[0]), RW_PAGE);
	map_page(USER_DATA + PAGE_SIZE, mfn_of(data[1]), RW_PAGE);
	l4 = page_alloc();
	l4[0] = *pte_of(USER_CODE, 4);
	if (page_protect(l4, false))
		test_fail("user tables");
	EXPECT(mmuext(MMUEXT_PIN_L4_TABLE, mfn_of(l4), 0), 0);
	EXPECT(mmuext(MMUEXT_NEW_USER_BASEPTR, mfn_of(l4), 0), 0);
	EXPECT(HC2(stack_switch, FLAT_KERNEL_SS, trap_stack + sizeof(trap_stack)), 0);
	done = true;
}

static bool leave(struct regs *r)
{
	__builtin_longjmp(run_frame, 1);
	return true;
}

static __attribute__((noinline, noreturn)) void enter(uint64_t rdi)
{
	struct { uint64_t rax, r11, rcx, flags, rip, cs, rflags, rsp, ss; } f = {
		.rip = USER_CODE, .cs = FLAT_USER_CS64, .rflags = 0x202, .rsp = USER_STACK,
		.ss = FLAT_USER_SS64,
	};

	__asm__ __volatile__("mov %0, %%rsp\n\tmov %1, %%eax\n\tsyscall"
			     :: "r"(&f), "i"(__HYPERVISOR_iret), "D"(rdi), "m"(f) : "memory");
	__builtin_unreachable();
}

void user_run(const void *code, size_t size, uint64_t rdi)
{
	bool (*hook)(struct regs *) = trap_hook;

	user_setup();
	memcpy(code_page, code, size);
	caught.any = false;
	trap_hook = leave;
	if (!__builtin_setjmp(run_frame))
		enter(rdi);
	trap_hook = hook;
}
