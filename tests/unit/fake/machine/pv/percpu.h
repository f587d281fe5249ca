/* SPDX-License-Identifier: Apache-2.0 */
/* The real per-CPU header, but `current' is a variable that the test sets. */
#pragma once
#include_next <pv/percpu.h>
#undef current
extern struct vcpu *fake_current;
#define current fake_current
