// SPDX-License-Identifier: Apache-2.0
/* Back-end drivers of dom0: loaded on first use, since there may be no udev. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "toolstack/devices/devices.h"
#define LOG_PREFIX "driver"
#include "toolstack/lib/log.h"

void driver_require(const char *driver, const char *module)
{
	char path[96];
	int status;
	pid_t pid;

	snprintf(path, sizeof(path), "/sys/bus/xen-backend/drivers/%s", driver);
	if (access(path, F_OK) == 0)
		return;
	pid = fork();
	if (pid == 0) {
		execl("/sbin/modprobe", "modprobe", "-q", module, (char *)NULL);
		_exit(127);
	}
	/* A failure shows as a device that never appears; here it is only a hint. */
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0)
		log_warn("cannot load %s", module);
}
