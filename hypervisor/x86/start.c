/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start-up, told in order.  boot.S jumps here on boot_stack, with the first 4 GB mapped.  At
 * the end hypervisor_main() runs on the boot CPU and secondary_main() on the others, all on
 * idle_l4, interrupts off.
 */
#include <pv/lib.h>
#include <pv/percpu.h>
#include <pv/platform.h>

void start_boot_cpu(uint32_t magic, uint32_t info_maddr) __noreturn;

static void __init log_level_init(void)
{
	log_level = (enum log_level)min(cmdline_get_u64("loglvl", LOG_INFO), (uint64_t)LOG_DEBUG);
}

static void __init print_memory_map(void)
{
	static const char *const names[] = { "?", "RAM", "reserved", "ACPI", "NVS", "unusable" };
	uint64_t ram = 0;

	for (unsigned int i = 0; i < nr_e820; i++) {
		const struct e820_entry *e = &e820[i];

		pr_debug("memory: [0x%011lx, 0x%011lx) %s", e->addr, e->addr + e->size,
			 e->type < ARRAY_SIZE(names) ? names[e->type] : "?");
		if (e->type == E820_RAM)
			ram += e->size;
	}
	pr_info("memory: %lu MB of RAM below 0x%lx", ram >> 20, max_mfn << PAGE_SHIFT);
	for (unsigned int i = 0; i < nr_boot_modules; i++)
		pr_info("module %u: %lu KB at 0x%lx \"%.200s\"", i, boot_modules[i].size >> 10,
			boot_modules[i].maddr, boot_modules[i].cmdline);
}

void __init start_boot_cpu(uint32_t magic, uint32_t info_maddr)
{
	early_idt_load();
	uart_init();
	pr_info("Godwit");
	multiboot_parse(magic, info_maddr);
	log_level_init();
	e820_finish();
	print_memory_map();
	cpu_detect();
	paging_init();
	acpi_init();
	tsc_init();
	rtc_init();
	cpu_init();
	desc_init_cpu(0);
	apic_init();
	ioapic_init();
	uart_enable_rx();
	smp_init();
	hypervisor_main();
}
