/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What x86/ offers for vCPUs: descriptor tables, context, event frames, emulation
 * (x86/desc.c, x86/context.c, x86/traps.c, x86/bounce.c, x86/emulate.c).
 */
#pragma once
#include <pv/domain.h>

/* Selectors of the hypervisor's own GDT page (Xen public arch-x86/xen-x86_64.h for ring 3). */
#define SEL_HV_CS		0xe008
#define SEL_HV_DS		0xe010
#define SEL_TSS			0xe040
#define SEL_LDT			0xe050

/* entry_vector of a frame made by SYSCALL: rcx and r11 are free, SYSRET may return. */
#define VEC_SYSCALL		0x100
#define VEC_SYSCALL32		0x101

/* --- descriptors (x86/desc.c) --- */
void desc_init_cpu(unsigned int cpu);
void x86_load_gdt(struct vcpu *v);
void x86_load_ldt(struct vcpu *v);
void x86_map_ldt_page(unsigned int page, mfn_t m);
void x86_unmap_ldt_pages(void);
/** x86_set_iobitmap() - let ring 3 reach the I/O ports dom0 may use, or none. */
void x86_set_iobitmap(bool open);
bool ioport_denied(unsigned int port);
/** ldt_window_page() - is @va in this CPU's LDT window: its page number, else -1. */
int ldt_window_page(uint64_t va);

/* --- event frames (x86/bounce.c) --- */
/** guest_toggle_mode() - kernel <-> user: tables, GS bases, I/O bitmap. */
void guest_toggle_mode(struct vcpu *v);
/** inject_trap() - exception @vector as the guest's trap table says; @cr2 only for #PF. */
void inject_trap(struct vcpu *v, unsigned int vector, bool has_error, uint32_t error_code);
void inject_page_fault(struct vcpu *v, uint64_t cr2, uint32_t error_code);
void inject_event(struct vcpu *v);
void inject_failsafe(struct vcpu *v);
/** inject_again() - the entry to the kernel that had to wait for its stack: v->bounce.pending. */
void inject_again(struct vcpu *v);
void inject_syscall(struct vcpu *v, const struct callback *cb);
long do_iret(void);

/* --- CPU state (x86/context.c) --- */
int vcpu_set_context(struct vcpu *v, const struct vcpu_guest_context *c);
void vcpu_get_context(struct vcpu *v, struct vcpu_guest_context *c);
int x86_vcpu_init(struct vcpu *v);
void x86_vcpu_destroy(struct vcpu *v);
long do_set_segment_base(unsigned int which, uint64_t base);
long do_stack_switch(uint64_t ss, uint64_t sp);
long do_fpu_taskswitch(int set);
long do_set_debugreg(int reg, uint64_t value);
long do_get_debugreg(int reg);
long do_set_trap_table(uint64_t traps);
long do_callback_op(int cmd, uint64_t arg);
long do_set_callbacks(uint64_t event, uint64_t failsafe, uint64_t syscall);

/* --- emulation (x86/emulate.c, x86/cpuid.c, x86/msr.c) --- */
/** emulate_privileged() - instruction at guest RIP after #GP(0) from ring 3.  True: done. */
bool emulate_privileged(struct vcpu *v, struct cpu_user_regs *r);
bool emulate_forced_cpuid(struct cpu_user_regs *r);
void guest_cpuid(const struct vcpu *v, uint32_t leaf, uint32_t sub, uint32_t out[4]);
int guest_rdmsr(struct vcpu *v, uint32_t msr, uint64_t *val);
int guest_wrmsr(struct vcpu *v, uint32_t msr, uint64_t val);

#define INSN_MAX	15u
/** insn_fetch() - the bytes at @rip, as many as are mapped, so that an instruction may end a page;
 *  returns how many, 0: none. */
unsigned int insn_fetch(uint64_t rip, uint8_t bytes[INSN_MAX]);
/** insn_gpr() - register number @n (0..15) as encoded in ModRM and REX. */
uint64_t *insn_gpr(struct cpu_user_regs *r, unsigned int n);

/* A guest kernel's write to a page table, decoded (x86/decode.c). */
struct pt_write {
	unsigned int insn_len;
	unsigned int size;		/* bytes 1, 2, 4, 8 */
	enum { PTW_MOV, PTW_XCHG, PTW_AND, PTW_OR, PTW_XOR, PTW_BTR, PTW_BTS, PTW_BTC, PTW_CMPXCHG, PTW_ADD } op;
	uint64_t operand;		/* value, or bit number */
	uint64_t *reg;			/* xchg: register that gets the old value */
	unsigned int reg_shift;		/* high-byte register: 8 */
};
bool decode_pt_write(struct cpu_user_regs *r, struct pt_write *w);
/** pt_write_finish() - registers and flags after @w replaced @old; false cmpxchg: no match. */
void pt_write_finish(struct cpu_user_regs *r, const struct pt_write *w, uint64_t old, uint64_t result);

/** x86_allow_user() - may ring 0 touch pages of ring 3 now?  Nothing on a CPU without SMAP. */
static inline void x86_allow_user(bool yes)
{
	if (!cpu_features.smap)
		return;
	if (yes)
		__asm__ __volatile__("stac" ::: "memory");
	else
		__asm__ __volatile__("clac" ::: "memory");
}

__noreturn void return_to_guest(void);		/* entry.S: reset the stack, go */
void debug_dump_regs(const struct cpu_user_regs *r);
