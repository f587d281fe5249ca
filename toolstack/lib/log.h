/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of the dom0 programs.
 *
 * One call is one whole line on stderr: "prefix: text".  A file that wants a
 * prefix of its own defines LOG_PREFIX before it includes this header.  The
 * last error of each thread is kept, so that a daemon can hand the very line
 * that was logged to the client that asked (log_last_error()).
 */
#ifndef TOOLSTACK_LIB_LOG_H
#define TOOLSTACK_LIB_LOG_H

#include <stdarg.h>

#ifndef LOG_PREFIX
#define LOG_PREFIX ""
#endif

enum log_level {
	LOG_LEVEL_ERR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

/**
 * log_init() - name the program and choose what is shown.
 * @program: put before each line; a string that lives as long as the process
 * @level:   the least important level still printed (default LOG_LEVEL_INFO)
 *
 * Not thread-safe: call it first in main().
 */
void log_init(const char *program, enum log_level level);

/**
 * log_line() - the function behind the log_* macros.
 * @level:  importance
 * @prefix: module, may be empty
 * @err:    errno (either sign) whose text is appended after ": ", 0 for none
 * @fmt:    printf format, no newline
 *
 * The line is written by one write(2), so lines of threads never mix.
 * errno is preserved.
 */
void log_line(enum log_level level, const char *prefix, int err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/**
 * log_last_error() - the text of this thread's latest LOG_LEVEL_ERR line.
 *
 * Return: without program name and newline; "" if there was none.  Valid until
 * the thread logs its next error.
 */
const char *log_last_error(void);

/** log_clear_error() - forget this thread's latest error. */
void log_clear_error(void);

#define log_err(...) log_line(LOG_LEVEL_ERR, LOG_PREFIX, 0, __VA_ARGS__)
#define log_warn(...) log_line(LOG_LEVEL_WARN, LOG_PREFIX, 0, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, LOG_PREFIX, 0, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, LOG_PREFIX, 0, __VA_ARGS__)
/* An error with strerror(err) at its end; err may be errno or -errno. */
#define log_errno(err, ...) log_line(LOG_LEVEL_ERR, LOG_PREFIX, (err), __VA_ARGS__)
#define log_warn_errno(err, ...) log_line(LOG_LEVEL_WARN, LOG_PREFIX, (err), __VA_ARGS__)

#endif
