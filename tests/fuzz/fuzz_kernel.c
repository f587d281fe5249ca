// SPDX-License-Identifier: Apache-2.0
/*
 * libFuzzer: kernel files, bare ELF images and bzImages; whatever parses is
 * laid out and its tables are made.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "toolstack/build/elf.h"
#include "toolstack/build/layout.h"
#include "toolstack/build/unpack.h"

#define GUEST_PAGES 20000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void plan(const struct elf_kernel *kernel)
{
	struct layout lo;
	const char *why = "";
	uint64_t *p2m;
	uint8_t *tables;

	if (layout_plan(&lo, kernel, GUEST_PAGES, 5000, &why))
		return;
	p2m = calloc(lo.nr_pages, sizeof(*p2m));
	tables = calloc(lo.nr_pt + lo.nr_p2m_pt, LAYOUT_PAGE);
	if (p2m && tables)
		layout_fill_tables(&lo, p2m, tables, tables + lo.nr_pt * LAYOUT_PAGE);
	free(tables);
	free(p2m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct elf_kernel kernel;
	const char *why = "";
	uint8_t *elf = NULL;
	size_t len;

	if (unpack_kernel(data, size, &elf, &len, &why))
		return 0;
	if (!elf_parse(elf, len, &kernel, &why))
		plan(&kernel);
	if (elf != data)
		free(elf);
	return 0;
}
