// SPDX-License-Identifier: Apache-2.0
/* What a PV guest finds when it starts: see start_info.h. */
#include "toolstack/build/start_info.h"

#include <stdio.h>
#include <string.h>

#define RFLAGS_IF 0x200u
#define DR6_DEFAULT 0xffff0ff0u	/* SDM volume 3, 17.2.3 */
#define DR7_DEFAULT 0x00000400u
#define STUB_BYTES 32u

_Static_assert(sizeof(struct start_info) == 1168, "start_info ABI");
_Static_assert(sizeof(struct shared_info) <= LAYOUT_PAGE, "shared_info is one frame");

static uint64_t va_of(const struct layout *lo, uint64_t pfn)
{
	return lo->virt_base + pfn * LAYOUT_PAGE;
}

void start_info_fill(void *page, const struct layout *lo, const uint64_t *p2m,
		     uint64_t shared_info_mfn, uint32_t store_port, uint32_t console_port,
		     const char *cmdline)
{
	struct start_info *si = page;

	memset(page, 0, LAYOUT_PAGE);
	snprintf(si->magic, sizeof(si->magic), "xen-3.0-x86_64");
	si->nr_pages = lo->nr_pages;
	si->shared_info = shared_info_mfn << 12;
	/* Linux then keeps its p2m as one virtual list that migration can walk. */
	si->flags = SIF_VIRT_P2M_4TOOLS;
	si->store_mfn = p2m[lo->store_pfn];
	si->store_evtchn = store_port;
	si->console.domU.mfn = p2m[lo->console_pfn];
	si->console.domU.evtchn = console_port;
	si->pt_base = va_of(lo, lo->pt_pfn);
	si->nr_pt_frames = lo->nr_pt;
	si->mfn_list = lo->p2m_va;
	if (lo->nr_p2m_pt) {
		si->first_p2m_pfn = lo->p2m_pfn;
		si->nr_p2m_frames = lo->nr_p2m + lo->nr_p2m_pt;
	}
	if (lo->ramdisk_bytes) {
		si->mod_start = lo->ramdisk_mapped ? va_of(lo, lo->ramdisk_pfn)
						   : lo->ramdisk_pfn;
		si->mod_len = lo->ramdisk_bytes;
		if (!lo->ramdisk_mapped)
			si->flags |= SIF_MOD_START_PFN;
	}
	snprintf((char *)si->cmd_line, sizeof(si->cmd_line), "%s", cmdline);
}

void start_context_fill(struct vcpu_guest_context *ctx, const struct elf_kernel *kernel,
			const struct layout *lo, const uint64_t *p2m)
{
	memset(ctx, 0, sizeof(*ctx));
	ctx->flags = VGCF_in_kernel | VGCF_online;
	ctx->user_regs.rip = kernel->entry;
	ctx->user_regs.rsp = va_of(lo, lo->stack_pfn + 1);
	ctx->user_regs.rsi = va_of(lo, lo->start_info_pfn);
	ctx->user_regs.rflags = RFLAGS_IF;
	ctx->user_regs.cs = FLAT_KERNEL_CS;
	ctx->user_regs.ss = FLAT_KERNEL_SS;
	ctx->kernel_ss = FLAT_KERNEL_SS;
	ctx->kernel_sp = ctx->user_regs.rsp;
	ctx->ctrlreg[3] = xen_pfn_to_cr3(p2m[lo->pt_pfn]);
	ctx->debugreg[6] = DR6_DEFAULT;
	ctx->debugreg[7] = DR7_DEFAULT;
}

void shared_info_fill(void *page)
{
	struct shared_info *s = page;
	unsigned int i;

	/* The page comes zeroed, with the wallclock in it: that stays. */
	for (i = 0; i < XEN_LEGACY_MAX_VCPUS; i++)
		s->vcpu_info[i].evtchn_upcall_mask = 1;
}

void hypercall_page_fill(void *page)
{
	/* push rcx; push r11; mov $nr,%eax; syscall; pop r11; pop rcx; ret */
	static const uint8_t stub[] = { 0x51, 0x41, 0x53, 0xb8, 0, 0, 0, 0,
					0x0f, 0x05, 0x41, 0x5b, 0x59, 0xc3 };
	/* push rcx; push r11; push rax; mov $23,%eax; syscall */
	static const uint8_t stub_iret[] = { 0x51, 0x41, 0x53, 0x50, 0xb8,
					     __HYPERVISOR_iret, 0, 0, 0, 0x0f, 0x05 };
	uint8_t *p = page;
	unsigned int nr;

	memset(page, 0xcc, LAYOUT_PAGE);
	for (nr = 0; nr < LAYOUT_PAGE / STUB_BYTES; nr++) {
		memcpy(p + nr * STUB_BYTES, stub, sizeof(stub));
		p[nr * STUB_BYTES + 4] = (uint8_t)nr;
	}
	memcpy(p + __HYPERVISOR_iret * STUB_BYTES, stub_iret, sizeof(stub_iret));
}
