# SPDX-License-Identifier: Apache-2.0
"""
part_platform.py - one host, one guest: how long create and list take.

         QEMU [ hypervisor [ dom0: godwit create web1.cfg ] [ domU 256 MB ] ]

create_s runs from the command's start until the guest's kernel starts its init;
it includes building the domain, and the guest's own boot.
"""

import statistics
import time

import guest
from domains import Domains
from host import Lab

INIT = "Run /init as init"


def create_seconds(domains, config):
    """Seconds from `create` to the line that the guest's kernel prints before its init."""
    name = config.split('"')[1]
    domains.host.push(config.encode(), f"/root/{name}.cfg")
    start = time.monotonic()
    domains.host.run(f"rm -f {domains.log(name)}; {domains.tool} create /root/{name}.cfg && "
                     f"{{ {domains.follow(name, INIT)}; }}", 120, check=True)
    return time.monotonic() - start


def run(bench):
    """The part."""
    for figures, hypervisor in bench.rivals():
        with Lab(hosts=1, hypervisor=hypervisor, daemon=None) as lab:
            lab.boot()
            domains = Domains(lab[1])
            for turn in range(bench.repeat):
                bench.say(f"platform: create and list on {hypervisor}, "
                          f"{turn + 1} of {bench.repeat}")
                config = guest.config(f"plat{turn}")
                figures.add("create_s", create_seconds(domains, config))
                domains.wait_log(f"plat{turn}", "GUEST READY", 60)
                figures.add("list_s", statistics.median(
                    domains.timed_inside(f"{domains.tool} list", 10)))
                domains.destroy(f"plat{turn}")
