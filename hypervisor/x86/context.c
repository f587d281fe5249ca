/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of a vCPU: loaded, saved, set and read.
 *
 * While a vCPU runs, its general registers live in cpu_info.guest_regs, its
 * selectors, bases and FPU in the CPU; context_switch() moves them to struct vcpu,
 * where everybody else reads them after vcpu_pause().
 */
#include <pv/errno.h>
#include <pv/hypercall.h>
#include <pv/io.h>
#include <pv/lib.h>
#include <pv/mmu.h>
#include <pv/x86.h>

int x86_safe_ds(unsigned int sel);
int x86_safe_es(unsigned int sel);
int x86_safe_fs(unsigned int sel);
int x86_safe_gs(unsigned int sel);
int x86_safe_xrstor(void *area, uint64_t mask);
int x86_safe_fxrstor(void *area);
__noreturn void reset_stack_and_call(void (*fn)(void));
__noreturn void idle_loop(void);

/* --- switching --------------------------------------------------------------------- */

#define SAVE_SEL(v, name) __asm__ __volatile__("mov %%" #name ", %0" : "=r"((v)->name))

static void save_state(struct vcpu *v)
{
	uint64_t gs = rdmsr(MSR_GS_BASE), shadow_gs = rdmsr(MSR_KERNEL_GS_BASE);

	v->regs = *guest_regs();
	SAVE_SEL(v, ds);
	SAVE_SEL(v, es);
	SAVE_SEL(v, fs);
	SAVE_SEL(v, gs);
	if (v->cr0_ts)			/* the guest's TS is the real one; ours would be #NM */
		__asm__ __volatile__("clts");
	v->fs_base = rdmsr(MSR_FS_BASE);
	v->gs_base_kernel = v->kernel_mode ? gs : shadow_gs;
	v->gs_base_user = v->kernel_mode ? shadow_gs : gs;
	if (cpu_features.xsave)
		__asm__ __volatile__("xsave64 (%0)" :: "r"(v->xsave_area), "a"((uint32_t)cpu_features.xcr0),
				     "d"((uint32_t)(cpu_features.xcr0 >> 32)) : "memory");
	else
		__asm__ __volatile__("fxsave64 (%0)" :: "r"(v->xsave_area) : "memory");
}

/* A selector the guest's tables no longer back loads as null: what hardware would do at the
 * next use is a fault in the guest, which it then gets. */
static void load_selectors(struct vcpu *v)
{
	if (x86_safe_ds(v->ds))
		x86_safe_ds(0);
	if (x86_safe_es(v->es))
		x86_safe_es(0);
	if (x86_safe_fs(v->fs))
		x86_safe_fs(0);
	if (x86_safe_gs(v->gs))
		x86_safe_gs(0);
}

static void load_debugregs(const struct vcpu *v)
{
	__asm__ __volatile__("mov %0, %%db0" :: "r"(v->debugreg[0]));
	__asm__ __volatile__("mov %0, %%db1" :: "r"(v->debugreg[1]));
	__asm__ __volatile__("mov %0, %%db2" :: "r"(v->debugreg[2]));
	__asm__ __volatile__("mov %0, %%db3" :: "r"(v->debugreg[3]));
	__asm__ __volatile__("mov %0, %%db7" :: "r"(v->debugreg[7] | 0x400));
}

static void fpu_reset(void *area)
{
	uint8_t *p = area;

	memset(p, 0, cpu_features.xsave ? cpu_features.xsave_size : 512);
	p[0] = 0x7f;			/* FCW 0x037f */
	p[1] = 0x03;
	p[24] = 0x80;			/* MXCSR 0x1f80 */
	p[25] = 0x1f;
	if (cpu_features.xsave)
		p[512] = 3;		/* XSTATE_BV: x87 and SSE are given, the rest is initial */
}

static bool try_load_fpu(void *area)
{
	return !(cpu_features.xsave ? x86_safe_xrstor(area, cpu_features.xcr0) : x86_safe_fxrstor(area));
}

