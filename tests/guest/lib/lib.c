/* SPDX-License-Identifier: Apache-2.0 */
/* Strings, the console, the verdict. */
#include "tests/guest/lib/guest.h"
#include "hypervisor/include/public/godwit.h"
#include <stdarg.h>

struct start_info *start_info;
struct shared_info *shared_info;
const char *cmdline;

static void *test_frame[5];
static const struct test *running;
static bool failed;

void *memcpy(void *d, const void *s, size_t n)
{
	void *ret = d;

	__asm__ __volatile__("rep movsb" : "+D"(d), "+S"(s), "+c"(n) :: "memory");
	return ret;
}

void *memset(void *d, int c, size_t n)
{
	void *ret = d;

	__asm__ __volatile__("rep stosb" : "+D"(d), "+c"(n) : "a"(c) : "memory");
	return ret;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const uint8_t *x = a, *y = b;

	for (; n; n--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}

size_t strlen(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

bool contains(const char *s, const char *part)
{
	for (; *s; s++)
		if (!memcmp(s, part, strlen(part)))
			return true;
	return !*part;
}

/* --- console --------------------------------------------------------------------------- */

static char line[512];
static size_t line_len;

static void put(char c)
{
	if (line_len < sizeof(line))
		line[line_len++] = c;
}

static void put_text(const char *s)
{
	while (*s)
		put(*s++);
}

static void put_number(uint64_t v, unsigned int base, unsigned int width, char pad)
{
	char digits[24];
	unsigned int n = 0;

	do {
		digits[n++] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	while (width > n) {
		put(pad);
		width--;
	}
	while (n)
		put(digits[--n]);
}

/* %s %c %d %u %x %p with l, width and 0. */
static void format(const char *fmt, va_list ap)
{
	for (; *fmt; fmt++) {
		unsigned int width = 0, longs = 0;
		char pad = ' ';
		int64_t v;

		if (*fmt != '%') {
			put(*fmt);
			continue;
		}
		fmt++;
		if (*fmt == '0')
			pad = '0';
		for (; *fmt >= '0' && *fmt <= '9'; fmt++)
			width = width * 10 + (*fmt - '0');
		for (; *fmt == 'l'; fmt++)
			longs++;
		switch (*fmt) {
		case 's':
			put_text(va_arg(ap, const char *));
			break;
		case 'c':
			put(va_arg(ap, int));
			break;
		case 'd':
			v = longs ? va_arg(ap, int64_t) : va_arg(ap, int);
			if (v < 0)
				put('-');
			put_number(v < 0 ? -v : v, 10, width, pad);
			break;
		case 'u':
		case 'x':
		case 'p':
			v = longs || *fmt == 'p' ? va_arg(ap, int64_t) : (int64_t)va_arg(ap, unsigned int);
			put_number(v, *fmt == 'u' ? 10 : 16, width, pad);
			break;
		default:
			put(*fmt);
		}
	}
}

/* The ring that a daemon in domain 0 reads.  Source: Xen public io/console.h. */
static void ring_write(const char *s, size_t n)
{
	volatile struct xencons_interface *ring = virt_of_mfn(start_info->console.domU.mfn);
	struct evtchn_send kick = { start_info->console.domU.evtchn };

	for (; n; n--, s++) {
		while (ring->out_prod - ring->out_cons >= sizeof(ring->out)) {
			HC2(event_channel_op, EVTCHNOP_send, &kick);
			HC2(sched_op, SCHEDOP_yield, 0);
		}
		ring->out[ring->out_prod % sizeof(ring->out)] = *s;
		__atomic_thread_fence(__ATOMIC_RELEASE);
		ring->out_prod++;
	}
	HC2(event_channel_op, EVTCHNOP_send, &kick);
}

static bool ring_is_read(void)
{
	volatile struct xencons_interface *ring = virt_of_mfn(start_info->console.domU.mfn);

	return ring->out_cons == ring->out_prod;
}

static void flush(void)
{
	if (privileged())
		HC3(console_io, CONSOLEIO_write, line_len, line);
	else
		ring_write(line, line_len);
	line_len = 0;
}

void printf_(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	format(fmt, ap);
	va_end(ap);
	flush();
}

/* --- verdict --------------------------------------------------------------------------- */

void guest_shutdown(unsigned int reason)
{
	struct sched_shutdown s = { .reason = reason };

	for (;;)
		HC2(sched_op, SCHEDOP_shutdown, &s);
}

void test_fail(const char *fmt, ...)
{
	va_list ap;

	put_text("FAIL ");
	put_text(running->name);
	put_text(": ");
	va_start(ap, fmt);
	format(fmt, ap);
	va_end(ap);
	put('\n');
	flush();
	failed = true;
	__builtin_longjmp(test_frame, 1);
}

void test_done(void)
{
	__builtin_longjmp(test_frame, 1);
}

/* Apart from the loop, whose variables a longjmp could leave in registers that are gone. */
static __attribute__((noinline)) void run_one(void)
{
	failed = false;
	if (running->crash)
		printf_("EXPECT-CRASH %s\n", running->crash);
	if (!__builtin_setjmp(test_frame))
		running->run();
	try_resume = 0;
	trap_hook = NULL;
	event_hook = NULL;
	vcpu_info()->evtchn_upcall_mask = 1;
	if (failed)
		return;
	if (running->crash)
		printf_("FAIL %s: it lived on\n", running->name);
	else
		printf_("PASS %s\n", running->name);
}

static void map_shared_info(void)
{
	static uint8_t place[PAGE_SIZE] __attribute__((aligned(4096)));

	shared_info = (struct shared_info *)place;
	if (HC3(update_va_mapping, place, start_info->shared_info | RW_PAGE, UVMF_INVLPG))
		guest_shutdown(SHUTDOWN_crash);
}

/* After all that: does the hypervisor's frame table obey its own rules? */
static void audit(void)
{
	struct godwit_audit a = { 0 };
	long ret = hypercall(__HYPERVISOR_godwit_op, GODWIT_OP_audit, (uint64_t)&a, 0, 0, 0);
	bool good = !ret && !a.errors;

	put_text(good ? "PASS " : "FAIL ");
	for (const char *s = tests[0].name; *s != '.'; s++)
		put(*s);
	put_text(".audit");
	if (!good)
		printf_(": %ld, %lu errors in the frame table", ret, a.errors);
	printf_("\n");
}

void guest_start(struct start_info *si);
void guest_start(struct start_info *si)
{
	start_info = si;
	cmdline = (const char *)si->cmd_line;
	p2m = (uint64_t *)si->mfn_list;
	map_shared_info();
	traps_install();
	for (running = tests; running->name; running++) {
		bool alone = contains(cmdline, "only=");

		if (alone && !contains(cmdline, running->name))
			continue;
		if (running->crash && !alone)
			printf_("CRASHTEST %s\n", running->name);
		else
			run_one();
	}
	if (privileged())
		audit();
	printf_("TESTS DONE\n");
	while (!privileged() && !ring_is_read())
		HC2(sched_op, SCHEDOP_yield, 0);
	guest_shutdown(SHUTDOWN_poweroff);
}
