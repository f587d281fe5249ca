// SPDX-License-Identifier: Apache-2.0
/*
 * Progress on a terminal or in a log.  Contract in progress.h.
 */
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "migrate/progress.h"

#define PAINT_EVERY_US	100000
#define DEFAULT_COLUMNS	80

void progress_init(struct progress *p, FILE *out)
{
	struct winsize size;

	memset(p, 0, sizeof(*p));
	p->out = out;
	p->columns = DEFAULT_COLUMNS;
	if (!out)
		return;
	p->tty = isatty(fileno(out));
	if (p->tty && !ioctl(fileno(out), TIOCGWINSZ, &size) && size.ws_col > 1)
		p->columns = size.ws_col;
}

/* Bytes per microsecond are megabytes (10^6) per second. */
static double rate_mb_s(uint64_t bytes, uint64_t us)
{
	return us ? (double)bytes / (double)us : 0;
}

static unsigned int percent(uint64_t done, uint64_t total)
{
	if (done >= total)
		return 100;
	return (unsigned int)((double)done * 100 / (double)total);
}

static void format_eta(const struct progress_state *s, char *buf, size_t len)
{
	uint64_t left = s->pages_total > s->pages_done ? s->pages_total - s->pages_done : 0;

	if (!s->pages_done || !s->elapsed_us)
		snprintf(buf, len, "?");
	else
		snprintf(buf, len, "%.1f s", (double)left * (double)s->elapsed_us /
			 (double)s->pages_done / 1e6);
}

void progress_format_state(const struct progress_state *s, char *buf, size_t len)
{
	char eta[32];

	format_eta(s, eta, sizeof(eta));
	snprintf(buf, len, "round %u: %" PRIu64 "/%" PRIu64 " pages %u%%  %.1f MB/s  dirty %"
		 PRIu64 "  ETA %s", s->round, s->pages_done, s->pages_total,
		 percent(s->pages_done, s->pages_total),
		 rate_mb_s(s->bytes, s->elapsed_us), s->pages_dirty, eta);
}

static uint64_t dirty_per_s(const struct policy_round *r)
{
	if (r->dirty_pages_per_s || !r->duration_us)
		return r->dirty_pages_per_s;
	return (uint64_t)((double)r->pages_dirty * 1e6 / (double)r->duration_us);
}

void progress_format_round(unsigned int round, const struct policy_round *r,
			   const struct policy_verdict *v, char *buf, size_t len)
{
	snprintf(buf, len, "round=%u sent=%" PRIu64 " zero=%" PRIu64 " dirty=%" PRIu64
		 " bytes=%" PRIu64 " ms=%" PRIu64 " rate_mb_s=%.1f dirty_per_s=%" PRIu64
		 " predicted_ms=%" PRIu64 " action=%s", round, r->pages_sent, r->pages_zero,
		 r->pages_dirty, r->bytes, r->duration_us / 1000,
		 rate_mb_s(r->bytes, r->duration_us), dirty_per_s(r),
		 v->downtime_us / 1000, policy_action_name(v->action));
}

/* ESC [ K clears what a longer line before left behind. */
static void paint(struct progress *p, const char *text, bool keep)
{
	fprintf(p->out, "\r%.*s\033[K%s", (int)(p->columns - 1), text, keep ? "\n" : "");
	fflush(p->out);
	p->painted = !keep;
}

void progress_update(struct progress *p, const struct progress_state *s, uint64_t now_us)
{
	char line[PROGRESS_LINE_MAX];

	if (!p->out || !p->tty || now_us < p->next_paint_us)
		return;
	p->next_paint_us = now_us + PAINT_EVERY_US;
	progress_format_state(s, line, sizeof(line));
	paint(p, line, false);
}

static void format_round_for_people(unsigned int round, const struct policy_round *r,
				    const struct policy_verdict *v, char *buf, size_t len)
{
	snprintf(buf, len, "round %u: %" PRIu64 " pages, %" PRIu64 " zero, %.1f MB in %.2f s, "
		 "%.1f MB/s, %" PRIu64 " dirty; %s", round, r->pages_sent, r->pages_zero,
		 (double)r->bytes / 1e6, (double)r->duration_us / 1e6,
		 rate_mb_s(r->bytes, r->duration_us), r->pages_dirty, v->reason);
}

void progress_round(struct progress *p, unsigned int round,
		    const struct policy_round *r, const struct policy_verdict *v)
{
	char line[PROGRESS_LINE_MAX + sizeof(v->reason)];

	if (!p->out)
		return;
	if (!p->tty) {
		progress_format_round(round, r, v, line, sizeof(line));
		fprintf(p->out, "%s\n", line);
		fflush(p->out);
		return;
	}
	format_round_for_people(round, r, v, line, sizeof(line));
	/* a finished round may wrap: its end is what people want to read */
	fprintf(p->out, "\r%s\033[K\n", line);
	fflush(p->out);
	p->painted = false;
	p->next_paint_us = 0;
}

void progress_note(struct progress *p, const char *text)
{
	if (p->out && p->tty)
		paint(p, text, true);
}

void progress_end(struct progress *p)
{
	if (!p->out || !p->painted)
		return;
	fputc('\n', p->out);
	fflush(p->out);
	p->painted = false;
}
