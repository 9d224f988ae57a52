"""The cgroup v1 hierarchies of this machine, of which every node gets a part."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def hierarchies() -> dict[Path, str]:
    """The cgroup v1 hierarchies here: the folder of each, and the options that mount it."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    known = {line.split()[0] for line in Path("/proc/cgroups").read_text().splitlines()[1:]}
    found = {}
    for _, folder, kind, options, *_ in mounts:
        if kind == "cgroup" and Path(folder).parent == CGROUPS:
            names = [o for o in options.split(",") if o in known]
            found[Path(folder)] = ",".join(names) or "none," + next(o for o in options.split(",") if o.startswith("name="))
    if not any("memory" in names for names in found.values()):
        sys.exit(f"no cgroup v1 hierarchy for memory under {CGROUPS}; nodes need cgroup v1")
    return found


def remove_cgroup(folder: Path) -> None:
    for path, _, _ in os.walk(folder, topdown=False):
        for _ in range(100):
            try:
                os.rmdir(path)
            except FileNotFoundError:
                pass
            except OSError:  # a process in it has not quite gone
                time.sleep(0.05)
                continue
            break
