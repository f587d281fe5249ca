/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What to do with each exception and interrupt.
 *
 * From ring 3: first the hypervisor's own reasons (shadow tables, writable page
 * tables, the LDT window, privileged instructions), then the guest's trap table.
 * From ring 0: only faults at places of the exception table, at the final IRETQ, and
 * shadow faults on guest memory are expected; all else is a bug and panics.
 */
#include <pv/hypercall.h>
#include <pv/io.h>
#include <pv/lib.h>
#include <pv/mmu.h>
#include <pv/x86.h>

#define PF_PRESENT	1u
#define PF_WRITE	2u
#define PF_USER		4u
#define PF_RSVD		8u

void trap_from_guest(struct cpu_user_regs *r);
void trap_from_hypervisor(struct cpu_user_regs *r);
void syscall_from_guest(struct cpu_user_regs *r);
void syscall32_from_guest(struct cpu_user_regs *r);
void guest_exit_work(void);

extern const struct { uint64_t fault, fixup; } exception_table[], exception_table_end[];
extern const char guest_iretq[];

static void interrupt(unsigned int vec)
{
	switch (vec) {
	case VEC_TIMER: apic_timer_interrupt(); break;
	case VEC_KICK: smp_kick_interrupt(); break;
	case VEC_TLB_FLUSH: smp_flush_interrupt(); break;
	case VEC_SPURIOUS: apic_spurious_interrupt(); break;
	default: ioapic_interrupt((uint8_t)vec); break;
	}
}

static void guest_page_fault(struct vcpu *v, struct cpu_user_regs *r)
{
	uint64_t va = READ_CR(2);
	uint32_t ec = r->error_code;
	int page = ldt_window_page(va);

	v->must_wait = false;
	if (page >= 0 && (mmu_ldt_fault(v, (unsigned int)page) || hypercall_must_wait()))
		return;
	if (va < HV_M2P_BASE || va >= HV_END) {
		if (v->domain->logdirty && shadow_fault(v, va, ec))
			return;
		if (v->kernel_mode && (ec & (PF_PRESENT | PF_WRITE | PF_RSVD)) == (PF_PRESENT | PF_WRITE) &&
		    ptwr_emulate(v, va))
			return;
	}
	/* Hardware says "user" for everything at ring 3; the guest asks about its own modes. */
	ec = v->kernel_mode ? ec & ~PF_USER : ec | PF_USER;
	inject_page_fault(v, va, ec);
}

/* INT n: the error code names an IDT gate (SDM 3A 6.13).  The instruction says it as well, and
 * is asked first: QEMU 7.2 puts 2 * n where n belongs. */
static unsigned int software_interrupt(const struct cpu_user_regs *r)
{
	uint8_t insn[2];

	if (!copy_from_guest(insn, r->rip, sizeof(insn)) && insn[0] == 0xcd)
		return insn[1];
	return r->error_code >> 3 & 0xff;
}

static void guest_general_protection(struct vcpu *v, struct cpu_user_regs *r)
{
	uint32_t ec = r->error_code;

	if ((ec & 3) == 2) {
		unsigned int n = software_interrupt(r);

		ec = n << 3 | 2;
		if (v->traps[n].rip && (v->kernel_mode || (v->traps[n].flags & 3) == 3)) {
			r->rip += 2;
			inject_trap(v, n, false, 0);
			return;
		}
	} else if (ec == 0 && emulate_privileged(v, r)) {
		return;
	}
	inject_trap(v, 13, true, ec);
}

static void guest_debug(struct vcpu *v)
{
	uint64_t dr6;

	__asm__ __volatile__("mov %%db6, %0" : "=r"(dr6));
	__asm__ __volatile__("mov %0, %%db6" :: "r"(0xffff0ff0UL));
	v->debugreg[6] = dr6;
	inject_trap(v, 1, false, 0);
}

static void guest_exception(struct vcpu *v, struct cpu_user_regs *r, unsigned int vec)
{
	switch (vec) {
	case 1:
		guest_debug(v);
		break;
	case 2:
		break;			/* a spurious NMI: nobody asked for one */
	case 6:
		if (!emulate_forced_cpuid(r))
			inject_trap(v, 6, false, 0);
		break;
	case 7:
		do_fpu_taskswitch(0);	/* PV guests expect CLTS to be done for them */
		inject_trap(v, 7, false, 0);
		break;
	case 8:
	case 18:
		panic("exception %u from guest d%uv%u", vec, v->domain->id, v->id);
	case 13:
		guest_general_protection(v, r);
		break;
	case 14:
		guest_page_fault(v, r);
		break;
	case 10:
	case 11:
	case 12:
	case 17:
		inject_trap(v, vec, true, r->error_code);
		break;
	default:
		inject_trap(v, vec, false, 0);
		break;
	}
}

