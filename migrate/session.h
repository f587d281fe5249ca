/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The states of a move, on both sides, and the only legal ways between them.
 *
 * Source (one per domain being sent):
 *
 *	PREPARING --> COPYING --> STOPPED --> HANDED_OVER --> MOVED
 *	    |            |           |             |
 *	    +------------+-----------+-------------+--> KEPT
 *
 *	PREPARING    the target was asked; the guest is untouched
 *	COPYING      log-dirty runs, pages travel; the guest runs
 *	STOPPED      the guest was asked to suspend or stands
 *	HANDED_OVER  durable; the target may have been told to go.  From here on
 *		     the source resumes its copy only if the target has said
 *		     "aborted", which it never takes back
 *	MOVED        the target has said "running"; the copy here is destroyed
 *	KEPT         the guest goes on here; the target will never run it
 *
 * Target (one per session id):
 *
 *	PREPARING --> PREPARED --> RECEIVING --> READY --> OWNER --> RUNNING
 *	    |            |             |           |
 *	    +------------+-------------+-----------+--> ABORTED
 *
 *	READY        complete, verified, paused; waits for go, abort, or its
 *		     time-out, which is an abort
 *	OWNER        durable; only this side may run the guest now
 *	RUNNING      unpaused
 *	ABORTED      final; the half-built domain is destroyed
 *
 * Why never two copies run: the target runs only after OWNER, which needs a go;
 * a go is sent only after HANDED_OVER is durable; and from HANDED_OVER the
 * source leaves to KEPT only on "aborted", which excludes OWNER for ever.
 * Why one always can: whatever dies, the side that is not in doubt (the source
 * before HANDED_OVER, the target from READY on) decides alone, and the other
 * asks it.
 */
#ifndef MIGRATE_SESSION_H
#define MIGRATE_SESSION_H

#include <stdbool.h>

#define SESSION_ID_BYTES	37	/* UUID text with NUL */
#define SESSION_DEFAULT_PORT	7070
/* Holds the URL at which programs of this host reach godwitd while it runs. */
#define SESSION_DAEMON_FILE	"/run/godwit/godwitd.url"

enum source_state {
	SOURCE_PREPARING,
	SOURCE_COPYING,
	SOURCE_STOPPED,
	SOURCE_HANDED_OVER,
	SOURCE_MOVED,
	SOURCE_KEPT,
	SOURCE_NR_STATES,
};

enum target_state {
	TARGET_PREPARING,
	TARGET_PREPARED,
	TARGET_RECEIVING,
	TARGET_READY,
	TARGET_OWNER,
	TARGET_RUNNING,
	TARGET_ABORTED,
	TARGET_NR_STATES,
};

/** source_state_name() - as in journals and JSON: "handed-over". */
const char *source_state_name(enum source_state s);

/** source_state_parse() - the inverse; -EINVAL for an unknown name. */
int source_state_parse(const char *name, enum source_state *s);

/** source_may() - is @from -> @to an arrow of the drawing above? */
bool source_may(enum source_state from, enum source_state to);

/** target_state_name() - as in journals and JSON: "receiving". */
const char *target_state_name(enum target_state s);

/** target_state_parse() - the inverse; -EINVAL for an unknown name. */
int target_state_parse(const char *name, enum target_state *s);

/** target_may() - is @from -> @to an arrow of the drawing above? */
bool target_may(enum target_state from, enum target_state to);

/** target_state_owns() - has the target taken the guest (OWNER, RUNNING)? */
bool target_state_owns(enum target_state s);

#endif
