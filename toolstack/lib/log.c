// SPDX-License-Identifier: Apache-2.0
/*
 * Messages of the dom0 programs: see log.h.  A line is formatted into a
 * bounded buffer and leaves by one write, so it is never partial; what does
 * not fit is cut and marked.
 */
#include "toolstack/lib/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024

static const char *log_program = "godwit";
static enum log_level log_threshold = LOG_LEVEL_INFO;
static _Thread_local char last_error[LINE_MAX_BYTES];

static const char *const level_text[] = {
	[LOG_LEVEL_ERR] = "error: ",
	[LOG_LEVEL_WARN] = "warning: ",
	[LOG_LEVEL_INFO] = "",
	[LOG_LEVEL_DEBUG] = "debug: ",
};

void log_init(const char *program, enum log_level level)
{
	log_program = program;
	log_threshold = level;
}

/* Control characters would let a hostile name forge lines or steer a terminal. */
static void defuse_controls(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			*s = '?';
}

void log_line(enum log_level level, const char *prefix, int err, const char *fmt, ...)
{
	int saved_errno = errno;
	char text[LINE_MAX_BYTES], line[LINE_MAX_BYTES + 128];
	va_list ap;
	size_t len;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		text[0] = '\0';
	else if ((size_t)n >= sizeof(text))
		memcpy(text + sizeof(text) - 4, "...", 4);
	if (err) {
		len = strlen(text);
		snprintf(text + len, sizeof(text) - len, ": %s", strerror(abs(err)));
	}
	defuse_controls(text);
	if (level == LOG_LEVEL_ERR)
		memcpy(last_error, text, sizeof(last_error));
	if (level <= log_threshold) {
		n = snprintf(line, sizeof(line), "%s: %s%s%s%s\n", log_program, level_text[level],
			     prefix, prefix[0] ? ": " : "", text);
		len = n < 0 ? 0 : (size_t)n;
		if (len >= sizeof(line)) {
			len = sizeof(line) - 1;
			line[len - 1] = '\n';
		}
		/* Nothing sensible can be done when stderr is gone. */
		if (write(STDERR_FILENO, line, len) < 0)
			errno = saved_errno;
	}
	errno = saved_errno;
}

const char *log_last_error(void)
{
	return last_error;
}

void log_clear_error(void)
{
	last_error[0] = '\0';
}
