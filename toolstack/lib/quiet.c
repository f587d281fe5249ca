// SPDX-License-Identifier: Apache-2.0
/* A logger for Xen's client libraries that says nothing: see quiet.h. */
#include "toolstack/lib/quiet.h"

static void no_message(struct xentoollog_logger *logger, xentoollog_level level, int errnoval,
		       const char *context, const char *format, va_list al)
{
}

static void no_progress(struct xentoollog_logger *logger, const char *context,
			const char *doing_what, int percent, unsigned long done,
			unsigned long total)
{
}

static void no_destroy(struct xentoollog_logger *logger)
{
}

struct xentoollog_logger quiet_logger = {
	.vmessage = no_message,
	.progress = no_progress,
	.destroy = no_destroy,
};
