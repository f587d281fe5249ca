/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entering the guest kernel: exceptions, events, system calls, and its iret.
 *
 * The guest kernel sees, on its own stack from low to high: rcx, r11, [error code],
 * rip, cs with the saved event mask in bits 32.., rflags, rsp, ss; its handlers pop
 * rcx and r11 first.  A gate may mask events as an interrupt gate masks interrupts.
 * Since rcx and r11 are on the stack, the return may be by SYSRET.
 * Source: Xen public arch-x86/xen-x86_64.h ("iret_context"), arch-x86/xen.h.
 */
#include <pv/errno.h>
#include <pv/hypercall.h>
#include <pv/io.h>
#include <pv/lib.h>
#include <pv/mmu.h>
#include <pv/x86.h>

#define RFLAGS_IF	(1UL << 9)
#define RFLAGS_IOPL	(3UL << 12)
#define RFLAGS_VM	(1UL << 17)
/* TF NT RF VM AC: not carried into a handler */
#define RFLAGS_CLEAR	(1UL << 8 | 1UL << 14 | 1UL << 16 | RFLAGS_VM | 1UL << 18)

#define GATE_MASKS_EVENTS	4u

void guest_toggle_mode(struct vcpu *v)
{
	v->kernel_mode = !v->kernel_mode;
	__asm__ __volatile__("swapgs");
	mmu_load_address_space(v);
	if (is_privileged(v->domain))
		x86_set_iobitmap(v->kernel_mode && v->iopl);
	if (v->kernel_mode && v->sched.areas_stale)
		sched_update_areas(v);
}

/* Where a frame of @nr words goes; the guest's kernel tables are loaded afterwards. */
static uint64_t frame_base(struct vcpu *v, unsigned int nr)
{
	uint64_t sp = guest_regs()->rsp;

	if (!v->kernel_mode) {
		sp = v->kernel_sp;
		guest_toggle_mode(v);
	}
	return (sp & ~15UL) - nr * 8;
}

/* The stack is missing (mm/lazy.c): all as before, and once more when the vCPU goes on. */
static void enter_later(struct vcpu *v, bool was_kernel, uint64_t rip, bool mask, const uint64_t *saved,
			unsigned int nr_saved)
{
	if (!was_kernel)
		guest_toggle_mode(v);
	v->bounce.rip = rip;
	v->bounce.mask = mask;
	v->bounce.nr_saved = nr_saved;
	memcpy(v->bounce.saved, saved, nr_saved * sizeof(saved[0]));
	v->bounce.pending = true;
}

/*
 * Push @extra words (error code, or none), then the context, and go to @rip.
 * @saved: rcx, r11 and what failsafe adds, lowest first.
 */
static void enter_kernel(struct vcpu *v, uint64_t rip, bool mask, const uint64_t *saved, unsigned int nr_saved)
{
	struct cpu_user_regs *r = guest_regs();
	uint64_t w[12];
	unsigned int n = nr_saved;
	bool was_kernel = v->kernel_mode;
	uint64_t base;

	memcpy(w, saved, nr_saved * sizeof(w[0]));
	w[n++] = r->rip;
	w[n++] = (was_kernel ? r->cs & ~3u : r->cs) | (uint64_t)v->info->evtchn_upcall_mask << 32;
	w[n++] = (r->rflags & ~(RFLAGS_IF | RFLAGS_IOPL)) | (v->info->evtchn_upcall_mask ? 0 : RFLAGS_IF);
	w[n++] = r->rsp;
	w[n++] = r->ss;

	if (!rip) {
		domain_crash(v->domain, "v%u: no handler (vector %x, rip %lx)", v->id, r->entry_vector, r->rip);
		return;
	}
	base = frame_base(v, n);
	if (copy_to_guest(base, w, n * sizeof(w[0]))) {
		if (hypercall_must_wait()) {
			enter_later(v, was_kernel, rip, mask, saved, nr_saved);
			return;
		}
		domain_crash(v->domain, "v%u: kernel stack %lx not writable (rip %lx)", v->id, base, r->rip);
		return;
	}
	if (mask) {
		v->info->evtchn_upcall_mask = 1;
		vcpu_info_dirty(v);
	}
	r->rip = rip;
	r->cs = FLAT_KERNEL_CS;
	r->ss = FLAT_KERNEL_SS;
	r->rsp = base;
	r->rflags = (r->rflags & ~(RFLAGS_CLEAR | RFLAGS_IOPL)) | RFLAGS_IF;
	r->entry_vector = VEC_SYSCALL;
}