/* The area came from a stream or a guest once.  What does not load (MXCSR, XSAVE header) is
 * reset as a whole: the registers still hold another domain's values. */
static void load_fpu(struct vcpu *v)
{
	if (try_load_fpu(v->xsave_area))
		return;
	fpu_reset(v->xsave_area);
	if (!try_load_fpu(v->xsave_area))
		BUG();
}

static void load_state(struct vcpu *v)
{
	*guest_regs() = v->regs;
	mmu_load_address_space(v);
	x86_load_gdt(v);
	x86_load_ldt(v);
	load_selectors(v);
	wrmsr(MSR_FS_BASE, v->fs_base);
	wrmsr(MSR_GS_BASE, v->kernel_mode ? v->gs_base_kernel : v->gs_base_user);
	wrmsr(MSR_KERNEL_GS_BASE, v->kernel_mode ? v->gs_base_user : v->gs_base_kernel);
	load_fpu(v);
	if (v->cr0_ts)
		WRITE_CR(0, READ_CR(0) | v->cr0_ts);
	if (cpu_features.rdtscp)
		wrmsr(MSR_TSC_AUX, (uint32_t)v->tsc_aux);
	if (v->debugreg[7] & 0xff)
		load_debugregs(v);
	if (v->cr4 & 4)
		WRITE_CR(4, READ_CR(4) | 4);
	x86_set_iobitmap(is_privileged(v->domain) && v->kernel_mode && v->iopl);
}

void context_switch(struct vcpu *prev, struct vcpu *next)
{
	unsigned int cpu = cpu_id();

	if (!prev->is_idle) {
		save_state(prev);
		sched_leaving(prev);
		if (prev->debugreg[7] & 0xff)
			__asm__ __volatile__("mov %0, %%db7" :: "r"(0x400UL));
		if (READ_CR(4) & 4)
			WRITE_CR(4, READ_CR(4) & ~4UL);
	}
	current = next;
	if (next->is_idle) {
		mmu_load_address_space(next);
	} else {
		atomic_or(&next->domain->dirty_cpus, BIT(cpu));
		load_state(next);
	}
	/* CR3 is another domain's now, so nothing of prev's is left in this TLB. */
	if (!prev->is_idle && (next->is_idle || next->domain != prev->domain))
		atomic_and(&prev->domain->dirty_cpus, ~BIT(cpu));
	sched_switched_out(prev);
	sched_switched_in(next);
	if (next->is_idle)
		reset_stack_and_call(idle_loop);
	return_to_guest();
}

/* --- init ------------------------------------------------------------------------------ */

int x86_vcpu_init(struct vcpu *v)
{
	unsigned int i;

	v->kernel_l4 = v->user_l4 = INVALID_MFN;
	for (i = 0; i < ARRAY_SIZE(v->gdt_mfn); i++)
		v->gdt_mfn[i] = INVALID_MFN;
	for (i = 0; i < ARRAY_SIZE(v->ldt_mfn); i++)
		v->ldt_mfn[i] = INVALID_MFN;
	v->info_mfn = INVALID_MFN;
	v->kernel_mode = true;
	v->debugreg[6] = 0xffff0ff0;
	v->debugreg[7] = 0x400;
	/* A slot or page block is aligned to its size, so to the 64 that XSAVE wants. */
	v->xsave_area = xzalloc(cpu_features.xsave ? max(cpu_features.xsave_size, 1024u) : 512);
	if (!v->xsave_area)
		return -ENOMEM;
	fpu_reset(v->xsave_area);
	v->xcr0 = cpu_features.xsave ? 1 : 0;
	return 0;
}

void x86_vcpu_destroy(struct vcpu *v)
{
	xfree(v->xsave_area);
	v->xsave_area = NULL;
}

/* --- the context structure of the ABI ---------------------------------------------------- */

