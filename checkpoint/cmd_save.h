/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of godwit's command table that checkpoint/ supplies (toolstack/cmd.h). */
#ifndef CHECKPOINT_CMD_SAVE_H
#define CHECKPOINT_CMD_SAVE_H

/** cmd_save() - godwit save [--keep-running] [--timeout S] DOM FILE. */
int cmd_save(int argc, char **argv);

/** cmd_restore() - godwit restore [--paused] [--name NAME] FILE. */
int cmd_restore(int argc, char **argv);

#endif
