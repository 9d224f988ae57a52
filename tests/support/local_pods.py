"""Pods that are processes of this machine: how tests find them, kill them and stop them, and what their images are made of.

The node marks everything that it starts (`panal.local.node.records`); a node is known by the folder of its state.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

from panal.local.node.recipes import build, build_own

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / ".cache/local-images"  # Python environments take half a minute to make
LOG_LINES = 40


def make_images(store: Path, work: Path) -> None:
    """Panal's own images and `panal/test-app:1`, which has the environment of the example."""
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    store.mkdir(parents=True, exist_ok=True)
    (store / ".venvs").symlink_to(ENVIRONMENTS)
    build_own(store)
    app = work / "app"
    shutil.copytree(ROOT / "tests/real/app", app)
    shutil.copy(ROOT / "examples/mnist/requirements.txt", app)
    build(app, "panal/test-app:1", store)


def share_image(store: Path, image: str, other: Path, name: str) -> None:
    """What one store has as `image` is in another as `name`."""
    place = other.joinpath(*name.rsplit(":", 1))
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    place.symlink_to(store.joinpath(*image.rsplit(":", 1)))


def processes(node: Path, pod: str = "", program: str = "") -> list[int]:
    """Those of the Pods of a node: all, or of the Pod of that name, whose command line matches the pattern."""
    return [pid for pid, words, env in _all() if _of(env, node, pod) and re.search(program, words)]


def _of(env: bytes, node: Path, pod: str) -> bool:
    variables = env.split(b"\0")
    marked = any(v.startswith(f"PANAL_CONTAINER={node}/".encode()) for v in variables)
    return marked and (not pod or f"HOSTNAME={pod}".encode() in variables)


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


def logs(node: Path, uid: str) -> str:
    """The last lines of all containers of a Pod."""
    found = []
    for log in sorted((node / "pods" / uid / "containers").glob("*/*/log")):
        lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        found += [f"[{log.parent.parent.name} {log.parent.name}] {line}" for line in lines]
    return "\n".join(found)


def claim_loopback() -> tuple[int, socket.socket]:
    """A number N such that nobody else of this machine's tests uses 127.N.x.y, as long as the socket is open."""
    for number in range(64, 255):
        claim = socket.socket()
        try:
            claim.bind((f"127.{number}.255.254", 47000))
        except OSError:
            claim.close()
            continue
        return number, claim
    raise RuntimeError("all loopback ranges are taken")
