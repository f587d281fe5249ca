/* SPDX-License-Identifier: Apache-2.0 */
/* The real header, but libc's and cmocka's symbols lie outside this image. */
#pragma once
#include_next <pv/compiler.h>
#pragma GCC visibility push(default)
