/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one door to the public Xen ABI headers (Debian's libxen-dev, MIT), with
 * the size and offset asserts that a guest relies on (docs: pv-abi sizes).
 */
#pragma once
#include <pv/types.h>

#define __XEN_TOOLS__ 1
#include <xen/errno.h>
#include <xen/xen.h>
#include <xen/arch-x86/xen.h>
#include <xen/arch-x86/cpuid.h>
#include <xen/version.h>
#include <xen/features.h>
#include <xen/memory.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/callback.h>
#include <xen/physdev.h>
#include <xen/platform.h>
#include <xen/domctl.h>
#include <xen/sysctl.h>
#include <xen/io/console.h>
#include <xen/io/xs_wire.h>
#include "../public/godwit.h"

static_assert(sizeof(struct start_info) == 1168, "guest ABI");
static_assert(sizeof(struct shared_info) == 3136, "guest ABI");
static_assert(sizeof(struct vcpu_info) == 64, "guest ABI");
static_assert(sizeof(struct vcpu_time_info) == 32, "guest ABI");
static_assert(sizeof(struct vcpu_guest_context) == 5168, "guest ABI");
static_assert(sizeof(struct cpu_user_regs) == 200, "guest ABI");
static_assert(sizeof(struct multicall_entry) == 64, "guest ABI");
static_assert(sizeof(struct mmuext_op) == 24, "guest ABI");
static_assert(sizeof(struct xen_domctl) == 144, "tools ABI");
static_assert(sizeof(struct xen_sysctl) == 136, "tools ABI");
static_assert(sizeof(struct xen_platform_op) == 136, "tools ABI");
