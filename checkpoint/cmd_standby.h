/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint DOM HOST --standby, checkpoint failover DOM (cmd_standby.c, cmd_failover.c). */
#ifndef CHECKPOINT_CMD_STANDBY_H
#define CHECKPOINT_CMD_STANDBY_H

/** Where both sides leave UUID.json (source) and UUID.held.json (standby). */
#define STANDBY_STATE_DIR	"/run/godwit/standby"

/** Exit codes beside those of toolstack/cmd.h. */
enum standby_exit {
	STANDBY_EXIT_REFUSED = 4,	/* the other host or the witness said no */
	STANDBY_EXIT_GIVEN_UP = 5,	/* no standby for --timeout; the guest runs on */
	STANDBY_EXIT_TAKEN_OVER = 7,	/* the guest runs on the other host */
	STANDBY_EXIT_RELEASED = 8,	/* the guest crashed; the standby may be activated */
};

int cmd_standby(int argc, char **argv);
int cmd_failover(int argc, char **argv);

#endif
