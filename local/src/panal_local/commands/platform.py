"""`panal up`, `panal down`, `panal status`, and access to the platform for other commands."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from panal.cli import output
from panal.client.access import Access
from panal.client.problem import Code, Problem
from panal_local.commands.errors import explained
from panal_local.commands.install import CLUSTERS, bring_up
from panal_local.node.records import kept_logs
from panal_local.supervisor.folder import HUB, SUPERVISOR, Folder
from panal_local.supervisor.process import find, known
from panal_local.supervisor.state import State, load
from panal_local.supervisor.stopping import end


def up(folder: Folder, clusters: int | None, claims: list[str]) -> State:
    began = time.monotonic()
    with explained():
        before = load(folder)
        wanted = clusters or (len(before.spokes) if before else CLUSTERS)
        state = asyncio.run(bring_up(folder, wanted, parse_claims(claims), output.note))
    output.line(f"up in {time.monotonic() - began:.1f} s: hub, {', '.join(state.spokes)}")
    return state


def parse_claims(given: Iterable[str]) -> dict[str, dict[str, str]]:
    """Parses arguments of the form cluster1:key=value."""
    found: dict[str, dict[str, str]] = {}
    for text in given:
        cluster, colon, rest = text.partition(":")
        key, equals, value = rest.partition("=")
        if not (cluster and colon and key and equals and value):
            raise Problem(
                Code.USAGE, f"--claim {text} is not CLUSTER:KEY=VALUE", "An example is --claim cluster1:digits.example.com=/srv/digits."
            )
        found.setdefault(cluster, {})[key] = value
    return found


def down(folder: Folder) -> None:
    with explained():
        was_there = end(folder, output.note)
    output.line(f"down; everything stays in {folder.root}" if was_there else f"nothing runs in {folder.root}")


# --- status ------------------------------------------------------------------------------------------------------
def status(folder: Folder, as_json: bool) -> Code:
    """Returns OK if all parts run."""
    with explained():
        state = load(folder)
    if state is None:
        raise Problem(Code.PLATFORM, f"there is no local platform in {folder.root}", "Start one with `panal up`.")
    found = [_part(folder, name) for name in (SUPERVISOR, *known(folder))]
    whole = all(part["pid"] for part in found) and len(found) > 1
    if as_json:
        servers = {cluster: state.server(cluster) for cluster in state.tokens}
        output.as_json({"folder": str(folder.root), "kubeconfig": str(folder.kubeconfig), "up": whole, "servers": servers, "parts": found})
        return Code.OK if whole else Code.PLATFORM
    rows = [(p["name"], str(p["pid"] or "-"), f"{p['seconds']} s" if p["pid"] else "down", f"{p['megabytes']} MB") for p in found]
    output.columns(("PART", "PROCESS", "RUNS FOR", "MEMORY"), rows)
    total = sum(p["megabytes"] for p in found)
    output.line("")
    output.line(f"{folder.root}: {'up' if whole else 'not up'}, {total} MB, kubeconfig {folder.kubeconfig}")
    return Code.OK if whole else Code.PLATFORM


def _part(folder: Folder, name: str) -> dict[str, Any]:
    process = find(folder, name)
    if process is None:
        return {"name": name, "pid": None, "seconds": 0, "megabytes": 0}
    return {"name": name, "pid": process.pid, "seconds": round(time.time() - process.since), "megabytes": memory(process.pid)}


def memory(pid: int) -> int:
    """The memory of the process in MB, with a proportional share of memory that it shares with other processes."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("Pss:")), 0)


# --- access ------------------------------------------------------------------------------------------------------
def is_up(folder: Folder) -> bool:
    return folder.kubeconfig.exists() and bool(find(folder, SUPERVISOR) or find(folder, HUB))


def access(folder: Folder) -> Access:
    """To the hub; each cluster's context has its name."""
    return Access(folder.kubeconfig, None, f"the local platform in {folder.root}", local=True)


def kept_log(at: Access, namespace: str, pod: str, container: str) -> Path | None:
    """The log of a container whose Pod is removed, which the node of its cluster keeps for some time."""
    if not at.local or at.kubeconfig is None:
        return None
    file = kept_logs(Folder(at.kubeconfig.parent).node(at.context or HUB), namespace, pod) / f"{container}.log"
    return file if file.is_file() else None
