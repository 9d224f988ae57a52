"""Running clusters as tests hold them: the hub, the spokes, and what can be done to them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bridge import run
from cluster import Cluster
from machine import Machine
from weak_link import Weakness


@dataclass(frozen=True, slots=True)
class Fleet:
    """`root` is the folder of everything; `fleet["cluster1"]` is the cluster of that name."""

    root: Path
    hub: Cluster
    spokes: tuple[Cluster, ...]

    def __getitem__(self, name: str) -> Cluster:
        return next(c for c in (self.hub, *self.spokes) if c.name == name)

    def kill(self, name: str, process: str) -> None:
        """kill -9, such as `fleet.kill("hub", "kube-apiserver")`."""
        self[name].processes.end(process, kill=True)

    def start(self, name: str, process: str) -> None:
        """What was killed comes back; of an API server, waits until it answers."""
        self[name].processes.start_again(process)
        if process == "kube-apiserver":
            self[name].wait_for_api()

    def cut(self, name: str) -> None:
        """Nothing comes to or from the cluster's node any more; needs nodes."""
        self.cable(name, plugged=False)

    def restore(self, name: str) -> None:
        self.cable(name, plugged=True)

    def cable(self, name: str, *, plugged: bool) -> None:
        self.machine(name).cable(plugged=plugged)

    def weaken(self, name: str, weakness: Weakness | None = None) -> None:
        """What comes to and from the cluster's node passes a weak link, until `mend`."""
        self.machine(name).weaken(weakness or Weakness())

    def mend(self, name: str) -> dict[str, dict[str, int]]:
        """What has passed the weak link, in each direction."""
        return self.machine(name).mend()

    def machine(self, name: str) -> Machine:
        machine = self[name].machine
        assert machine, f"{name} has no node"
        return machine

    def enter(self, name: str, *command: str) -> str:
        """What a command says that runs on the cluster's node."""
        return run(*self.machine(name).enter(*command))


def leftovers(root: Path) -> list[str]:
    """Processes and mounts that still belong to a folder."""
    found = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if str(root) in line]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(root) in words:
            found.append(f"{process.name}: {words[:200]}")
    return found
