# SPDX-License-Identifier: Apache-2.0
# The stream library (STREAM_SRCS, STREAM_LIBS: for whoever uses
# checkpoint/stream.h) and the command `checkpoint`.

PROTOS += checkpoint/proto/stream.proto

STREAM_SRCS := checkpoint/reader.c checkpoint/writer.c checkpoint/page.c \
	checkpoint/message.c checkpoint/order.c checkpoint/io.c \
	checkpoint/hash.c checkpoint/reason.c checkpoint/index.c \
	$(B)/gen/checkpoint/proto/stream.pb-c.c
STREAM_LIBS := -llz4 -lprotobuf-c

VERIFY_SRCS := checkpoint/verify.c

# Stores of checkpoints (STORE_SRCS, STORE_LIBS: for whoever uses
# checkpoint/store.h); docs/stores.md.
STORE_SRCS := checkpoint/store.c checkpoint/store_dir.c checkpoint/store_http.c \
	checkpoint/store_dav_list.c checkpoint/store_s3.c checkpoint/store_s3_put.c \
	checkpoint/store_s3_xml.c \
	checkpoint/store_upload.c checkpoint/store_web.c checkpoint/store_url.c \
	checkpoint/store_cred.c checkpoint/store_xml.c toolstack/lib/io.c
STORE_LIBS := -lcurl -lexpat -lcrypto

UNIT_TESTS += test_store
test_store_SRCS := tests/unit/test_store.c $(STORE_SRCS)
test_store_LIBS := $(STORE_LIBS) -Wl,--wrap=renameat2 -Wl,--wrap=fsync

UNIT_TESTS += test_store_web
test_store_web_SRCS := tests/unit/test_store_web.c $(STORE_SRCS)
test_store_web_LIBS := $(STORE_LIBS)

FUZZERS += fuzz_store
fuzz_store_SRCS := tests/fuzz/fuzz_store.c $(STORE_SRCS)
fuzz_store_LIBS := $(STORE_LIBS)
# end of the stores

# Chains of checkpoints in a store (CHAIN_SRCS: for whoever uses
# checkpoint/chain.h), on the stream library and the stores.
CHAIN_SRCS := checkpoint/object.c checkpoint/probe.c checkpoint/catalog.c \
	checkpoint/chain.c checkpoint/chain_map.c checkpoint/chain_read.c \
	checkpoint/chain_each.c checkpoint/chain_merge.c checkpoint/retain.c \
	checkpoint/ptables.c checkpoint/vcpu_regs.c checkpoint/export.c checkpoint/chain_pipe.c
CHAIN_LIBS := -lpthread

CHAIN_CMD_SRCS := checkpoint/cmd_chain.c checkpoint/cmd_list.c checkpoint/cmd_chain_info.c \
	checkpoint/cmd_retain.c checkpoint/cmd_diff.c checkpoint/cmd_export.c

CHAIN_TEST_SRCS := tests/unit/chain_util.c tests/unit/ckpt_put.c tests/unit/fake/fake_store.c \
	tests/unit/test_stream_util.c $(CHAIN_SRCS) $(STORE_SRCS) $(VERIFY_SRCS) \
	$(STREAM_SRCS)

UNIT_TESTS += test_chain
test_chain_SRCS := tests/unit/test_chain.c $(CHAIN_TEST_SRCS)
test_chain_LIBS := $(STREAM_LIBS) $(STORE_LIBS) $(CHAIN_LIBS)

UNIT_TESTS += test_retain
test_retain_SRCS := tests/unit/test_retain.c $(CHAIN_TEST_SRCS)
test_retain_LIBS := $(STREAM_LIBS) $(STORE_LIBS) $(CHAIN_LIBS)

UNIT_TESTS += test_chain_cmd
test_chain_cmd_SRCS := tests/unit/test_chain_cmd.c checkpoint/cmd.c $(CHAIN_CMD_SRCS) \
	$(CHAIN_TEST_SRCS)
test_chain_cmd_LIBS := $(STREAM_LIBS) $(STORE_LIBS) $(CHAIN_LIBS)

