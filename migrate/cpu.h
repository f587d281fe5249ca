/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which CPU features programs in a guest may have come to rely on.
 *
 * A PV guest's user space sees the machine's own CPUID, so a program that
 * found AVX2 at its start keeps using it after a move.  The destination must
 * have every feature of the source that user space can use; what only kernels
 * use (and the hypervisor hides or emulates) is left out of the comparison.
 */
#ifndef MIGRATE_CPU_H
#define MIGRATE_CPU_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cpu_word {
	CPU_1_ECX,
	CPU_1_EDX,
	CPU_7_EBX,
	CPU_7_ECX,
	CPU_7_EDX,
	CPU_7_1_EAX,
	CPU_D_1_EAX,
	CPU_EXT_ECX,			/* 0x80000001 */
	CPU_EXT_EDX,
	CPU_NR_WORDS,
};

struct cpu_features {
	uint32_t words[CPU_NR_WORDS];
	uint64_t xcr0;			/* 0 where XGETBV is not enabled */
};

/** cpu_features_read() - those of this machine, as user space sees them. */
void cpu_features_read(struct cpu_features *f);

/** cpu_word_place() - where CPUID has a word: @reg 0..3 is EAX, EBX, ECX, EDX. */
void cpu_word_place(enum cpu_word w, uint32_t *leaf, uint32_t *subleaf, unsigned int *reg);

/** cpu_features_to_json() - {"1.ecx": n, ... "xcr0": n}; NULL out of memory. */
json_t *cpu_features_to_json(const struct cpu_features *f);

/** cpu_features_from_json() - the inverse; absent words are 0.  0 or -EINVAL. */
int cpu_features_from_json(struct cpu_features *f, const json_t *obj);

/**
 * cpu_features_missing() - does @have lack something that @need has?
 * @need: the source
 * @have: the destination
 * @why:  gets the names of what is missing, "" if nothing is
 * @len:  its size
 */
bool cpu_features_missing(const struct cpu_features *need, const struct cpu_features *have,
			  char *why, size_t len);

#endif
