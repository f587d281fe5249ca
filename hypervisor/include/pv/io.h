/* SPDX-License-Identifier: Apache-2.0 */
/* Port I/O, control registers, MSRs. */
#pragma once
#include <pv/types.h>

static inline uint8_t inb(uint16_t p) { uint8_t v; __asm__ __volatile__("inb %1,%0" : "=a"(v) : "Nd"(p)); return v; }
static inline uint16_t inw(uint16_t p) { uint16_t v; __asm__ __volatile__("inw %1,%0" : "=a"(v) : "Nd"(p)); return v; }
static inline uint32_t inl(uint16_t p) { uint32_t v; __asm__ __volatile__("inl %1,%0" : "=a"(v) : "Nd"(p)); return v; }
static inline void outb(uint16_t p, uint8_t v) { __asm__ __volatile__("outb %0,%1" :: "a"(v), "Nd"(p)); }
static inline void outw(uint16_t p, uint16_t v) { __asm__ __volatile__("outw %0,%1" :: "a"(v), "Nd"(p)); }
static inline void outl(uint16_t p, uint32_t v) { __asm__ __volatile__("outl %0,%1" :: "a"(v), "Nd"(p)); }
static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t lo, hi;

	__asm__ __volatile__("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
	return lo | (uint64_t)hi << 32;
}
static inline void wrmsr(uint32_t msr, uint64_t v)
{
	__asm__ __volatile__("wrmsr" :: "c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}
#define READ_CR(n)	({ uint64_t _v; __asm__ __volatile__("mov %%cr" #n ",%0" : "=r"(_v)); _v; })
#define WRITE_CR(n, v)	__asm__ __volatile__("mov %0,%%cr" #n :: "r"((uint64_t)(v)) : "memory")
static inline void cpuid(uint32_t leaf, uint32_t sub, uint32_t r[4])
{
	__asm__ __volatile__("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(sub));
}

#define MSR_EFER		0xc0000080
#define MSR_STAR		0xc0000081
#define MSR_LSTAR		0xc0000082
#define MSR_CSTAR		0xc0000083
#define MSR_FMASK		0xc0000084
#define MSR_FS_BASE		0xc0000100
#define MSR_GS_BASE		0xc0000101
#define MSR_KERNEL_GS_BASE	0xc0000102
#define MSR_TSC_AUX		0xc0000103
#define MSR_PAT			0x277
#define MSR_APIC_BASE		0x1b

/* Interrupt vectors: exceptions 0..31, device GSIs from 0x30 upwards (0x80 left out),
 * then ours, most urgent highest (SDM 3A 11.8.3). */
#define VEC_GSI_FIRST		0x30
#define VEC_GSI_LAST		0xdf
#define VEC_LEGACY_SYSCALL	0x80
#define VEC_KICK		0xf0
#define VEC_TLB_FLUSH		0xf1
#define VEC_TIMER		0xf2
#define VEC_SPURIOUS		0xff
