# SPDX-License-Identifier: Apache-2.0
# Moving domains: save and restore engines, sessions, the daemon, the command.
include migrate/common.mk

# Domain to stream and back; needs a hypercall layer beside it (toolstack/lib/hcall.c).
MOVE_SRCS := checkpoint/save.c checkpoint/save_state.c checkpoint/save_snapshot.c \
	checkpoint/delta.c checkpoint/restore.c checkpoint/describe.c \
	migrate/cpu.c migrate/ratelimit.c
SESSION_SRCS := migrate/session.c migrate/journal.c migrate/wire.c \
	migrate/source.c migrate/target.c migrate/clock.c
CONFIG_SRCS := toolstack/config.c toolstack/config_json.c toolstack/lib/uuid.c \
	toolstack/lib/log.c toolstack/lib/io.c

# Checkpoints on schedule: godwitd's part, and the rules that `checkpoint` shares.
SCHEDULE_SRCS := migrate/schedule.c migrate/schedules.c migrate/schedule_job.c \
	migrate/schedule_api.c

UNIT_TESTS += test_schedule
test_schedule_SRCS := tests/unit/test_schedule.c $(SCHEDULE_SRCS) $(CONFIG_SRCS)
test_schedule_LIBS := -ljansson -lpthread

FUZZERS += fuzz_schedule
fuzz_schedule_SRCS := tests/fuzz/fuzz_schedule.c migrate/schedule.c $(CONFIG_SRCS)
fuzz_schedule_LIBS := -ljansson

UNIT_TESTS += test_take_lock
test_take_lock_SRCS := tests/unit/test_take_lock.c checkpoint/lock.c toolstack/lib/uuid.c \
	toolstack/lib/log.c toolstack/lib/io.c

# Standbys: the side that keeps one, and what both sides share.
STANDBY_SRCS := migrate/standby.c migrate/spool.c migrate/witness.c

UNIT_TESTS += test_session_save
test_session_save_SRCS := tests/unit/test_session_save.c tests/unit/fake/fake_hcall.c \
	$(MOVE_SRCS) $(CONFIG_SRCS) $(STREAM_SRCS)
test_session_save_LIBS := $(STREAM_LIBS) -ljansson -lpthread

UNIT_TESTS += test_session_move
test_session_move_SRCS := tests/unit/test_session_move.c tests/unit/fake/fake_hcall.c \
	$(SESSION_SRCS) $(MOVE_SRCS) migrate/policy.c migrate/ledger.c migrate/progress.c \
	migrate/client.c migrate/server.c migrate/api.c $(SCHEDULE_SRCS) $(STANDBY_SRCS) \
	$(CONFIG_SRCS) $(STREAM_SRCS)
test_session_move_LIBS := $(STREAM_LIBS) -lcurl -lmicrohttpd -ljansson -lpthread -lm

MIGRATE_PLAIN_SRCS := migrate/costs.c migrate/policy.c migrate/ledger.c migrate/progress.c
MOVE_HOST_SRCS := checkpoint/suspend.c checkpoint/lock.c migrate/guest.c migrate/client.c migrate/recover.c \
	$(MOVE_SRCS) $(SESSION_SRCS) $(MIGRATE_PLAIN_SRCS) $(STREAM_SRCS)
# Recursive: toolstack/files.mk comes after this one.
MOVE_HOST_LIBS = $(TOOLSTACK_DOMAIN_LIBS) $(STREAM_LIBS) -lcurl -ljansson -lpthread -lm

PROGS += migrate godwitd
migrate_SRCS = migrate/main.c $(MOVE_HOST_SRCS) $(TOOLSTACK_DOMAIN_SRCS)
migrate_LIBS = $(MOVE_HOST_LIBS)
godwitd_SRCS = migrate/daemon.c migrate/server.c migrate/api.c migrate/host.c migrate/arrival.c migrate/fdb.c \
	$(NET_ARP_LIB_SRCS) $(SCHEDULE_SRCS) $(STANDBY_SRCS) \
	$(MOVE_HOST_SRCS) $(TOOLSTACK_DOMAIN_SRCS)
godwitd_LIBS = $(MOVE_HOST_LIBS) -lmicrohttpd

# godwit save, godwit restore: toolstack/files.mk adds these to godwit.
SAVE_CMD_SRCS := checkpoint/cmd_save.c checkpoint/lock.c checkpoint/image.c checkpoint/suspend.c \
	$(MOVE_SRCS) $(STREAM_SRCS)

UNIT_TESTS += test_standby
test_standby_SRCS := tests/unit/test_standby.c tests/unit/fake/fake_hcall.c \
	$(STANDBY_SRCS) migrate/protect.c migrate/fence.c migrate/journal.c migrate/wire.c \
	migrate/session.c migrate/target.c migrate/ledger.c \
	$(MOVE_SRCS) $(CONFIG_SRCS) $(STREAM_SRCS)
test_standby_LIBS := $(STREAM_LIBS) -lcurl -ljansson -lpthread -lm
