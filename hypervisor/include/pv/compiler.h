/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes and small macros; included before everything by the Makefile. */
#pragma once

#ifndef __ASSEMBLY__
/* One image, fixed in place: no symbol is reached through a GOT.  (Unit tests link with libc.) */
#if !__STDC_HOSTED__
#pragma GCC visibility push(hidden)
#endif

#define __must_check	__attribute__((warn_unused_result))
#define __noreturn	__attribute__((noreturn))
#define __packed	__attribute__((packed))
#define __aligned(n)	__attribute__((aligned(n)))
#define __maybe_unused	__attribute__((unused))
#define __printf(f, a)	__attribute__((format(printf, f, a)))
#define __section(s)	__attribute__((section(s)))
#define __init		__section(".init.text")	/* only at boot; unmapped afterwards */
#define __initdata	__section(".init.data")
#define __ro_after_init	__section(".data.ro_after_init")
#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)
#define barrier()	__asm__ __volatile__("" ::: "memory")
#define ACCESS_ONCE(x)	(*(volatile __typeof__(x) *)&(x))
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define container_of(p, type, member) \
	((type *)((char *)(p) - __builtin_offsetof(type, member)))
#define min(a, b)	({ __typeof__(a) _a = (a); __typeof__(b) _b = (b); _a < _b ? _a : _b; })
#define max(a, b)	({ __typeof__(a) _a = (a); __typeof__(b) _b = (b); _a > _b ? _a : _b; })
#define BIT(n)		(1UL << (n))
#define ROUND_UP(x, a)	(((x) + (a) - 1) & ~((__typeof__(x))(a) - 1))
#define static_assert	_Static_assert
#endif
