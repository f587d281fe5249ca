/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A logger for Xen's client libraries that says nothing: they would print
 * lines of their own on stderr, and our callers report each failure once.
 */
#ifndef TOOLSTACK_LIB_QUIET_H
#define TOOLSTACK_LIB_QUIET_H

#include <xentoollog.h>

extern struct xentoollog_logger quiet_logger;

#endif
