/* SPDX-License-Identifier: Apache-2.0 */
/* See checkpoint/reason.h. */
#include <stdarg.h>
#include <stdio.h>

#include "checkpoint/reason.h"

int reason_set(struct stream_reason *why, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why->text, sizeof(why->text), fmt, ap);
	va_end(ap);
	return err;
}
