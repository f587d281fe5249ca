/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exceptions reach the guest kernel as the ABI says: vector, error code, rip, the frame on a stack
 * aligned to 16, rcx and r11 kept, cs with RPL 0 when the kernel itself was interrupted, the event
 * mask in the frame and in IF, cr2 in vcpu_info, the U bit of a page fault telling kernel from user
 * although both run at ring 3.  iret restores all of it, and what it cannot load becomes the
 * failsafe callback.  Privileged instructions fault or are emulated; none is carried out.
 * Source: Xen public arch-x86/xen.h, xen-x86_64.h, callback.h.
 */
#include "tests/guest/lib/guest.h"

#define BLOB(name, text)							\
	extern const char name[], name##_end[];					\
	__asm__(".pushsection .rodata\n" #name ":\n" text "\n" #name "_end:\n.popsection")
#define USER(name, rdi) user_run(name, name##_end - name, rdi)

#define IF	(1ul << 9)
#define TF	(1ul << 8)
#define NT	(1ul << 14)
#define AC	(1ul << 18)
#define DF	(1ul << 10)
#define UNMAPPED 0x123456000ul

static void check_trap(unsigned int vector, uint64_t error)
{
	CHECK(caught.any, "no trap");
	CHECK(caught.r.vector == vector, "%lu", caught.r.vector);
	CHECK(caught.r.error == error, "%lx", caught.r.error);
}

static void kernel_exceptions(void)
{
	TRY("int3", ::: TRY_CLOBBERS);
	check_trap(3, 0);
	CHECK(caught.r.rip == caught.r.rax, "int3: rip is not behind it");
	CHECK((caught.r.cs & 0xffff) == (FLAT_KERNEL_CS & ~3), "%lx", caught.r.cs);
	TRY("ud2", ::: TRY_CLOBBERS);
	check_trap(6, 0);
	CHECK(caught.r.rip + 2 == caught.r.rax, "ud2: rip is not at it");
	TRY("xor %%ecx, %%ecx; xor %%edx, %%edx; div %%ecx", ::: TRY_CLOBBERS, "rdx");
	check_trap(0, 0);
	TRY("movabs $0x8000000000000000, %%rcx; mov (%%rcx), %%rcx", ::: TRY_CLOBBERS);
	check_trap(13, 0);
	TRY("int $0x55", ::: TRY_CLOBBERS);
	check_trap(0x55, 0);
	CHECK(caught.r.rip == caught.r.rax, "int n: rip is not behind it");
}

static void page_faults(void)
{
	static uint8_t page[PAGE_SIZE] __attribute__((aligned(4096)));
	uint64_t v;

	CHECK(!try_read(UNMAPPED + 8, &v), "read");
	check_trap(14, 0);
	CHECK(caught.cr2 == UNMAPPED + 8, "cr2 %lx", caught.cr2);
	CHECK(!try_write(UNMAPPED, 0), "write");
	check_trap(14, 2);
	EXPECT(page_protect(page, false), 0);
	CHECK(!try_write((uint64_t)page + 16, 1), "write to a read-only page");
	check_trap(14, 3);
	CHECK(caught.cr2 == (uint64_t)page + 16, "cr2 %lx", caught.cr2);
	EXPECT(page_protect(page, true), 0);
	CHECK(try_write((uint64_t)page, 1), "write after the page is writable again");
	EXPECT(HC3(update_va_mapping, page, maddr_of(page) | RW_PAGE | PTE_NX, UVMF_INVLPG), 0);
	TRY("jmp *%0", :: "r"(page) : TRY_CLOBBERS);
	check_trap(14, 0x11);
	EXPECT(page_protect(page, true), 0);
}

static uint64_t frame_end;
static uint8_t mask_inside;

static bool note_frame(struct regs *r)
{
	frame_end = (uint64_t)(r + 1);
	mask_inside = vcpu_info()->evtchn_upcall_mask;
	return false;
}

static void frame_layout(void)
{
	trap_hook = note_frame;
	for (uint64_t off = 0; off < 16; off += 8) {
		/* skewed by hand, for the compiler keeps the stack aligned */
		__asm__ __volatile__("lea 1f(%%rip), %%rax; mov %%rax, try_resume(%%rip)\n\t"
				     "mov %%rsp, %%rbx; sub %0, %%rsp; int3\n1:\tmov %%rbx, %%rsp"
				     :: "r"(off) : "rax", "rbx", "rcx", "r11", "memory", "cc");
		CHECK(frame_end % 16 == 0, "%lx", frame_end);
	}
}

static void event_mask(void)
{
	trap_hook = note_frame;
	for (unsigned int mask = 0; mask < 2; mask++) {
		vcpu_info()->evtchn_upcall_mask = mask;
		TRY("int3", ::: TRY_CLOBBERS);
		CHECK((caught.r.rflags & IF ? 0 : 1) == mask, "rflags %lx with mask %u", caught.r.rflags, mask);
		CHECK((caught.r.cs >> 32 & 0xff) == mask, "cs %lx with mask %u", caught.r.cs, mask);
		CHECK(mask_inside == 1, "an interrupt gate leaves events on");
		CHECK(vcpu_info()->evtchn_upcall_mask == mask, "iret does not restore the mask");
	}
	vcpu_info()->evtchn_upcall_mask = 0;
	trap_set(3, stub_table[3], 3);		/* a trap gate: events stay on */
	TRY("int3", ::: TRY_CLOBBERS);
	trap_set(3, stub_table[3], 7);
	CHECK(mask_inside == 0, "a trap gate turns events off");
}

static void registers_kept(void)
{
	uint64_t rcx, r11;

	try_resume = 0;
	__asm__ __volatile__("lea 1f(%%rip), %%rax; mov %%rax, try_resume(%%rip)\n\t"
			     "movabs $0x1122334455667788, %%rcx; movabs $0x99aabbccddeeff00, %%r11\n\t"
			     "int3\n1:\tmov %%rcx, %0; mov %%r11, %1" : "=r"(rcx), "=r"(r11)
			     :: "rax", "rcx", "r11", "memory");
	CHECK(rcx == 0x1122334455667788, "%lx", rcx);
	CHECK(r11 == 0x99aabbccddeeff00, "%lx", r11);
}

/* Flags that would upset the hypervisor if it took them over: it must live and give them back. */
static void odd_flags(void)
{
	static const uint64_t flags[] = { NT, AC, DF, NT | AC | DF | 0xd5 };

	for (unsigned int i = 0; i < ARRAY_SIZE(flags); i++) {
		uint64_t got;

		__asm__ __volatile__("mov $17, %%eax; xor %%edi, %%edi; pushf; orq %1, (%%rsp); popf\n\t"
				     "syscall; pushf; pop %0; pushq $2; popf"
				     : "=r"(got) : "r"(flags[i]) : "rax", "rcx", "rdi", "r11", "memory", "cc");
		CHECK((got & flags[i]) == flags[i], "%lx from %lx", got, flags[i]);
		TRY("pushf; orq %0, (%%rsp); popf; int3", :: "r"(flags[i]) : TRY_CLOBBERS);
		__asm__ __volatile__("pushq $2; popf" ::: "memory", "cc");
		check_trap(3, 0);
		CHECK((caught.r.rflags & flags[i]) == flags[i], "%lx from %lx", caught.r.rflags, flags[i]);
	}
}

static bool stop_stepping(struct regs *r)
{
	r->rflags &= ~TF;
	return false;
}

static void single_step(void)
{
	trap_hook = stop_stepping;
	TRY("pushf; orq $0x100, (%%rsp); popf; nop; nop", ::: TRY_CLOBBERS);
	check_trap(1, 0);
	/* Over a hypercall, too: the step must not hit the hypervisor. */
	TRY("pushf; orq $0x100, (%%rsp); popf; mov $17, %%eax; xor %%edi, %%edi; syscall; nop",
	    ::: TRY_CLOBBERS, "rdi");
	check_trap(1, 0);
}

static void breakpoint_on_data(void)
{
	static uint64_t word;

	EXPECT(HC2(set_debugreg, 0, &word), 0);
	EXPECT(HC2(set_debugreg, 7, 0xd0401), 0);	/* breakpoint 0: writes of 4 bytes */
	TRY("movl $1, (%0)", :: "r"(&word) : TRY_CLOBBERS);
	check_trap(1, 0);
	CHECK(HC1(get_debugreg, 6) & 1, "dr6 %lx", HC1(get_debugreg, 6));
	/* The hypervisor writes the word for us: its own affair, not a crash. */
	HC2(xen_version, XENVER_get_features, (uint64_t)&word - 4);
	EXPECT(HC2(set_debugreg, 7, 0x400), 0);
	REFUSED(HC2(set_debugreg, 0, HV_START + 0x1000));
	REFUSED(HC2(set_debugreg, 7, 1 << 13));
	REFUSED(HC2(set_debugreg, 99, 0));
}

static void privileged_instructions(void)
{
	TRY("hlt", ::: TRY_CLOBBERS);
	check_trap(13, 0);
	TRY("mov %%cr3, %%rcx", ::: TRY_CLOBBERS);
	check_trap(13, 0);
	TRY("mov %%rcx, %%cr3", ::: TRY_CLOBBERS);
	check_trap(13, 0);
	TRY("lgdt (%0)", :: "r"(&caught) : TRY_CLOBBERS);
	check_trap(13, 0);
	TRY("lidt (%0)", :: "r"(&caught) : TRY_CLOBBERS);
	check_trap(13, 0);
	TRY("invlpg (%0)", :: "r"(&caught) : TRY_CLOBBERS);
	check_trap(13, 0);
	TRY("mov $0x12345678, %%ecx; rdmsr", ::: TRY_CLOBBERS, "rdx");
	check_trap(13, 0);
	TRY("mov $0xc0000082, %%ecx; xor %%edx, %%edx; wrmsr", ::: TRY_CLOBBERS, "rdx");
	check_trap(13, 0);
	TRY("mov $2, %%ecx; xor %%edx, %%edx; xsetbv", ::: TRY_CLOBBERS, "rdx");
	CHECK(caught.any && (caught.r.vector == 13 || caught.r.vector == 6), "%lu", caught.r.vector);
	TRY("mov $0x80, %%edx; out %%al, (%%dx)", ::: TRY_CLOBBERS, "rdx");
	check_trap(13, 0);			/* virtual IOPL is 0 yet */
	TRY("cli", ::: TRY_CLOBBERS);
	check_trap(13, 0);
}

static void iopl(void)
{
	struct physdev_set_iopl set = { 1 };
	uint8_t mask = vcpu_info()->evtchn_upcall_mask;

	EXPECT(HC2(physdev_op, PHYSDEVOP_set_iopl, &set), 0);
	TRY("mov $0x80, %%edx; out %%al, (%%dx); cli; sti", ::: TRY_CLOBBERS, "rdx");
	CHECK(!caught.any, "vector %lu", caught.r.vector);
	CHECK(vcpu_info()->evtchn_upcall_mask == mask, "sti touched the event mask");
	set.iopl = 0;
	EXPECT(HC2(physdev_op, PHYSDEVOP_set_iopl, &set), 0);
	set.iopl = 4;
	EXPECT(HC2(physdev_op, PHYSDEVOP_set_iopl, &set), -XEN_EINVAL);
}

/* TS set by the guest: one #NM, which clears it.  What the hypervisor does with the FPU at a change
 * of vCPUs must not meet it. */
static void fpu_taskswitch(void)
{
	uint64_t until;

	EXPECT(HC1(fpu_taskswitch, 1), 0);
	TRY("fninit", ::: TRY_CLOBBERS);
	check_trap(7, 0);
	TRY("fninit", ::: TRY_CLOBBERS);
	CHECK(!caught.any, "vector %lu", caught.r.vector);
	EXPECT(HC1(fpu_taskswitch, 1), 0);
	until = now_ns() + 3000000;
	EXPECT(HC1(set_timer_op, until), 0);
	while (now_ns() < until)
		EXPECT(HC2(sched_op, SCHEDOP_poll, &(struct sched_poll){ .timeout = until }), 0);
	TRY("fninit", ::: TRY_CLOBBERS);
	check_trap(7, 0);
	EXPECT(HC1(fpu_taskswitch, 0), 0);
	TRY("fninit", ::: TRY_CLOBBERS);
	CHECK(!caught.any, "vector %lu", caught.r.vector);
}

static void forced_cpuid(void)
{
	uint32_t a = 0x40000000, b, c, d;

	__asm__ __volatile__("ud2a; .ascii \"xen\"; cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
	CHECK(b == XEN_CPUID_SIGNATURE_EBX && c == XEN_CPUID_SIGNATURE_ECX && d == XEN_CPUID_SIGNATURE_EDX, "%x %x %x", b, c, d);
	CHECK(a >= 0x40000002, "%x", a);
	a = 1;
	__asm__ __volatile__("ud2a; .ascii \"xen\"; cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
	CHECK(!(d & (1u << 3 | 1u << 13)), "PSE or PGE is visible: %x", d);
	CHECK(c >> 31, "hypervisor bit");
}

/* --- from user mode --------------------------------------------------------------------- */

BLOB(u_int3, "int3");
BLOB(u_ud2, "ud2");
BLOB(u_read, "mov (%rdi), %rax");
BLOB(u_write, "mov %rax, (%rdi)");
BLOB(u_syscall, "std; mov $0x77, %eax; syscall");
BLOB(u_int80, "int $0x80");
BLOB(u_int20, "int $0x20");
BLOB(u_hlt, "hlt");
BLOB(u_out, "mov $0x80, %edx; out %al, (%dx)");
BLOB(u_cli, "cli");
BLOB(u_cpuid, "mov $0x40000000, %eax; ud2; .ascii \"xen\"; cpuid; int3");
BLOB(u_gs, "mov %gs:0, %rax; int3");
BLOB(u_iret, "sub $72, %rsp; mov $23, %eax; syscall");

static void user_exceptions(void)
{
	USER(u_int3, 0);
	check_trap(3, 0);
	CHECK(caught.r.rip == USER_CODE + 1, "%lx", caught.r.rip);
	CHECK((caught.r.cs & 0xffff) == FLAT_USER_CS64, "%lx", caught.r.cs);
	CHECK(caught.r.rsp == USER_STACK, "%lx", caught.r.rsp);
	USER(u_ud2, 0);
	check_trap(6, 0);
	USER(u_hlt, 0);
	check_trap(13, 0);
	USER(u_out, 0);
	check_trap(13, 0);
	USER(u_cli, 0);
	check_trap(13, 0);
	USER(u_int80, 0);
	check_trap(0x80, 0);
	USER(u_int20, 0);
	check_trap(13, 0x20 << 3 | 2);
	USER(u_cpuid, 0);
	check_trap(3, 0);
	CHECK((uint32_t)caught.r.rbx == XEN_CPUID_SIGNATURE_EBX, "%lx", caught.r.rbx);
}

static void user_page_faults(void)
{
	USER(u_read, UNMAPPED);
	check_trap(14, 4);
	CHECK(caught.cr2 == UNMAPPED, "%lx", caught.cr2);
	USER(u_write, UNMAPPED);
	check_trap(14, 6);
	USER(u_read, (uint64_t)&caught);		/* the kernel is not in the user's tables */
	check_trap(14, 4);
	EXPECT(HC3(update_va_mapping, USER_DATA, maddr_of(user_data) | RO_PAGE, UVMF_INVLPG), 0);
	USER(u_write, USER_DATA);
	check_trap(14, 7);
	EXPECT(HC3(update_va_mapping, USER_DATA, maddr_of(user_data) | RW_PAGE, UVMF_INVLPG), 0);
}

static void user_syscall(void)
{
	vcpu_info()->evtchn_upcall_mask = 0;
	USER(u_syscall, 0);
	check_trap(VEC_SYSCALL, 0);
	CHECK(caught.r.rcx == USER_CODE + (uint64_t)(u_syscall_end - u_syscall), "rcx %lx", caught.r.rcx);
	CHECK(caught.r.r11 & DF && caught.r.r11 & IF, "r11 %lx", caught.r.r11);
	CHECK(caught.r.rax == 0x77, "rax %lx", caught.r.rax);
	USER(u_iret, 0);			/* a hypercall number means nothing in user mode */
	check_trap(VEC_SYSCALL, 0);
}

static void user_gs_base(void)
{
	static uint64_t word = 42;

	user_setup();
	*(uint64_t *)user_data = 17;
	EXPECT(HC2(set_segment_base, SEGBASE_GS_KERNEL, &word), 0);
	EXPECT(HC2(set_segment_base, SEGBASE_GS_USER, USER_DATA), 0);
	USER(u_gs, 0);
	check_trap(3, 0);
	CHECK(caught.r.rax == 17, "user's gs: %lu", caught.r.rax);
	__asm__ __volatile__("mov %%gs:0, %0" : "=r"(word));
	CHECK(word == 42, "kernel's gs: %lu", word);
	EXPECT(HC2(set_segment_base, SEGBASE_GS_USER_SEL, 0), 0);
	REFUSED(HC2(set_segment_base, SEGBASE_FS, 1ul << 47));
	REFUSED(HC2(set_segment_base, 77, 0));
}

/* --- iret ------------------------------------------------------------------------------- */

struct iret_frame { uint64_t rax, r11, rcx, flags, rip, cs, rflags, rsp, ss; };

static void *iret_back[5];

static bool iret_caught(struct regs *r)
{
	__builtin_longjmp(iret_back, 1);
	return true;
}

static __attribute__((noinline, noreturn)) void iret_jump(const struct iret_frame *f)
{
	__asm__ __volatile__("mov %0, %%rsp\n\tmov %1, %%eax\n\tsyscall"
			     :: "r"(f), "i"(__HYPERVISOR_iret) : "memory");
	__builtin_unreachable();
}

/* Where to: the first trap, which `caught' then holds. */
static __attribute__((noinline)) void iret_to(uint64_t rip, uint64_t cs, uint64_t rflags, uint64_t rsp, uint64_t ss)
{
	static uint8_t stack[2 * PAGE_SIZE] __attribute__((aligned(4096)));
	static struct iret_frame *f = (struct iret_frame *)(stack + PAGE_SIZE);

	*f = (struct iret_frame){ .rip = rip, .cs = cs, .rflags = rflags, .ss = ss,
				  .rsp = rsp ? rsp : (uint64_t)stack + sizeof(stack) };
	caught.any = false;
	trap_hook = iret_caught;
	if (!__builtin_setjmp(iret_back))
		iret_jump(f);
	trap_hook = NULL;
}

extern const char landing[];
__asm__(".pushsection .text\nlanding: int3; ud2\n.popsection");

static void iret_kernel(void)
{
	iret_to((uint64_t)landing, FLAT_KERNEL_CS & ~3, 2, 0, FLAT_KERNEL_SS);
	check_trap(3, 0);
	CHECK(!(caught.r.rflags & IF), "%lx", caught.r.rflags);
	/* What a guest may not have: IOPL, VM, real IF off. */
	iret_to((uint64_t)landing, FLAT_KERNEL_CS & ~3, 0x23202, 0, FLAT_KERNEL_SS);
	check_trap(3, 0);
	CHECK(!(caught.r.rflags & 0x23000), "%lx", caught.r.rflags);
	CHECK(caught.r.rflags & IF, "%lx", caught.r.rflags);
}

static void iret_bad_rip(void)
{
	static const uint64_t rips[] = { 1ul << 47, 1ul << 63, 0xffff7fffffffffff, 0x7ffffffffffffffe };

	for (unsigned int i = 0; i < ARRAY_SIZE(rips); i++) {
		iret_to(rips[i], FLAT_KERNEL_CS & ~3, 2, 0, FLAT_KERNEL_SS);
		CHECK(caught.any && (caught.r.vector == VEC_FAILSAFE || caught.r.vector == 13), "%lx: vector %lu",
		      rips[i], caught.r.vector);
	}
	iret_to(HV_START + (2ul << 39), FLAT_KERNEL_CS & ~3, 2, 0, FLAT_KERNEL_SS);
	CHECK(caught.any && caught.r.vector == 14, "hypervisor's text: vector %lu", caught.r.vector);
}

/* Every selector as cs: it may be refused or be code of ring 3, nothing else. */
static void iret_bad_selectors(void)
{
	for (unsigned int sel = 0; sel < 0xe100; sel += sel == 0x100 ? 0xe000 - 0x100 : 4) {
		if ((sel & ~3u) == (FLAT_RING3_CS32 & ~3u))
			continue;	/* would run our bytes as 32-bit code */
		iret_to((uint64_t)landing, sel, 2, 0, FLAT_KERNEL_SS);
		CHECK(caught.any, "cs %x", sel);
		if (caught.r.vector == 3)
			CHECK((sel & ~7u) == (FLAT_RING3_CS64 & ~7u), "cs %x was loaded", sel);
		else
			CHECK(caught.r.vector == VEC_FAILSAFE || caught.r.vector == 13, "cs %x: vector %lu",
			      sel, caught.r.vector);
	}
	for (unsigned int sel = 0; sel < 0xe100; sel += sel == 0x100 ? 0xe000 - 0x100 : 8) {
		iret_to((uint64_t)landing, FLAT_KERNEL_CS & ~3, 2, 0, sel);
		CHECK(caught.any, "ss %x", sel);
	}
}

/* The frame of iret where there is none. */
static void iret_bad_stack(void)
{
	__asm__ __volatile__("mov %0, %%rsp; mov %1, %%eax; syscall" :: "r"(UNMAPPED), "i"(__HYPERVISOR_iret));
}

static void iret_user_without_tables(void)
{
	EXPECT(mmuext(MMUEXT_NEW_USER_BASEPTR, 0, 0), 0);
	iret_to((uint64_t)landing, FLAT_USER_CS64, 2, 0, FLAT_USER_SS64);
}

static void no_handler(void)
{
	struct trap_info none = { 0 };

	EXPECT(HC1(set_trap_table, 0), 0);
	EXPECT(HC1(set_trap_table, &none), 0);
	__asm__ __volatile__("ud2");
}

static void stack_unmapped(void)
{
	__asm__ __volatile__("mov %0, %%rsp; int3" :: "r"(UNMAPPED));
}

static void stack_in_hypervisor(void)
{
	__asm__ __volatile__("mov %0, %%rsp; int3" :: "r"(HV_START + (6ul << 39) + 0x10000));
}

static void stack_not_canonical(void)
{
	__asm__ __volatile__("mov %0, %%rsp; int3" :: "r"(1ul << 62));
}

const struct test tests[] = {
	{ "traps.kernel_exceptions", kernel_exceptions },
	{ "traps.page_faults", page_faults },
	{ "traps.frame_layout", frame_layout },
	{ "traps.event_mask", event_mask },
	{ "traps.registers_kept", registers_kept },
	{ "traps.odd_flags", odd_flags },
	{ "traps.single_step", single_step },
	{ "traps.breakpoint_on_data", breakpoint_on_data },
	{ "traps.privileged", privileged_instructions },
	{ "traps.iopl", iopl },
	{ "traps.fpu_taskswitch", fpu_taskswitch },
	{ "traps.forced_cpuid", forced_cpuid },
	{ "traps.user_exceptions", user_exceptions },
	{ "traps.user_page_faults", user_page_faults },
	{ "traps.user_syscall", user_syscall },
	{ "traps.user_gs_base", user_gs_base },
	{ "traps.iret_kernel", iret_kernel },
	{ "traps.iret_bad_rip", iret_bad_rip },
	{ "traps.iret_bad_selectors", iret_bad_selectors },
	{ "traps.crash.iret_bad_stack", iret_bad_stack, "iret frame" },
	{ "traps.crash.iret_user_without_tables", iret_user_without_tables, "without user tables" },
	{ "traps.crash.no_handler", no_handler, "no handler" },
	{ "traps.crash.stack_unmapped", stack_unmapped, "not writable" },
	{ "traps.crash.stack_in_hypervisor", stack_in_hypervisor, "not writable" },
	{ "traps.crash.stack_not_canonical", stack_not_canonical, "not writable" },
	{ NULL },
};
