/* SPDX-License-Identifier: Apache-2.0 */
/* What Xen's public headers expect of a hypervisor's own library: BUG(). */
#pragma once
#include <pv/lib.h>