static bool canonical(uint64_t a) { return (uint64_t)((int64_t)(a << 16) >> 16) == a; }
/** An address a guest may be entered at, or have as a base. */
static bool guest_address(uint64_t a) { return canonical(a) && (a < HV_M2P_BASE || a >= HV_END); }

/* The cr3 of a context: machine address, page number rotated as the 64-bit ABI leaves it. */
static mfn_t ctx_cr3(uint64_t cr3) { return _mfn(cr3 >> PAGE_SHIFT & 0xfffffffffUL); }

static void set_gates(struct vcpu *v, const struct trap_info *t)
{
	unsigned int i;

	for (i = 0; i < 256; i++)
		v->traps[i] = (struct trap_gate){ t[i].address, t[i].cs, t[i].flags };
}

static void regs_sanitize(struct cpu_user_regs *r)
{
	r->cs |= 3;
	r->ss |= 3;
	r->rflags = (r->rflags & ~(3UL << 12 | 1UL << 17)) | 1UL << 9 | 2;
	r->entry_vector = 0;
	r->error_code = 0;
}

/* Every place the guest may be entered at.  The failsafe callback above all: were it an address
 * that IRETQ refuses, telling the guest so would be refused again, for ever. */
static bool entries_ok(const struct vcpu_guest_context *c)
{
	unsigned int i;

	for (i = 0; i < 256; i++)
		if (!guest_address(c->trap_ctxt[i].address))
			return false;
	return guest_address(c->user_regs.rip) && guest_address(c->event_callback_eip) &&
	       guest_address(c->failsafe_callback_eip) && guest_address(c->syscall_callback_eip);
}

static bool context_ok(const struct vcpu_guest_context *c)
{
	if (c->gdt_ents > FIRST_RESERVED_GDT_ENTRY || c->ldt_ents > 8192 || (c->ldt_base & ~PAGE_MASK) ||
	    (c->ldt_ents && !guest_range_ok(c->ldt_base, c->ldt_ents * 8)))
		return false;
	if (!(c->flags & VGCF_in_kernel) && !c->ctrlreg[1])
		return false;		/* user mode without tables to run on */
	return entries_ok(c) && canonical(c->fs_base) && canonical(c->gs_base_kernel) &&
	       canonical(c->gs_base_user);
}

int vcpu_set_context(struct vcpu *v, const struct vcpu_guest_context *c)
{
	struct domain *d = v->domain;
	mfn_t user = c->ctrlreg[1] ? ctx_cr3(c->ctrlreg[1]) : INVALID_MFN;
	int ret;

	if (!context_ok(c))
		return -EINVAL;
	spin_lock(&d->mm_lock);
	mmu_drop_ldt(v);
	ret = mmu_set_gdt(v, (const uint64_t *)c->gdt_frames, c->gdt_ents);
	if (!ret)
		ret = mmu_set_base(v, ctx_cr3(c->ctrlreg[3]), false);
	if (!ret)
		ret = mmu_set_base(v, user, true);
	spin_unlock(&d->mm_lock);
	if (ret)
		return ret;

	v->regs = c->user_regs;
	/* Linux gives a secondary vCPU its I/O privilege in the flags it shall start with. */
	v->iopl = c->user_regs.rflags >> 12 & 3;
	regs_sanitize(&v->regs);
	v->kernel_mode = c->flags & VGCF_in_kernel;
	v->ds = c->user_regs.ds;
	v->es = c->user_regs.es;
	v->fs = c->user_regs.fs;
	v->gs = c->user_regs.gs;
	v->fs_base = c->fs_base;
	v->gs_base_kernel = c->gs_base_kernel;
	v->gs_base_user = c->gs_base_user;
	v->kernel_ss = c->kernel_ss;
	v->kernel_sp = c->kernel_sp;
	v->ldt_base = c->ldt_base;
	v->ldt_ents = c->ldt_ents;
	set_gates(v, c->trap_ctxt);
	v->event_cb = (struct callback){ c->event_callback_eip, true };
	v->failsafe_cb = (struct callback){ c->failsafe_callback_eip, c->flags & VGCF_failsafe_disables_events };
	v->syscall_cb = (struct callback){ c->syscall_callback_eip, c->flags & VGCF_syscall_disables_events };
	if (c->flags & VGCF_i387_valid)
		memcpy(v->xsave_area, &c->fpu_ctxt, 512);
	else
		fpu_reset(v->xsave_area);
	atomic_or(&d->vm_assist, c->vm_assist & VM_ASSIST_KNOWN);
	v->initialised = true;
	return 0;
}

