"""A machine: namespaces (network, mounts, processes, host name, IPC, cgroup) held open by a small process, `pause`.

`pause` is process 1 in it; ending that process ends everything in the machine and takes its mounts and interfaces away.
What runs on a machine is in node.py.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from bridge import Bridge, run
from cgroups import hierarchies, remove_cgroup
from processes import spawn
from weak_link import WeakLink, Weakness

SERVICES, API_IP, DNS_IP = "10.96.0.0/16", "10.96.0.1", "10.96.0.10"
# The kubelet insists on these values. Each machine sees them through files of its own; the real settings stay as they are.
TUNABLES = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
# What every machine has for itself; a folder that outlives the machine lies under <cluster>/node.
SETUP = """
read -r pid rest </proc/self/stat
mount --make-rshared /
mount -t proc proc /proc
umount -R /sys
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
for hierarchy in $HIERARCHIES; do
  mkdir "/sys/fs/cgroup/${hierarchy%%:*}"
  mount -t cgroup -o "${hierarchy#*:}" cgroup "/sys/fs/cgroup/${hierarchy%%:*}"
done
for file in "$NODE"/tunables/*; do
  mount --bind "$file" "/proc/sys/$(basename "$file" | tr , /)"
done
umount -R /run 2>/dev/null || true
for folder in /run /var/log /var/lib; do mount -t tmpfs -o mode=755 tmpfs "$folder"; done
mkdir /var/lib/containerd /var/lib/kubelet /var/log/pods /run/lock
mount --bind "$NODE/containerd" /var/lib/containerd
mount --bind "$NODE/kubelet" /var/lib/kubelet
mount --bind "$NODE/pods" /var/log/pods
mount --bind "$NODE/disk" /srv
hostname "$NAME"
ip link set lo up
echo "$pid" >"$NODE/pid.new"
mv "$NODE/pid.new" "$NODE/pid"
exec "$PAUSE"
"""


class Machine:
    """`folder` and `cluster` are those of the cluster that it belongs to; `number` is 0 for the hub."""

    def __init__(self, folder: Path, cluster: str, bridge: Bridge, number: int) -> None:
        self.bridge, self.number = bridge, number
        self.name = f"{cluster}-node"
        self.ip = f"{bridge.prefix}.{10 + number}"
        self.pods = f"10.244.{number}"
        self.dir = folder / "node"
        self.log = folder / "log" / "machine.log"
        self.port = f"n{bridge.id}-{number}"
        self.cgroup = f"{bridge.name}/{cluster}"
        self.weak_link = WeakLink(self.port, bridge, self.dir)

    # --- the machine itself -------------------------------------------------------------------------------------
    @property
    def pid(self) -> int:
        """Process 1 of the machine, or 0."""
        try:
            pid = int((self.dir / "pid").read_text())
            return pid if b"pause" in Path(f"/proc/{pid}/cmdline").read_bytes() else 0
        except (OSError, ValueError):
            return 0

    def in_cgroup(self, part: str, *command: str) -> list[str]:
        """The command line that runs `command` in (a part of) the machine's cgroup."""
        folders = [str(hierarchy / self.cgroup / part) for hierarchy in hierarchies()]
        script = 'while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs"; shift; done; shift; exec "$@"'
        return ["sh", "-euc", script, "sh", *folders, "--", *command]

    def power_on(self, pause: Path) -> None:
        if self.pid:
            return
        if str(self.dir).startswith(("/run/", "/var/log/", "/var/lib/", "/srv/")):
            sys.exit(f"{self.dir}: a machine hides /run, /var/log, /var/lib and /srv; choose another folder")
        for folder in ("containerd", "kubelet", "pods", "disk", "tunables", "etc"):
            (self.dir / folder).mkdir(parents=True, exist_ok=True)
        for name, value in TUNABLES.items():
            (self.dir / "tunables" / name.replace("/", ",")).write_text(value + "\n")
        (self.dir / "pid").unlink(missing_ok=True)
        self.make_cgroups()
        self.unshare(pause)
        self.connect()

    def make_cgroups(self) -> None:
        for hierarchy, options in hierarchies().items():
            for part in (self.bridge.name, self.cgroup, f"{self.cgroup}/system"):
                folder = hierarchy / part
                folder.mkdir(exist_ok=True)
                if "cpuset" in options.split(","):
                    for setting in ("cpuset.cpus", "cpuset.mems"):
                        (folder / setting).write_text((folder.parent / setting).read_text())

    def unshare(self, pause: Path) -> None:
        env = {
            "NODE": str(self.dir),
            "NAME": self.name,
            "PAUSE": str(pause),
            "HIERARCHIES": " ".join(f"{folder.name}:{options}" for folder, options in hierarchies().items()),
        }
        namespaces = ("--net", "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child", "--propagation", "private")
        spawn(self.in_cgroup("", "unshare", *namespaces, "sh", "-euc", SETUP), self.log, env, self.dir)
        end = time.monotonic() + 20
        while not self.pid:
            if time.monotonic() > end:
                sys.exit(f"{self.name}: the machine did not start; see {self.log}")
            time.sleep(0.02)

    def connect(self) -> None:
        run("ip", "link", "add", self.port, "type", "veth", "peer", "name", "eth0", "netns", str(self.pid))
        run("ip", "link", "set", self.port, "master", self.bridge.name, "up")
        self.shell(
            "set -e; sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.eth0.disable_ipv6=1; "
            f"ip address add {self.ip}/24 dev eth0; ip link set eth0 up; ip route add {SERVICES} dev eth0"
        )

    def power_off(self) -> None:
        """End process 1; the kernel then ends every other process in the machine and drops its mounts."""
        self.weak_link.end()
        if self.pid:
            os.kill(self.pid, signal.SIGTERM)
        for _ in range(200):
            if not self.pid:
                break
            time.sleep(0.05)

    def cable(self, *, plugged: bool) -> None:
        """Cut the machine off from the bridge, or connect it again; what runs on it goes on."""
        run("ip", "link", "set", self.port, "up" if plugged else "down")

    def weaken(self, weakness: Weakness, seed: int = 1) -> None:
        """All that comes to and from the machine passes a weak link, until `mend` or until the machine ends. Its cable can still be cut."""
        self.mend()
        self.weak_link.begin(weakness, seed)

    def mend(self) -> dict[str, dict[str, int]]:
        """The machine is at the bridge again, also if the weak link was killed. What has passed, in each direction."""
        return self.weak_link.end()

    def clean(self) -> None:
        """Remove the interface and the cgroups, once no process is left in the machine or its network."""
        self.weak_link.end()
        run("ip", "link", "delete", self.port, check=False)
        for hierarchy in hierarchies():
            remove_cgroup(hierarchy / self.cgroup)

    def command(self, *args: str, inside: bool) -> list[str]:
        """The command line of a server: in the machine's network and cgroup, and if `inside` in all its namespaces."""
        enter = self.enter(*args) if inside else ["nsenter", f"--net=/proc/{self.pid}/ns/net", "--", *args]
        return self.in_cgroup("system", *enter)

    def enter(self, *args: str) -> list[str]:
        """The command line that runs `args` inside the machine."""
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--", *args]

    def shell(self, script: str) -> str:
        return run(*self.enter("sh", "-c", script))
