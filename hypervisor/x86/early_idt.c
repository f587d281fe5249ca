/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The IDT of a CPU that has none of its own yet: an exception prints its registers
 * and panics.  Replaced on each CPU by desc_init_cpu().
 */
#include <pv/io.h>
#include <pv/lib.h>
#include <pv/platform.h>

struct early_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
	uint64_t vector, error, rip, cs, rflags, rsp, ss;
};
struct gate { uint64_t lo, hi; };	/* SDM 3A, figure 6-8 */
struct desc_ptr { uint16_t limit; uint64_t base; } __packed;

#define GATE_INTERRUPT	(0x8eUL << 40)
#define STUB_SIZE	16

extern char early_stubs[];
static struct gate early_idt[32];

void early_exception(const struct early_frame *f) __noreturn;
void early_exception(const struct early_frame *f)
{
	pr_err("exception %lu, error code 0x%lx, cr2 0x%lx", f->vector, f->error, READ_CR(2));
	pr_err("rip %04lx:%016lx rsp %016lx rflags %lx", f->cs, f->rip, f->rsp, f->rflags);
	pr_err("rax %016lx rbx %016lx rcx %016lx rdx %016lx", f->rax, f->rbx, f->rcx, f->rdx);
	pr_err("rsi %016lx rdi %016lx rbp %016lx r8  %016lx", f->rsi, f->rdi, f->rbp, f->r8);
	pr_err("r9  %016lx r10 %016lx r11 %016lx r12 %016lx", f->r9, f->r10, f->r11, f->r12);
	pr_err("r13 %016lx r14 %016lx r15 %016lx", f->r13, f->r14, f->r15);
	panic("exception %lu during start-up", f->vector);
}

void early_idt_load(void)
{
	struct desc_ptr p = { sizeof(early_idt) - 1, (uint64_t)early_idt };

	for (unsigned int i = 0; i < ARRAY_SIZE(early_idt); i++) {
		uint64_t rip = (uint64_t)early_stubs + i * STUB_SIZE;

		early_idt[i].lo = (rip & 0xffff) | (uint64_t)BOOT_CS64 << 16 | GATE_INTERRUPT |
				  (rip >> 16 & 0xffff) << 48;
		early_idt[i].hi = rip >> 32;
	}
	__asm__ __volatile__("lidt %0" :: "m"(p));
}
