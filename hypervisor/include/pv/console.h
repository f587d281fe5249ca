/* SPDX-License-Identifier: Apache-2.0 */
/* The serial console as domain 0's hvc0, and the debug keys (console/console.c). */
#pragma once
#include <pv/abi.h>

/** console_rx() - one received character, from the UART's interrupt; no lock may be held. */
void console_rx(char c);

/**
 * do_console_io() - HYPERVISOR_console_io for domain 0.
 * @cmd: CONSOLEIO_write or CONSOLEIO_read; @count bytes at guest address @buf
 *
 * Return: write: 0; read: how many bytes were stored, 0 when none waited; -EPERM for other
 * domains, -EFAULT, -ENOSYS.  Source: Xen public xen.h, CONSOLEIO_*.
 */
long do_console_io(unsigned int cmd, unsigned int count, uint64_t buf);
