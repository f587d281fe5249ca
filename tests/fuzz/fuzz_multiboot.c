// SPDX-License-Identifier: Apache-2.0
/*
 * Any octets as multiboot information: first octet's low bit chooses the protocol, the rest
 * stands at the very end of the mapped 4 GB, so that one step too far is a fault.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "tests/unit/fake/fake_boot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t at;

	if (size < 2 || size > 65536)
		return 0;
	fake_boot_reset();
	at = (0u - (uint32_t)(size - 1)) & ~7u;
	memcpy(fake_phys + at, data + 1, size - 1);
	if (setjmp(fake_panic_jmp))
		return 0;
	multiboot_parse(data[0] & 1 ? MB2_LOADER_MAGIC : MB1_LOADER_MAGIC, at);
	e820_finish();
	if (nr_boot_modules > ARRAY_SIZE(boot_modules) || nr_e820 > E820_MAX)
		__builtin_trap();
	for (unsigned int i = 1; i < nr_e820; i++) {
		if (e820[i].addr < e820[i - 1].addr + e820[i - 1].size)
			__builtin_trap();
	}
	return 0;
}
