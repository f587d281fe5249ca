/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The serial console: a 16550 at com1, 115200 baud, 8 data bits, no parity, one stop bit.
 *
 * Output is polled and never waits longer than a byte can take, so a dead or absent
 * port costs nothing but its text.  Input is drained by interrupt into console_rx(), and
 * by uart_getc() before interrupts work.  Callers serialise output (the log's lock).
 * Source: National Semiconductor PC16550D data sheet, 8.0 (registers).
 */
#include <pv/io.h>
#include <pv/lib.h>
#include <pv/platform.h>

#define UART_PORT	0x3f8
#define UART_ISA_IRQ	4

enum { UART_DATA, UART_IER, UART_FCR, UART_LCR, UART_MCR, UART_LSR, UART_MSR, UART_SCRATCH };
#define LCR_8N1		0x03
#define LCR_DLAB	0x80
#define FCR_ENABLE	0x07		/* FIFOs on, both cleared, trigger at one byte */
#define MCR_ON		0x0b		/* DTR, RTS, OUT2 (gates the interrupt on a PC) */
#define LSR_DATA	0x01
#define LSR_THR_EMPTY	0x20
#define UART_FIFO	16
#define UART_SPIN	200000		/* reads of LSR: far more than 16 characters take */

static bool uart_present;

static bool uart_probe(void)
{
	outb(UART_PORT + UART_SCRATCH, 0x5a);
	if (inb(UART_PORT + UART_SCRATCH) != 0x5a)
		return false;
	outb(UART_PORT + UART_SCRATCH, 0xa5);
	return inb(UART_PORT + UART_SCRATCH) == 0xa5;
}

void uart_init(void)
{
	uart_present = uart_probe();
	if (!uart_present)
		return;
	outb(UART_PORT + UART_IER, 0);
	outb(UART_PORT + UART_LCR, LCR_8N1 | LCR_DLAB);
	outb(UART_PORT + UART_DATA, 1);		/* divisor 1: 115200 */
	outb(UART_PORT + UART_IER, 0);
	outb(UART_PORT + UART_LCR, LCR_8N1);
	outb(UART_PORT + UART_FCR, FCR_ENABLE);
	outb(UART_PORT + UART_MCR, MCR_ON);
}

static bool uart_wait_fifo_empty(void)
{
	for (unsigned int i = 0; i < UART_SPIN; i++) {
		if (inb(UART_PORT + UART_LSR) & LSR_THR_EMPTY)
			return true;
		__builtin_ia32_pause();
	}
	return false;
}

void uart_write(const char *s, size_t n)
{
	unsigned int room = 0;

	if (!uart_present)
		return;
	for (size_t i = 0; i < n; i++) {
		if (room < 2) {
			if (!uart_wait_fifo_empty())
				return;
			room = UART_FIFO;
		}
		if (s[i] == '\n') {
			outb(UART_PORT + UART_DATA, '\r');
			room--;
		}
		outb(UART_PORT + UART_DATA, (uint8_t)s[i]);
		room--;
	}
}

int uart_getc(void)
{
	if (!uart_present || !(inb(UART_PORT + UART_LSR) & LSR_DATA))
		return -1;
	return inb(UART_PORT + UART_DATA);
}

bool uart_owns_port(unsigned int port)
{
	return uart_present && port >= UART_PORT && port < UART_PORT + 8;
}

unsigned int uart_gsi(void)
{
	bool level, active_low;

	return ioapic_isa_override(UART_ISA_IRQ, &level, &active_low);
}

void uart_interrupt(void)
{
	int c;

	/* Bounded: a port that always claims to have data must not hold the CPU. */
	for (unsigned int i = 0; i < 256 && (c = uart_getc()) >= 0; i++)
		console_rx((char)c);
}

void uart_enable_rx(void)
{
	bool level, active_low;
	unsigned int gsi = ioapic_isa_override(UART_ISA_IRQ, &level, &active_low);
	int vector;

	if (!uart_present)
		return;
	vector = ioapic_route(gsi, level, active_low);
	if (vector < 0) {
		pr_warn("uart: no interrupt for GSI %u (%d): console input is off", gsi, vector);
		return;
	}
	outb(UART_PORT + UART_IER, 1);
	ioapic_unmask(gsi);
	pr_debug("uart: com1 input on GSI %u, vector 0x%x", gsi, vector);
}
