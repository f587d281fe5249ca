# SPDX-License-Identifier: Apache-2.0
"""
part_checkpoint.py - one host: save a guest of 256 MB to a file and restore it.

         QEMU [ hypervisor [ dom0: godwit save web1 F; godwit restore F ] [ web1 ] ]

The guest is stopped for all of a save, so save_s is also its pause; the file
goes to dom0's disk and is not synced.
"""

import guest
from domains import Domains
from host import Lab

FILE = "/opt/godwit/web1.save"


def sample(lab, domains, figures):
    """A guest comes, is saved, restored, proves that it lives, and goes."""
    domains.create(guest.config("web1", load=[guest.BEACON]))
    listener = guest.Listener(lab)
    listener.wait_flowing(60)
    save_s = domains.timed(f"{domains.tool} save web1 {FILE}")
    size = int(lab[1].run(f"stat -c %s {FILE}", 20, check=True).out)
    listener.reset()
    restore_s = domains.timed(f"{domains.tool} restore {FILE}")
    listener.wait_flowing(30)
    listener.stop()
    domains.destroy("web1")
    lab[1].run(f"rm -f {FILE}", 20)
    figures.add("save_s", save_s)
    figures.add("save_mb", size / 1e6)
    figures.add("restore_s", restore_s)


def run(bench):
    """The part."""
    for figures, hypervisor in bench.rivals():
        with Lab(hosts=1, hypervisor=hypervisor, daemon=None) as lab:
            lab.boot()
            for turn in range(bench.repeat):
                bench.say(f"checkpoint: save and restore on {hypervisor}, "
                          f"{turn + 1} of {bench.repeat}")
                sample(lab, Domains(lab[1]), figures)
