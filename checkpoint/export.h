/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chain as an ELF core file, for gdb and crash.
 *
 * One PT_LOAD for each run of frames, physical address pfn * 4096, at its address
 * in the kernel's direct map; one for each other run that the kernel's page tables
 * map (kernel text, modules, vmalloc), sharing the same bytes of the file.
 * One NT_PRSTATUS for each vCPU, and the kernel's own VMCOREINFO if its page is
 * found.  Frames of zeros are holes in the file.
 *
 * Invariant: the file exists under its name only when it is complete and durable.
 */
#ifndef CHECKPOINT_EXPORT_H
#define CHECKPOINT_EXPORT_H

#include "checkpoint/chain.h"

struct export_report {
	uint64_t frames;		/* in the file */
	uint64_t bytes;			/* its length, holes included */
	unsigned int loads;		/* PT_LOAD headers */
	unsigned int vcpus;		/* whose registers are there */
	bool has_direct;		/* direct map found at */
	uint64_t direct;
	bool has_vmcoreinfo;
	bool truncated;			/* more kernel mappings than headers */
};

/**
 * export_core() - write a core file.
 * @path: replaced if it exists; "PATH.new" meanwhile
 * @rep:  what was written
 * @why:  one line on failure
 *
 * Return: 0; errors of chain_read_pages(); -ENAMETOOLONG, -ENOSPC and whatever
 * else open(2), write(2), rename(2) give.
 */
int export_core(struct chain *c, const char *path, struct export_report *rep,
		char why[CHAIN_WHY]);

#endif
