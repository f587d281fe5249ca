/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoding a store to a page table (mm/ptwr.c): MOV, XCHG, AND, OR, XOR, ADD, BTR, BTS,
 * BTC and CMPXCHG with a memory destination, any addressing mode and size.  The
 * address is known from CR2; the decoder needs the operand and the length only.
 * Encodings: SDM 2A 2.1, 2D appendix A.
 */
#include <pv/lib.h>
#include <pv/mm.h>
#include <pv/x86.h>

struct cursor {
	uint8_t b[15];
	unsigned int n, at;
	bool opsize16;
	uint8_t rex;
};

static uint8_t next(struct cursor *c)
{
	uint8_t v = c->at < c->n ? c->b[c->at] : 0;

	c->at++;			/* at > n at the end: the caller refuses */
	return v;
}

static uint64_t imm(struct cursor *c, unsigned int size)
{
	uint64_t v = 0;
	unsigned int i;

	for (i = 0; i < size; i++)
		v |= (uint64_t)next(c) << (8 * i);
	return size == 1 ? (uint64_t)(int8_t)v : size == 2 ? (uint64_t)(int16_t)v : (uint64_t)(int32_t)v;
}

/* A register operand; without REX, 4..7 of size 1 are ah ch dh bh. */
static uint64_t *reg_operand(struct cpu_user_regs *r, const struct cursor *c, unsigned int n,
			     unsigned int size, unsigned int *shift)
{
	*shift = 0;
	if (size == 1 && !c->rex && n >= 4 && n < 8) {
		*shift = 8;
		n -= 4;
	}
	return insn_gpr(r, n);
}

/* Skip the rest of a memory operand after its ModRM byte (SDM 2A, table 2-2, 2-3). */
static bool skip_memory(struct cursor *c, uint8_t modrm)
{
	unsigned int mod = modrm >> 6, rm = modrm & 7;

	if (mod == 3)
		return false;
	if (rm == 4) {
		uint8_t sib = next(c);

		if (mod == 0 && (sib & 7) == 5)
			c->at += 4;
	} else if (mod == 0 && rm == 5) {
		c->at += 4;
	}
	c->at += mod == 1 ? 1 : mod == 2 ? 4 : 0;
	return true;
}

static uint8_t opcode(struct cursor *c)
{
	uint8_t b;

	for (;;) {
		b = next(c);
		if (b == 0x66)
			c->opsize16 = true;
		else if (b != 0xf0 && b != 0xf2 && b != 0xf3 && b != 0x2e && b != 0x36 && b != 0x3e &&
			 b != 0x26 && b != 0x64 && b != 0x65)
			break;
	}
	if ((b & 0xf0) == 0x40) {
		c->rex = b;
		b = next(c);
	}
	return b;
}

/* What the opcode says: operation, and where its operand is. */
struct form { int op; bool byte, from_imm, imm8, bit, group; };

static bool one_byte_form(uint8_t b, struct form *f)
{
	switch (b) {
	case 0x88: case 0x89: f->op = PTW_MOV; break;
	case 0x86: case 0x87: f->op = PTW_XCHG; break;
	case 0x20: case 0x21: f->op = PTW_AND; break;
	case 0x08: case 0x09: f->op = PTW_OR; break;
	case 0x30: case 0x31: f->op = PTW_XOR; break;
	case 0x00: case 0x01: f->op = PTW_ADD; break;
	case 0xc6: case 0xc7: f->op = PTW_MOV; f->from_imm = true; break;
	case 0x80: case 0x81: f->group = f->from_imm = true; break;
	case 0x83: f->group = f->from_imm = f->imm8 = true; break;
	default: return false;
	}
	f->byte = !(b & 1);
	return true;
}

static bool two_byte_form(uint8_t b, struct form *f)
{
	switch (b) {
	case 0xb0: f->byte = true; f->op = PTW_CMPXCHG; return true;
	case 0xb1: f->op = PTW_CMPXCHG; return true;
	case 0xb3: f->op = PTW_BTR; return true;
	case 0xab: f->op = PTW_BTS; return true;
	case 0xbb: f->op = PTW_BTC; return true;
	case 0xba: f->bit = f->group = f->from_imm = f->imm8 = true; return true;
	default: return false;
	}
}

