/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Privileged instructions of a guest kernel at ring 3, after #GP: MSRs, control
 * registers, XSETBV, CLI/STI, port I/O that the I/O bitmap did not let through,
 * WBINVD.  Everything else stays a fault of the guest.
 * The list is what Linux 6.1 executes on this ABI.  Encodings: SDM 2A-2D.
 */
#include <pv/io.h>
#include <pv/lib.h>
#include <pv/mm.h>
#include <pv/x86.h>

struct insn {
	uint8_t b[16];			/* an instruction has 15 at most; one more to look at */
	unsigned int n;			/* bytes that could be fetched */
	unsigned int op;		/* index of the opcode after prefixes */
	bool opsize16, rep;
	uint8_t rex;
};

static void fetch(struct cpu_user_regs *r, struct insn *in)
{
	memset(in, 0, sizeof(*in));
	in->n = insn_fetch(r->rip, in->b);
}

static void prefixes(struct insn *in)
{
	for (; in->op < 12; in->op++) {
		uint8_t b = in->b[in->op];

		if (b == 0x66)
			in->opsize16 = true;
		else if (b == 0xf3 || b == 0xf2)
			in->rep = true;
		else if (b != 0x2e && b != 0x36 && b != 0x3e && b != 0x26 && b != 0x64 && b != 0x65 && b != 0x67)
			break;
	}
	if ((in->b[in->op] & 0xf0) == 0x40)
		in->rex = in->b[in->op++];
}

/* --- ports ------------------------------------------------------------------------ */

static uint32_t port_read(const struct vcpu *v, unsigned int port, unsigned int size)
{
	unsigned int i;

	for (i = 0; i < size; i++)
		if (!is_privileged(v->domain) || ioport_denied(port + i))
			return ~0u;
	return size == 1 ? inb(port) : size == 2 ? inw(port) : inl(port);
}

static void port_write(const struct vcpu *v, unsigned int port, unsigned int size, uint32_t val)
{
	unsigned int i;

	for (i = 0; i < size; i++)
		if (!is_privileged(v->domain) || ioport_denied(port + i))
			return;
	if (size == 1)
		outb(port, val);
	else if (size == 2)
		outw(port, val);
	else
		outl(port, val);
}

static bool emulate_port(struct vcpu *v, struct cpu_user_regs *r, struct insn *in)
{
	uint8_t op = in->b[in->op++];
	bool dx = op & 8, out = op & 2;
	unsigned int size = !(op & 1) ? 1 : in->opsize16 ? 2 : 4;
	unsigned int port = dx ? r->rdx & 0xffff : in->b[in->op++];
	uint64_t mask = size == 4 ? 0xffffffffUL : (1UL << (size * 8)) - 1;

	if (v->iopl < (v->kernel_mode ? 1u : 3u))
		return false;
	if (out) {
		port_write(v, port, size, r->rax & mask);
	} else {
		uint64_t val = port_read(v, port, size) & mask;

		/* a 32-bit result clears the upper half, smaller ones leave it */
		r->rax = size == 4 ? val : (r->rax & ~mask) | val;
	}
	return true;
}

/* --- 0f xx ---------------------------------------------------------------------------- */

static bool emulate_cr(struct vcpu *v, struct cpu_user_regs *r, struct insn *in, bool write)
{
	uint8_t modrm = in->b[in->op++];
	unsigned int cr = (modrm >> 3 & 7) | (in->rex & 4 ? 8 : 0);
	uint64_t *reg = insn_gpr(r, (modrm & 7) | (in->rex & 1 ? 8 : 0));

	if (write) {
		if (cr == 4)
			v->cr4 = *reg;
		return cr == 4;
	}
	switch (cr) {
	case 0: *reg = (READ_CR(0) & ~8UL) | v->cr0_ts; return true;
	case 2: *reg = v->cr2; return true;
	case 4: *reg = v->cr4; return true;
	default: return false;
	}
}

static bool emulate_xsetbv(struct vcpu *v, struct cpu_user_regs *r)
{
	uint64_t x = (r->rax & 0xffffffff) | r->rdx << 32;

	if (!cpu_features.xsave || (r->rcx & 0xffffffff) != 0 || !(x & 1) || (x & ~cpu_features.xcr0))
		return false;
	/* AVX needs SSE; the hardware keeps the host's full set, since user space sees it. */
	if ((x & 4) && !(x & 2))
		return false;
	v->xcr0 = x;
	return true;
}

static bool emulate_0f(struct vcpu *v, struct cpu_user_regs *r, struct insn *in)
{
	uint64_t val;

	switch (in->b[in->op++]) {
	case 0x30:
		return !guest_wrmsr(v, (uint32_t)r->rcx, (r->rax & 0xffffffff) | r->rdx << 32);
	case 0x32:
		if (guest_rdmsr(v, (uint32_t)r->rcx, &val))
			return false;
		r->rax = val & 0xffffffff;
		r->rdx = val >> 32;
		return true;
	case 0x20:
		return emulate_cr(v, r, in, false);
	case 0x22:
		return emulate_cr(v, r, in, true);
	case 0x01:
		return in->b[in->op++] == 0xd1 && emulate_xsetbv(v, r);
	case 0x06:
		return do_fpu_taskswitch(0) == 0;
	case 0x08:
	case 0x09:			/* INVD, WBINVD: memory stays coherent without them */
		return true;
	default:
		return false;
	}
}

bool emulate_privileged(struct vcpu *v, struct cpu_user_regs *r)
{
	struct insn in;
	bool done;

	fetch(r, &in);
	prefixes(&in);
	switch (in.b[in.op]) {
	case 0xe4 ... 0xe7:
	case 0xec ... 0xef:
		done = emulate_port(v, r, &in);
		break;
	case 0xfa:
	case 0xfb:			/* interrupts are always on for real; masking is vcpu_info's affair */
		in.op++;
		done = v->iopl >= (v->kernel_mode ? 1u : 3u);
		break;
	case 0x0f:
		in.op++;
		done = v->kernel_mode && emulate_0f(v, r, &in);
		break;
	default:
		return false;
	}
	if (!done || in.op > in.n)
		return false;
	r->rip += in.op;
	r->entry_vector = 13;		/* not a SYSCALL frame: rcx is the guest's */
	return true;
}

/* ud2a; "xen"; cpuid - XEN_EMULATE_PREFIX of Xen public arch-x86/xen.h. */
bool emulate_forced_cpuid(struct cpu_user_regs *r)
{
	static const uint8_t sig[7] = { 0x0f, 0x0b, 'x', 'e', 'n', 0x0f, 0xa2 };
	struct insn in;
	uint32_t o[4];

	fetch(r, &in);
	if (in.n < sizeof(sig) || memcmp(in.b, sig, sizeof(sig)))
		return false;
	guest_cpuid(current, (uint32_t)r->rax, (uint32_t)r->rcx, o);
	r->rax = o[0];
	r->rbx = o[1];
	r->rcx = o[2];
	r->rdx = o[3];
	r->rip += sizeof(sig);
	return true;
}