void inject_again(struct vcpu *v)
{
	struct bounce b = v->bounce;

	v->bounce.pending = false;
	enter_kernel(v, b.rip, b.mask, b.saved, b.nr_saved);
}

void inject_trap(struct vcpu *v, unsigned int vector, bool has_error, uint32_t error_code)
{
	struct cpu_user_regs *r = guest_regs();
	const struct trap_gate *g = &v->traps[vector];
	uint64_t saved[3] = { r->rcx, r->r11, error_code };

	enter_kernel(v, g->rip, g->flags & GATE_MASKS_EVENTS, saved, has_error ? 3 : 2);
}

void inject_page_fault(struct vcpu *v, uint64_t cr2, uint32_t error_code)
{
	v->cr2 = cr2;
	v->info->arch.cr2 = cr2;
	vcpu_info_dirty(v);
	inject_trap(v, 14, true, error_code);
}

void inject_event(struct vcpu *v)
{
	struct cpu_user_regs *r = guest_regs();
	uint64_t saved[2] = { r->rcx, r->r11 };

	enter_kernel(v, v->event_cb.rip, true, saved, 2);
}

void inject_syscall(struct vcpu *v, const struct callback *cb)
{
	struct cpu_user_regs *r = guest_regs();
	uint64_t saved[2] = { r->rip, r->rflags };

	if (!cb->rip) {
		r->rip -= 2;
		inject_trap(v, 6, false, 0);
		return;
	}
	enter_kernel(v, cb->rip, cb->mask_events, saved, 2);
}

void inject_failsafe(struct vcpu *v)
{
	struct cpu_user_regs *r = guest_regs();
	uint64_t saved[6] = { r->rcx, r->r11, v->ds, v->es, v->fs, v->gs };

	enter_kernel(v, v->failsafe_cb.rip, v->failsafe_cb.mask_events, saved, 6);
}

/*
 * HYPERVISOR_iret.  The flags word may say VGCF_in_syscall, which only means that rcx
 * and r11 need not be restored; restoring them always is right as well.
 */
long do_iret(void)
{
	struct vcpu *v = current;
	struct cpu_user_regs *r = guest_regs();
	struct iret_context c;

	if (copy_from_guest(&c, r->rsp, sizeof(c))) {
		if (v->must_wait)	/* made again as a whole */
			return 0;
		domain_crash(v->domain, "v%u: iret frame at %lx not readable", v->id, r->rsp);
		return 0;
	}
	if ((c.cs & 3) == 3) {
		if (mfn_eq(v->user_l4, INVALID_MFN)) {
			domain_crash(v->domain, "v%u: iret to user mode without user tables", v->id);
			return 0;
		}
		guest_toggle_mode(v);
	}
	r->rip = c.rip;
	r->cs = c.cs | 3;
	r->rflags = (c.rflags & ~(RFLAGS_IOPL | RFLAGS_VM)) | RFLAGS_IF | 2;
	r->rsp = c.rsp;
	r->ss = c.ss | 3;
	r->rcx = c.rcx;
	r->r11 = c.r11;
	r->entry_vector = 0;
	v->info->evtchn_upcall_mask = !(c.rflags & RFLAGS_IF);
	vcpu_info_dirty(v);
	return c.rax;
}
