# SPDX-License-Identifier: Apache-2.0
PROTOS += checkpoint/proto/stream.proto
