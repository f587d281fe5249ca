/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the machine stops.  Options: noreboot (a reboot becomes a halt, so that the last lines can
 * be read) and debug_exit=PORT (QEMU's isa-debug-exit device: the emulator ends with exit code
 * 2 * value + 1; value 0x10 for a halt, 0x11 for a reboot).
 * A reboot tries the keyboard controller, the reset control register of PC chip sets, and at
 * last a triple fault.
 */
#include <pv/io.h>
#include <pv/lib.h>
#include <pv/platform.h>

#define DEBUG_EXIT_HALT		0x10
#define DEBUG_EXIT_REBOOT	0x11
#define KBC_COMMAND		0x64
#define KBC_PULSE_RESET		0xfe
#define RESET_CONTROL		0xcf9

static void debug_exit(uint32_t value)
{
	uint64_t port = cmdline_get_u64("debug_exit", 0);

	if (port && port <= 0xffff)
		outl((uint16_t)port, value);
}

static void __noreturn stop_here(void)
{
	for (;;)
		__asm__ __volatile__("cli; hlt");
}

void machine_halt(void)
{
	__asm__ __volatile__("cli");
	smp_stop_others();
	pr_info("halted");
	debug_exit(DEBUG_EXIT_HALT);
	stop_here();
}

static void triple_fault(void)
{
	struct { uint16_t limit; uint64_t base; } __packed none = { 0, 0 };

	__asm__ __volatile__("lidt %0; int3" :: "m"(none));
}

void machine_reboot(void)
{
	char unused[4];

	__asm__ __volatile__("cli");
	smp_stop_others();
	if (cmdline_get("noreboot", unused, sizeof(unused))) {
		pr_info("noreboot given: halting");
		debug_exit(DEBUG_EXIT_REBOOT);
		stop_here();
	}
	pr_info("rebooting");
	debug_exit(DEBUG_EXIT_REBOOT);
	for (unsigned int i = 0; i < 0x10000 && (inb(KBC_COMMAND) & 2); i++)
		;
	outb(KBC_COMMAND, KBC_PULSE_RESET);
	udelay(50000);
	outb(RESET_CONTROL, 0x02);
	outb(RESET_CONTROL, 0x06);
	udelay(50000);
	triple_fault();
	stop_here();
}