UNIT_TESTS += test_chain_golden
test_chain_golden_SRCS := tests/unit/test_chain_golden.c $(CHAIN_TEST_SRCS)
test_chain_golden_LIBS := $(STREAM_LIBS) $(STORE_LIBS) $(CHAIN_LIBS)

FUZZERS += fuzz_chain
fuzz_chain_SRCS := tests/fuzz/fuzz_chain.c $(CHAIN_TEST_SRCS)
fuzz_chain_LIBS := $(STREAM_LIBS) $(STORE_LIBS) $(CHAIN_LIBS) -lcmocka

UNIT_TESTS += test_take_keep
test_take_keep_SRCS := tests/unit/test_take_keep.c checkpoint/take_keep.c $(CHAIN_TEST_SRCS)
test_take_keep_LIBS := $(STREAM_LIBS) $(STORE_LIBS)

PROGS += checkpoint
# Recursive: the lists of migrate/ and toolstack/ come later.
checkpoint_SRCS = checkpoint/main.c checkpoint/cmd.c checkpoint/cmd_verify.c \
	checkpoint/cmd_info.c checkpoint/cmd_store.c \
	$(CHAIN_CMD_SRCS) $(CHAIN_SRCS) $(VERIFY_SRCS) $(TAKE_SRCS)
checkpoint_LIBS = $(STREAM_LIBS) $(STORE_LIBS) $(CHAIN_LIBS) $(TOOLSTACK_DOMAIN_LIBS) -lpthread

# What needs a hypervisor: taking a checkpoint, and coming back from one.
# ... and a standby on another host (docs/fault-tolerance.md).
PROTECT_SRCS := checkpoint/cmd_standby.c checkpoint/cmd_failover.c migrate/protect.c \
	migrate/fence.c migrate/outbox.c migrate/witness.c migrate/spool.c
TAKE_SRCS = $(PROTECT_SRCS) checkpoint/cmd_take.c checkpoint/cmd_schedule.c checkpoint/take.c \
	checkpoint/take_keep.c checkpoint/lock.c migrate/schedule.c migrate/client.c migrate/wire.c \
	migrate/ledger.c checkpoint/guard.c checkpoint/cmd_restore.c checkpoint/image.c \
	checkpoint/image_chain.c checkpoint/lazy.c checkpoint/suspend.c \
	toolstack/options.c $(sort $(STORE_SRCS) $(MOVE_SRCS) $(STREAM_SRCS) $(TOOLSTACK_DOMAIN_SRCS))

UNIT_TESTS += test_stream
test_stream_SRCS := tests/unit/test_stream.c tests/unit/test_stream_util.c \
	$(VERIFY_SRCS) $(STREAM_SRCS)
test_stream_LIBS := $(STREAM_LIBS)

UNIT_TESTS += test_stream_golden
test_stream_golden_SRCS := tests/unit/test_stream_golden.c tests/unit/test_stream_util.c \
	$(VERIFY_SRCS) $(STREAM_SRCS)
test_stream_golden_LIBS := $(STREAM_LIBS)

FUZZERS += fuzz_stream
fuzz_stream_SRCS := tests/fuzz/fuzz_stream.c tests/unit/test_stream_util.c \
	$(VERIFY_SRCS) $(STREAM_SRCS)
fuzz_stream_LIBS := $(STREAM_LIBS)

UNIT_TESTS += test_stream_cmd
test_stream_cmd_SRCS := tests/unit/test_stream_cmd.c checkpoint/cmd.c checkpoint/cmd_verify.c \
	checkpoint/cmd_info.c $(VERIFY_SRCS) $(STREAM_SRCS)
test_stream_cmd_LIBS := $(STREAM_LIBS)

UNIT_TESTS += test_stream_rules
test_stream_rules_SRCS := tests/unit/test_stream_rules.c tests/unit/test_stream_util.c \
	$(VERIFY_SRCS) $(STREAM_SRCS)
test_stream_rules_LIBS := $(STREAM_LIBS)

UNIT_TESTS += test_delta
test_delta_SRCS := tests/unit/test_delta.c checkpoint/delta.c
