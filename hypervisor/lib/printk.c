/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: lines to the serial console and to a ring that the tools read
 * (XEN_SYSCTL_readconsole).
 *
 * The ring is indexed by ever-growing counts of bytes; [ring_start, ring_end) is
 * what it holds, never more than its size.  Lock: log_lock, innermost of all.  A
 * panicking CPU waits for it only so long, for its owner may be the one that died.
 */
#include <pv/lib.h>
#include <pv/platform.h>
#include <pv/spinlock.h>

#define LOG_RING_SIZE	65536u
static_assert((LOG_RING_SIZE & (LOG_RING_SIZE - 1)) == 0, "indices wrap by masking");

enum log_level log_level = LOG_INFO;

static char ring[LOG_RING_SIZE];
static uint32_t ring_start, ring_end;
static struct spinlock log_lock = SPINLOCK_INIT;
static bool log_panicking;
static char line[1024];			/* under log_lock: too large for the stack */

static bool log_lock_take(void)
{
	if (likely(!log_panicking)) {
		spin_lock(&log_lock);
		return true;
	}
	for (unsigned int i = 0; i < 1000000; i++) {
		if (spin_trylock(&log_lock))
			return true;
		__builtin_ia32_pause();
	}
	return false;
}

static void log_lock_release(bool taken)
{
	if (taken)
		spin_unlock(&log_lock);
}

static void ring_put(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ring[ring_end++ & (LOG_RING_SIZE - 1)] = s[i];
	if (ring_end - ring_start > LOG_RING_SIZE)
		ring_start = ring_end - LOG_RING_SIZE;
}

void log_panic_begin(void)
{
	log_panicking = true;
}

void log_write_raw(const char *s, size_t n)
{
	bool taken = log_lock_take();

	ring_put(s, n);
	uart_write(s, n);
	log_lock_release(taken);
}

static void log_vprint(const char *fmt, va_list ap)
{
	uint64_t us = (uint64_t)now_ns() / 1000;
	bool taken = log_lock_take();
	size_t n;

	n = (size_t)snprintf(line, sizeof(line), "(pv) [%5lu.%06lu] ", us / 1000000, us % 1000000);
	n += (size_t)vsnprintf(line + n, sizeof(line) - n, fmt, ap);
	n = min(n, sizeof(line) - 2);
	if (line[n - 1] != '\n')
		line[n++] = '\n';
	ring_put(line, n);
	uart_write(line, n);
	log_lock_release(taken);
}

void printk(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	if (level > log_level)
		return;
	va_start(ap, fmt);
	log_vprint(fmt, ap);
	va_end(ap);
}

uint32_t console_ring_read(char *buf, uint32_t size, uint32_t *index, bool clear)
{
	uint32_t pos, n = 0;

	spin_lock(&log_lock);
	pos = index ? *index : ring_start;
	if (pos - ring_start > ring_end - ring_start)	/* overwritten meanwhile, or nonsense */
		pos = ring_start;
	while (n < size && pos != ring_end)
		buf[n++] = ring[pos++ & (LOG_RING_SIZE - 1)];
	if (index)
		*index = pos;
	if (clear)
		ring_start = pos;
	spin_unlock(&log_lock);
	return n;
}

uint32_t console_ring_oldest(void)
{
	return ACCESS_ONCE(ring_start);
}

void console_ring_clear(void)
{
	spin_lock(&log_lock);
	ring_start = ring_end;
	spin_unlock(&log_lock);
}
