/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end: panic(), and how the machine stops.
 *
 * The reason is printed first and once more as the very last line.  The first CPU that panics
 * stops the others; one that panics inside its own panic skips the rest of the report.  Nothing
 * here allocates, and the log's lock is no longer waited for.
 */
#include <pv/io.h>
#include <pv/lib.h>
#include <pv/percpu.h>
#include <pv/platform.h>

#define STACK_WORDS	160
#define NOBODY		UINT32_MAX

extern char image_start[], text_end[], rodata_end[], init_text_end[];

static uint32_t panic_cpu = NOBODY;
static bool panic_again;
static char reason[256];

static bool is_code(uint64_t a)
{
	return (a >= (uint64_t)image_start && a < (uint64_t)text_end) ||
	       (a >= (uint64_t)rodata_end && a < (uint64_t)init_text_end);
}

/* Every word on the stack that points into code; callers are among them (addr2line tells). */
static void print_stack(void)
{
	const uint64_t *sp = __builtin_frame_address(0);
	const uint64_t *top = (const uint64_t *)cpu_info();
	unsigned int shown = 0;

	pr_err("code addresses on the stack from %p:", (const void *)sp);
	for (unsigned int i = 0; i < STACK_WORDS * 8 && sp + i < top && shown < 32; i++) {
		if (is_code(sp[i])) {
			pr_err("  [%p] %016lx", (const void *)(sp + i), sp[i]);
			shown++;
		}
	}
}

static void print_guest_regs(void)
{
	const struct cpu_user_regs *r = guest_regs();

	pr_err("last guest registers: rip %04x:%016lx rsp %04x:%016lx rflags %lx", r->cs, r->rip,
	       r->ss, r->rsp, r->rflags);
	pr_err("  rax %016lx rbx %016lx rcx %016lx rdx %016lx", r->rax, r->rbx, r->rcx, r->rdx);
	pr_err("  rsi %016lx rdi %016lx rbp %016lx r8  %016lx", r->rsi, r->rdi, r->rbp, r->r8);
	pr_err("  r9  %016lx r10 %016lx r11 %016lx r12 %016lx", r->r9, r->r10, r->r11, r->r12);
}

void panic(const char *fmt, ...)
{
	uint32_t nobody = NOBODY;
	va_list ap;

	__asm__ __volatile__("cli");
	if (!atomic_cas(&panic_cpu, &nobody, cpu_id())) {
		if (nobody == cpu_id() && !panic_again) {
			panic_again = true;
			machine_reboot();
		}
		for (;;)		/* a second CPU: the first has the word */
			__asm__ __volatile__("hlt");
	}
	log_panic_begin();
	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	smp_stop_others();
	pr_err("panic on CPU %u: %s", cpu_id(), reason);
	pr_err("cr0 %lx cr2 %lx cr3 %lx cr4 %lx", READ_CR(0), READ_CR(2), READ_CR(3), READ_CR(4));
	print_guest_regs();
	print_stack();
	pr_err("panic: %s", reason);
	machine_reboot();
}
