/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of `checkpoint` that need a hypervisor. */
#ifndef CHECKPOINT_CMD_TAKE_H
#define CHECKPOINT_CMD_TAKE_H

/** cmd_take() - `checkpoint DOM STORE`; argv[0] is a name for messages.  Exit code as godwit's. */
int cmd_take(int argc, char **argv);

/** cmd_restore_checkpoint() - `checkpoint restore STORE DOM[@ID]`. */
int cmd_restore_checkpoint(int argc, char **argv);

#endif
