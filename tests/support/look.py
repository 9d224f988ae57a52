"""`python3 look.py POD`, run on a node: what the containers of a Pod really are, as JSON; not what its specification says.

Standard library and containerd's `ctr` alone. For every container that runs, by name: of each of its processes who runs it and with which
rights, of its file system what can be written and what is mounted.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

KEY = "panal/gateway/tls.key"
CRI = "io.kubernetes.container.name"


def ctr(*words: str) -> str:
    return subprocess.run(["ctr", "-n", "k8s.io", *words], check=True, capture_output=True, text=True).stdout


def of_pod(pod: str) -> dict[str, int]:
    """Process 1 of each of its containers that runs."""
    running = {line.split()[0]: int(line.split()[1]) for line in ctr("tasks", "list").splitlines()[1:]}
    found = {}
    for one in ctr("containers", "list", "-q", f'labels."io.kubernetes.pod.name"=={pod}').split():
        name = json.loads(ctr("containers", "info", one))["Labels"].get(CRI)
        if name and one in running:
            found[name] = running[one]
    return found


def same(pid: Path, first: int) -> bool:
    """Whether a process is of the container of process `first`: each has a namespace of processes for itself."""
    try:
        return (pid / "ns/pid").readlink() == Path(f"/proc/{first}/ns/pid").readlink()
    except OSError:
        return False


def status(pid: Path) -> dict[str, Any]:
    lines = dict(line.split(":", 1) for line in (pid / "status").read_text().splitlines() if ":" in line)
    return {
        "name": lines["Name"].strip(),
        "uids": sorted({int(n) for n in lines["Uid"].split()}),
        "gids": sorted({int(n) for n in (lines["Gid"] + lines["Groups"]).split()}),
        "capabilities": [int(lines[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")],
        "no_new_privileges": lines["NoNewPrivs"].strip() == "1",
        "seccomp": int(lines["Seccomp"]),
    }


def refusal(file: Path) -> str:
    """What the system says against a new file there; empty if it is made (and removed again)."""
    try:
        file.touch(exist_ok=False)
    except OSError as error:
        return type(error).__name__ if error.strerror is None else error.strerror
    file.unlink()
    return ""


def mode(file: Path) -> dict[str, int] | None:
    try:
        found = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return {"mode": found.st_mode & 0o777, "uid": found.st_uid, "gid": found.st_gid}


def look(first: int) -> dict[str, Any]:
    """Files are looked at as the container sees them, with this node's root's rights: of its mounts, not of its modes."""
    root = Path(f"/proc/{first}/root")
    mounts = [line.split() for line in Path(f"/proc/{first}/mounts").read_text().splitlines()]
    return {
        "processes": [status(pid) for pid in Path("/proc").glob("[0-9]*") if same(pid, first)],
        "write": {folder: refusal(root / folder / "written-by-a-test") for folder in (".", "etc", "usr/local")},
        "root": next(options for _, where, _, options, *_ in mounts if where == "/").split(","),
        "mounts": {where: kind for _, where, kind, *_ in mounts},
        "tokens": [where for _, where, *_ in mounts if mode(root / where.lstrip("/") / "token")],
        "key": mode(root / KEY),
        "network": Path(f"/proc/{first}/ns/net").readlink().name,
    }


def main(pod: str) -> None:
    found = {}
    for name, first in of_pod(pod).items():
        with suppress(FileNotFoundError):  # it has just ended
            found[name] = look(first)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
