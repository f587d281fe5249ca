/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes to a guest's memory while it is built: frames by pfn, through foreign
 * maps of bounded size.
 */
#ifndef TOOLSTACK_BUILD_PV_H
#define TOOLSTACK_BUILD_PV_H

#include <stddef.h>
#include <stdint.h>

#include "toolstack/domain.h"

/** The memory of a domain under construction. */
struct guest_memory {
	struct toolstack *ts;
	domid_t domid;
	uint64_t nr_pages;
	uint64_t *p2m;		/* nr_pages machine frames */
};

/**
 * guest_memory_populate() - give the domain nr_pages frames and learn them.
 * @m: ts, domid, nr_pages set; p2m is allocated, guest_memory_release() frees it
 *
 * Return: 0; -ENOMEM if the host has too little (logged).
 */
int guest_memory_populate(struct guest_memory *m);

/** guest_memory_release() - free the list, not the domain's frames. */
void guest_memory_release(struct guest_memory *m);

/**
 * guest_memory_fill() - write a run of frames, some hundred at a time.
 * @pfn:  first
 * @nr:   how many
 * @fill: called in order with a zeroed window: @window bytes of @len_bytes at
 *        @offset bytes from the start of the run; 0 goes on, else it ends
 * @arg:  passed on
 */
int guest_memory_fill(struct guest_memory *m, uint64_t pfn, uint64_t nr,
		      int (*fill)(void *arg, uint64_t offset, uint8_t *window,
				  size_t len_bytes),
		      void *arg);

/** guest_memory_write() - @len bytes from the start of @pfn on; the rest zero. */
int guest_memory_write(struct guest_memory *m, uint64_t pfn, const void *data, size_t len);

/**
 * guest_frame_write() - write one frame named by mfn (shared_info, grants).
 * @edit: gets the frame's present contents
 */
int guest_frame_write(struct toolstack *ts, domid_t domid, uint64_t mfn,
		      void (*edit)(void *arg, void *page), void *arg);

#endif
