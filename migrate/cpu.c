// SPDX-License-Identifier: Apache-2.0
/*
 * Sources of the bit numbers: Intel SDM volume 2A, CPUID; AMD APM volume 3,
 * appendix E.  XCR0: SDM volume 1, 13.3.
 */
#include "migrate/cpu.h"

#include <cpuid.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct word_row {
	const char *name;
	uint32_t leaf, subleaf;
	unsigned int reg;		/* 0 eax, 1 ebx, 2 ecx, 3 edx */
	uint32_t user_mask;		/* bits that user space can use */
};

static const struct word_row rows[CPU_NR_WORDS] = {
	/* without dtes64, monitor, vmx, smx, tm2, pcid, x2apic, deadline, osxsave, hypervisor */
	[CPU_1_ECX] = { "1.ecx", 1, 0, 2, 0x76d83203 },
	/* fpu tsc cx8 cmov clflush mmx fxsr sse sse2 */
	[CPU_1_EDX] = { "1.edx", 1, 0, 3, 0x07888111 },
	/* without tsc_adjust, sgx, smep, invpcid, pqm, pqe, smap, pt */
	[CPU_7_EBX] = { "7.ebx", 7, 0, 1, 0xfdaf4b39 },
	/* prefetchwt1 avx512vbmi waitpkg avx512vbmi2 gfni vaes vpclmul vnni bitalg vpopcnt rdpid cldemote movdiri movdir64b */
	[CPU_7_ECX] = { "7.ecx", 7, 0, 2, 0x1a405f63 },
	/* 4vnniw 4fmaps fsrm vp2intersect serialize tsxldtrk amx-bf16 avx512fp16 amx-tile amx-int8 */
	[CPU_7_EDX] = { "7.edx", 7, 0, 3, 0x03c1411c },
	/* avx-vnni avx512-bf16 fzrm fsrs fsrc */
	[CPU_7_1_EAX] = { "7.1.eax", 7, 1, 0, 0x00001c30 },
	/* xsaveopt xsavec xgetbv1 */
	[CPU_D_1_EAX] = { "d.1.eax", 0xd, 1, 0, 0x00000007 },
	/* lahf abm sse4a misalignsse 3dnowprefetch xop fma4 tbm */
	[CPU_EXT_ECX] = { "80000001.ecx", 0x80000001, 0, 2, 0x002109e1 },
	/* syscall mmxext fxsr_opt rdtscp lm 3dnowext 3dnow */
	[CPU_EXT_EDX] = { "80000001.edx", 0x80000001, 0, 3, 0xea400800 },
};

struct bit_name {
	enum cpu_word word;
	unsigned int bit;
	const char *name;
};

static const struct bit_name bit_names[] = {
	{ CPU_1_ECX, 0, "sse3" }, { CPU_1_ECX, 1, "pclmulqdq" }, { CPU_1_ECX, 9, "ssse3" },
	{ CPU_1_ECX, 12, "fma" }, { CPU_1_ECX, 13, "cx16" }, { CPU_1_ECX, 19, "sse4_1" },
	{ CPU_1_ECX, 20, "sse4_2" }, { CPU_1_ECX, 22, "movbe" }, { CPU_1_ECX, 23, "popcnt" },
	{ CPU_1_ECX, 25, "aes" }, { CPU_1_ECX, 26, "xsave" }, { CPU_1_ECX, 28, "avx" },
	{ CPU_1_ECX, 29, "f16c" }, { CPU_1_ECX, 30, "rdrand" },
	{ CPU_7_EBX, 0, "fsgsbase" }, { CPU_7_EBX, 3, "bmi1" }, { CPU_7_EBX, 4, "hle" },
	{ CPU_7_EBX, 5, "avx2" }, { CPU_7_EBX, 8, "bmi2" }, { CPU_7_EBX, 9, "erms" },
	{ CPU_7_EBX, 11, "rtm" }, { CPU_7_EBX, 16, "avx512f" }, { CPU_7_EBX, 18, "rdseed" },
	{ CPU_7_EBX, 19, "adx" }, { CPU_7_EBX, 23, "clflushopt" }, { CPU_7_EBX, 24, "clwb" },
	{ CPU_7_EBX, 29, "sha_ni" },
	{ CPU_7_ECX, 1, "avx512vbmi" }, { CPU_7_ECX, 8, "gfni" }, { CPU_7_ECX, 9, "vaes" },
	{ CPU_7_ECX, 22, "rdpid" },
	{ CPU_EXT_ECX, 0, "lahf_lm" }, { CPU_EXT_ECX, 5, "abm" }, { CPU_EXT_ECX, 6, "sse4a" },
	{ CPU_EXT_ECX, 8, "3dnowprefetch" }, { CPU_EXT_ECX, 11, "xop" },
	{ CPU_EXT_ECX, 16, "fma4" }, { CPU_EXT_EDX, 27, "rdtscp" },
};