void vcpu_get_context(struct vcpu *v, struct vcpu_guest_context *c)
{
	unsigned int i;

	memset(c, 0, sizeof(*c));
	c->user_regs = v->regs;
	c->user_regs.ds = v->ds;
	c->user_regs.es = v->es;
	c->user_regs.fs = v->fs;
	c->user_regs.gs = v->gs;
	c->user_regs.entry_vector = 0;
	memcpy(&c->fpu_ctxt, v->xsave_area, 512);
	c->flags = VGCF_i387_valid | (v->kernel_mode ? VGCF_in_kernel : 0) |
		   (v->failsafe_cb.mask_events ? VGCF_failsafe_disables_events : 0) |
		   (v->syscall_cb.mask_events ? VGCF_syscall_disables_events : 0) |
		   (v->sched.pause_flags & BIT(PAUSE_DOWN) ? 0 : VGCF_online);
	for (i = 0; i < 256; i++)
		if (v->traps[i].rip)
			c->trap_ctxt[i] = (struct trap_info){ (uint8_t)i, v->traps[i].flags, v->traps[i].cs,
							      v->traps[i].rip };
	c->ldt_base = v->ldt_base;
	c->ldt_ents = v->ldt_ents;
	for (i = 0; i < ARRAY_SIZE(v->gdt_mfn); i++)
		c->gdt_frames[i] = mfn_eq(v->gdt_mfn[i], INVALID_MFN) ? 0 : v->gdt_mfn[i].mfn;
	c->gdt_ents = v->gdt_ents;
	c->kernel_ss = v->kernel_ss;
	c->kernel_sp = v->kernel_sp;
	c->ctrlreg[0] = READ_CR(0);
	c->ctrlreg[3] = v->kernel_l4.mfn << PAGE_SHIFT;
	c->ctrlreg[1] = mfn_eq(v->user_l4, INVALID_MFN) ? 0 : v->user_l4.mfn << PAGE_SHIFT;
	c->ctrlreg[4] = v->cr4;
	for (i = 0; i < 8; i++)
		c->debugreg[i] = v->debugreg[i];
	c->event_callback_eip = v->event_cb.rip;
	c->failsafe_callback_eip = v->failsafe_cb.rip;
	c->syscall_callback_eip = v->syscall_cb.rip;
	c->vm_assist = v->domain->vm_assist;
	c->fs_base = v->fs_base;
	c->gs_base_kernel = v->gs_base_kernel;
	c->gs_base_user = v->gs_base_user;
}

/* --- hypercalls that set a piece of it ------------------------------------------------------- */

long do_set_segment_base(unsigned int which, uint64_t base)
{
	if (which != SEGBASE_GS_USER_SEL && !canonical(base))
		return -EINVAL;
	switch (which) {
	case SEGBASE_FS:
		wrmsr(MSR_FS_BASE, base);
		return 0;
	case SEGBASE_GS_USER:
		wrmsr(MSR_KERNEL_GS_BASE, base);
		return 0;
	case SEGBASE_GS_KERNEL:
		wrmsr(MSR_GS_BASE, base);
		return 0;
	case SEGBASE_GS_USER_SEL:
		/* Loads the user's selector, and its base into the inactive register. */
		__asm__ __volatile__("swapgs");
		if (x86_safe_gs(base & 0xffff))
			x86_safe_gs(0);
		__asm__ __volatile__("swapgs");
		return 0;
	default:
		return -EINVAL;
	}
}

