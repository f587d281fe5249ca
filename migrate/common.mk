# SPDX-License-Identifier: Apache-2.0
# The parts of migrate/ that know no hypervisor: policy, rate limit, ledger,
# progress.  migrate and godwitd link MIGRATE_COMMON_SRCS.

MIGRATE_COMMON_SRCS := migrate/policy.c migrate/ratelimit.c migrate/ledger.c \
	migrate/progress.c migrate/clock.c migrate/costs.c
MIGRATE_COMMON_LIBS := -ljansson

UNIT_TESTS += test_policy test_ratelimit test_ledger test_progress test_clock test_costs
test_costs_SRCS := tests/unit/test_costs.c migrate/costs.c migrate/ledger.c migrate/policy.c
test_costs_LIBS := -ljansson
test_clock_SRCS := tests/unit/test_clock.c migrate/clock.c
test_policy_SRCS := tests/unit/test_policy.c migrate/policy.c
test_policy_LIBS := -lm
test_ratelimit_SRCS := tests/unit/test_ratelimit.c migrate/ratelimit.c
test_ledger_SRCS := tests/unit/test_ledger.c migrate/ledger.c
test_ledger_LIBS := -ljansson
test_progress_SRCS := tests/unit/test_progress.c migrate/progress.c migrate/policy.c