static uint32_t read_word(const struct word_row *row)
{
	uint32_t regs[4];

	/* Gives 0 for a leaf beyond the machine's highest. */
	if (!__get_cpuid_count(row->leaf, row->subleaf, &regs[0], &regs[1], &regs[2], &regs[3]))
		return 0;
	return regs[row->reg];
}

static uint64_t read_xcr0(void)
{
	uint32_t a, b, c, d, lo, hi;

	/* OSXSAVE: XGETBV would fault without it. */
	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & 1u << 27))
		return 0;
	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return (uint64_t)hi << 32 | lo;
}

void cpu_features_read(struct cpu_features *f)
{
	for (int i = 0; i < CPU_NR_WORDS; i++)
		f->words[i] = read_word(&rows[i]);
	f->xcr0 = read_xcr0();
}

void cpu_word_place(enum cpu_word w, uint32_t *leaf, uint32_t *subleaf, unsigned int *reg)
{
	*leaf = rows[w].leaf;
	*subleaf = rows[w].subleaf;
	*reg = rows[w].reg;
}

json_t *cpu_features_to_json(const struct cpu_features *f)
{
	json_t *obj = json_object();

	for (int i = 0; obj && i < CPU_NR_WORDS; i++)
		json_object_set_new(obj, rows[i].name, json_integer(f->words[i]));
	if (obj)
		json_object_set_new(obj, "xcr0", json_integer((json_int_t)f->xcr0));
	return obj;
}

int cpu_features_from_json(struct cpu_features *f, const json_t *obj)
{
	const json_t *v;

	*f = (struct cpu_features) { 0 };
	if (!json_is_object(obj))
		return -EINVAL;
	for (int i = 0; i < CPU_NR_WORDS; i++) {
		v = json_object_get(obj, rows[i].name);
		if (v && (!json_is_integer(v) || json_integer_value(v) < 0 ||
			  json_integer_value(v) > UINT32_MAX))
			return -EINVAL;
		f->words[i] = (uint32_t)json_integer_value(v);
	}
	v = json_object_get(obj, "xcr0");
	if (v && (!json_is_integer(v) || json_integer_value(v) < 0))
		return -EINVAL;
	f->xcr0 = (uint64_t)json_integer_value(v);
	return 0;
}

static void append(char *why, size_t len, const char *name)
{
	size_t used = strlen(why);

	if (used + 1 < len)
		snprintf(why + used, len - used, "%s%s", used ? " " : "", name);
}

static void name_bit(enum cpu_word word, unsigned int bit, char *buf, size_t len)
{
	for (size_t i = 0; i < sizeof(bit_names) / sizeof(bit_names[0]); i++) {
		if (bit_names[i].word == word && bit_names[i].bit == bit) {
			snprintf(buf, len, "%s", bit_names[i].name);
			return;
		}
	}
	snprintf(buf, len, "cpuid-%s-bit%u", rows[word].name, bit);
}

bool cpu_features_missing(const struct cpu_features *need, const struct cpu_features *have,
			  char *why, size_t len)
{
	why[0] = '\0';
	for (int w = 0; w < CPU_NR_WORDS; w++) {
		uint32_t lack = need->words[w] & ~have->words[w] & rows[w].user_mask;

		for (unsigned int bit = 0; bit < 32; bit++) {
			char name[32];

			if (!(lack & 1u << bit))
				continue;
			name_bit(w, bit, name, sizeof(name));
			append(why, len, name);
		}
	}
	if (need->xcr0 & ~have->xcr0)
		append(why, len, "xcr0");
	return why[0];
}
