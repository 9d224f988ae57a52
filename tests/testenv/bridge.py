"""The network between the machines of one folder: a bridge on this host, and names for the machines.

The host is <prefix>.1, the hub <prefix>.10, the spokes <prefix>.11 and up. Nothing is routed out of the bridge.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from cgroups import hierarchies, remove_cgroup

CNI_PLUGINS = "/usr/lib/cni"
PROGRAMS = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "ip": "iproute2",
    "nsenter": "util-linux",
    f"{CNI_PLUGINS}/bridge": "containernetworking-plugins",
}
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
INSTANCES_A_MACHINE = 64  # kubelet, containerd and the servers of one cluster use about 30


def missing_packages() -> list[str]:
    """The Debian packages that nodes need and that are not installed here."""
    return sorted({package for program, package in PROGRAMS.items() if not shutil.which(program)})


def raise_inotify_limit(machines: int) -> None:
    """Allow every machine its inotify instances, which all machines share with the host; a higher limit stays as it is."""
    needed = 64 + INSTANCES_A_MACHINE * machines
    if int(INOTIFY.read_text()) < needed:
        INOTIFY.write_text(str(needed))


def run(*args: str, check: bool = True) -> str:
    done = subprocess.run(args, text=True, capture_output=True)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(args)}: {done.stderr.strip()}")
    return done.stdout


class Bridge:
    """The network between the machines of one folder. Its name and addresses are chosen once and kept in net.json."""

    def __init__(self, root: Path) -> None:
        file = root / "net.json"
        if not file.exists():
            used = run("ip", "-4", "-o", "address")
            prefix = next(p for p in (f"10.77.{n}" for n in range(256)) if f" {p}." not in used)
            root.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps({"id": hashlib.sha256(str(root).encode()).hexdigest()[:6], "prefix": prefix}))
        settings = json.loads(file.read_text())
        self.id, self.prefix = settings["id"], settings["prefix"]
        self.name = f"nodes-{self.id}"
        self.hosts = root / "hosts"

    @staticmethod
    def exists(root: Path) -> bool:
        return (root / "net.json").exists()

    def up(self, machines: dict[str, str]) -> None:
        """Make the bridge; `machines` (name to address) can be found in every cluster's DNS as <name>.test."""
        if os.geteuid():
            sys.exit("nodes need root")
        if missing := missing_packages():
            sys.exit(f"nodes need Debian packages that are not here: apt-get install --no-install-recommends {' '.join(missing)}")
        raise_inotify_limit(len(machines))
        self.hosts.write_text("".join(f"{ip} {name}.test\n" for name, ip in machines.items()))
        if not Path("/sys/class/net", self.name).exists():
            run("ip", "link", "add", self.name, "type", "bridge")
            run("ip", "address", "add", f"{self.prefix}.1/24", "dev", self.name)
        run("ip", "link", "set", self.name, "up")

    def down(self) -> None:
        run("ip", "link", "delete", self.name, check=False)
        for hierarchy in hierarchies():
            remove_cgroup(hierarchy / self.name)
