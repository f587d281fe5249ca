/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The boot code on the host: the real early.c, multiboot.c and lib/ compiled into the test,
 * under names that do not meet libc's, against a machine whose first 4 GB are an anonymous
 * mapping.  panic() returns to the test by longjmp.
 */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <pv/layout.h>
#undef HV_DIRECT_BASE
#define HV_DIRECT_BASE	((uint64_t)fake_phys)
#undef HV_END
#define HV_END		((uint64_t)fake_phys + (5UL << 40))
extern char *fake_phys;

#define memcpy hv_memcpy
#define memmove hv_memmove
#define memset hv_memset
#define memcmp hv_memcmp
#define strlen hv_strlen
#define strnlen hv_strnlen
#define strcmp hv_strcmp
#define strncmp hv_strncmp
#define strchr hv_strchr
#define strlcpy hv_strlcpy
#define snprintf hv_snprintf
#define vsnprintf hv_vsnprintf
#undef min
#undef max
#define min(a, b)	({ __typeof__(a) _a = (a); __typeof__(b) _b = (b); _a < _b ? _a : _b; })
#define max(a, b)	({ __typeof__(a) _a = (a); __typeof__(b) _b = (b); _a > _b ? _a : _b; })

#include "hypervisor/lib/string.c"
#include "hypervisor/lib/vsnprintf.c"
#include "hypervisor/lib/cmdline.c"
#include "hypervisor/x86/early.c"
#include "hypervisor/x86/multiboot.c"

#define FAKE_IMAGE_SIZE	0x40000
char image_start[1];
__asm__(".globl image_end\n.set image_end, image_start + 0x40000");

char *fake_phys;
uint8_t acpi_rsdp_copy[36];
unsigned int acpi_rsdp_len;
uint64_t acpi_efi_system_table;
enum log_level log_level = LOG_INFO;
static jmp_buf fake_panic_jmp;
static unsigned int fake_panics;

void printk(enum log_level level, const char *fmt, ...)
{
	char line[2048];
	va_list ap;

	/* formatted, so that the sanitizers see what every %s points to */
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
}

void panic(const char *fmt, ...)
{
	fake_panics++;
	longjmp(fake_panic_jmp, 1);
}

static void fake_boot_reset(void)
{
	if (!fake_phys) {
		fake_phys = mmap(NULL, 1UL << 32, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (fake_phys == MAP_FAILED)
			abort();
	}
	nr_raw = nr_e820 = nr_boot_modules = nr_free_ranges = 0;
	max_mfn = 0;
	boot_alloc_closed = false;
	acpi_rsdp_len = 0;
	mb2_mmap = NULL;
	mb2_efi_mmap = NULL;
	memset(hv_cmdline, 0, sizeof(hv_cmdline));
	memset(boot_modules, 0, sizeof(boot_modules));
}
