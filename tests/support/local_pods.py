"""Pods that are processes of this machine: how tests find them, kill them and stop them, and what their images are made of.

The node marks everything that it starts (`panal_local.node.records`); a node is known by the folder of its state.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

from api import Api
from panal.kube import kinds
from panal_local.commands.images import build

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / ".cache/local-images"  # Python environments take half a minute to make


def begin_store(store: Path) -> None:
    """An image store whose Python environments are kept."""
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    store.mkdir(parents=True, exist_ok=True)
    (store / ".venvs").symlink_to(ENVIRONMENTS)


def make_app(store: Path, work: Path) -> None:
    """`panal/test-app:1`, which has the environment of the example, and examples/plain."""
    app = work / "app"
    shutil.copytree(ROOT / "tests/real/app", app)
    shutil.copytree(ROOT / "examples/plain", app / "plain")
    shutil.copy(sorted((ROOT / "requirements").glob("flower-*.txt"))[-1], app / "requirements.txt")
    build(app, "panal/test-app:1", store)


def make_image(store: Path, work: Path, app: str, requirements: str, name: str) -> None:
    """An image of a folder below `tests`, with what a lock file below `requirements` lists."""
    folder = work / name.replace("/", "-").replace(":", "-")
    shutil.copytree(ROOT / "tests" / app, folder)
    (folder / "pyproject.toml").write_text('[project]\nname = "app"\nversion = "1"\n')
    shutil.copy(ROOT / "requirements" / requirements, folder / "requirements.txt")
    build(folder, name, store)


def share_image(store: Path, image: str, other: Path, name: str) -> None:
    """What one store has as `image` is in another as `name`."""
    place = other.joinpath(*name.rsplit(":", 1))
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    place.symlink_to(store.joinpath(*image.rsplit(":", 1)))


def processes(node: Path, pod: str = "", program: str = "") -> list[int]:
    """Those of the Pods of a node whose names begin so, and whose command line matches the pattern."""
    return [pid for pid, words, env in _all() if _of(env, node, pod) and re.search(program, words)]


def _of(env: bytes, node: Path, pod: str) -> bool:
    variables = env.split(b"\0")
    marked = any(v.startswith(f"PANAL_CONTAINER={node}/".encode()) for v in variables)
    return marked and any(v.startswith(f"HOSTNAME={pod}".encode()) for v in variables)


def leftovers(root: Path) -> list[str]:
    """Processes that still have to do with a folder."""
    found = [(pid, words) for pid, words, env in _all() if str(root) in words or str(root).encode() in env]
    return [f"{pid}: {words[:200]}" for pid, words in found if pid != os.getpid()]


def _all() -> Iterator[tuple[int, str, bytes]]:
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if words:
                yield int(process.name), words, (process / "environ").read_bytes()


def send(pids: list[int], number: signal.Signals) -> bool:
    """Whether there was one."""
    sent = False
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
            sent = True
    return sent


class LocalPods:
    """What engines have in common whose Pods are processes. `hub` asks the hub's API server; `node` is the folder of a cluster's node."""

    hub: Api

    def node(self, cluster: str) -> Path:
        raise NotImplementedError

    def parts_of(self, cluster: str) -> list[int]:
        """The processes by which a cluster talks to the hub, the node first, so that it starts no Pod while it is being cut off."""
        raise NotImplementedError

    def cut(self, name: str) -> None:
        send(self.parts_of(name), signal.SIGSTOP)
        send(processes(self.node(name)), signal.SIGSTOP)

    def restore(self, name: str) -> None:
        send(processes(self.node(name)), signal.SIGCONT)
        send(self.parts_of(name), signal.SIGCONT)

    def kill(self, cluster: str, pod: str, program: str) -> bool:
        return send(processes(self.node(cluster), pod, program), signal.SIGKILL)

    def read(self, namespace: str, claim: str, path: str) -> bytes:
        bound = self.hub.get(kinds.PERSISTENT_VOLUME_CLAIM, namespace, claim)
        volume = self.hub.get(kinds.PERSISTENT_VOLUME, "", bound["spec"]["volumeName"] if bound else "")
        assert volume, f"{claim} is bound to nothing"
        source = volume["spec"].get("local") or volume["spec"]["hostPath"]
        return Path(source["path"], path).read_bytes()

    def logs(self, namespace: str, pod: str, last: int = 40) -> str:
        """From the node's files: they are there where no API server can read them."""
        uid = (self.hub.get(kinds.POD, namespace, pod) or {"metadata": {"uid": "none"}})["metadata"]["uid"]
        found = []
        for log in sorted((self.node("hub") / "pods" / uid / "containers").glob("*/*/log")):
            lines = log.read_text(errors="replace").splitlines()[-last:]
            found += [f"[{log.parent.parent.name} {log.parent.name}] {line}" for line in lines]
        return "\n".join(found)
