# SPDX-License-Identifier: Apache-2.0
# Programs that measure inside the guest.

GUEST_PROGS += microbench
microbench_SRCS := bench/microbench.c