long do_stack_switch(uint64_t ss, uint64_t sp)
{
	struct vcpu *v = current;

	v->kernel_ss = ss | 3;
	v->kernel_sp = sp;
	return 0;
}

/* The FPU is switched eagerly; a TS that the guest sets is there to make it fault. */
long do_fpu_taskswitch(int set)
{
	current->cr0_ts = set ? 8 : 0;
	if (set)
		WRITE_CR(0, READ_CR(0) | 8);
	else
		__asm__ __volatile__("clts");
	return 0;
}

long do_set_debugreg(int reg, uint64_t value)
{
	struct vcpu *v = current;

	switch (reg) {
	case 0 ... 3:
		if (!guest_address(value))
			return -EPERM;
		break;
	case 6:
		value = (value & 0xe00f) | 0xffff0ff0;
		break;
	case 7:
		/* no general detect, no I/O breakpoints, reserved bits as fixed (SDM 3B 17.2.4) */
		if ((value >> 32) || (value & 0x2000))
			return -EPERM;
		if (((value >> 16 & 3) == 2) || ((value >> 20 & 3) == 2) || ((value >> 24 & 3) == 2) ||
		    ((value >> 28 & 3) == 2))
			return -EPERM;
		value = (value & ~0xd800UL) | 0x400;
		break;
	default:
		return -EINVAL;
	}
	v->debugreg[reg] = value;
	if (v->debugreg[7] & 0xff)
		load_debugregs(v);
	else
		__asm__ __volatile__("mov %0, %%db7" :: "r"(0x400UL));
	return 0;
}

long do_get_debugreg(int reg)
{
	if (reg < 0 || reg > 7 || reg == 4 || reg == 5)
		return -EINVAL;
	return (long)current->debugreg[reg];
}

long do_set_trap_table(uint64_t traps)
{
	struct vcpu *v = current;
	struct trap_info t;
	unsigned int i;

	if (!traps) {
		memset(v->traps, 0, sizeof(v->traps));
		return 0;
	}
	for (i = 0; i < 257; i++) {
		if (copy_from_guest(&t, traps + i * sizeof(t), sizeof(t)))
			return -EFAULT;
		if (!t.address)
			return 0;
		if (!guest_address(t.address))
			return -EINVAL;
		v->traps[t.vector] = (struct trap_gate){ t.address, t.cs, t.flags };
	}
	return -EINVAL;
}

static long register_callback(struct vcpu *v, const struct callback_register *c)
{
	struct callback cb = { c->address, c->flags & CALLBACKF_mask_events };

	if (!guest_address(cb.rip))
		return -EINVAL;
	switch (c->type) {
	case CALLBACKTYPE_event: cb.mask_events = true; v->event_cb = cb; return 0;
	case CALLBACKTYPE_failsafe: v->failsafe_cb = cb; return 0;
	case CALLBACKTYPE_syscall: v->syscall_cb = cb; return 0;
	case CALLBACKTYPE_syscall32: v->syscall32_cb = cb; return 0;
	default: return -ENOSYS;	/* SYSENTER is off: the guest falls back to SYSCALL */
	}
}

long do_callback_op(int cmd, uint64_t arg)
{
	struct callback_register c;

	if (cmd == CALLBACKOP_unregister)
		return -EINVAL;		/* event, failsafe and syscall cannot go */
	if (cmd != CALLBACKOP_register)
		return -ENOSYS;
	if (copy_from_guest(&c, arg, sizeof(c)))
		return -EFAULT;
	return register_callback(current, &c);
}

long do_set_callbacks(uint64_t event, uint64_t failsafe, uint64_t syscall)
{
	struct vcpu *v = current;

	if (!guest_address(event) || !guest_address(failsafe) || !guest_address(syscall))
		return -EINVAL;
	v->event_cb = (struct callback){ event, true };
	v->failsafe_cb = (struct callback){ failsafe, false };
	v->syscall_cb = (struct callback){ syscall, false };
	return 0;
}
