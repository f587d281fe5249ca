/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integer types and the typed frame numbers.
 *
 * mfn_t: machine frame.  pfn_t: a guest's pseudo-physical frame.  They are
 * structures so that mixing them cannot compile; unwrap at the last moment.
 */
#pragma once
#include <stdint.h>
#include <stddef.h>
#include <stdbool.h>

typedef int64_t s_time_t;		/* nanoseconds of system time since boot */
typedef uint16_t domid_t_;

typedef struct { uint64_t mfn; } mfn_t;
typedef struct { uint64_t pfn; } pfn_t;

static inline mfn_t _mfn(uint64_t n) { return (mfn_t){ n }; }
static inline uint64_t mfn_x(mfn_t m) { return m.mfn; }
static inline pfn_t _pfn(uint64_t n) { return (pfn_t){ n }; }
static inline uint64_t pfn_x(pfn_t p) { return p.pfn; }
static inline bool mfn_eq(mfn_t a, mfn_t b) { return a.mfn == b.mfn; }

#define INVALID_MFN	_mfn(~0UL)
#define INVALID_PFN	_pfn(~0UL)

#define PAGE_SHIFT	12
#define PAGE_SIZE	4096UL
#define PAGE_MASK	(~(PAGE_SIZE - 1))
