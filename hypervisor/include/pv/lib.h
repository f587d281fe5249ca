/* SPDX-License-Identifier: Apache-2.0 */
/* What every file may use: strings, the log, BUG. */
#pragma once
#include <pv/types.h>
#include <stdarg.h>

void *memcpy(void *dst, const void *src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
/** strlcpy() - copy at most @size - 1 bytes and terminate; returns strlen(@src). */
size_t strlcpy(char *dst, const char *src, size_t size);
/** parse_u64() - decimal or 0x number with an optional K/M/G suffix (powers of 1024).
 *  @end gets the first byte not used.  No digits: 0 and *@end == @s. */
uint64_t parse_u64(const char *s, const char **end);

int vsnprintf(char *buf, size_t size, const char *fmt, va_list ap) __printf(3, 0);
int snprintf(char *buf, size_t size, const char *fmt, ...) __printf(3, 4);

/*
 * The log.  A line starts with "(pv) "; levels: error, warn, info, debug.  The
 * option loglvl=N hides what is above (default info).  pr_guest_* is for what a
 * guest can trigger: rate-limited per call site.
 */
enum log_level { LOG_ERR, LOG_WARN, LOG_INFO, LOG_DEBUG };
extern enum log_level log_level;
void printk(enum log_level level, const char *fmt, ...) __printf(2, 3);
#define pr_err(...)	printk(LOG_ERR, __VA_ARGS__)
#define pr_warn(...)	printk(LOG_WARN, __VA_ARGS__)
#define pr_info(...)	printk(LOG_INFO, __VA_ARGS__)
#define pr_debug(...)	printk(LOG_DEBUG, __VA_ARGS__)

struct ratelimit { s_time_t since; uint32_t count; uint32_t missed; };
/** ratelimit_ok() - true for at most 10 calls in 5 s on @r; reports what was missed. */
bool ratelimit_ok(struct ratelimit *r);
#define pr_guest(level, ...) do {				\
	static struct ratelimit _rl;				\
	if ((level) <= log_level && ratelimit_ok(&_rl))		\
		printk(level, __VA_ARGS__);			\
} while (0)

/** log_write_raw() - @n bytes to the console and the ring as they are (domain 0's console_io). */
void log_write_raw(const char *s, size_t n);
/** log_panic_begin() - from now on the log's lock is not waited for longer than a moment. */
void log_panic_begin(void);
/** console_ring_read() - copy up to @size bytes of the log to @buf.
 *  @index: where to start, as an earlier call left it (NULL: at the oldest byte kept); gets the
 *  place after the last byte copied.  A place no longer kept means the oldest one.
 *  @clear: forget what was read, and all before it.
 *  Returns the number of bytes copied.  Source: Xen public sysctl.h, XEN_SYSCTL_readconsole. */
uint32_t console_ring_read(char *buf, uint32_t size, uint32_t *index, bool clear);
/** console_ring_oldest() - the place of the oldest byte kept; console_ring_clear() forgets all. */
uint32_t console_ring_oldest(void);
void console_ring_clear(void);

/** panic() - the last line of this hypervisor: message, registers, stack, then halt or reboot. */
__noreturn void panic(const char *fmt, ...) __printf(1, 2);
#define BUG()		panic("BUG at %s:%d", __FILE__, __LINE__)
#define BUG_ON(c)	do { if (unlikely(c)) panic("BUG at %s:%d: %s", __FILE__, __LINE__, #c); } while (0)
#ifdef DEBUG
#define ASSERT(c)	BUG_ON(!(c))
#else
#define ASSERT(c)	do { if (0 && (c)) { } } while (0)
#endif

/** cmdline_get() - value of "name=value" on the hypervisor's command line (or "" for a
 *  bare "name"), copied to @buf; returns false when absent. */
bool cmdline_get(const char *name, char *buf, size_t size);
uint64_t cmdline_get_u64(const char *name, uint64_t dflt);