void trap_from_guest(struct cpu_user_regs *r)
{
	unsigned int vec = r->entry_vector;
	struct vcpu *v = current;

	x86_allow_user(false);		/* ring 3's AC flag came with it */
	if (vec < 32)
		guest_exception(v, r, vec);
	else if (vec == VEC_LEGACY_SYSCALL && v->traps[vec].rip)
		inject_trap(v, vec, false, 0);
	else if (vec == VEC_LEGACY_SYSCALL)	/* no such gate: as hardware does (SDM 3A 6.13) */
		inject_trap(v, 13, true, VEC_LEGACY_SYSCALL << 3 | 2);
	else
		interrupt(vec);
}

static bool fix_up(struct cpu_user_regs *r)
{
	unsigned int i;

	for (i = 0; &exception_table[i] < exception_table_end; i++) {
		if (exception_table[i].fault == r->rip) {
			r->rip = exception_table[i].fixup;
			return true;
		}
	}
	return false;
}

/*
 * The final IRETQ refused what the guest asked for.  The frame of this fault lies
 * just below the guest's rip in cpu_info, over the guest's other registers, which were
 * in the CPU already and are in our frame: put them back, then tell the guest.
 */
static __noreturn void bad_guest_iret(struct cpu_user_regs *r)
{
	struct cpu_user_regs *g = guest_regs(), copy = *r;

	memcpy(g, &copy, __builtin_offsetof(struct cpu_user_regs, error_code));
	g->entry_vector = 0;
	inject_failsafe(current);
	return_to_guest();
}

static bool hypervisor_page_fault(struct cpu_user_regs *r)
{
	uint64_t va = READ_CR(2);
	struct vcpu *v = current;
	int page = ldt_window_page(va);

	if (page >= 0 && mmu_ldt_fault(v, (unsigned int)page))
		return true;
	if ((va < HV_M2P_BASE || va >= HV_END) && !v->is_idle && v->domain->logdirty &&
	    shadow_fault(v, va, r->error_code))
		return true;
	return false;
}

void trap_from_hypervisor(struct cpu_user_regs *r)
{
	unsigned int vec = r->entry_vector;

	if (vec >= 32) {
		interrupt(vec);
		return;
	}
	if (vec == 2)
		return;
	if (vec == 1) {			/* a guest's breakpoint on data the hypervisor touched */
		__asm__ __volatile__("mov %0, %%db6" :: "r"(0xffff0ff0UL));
		r->rflags &= ~0x100UL;
		return;
	}
	if (vec == 14 && hypervisor_page_fault(r))
		return;
	if (r->rip == (uint64_t)guest_iretq && vec != 8 && vec != 18)
		bad_guest_iret(r);
	if ((vec == 14 || vec == 13 || vec == 11 || vec == 12) && fix_up(r))
		return;
	pr_err("exception %u error %x cr2 %lx\n", vec, r->error_code, READ_CR(2));
	debug_dump_regs(r);
	panic("exception %u in the hypervisor at %lx", vec, r->rip);
}

void syscall32_from_guest(struct cpu_user_regs *r)
{
	struct vcpu *v = current;

	if (v->kernel_mode)		/* a 32-bit code segment in kernel mode: not Linux */
		inject_trap(v, 6, false, 0);
	else
		inject_syscall(v, &v->syscall32_cb);
}

/* Last stop before the guest runs: everything that could keep it from running. */
void guest_exit_work(void)
{
	struct vcpu *v = current;

	for (;;) {
		if (unlikely(ACCESS_ONCE(this_cpu()->softirq_pending))) {
			softirq_run();		/* may switch away and not come back here */
			continue;
		}
		if (unlikely(v->bounce.pending)) {
			inject_again(v);
			continue;
		}
		if (evtchn_vcpu_deliverable(v)) {
			inject_event(v);
			continue;		/* a crash of the domain raises a softirq */
		}
		return;
	}
}

void debug_dump_regs(const struct cpu_user_regs *r)
{
	pr_err("rip %x:%016lx rflags %lx rsp %x:%016lx\n", r->cs, r->rip, r->rflags, r->ss, r->rsp);
	pr_err("rax %016lx rbx %016lx rcx %016lx rdx %016lx\n", r->rax, r->rbx, r->rcx, r->rdx);
	pr_err("rsi %016lx rdi %016lx rbp %016lx r8  %016lx\n", r->rsi, r->rdi, r->rbp, r->r8);
	pr_err("r9  %016lx r10 %016lx r11 %016lx r12 %016lx\n", r->r9, r->r10, r->r11, r->r12);
	pr_err("r13 %016lx r14 %016lx r15 %016lx\n", r->r13, r->r14, r->r15);
}