static bool group_form(unsigned int ext, struct form *f)
{
	static const int alu[8] = { PTW_ADD, PTW_OR, -1, -1, PTW_AND, -1, PTW_XOR, -1 };
	static const int bits[8] = { -1, -1, -1, -1, -1, PTW_BTS, PTW_BTR, PTW_BTC };

	f->op = f->bit ? bits[ext] : alu[ext];
	return f->op >= 0;
}

bool decode_pt_write(struct cpu_user_regs *r, struct pt_write *w)
{
	struct form f = { 0 };
	struct cursor c;
	unsigned int regnum, shift;
	uint8_t b, modrm;

	memset(&c, 0, sizeof(c));
	c.n = insn_fetch(r->rip, c.b);
	b = opcode(&c);
	if (b == 0x0f ? !two_byte_form(next(&c), &f) : !one_byte_form(b, &f))
		return false;
	w->size = f.byte ? 1 : c.rex & 8 ? 8 : c.opsize16 ? 2 : 4;
	modrm = next(&c);
	if (!skip_memory(&c, modrm) || (f.group && !group_form(modrm >> 3 & 7, &f)))
		return false;
	regnum = (modrm >> 3 & 7) | (c.rex & 4 ? 8 : 0);
	w->reg = reg_operand(r, &c, regnum, w->size, &shift);
	w->reg_shift = shift;
	if (f.from_imm)
		w->operand = imm(&c, f.imm8 ? 1 : min(w->size, 4u));
	else
		w->operand = *w->reg >> shift;
	if (w->size < 8 && !f.bit)
		w->operand &= (1UL << (w->size * 8)) - 1;
	w->op = f.op;
	w->insn_len = c.at;
	return c.at <= c.n;
}

#define FLAG_CF (1UL << 0)
#define FLAG_PF (1UL << 2)
#define FLAG_ZF (1UL << 6)
#define FLAG_SF (1UL << 7)
#define FLAG_OF (1UL << 11)

static void set_logic_flags(struct cpu_user_regs *r, uint64_t res, unsigned int size)
{
	r->rflags &= ~(FLAG_CF | FLAG_PF | FLAG_ZF | FLAG_SF | FLAG_OF);
	if (!res)
		r->rflags |= FLAG_ZF;
	if (res >> (size * 8 - 1) & 1)
		r->rflags |= FLAG_SF;
	if (!__builtin_parity(res & 0xff))
		r->rflags |= FLAG_PF;
}

static void reg_write(uint64_t *reg, unsigned int shift, unsigned int size, uint64_t val)
{
	uint64_t mask = size == 8 ? ~0UL : (1UL << (size * 8)) - 1;

	if (size == 4)
		*reg = val & mask;	/* clears the upper half */
	else
		*reg = (*reg & ~(mask << shift)) | (val & mask) << shift;
}

void pt_write_finish(struct cpu_user_regs *r, const struct pt_write *w, uint64_t old, uint64_t result)
{
	uint64_t mask = w->size == 8 ? ~0UL : (1UL << (w->size * 8)) - 1;

	switch (w->op) {
	case PTW_MOV:
		break;
	case PTW_XCHG:
		reg_write(w->reg, w->reg_shift, w->size, old);
		break;
	case PTW_AND:
	case PTW_OR:
	case PTW_XOR:
	case PTW_ADD:
		set_logic_flags(r, result & mask, w->size);
		if (w->op == PTW_ADD && (result & mask) < (old & mask))
			r->rflags |= FLAG_CF;
		break;
	case PTW_BTR:
	case PTW_BTS:
	case PTW_BTC:
		r->rflags &= ~FLAG_CF;
		if (old >> (w->operand & (w->size * 8 - 1)) & 1)
			r->rflags |= FLAG_CF;
		break;
	case PTW_CMPXCHG:
		if (old == (r->rax & mask)) {
			r->rflags |= FLAG_ZF;
		} else {
			r->rflags &= ~FLAG_ZF;
			reg_write(&r->rax, 0, w->size, old);
		}
		break;
	}
	r->rip += w->insn_len;
	r->entry_vector = 14;		/* rcx and r11 are the guest's: leave by IRETQ */
}
