#!/usr/bin/env python3
"""A weak link between two bridges, in user space, because not every kernel has the qdisc netem.

    weak_link.py NEAR FAR FIGURES [--delay SECONDS] [--loss SHARE] [--rate BYTES] [--queue BYTES] [--seed NUMBER]

Makes the TAP interfaces NEAR and FAR and passes Ethernet frames between them. Each direction has its own wire: frames leave it at `rate`
bytes a second, a queue of `queue` bytes stands before it, which drops what does not fit, a share of `loss` of the frames is lost on it, and
the others arrive after `delay`. The interfaces have no offloads, so the kernel hands over frames as they are on a real wire: segmented and
with checksums. They vanish with the process. At SIGTERM it writes what has passed into the file FIGURES.

`WeakLink` puts this program between a machine's port and the bridge of all machines.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import random
import selectors
import signal
import struct
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bridge import Bridge, run
from processes import reap, spawn

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
LONGEST = 65536  # bytes of a frame; those of a kernel that segments have 1514 at most
STARTED, ENDED = 10, 5  # seconds


@dataclass(frozen=True)
class Weakness:
    """Of each direction: seconds, share of frames, bytes a second, and bytes that wait. By default 300 ms there and back and 1 Mbit/s."""

    delay: float = 0.15
    loss: float = 0.02
    rate: int = 125_000
    queue: int = 100_000


@dataclass
class Wire:
    """One direction. Pure: the caller tells the time."""

    weakness: Weakness
    chance: random.Random
    passed: int = 0
    lost: int = 0
    dropped: int = 0  # because the queue was full
    longest: int = 0  # bytes of a frame
    _free: float = 0.0  # when the last frame that was taken has left
    _under_way: deque[tuple[float, bytes]] = field(default_factory=deque)

    def take(self, frame: bytes, now: float) -> None:
        self.longest = max(self.longest, len(frame))
        waiting = max(0.0, self._free - now) * self.weakness.rate
        if waiting + len(frame) > self.weakness.queue:
            self.dropped += 1
            return
        self._free = max(self._free, now) + len(frame) / self.weakness.rate
        if self.chance.random() < self.weakness.loss:
            self.lost += 1
            return
        self._under_way.append((self._free + self.weakness.delay, frame))

    def arrived(self, now: float) -> Iterator[bytes]:
        while self._under_way and self._under_way[0][0] <= now:
            self.passed += 1
            yield self._under_way.popleft()[1]

    @property
    def next(self) -> float | None:
        """When the next frame arrives."""
        return self._under_way[0][0] if self._under_way else None

    def figures(self) -> dict[str, int]:
        return {"passed": self.passed, "lost": self.lost, "dropped": self.dropped, "longest": self.longest}


def tap(name: str) -> int:
    """A new interface, as long as its file is open."""
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return file


def frames(file: int) -> Iterator[bytes]:
    while True:
        try:
            yield os.read(file, LONGEST)
        except BlockingIOError:
            return


def pass_on(wires: dict[int, tuple[int, Wire]]) -> None:
    """`wires` has for each file to read the file to write, and the wire between them. Returns after SIGTERM."""
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    wake, end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(end)
    with selectors.DefaultSelector() as selector:
        for file in (wake, *wires):
            selector.register(file, selectors.EVENT_READ)
        while not ended:
            times = [t for _, wire in wires.values() if (t := wire.next) is not None]
            ready = selector.select(max(0.0, min(times) - time.monotonic()) if times else None)
            for key, _ in ready:
                for frame in frames(key.fd) if key.fd in wires else ():
                    wires[key.fd][1].take(frame, time.monotonic())
            for to, wire in wires.values():
                for frame in wire.arrived(time.monotonic()):
                    write(to, frame)


def write(file: int, frame: bytes) -> None:
    with suppress(OSError):  # the interface is down: the frame is lost
        os.write(file, frame)


class WeakLink:
    """A weak link at the port of a machine: port - a small bridge - FAR - the program - NEAR - the bridge of all machines."""

    def __init__(self, port: str, bridge: Bridge, folder: Path) -> None:
        self.port, self.bridge = port, bridge
        self.near, self.far, self.small = (f"{letter}{port[1:]}" for letter in "abw")
        self.pid_file, self.file, self.log = folder / "weak-link.pid", folder / "weak-link.json", folder / "weak-link.log"

    @property
    def pid(self) -> int:
        """The program's process, or 0."""
        try:
            pid = int(self.pid_file.read_text())
            return pid if str(self.file).encode() in Path(f"/proc/{pid}/cmdline").read_bytes() else 0
        except (OSError, ValueError):
            return 0

    def begin(self, weakness: Weakness, seed: int) -> None:
        options = [f"--{name}={value}" for name, value in asdict(weakness).items()]
        command = [sys.executable, str(Path(__file__)), self.near, self.far, str(self.file), *options, f"--seed={seed}"]
        process = spawn(command, self.log, {}, self.log.parent)
        self.pid_file.write_text(str(process.pid))
        end = time.monotonic() + STARTED
        while not all(Path("/sys/class/net", name).exists() for name in (self.near, self.far)):
            if time.monotonic() > end or process.poll() is not None:
                raise RuntimeError(f"the weak link of {self.port} did not start: {self.log.read_text()[-500:]}")
            time.sleep(0.02)
        run("ip", "link", "add", self.small, "type", "bridge")
        run("ip", "link", "set", self.small, "up")
        for name, to in ((self.near, self.bridge.name), (self.far, self.small), (self.port, self.small)):
            run("ip", "link", "set", name, "master", to)
        for name in (self.near, self.far):
            run("ip", "link", "set", name, "up")

    def end(self) -> dict[str, dict[str, int]]:
        """Without effect if there is none, or its program was killed. What has passed in the two directions, if it is known."""
        if self.pid:
            os.kill(self.pid, signal.SIGTERM)
        end = time.monotonic() + ENDED
        while pid := self.pid:
            reap()
            if time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        if not self.pid_file.exists():
            return {}
        run("ip", "link", "delete", self.small, check=False)
        run("ip", "link", "set", self.port, "master", self.bridge.name, check=False)
        self.pid_file.unlink()
        found: dict[str, dict[str, int]] = json.loads(self.file.read_text()) if self.file.exists() else {}
        self.file.unlink(missing_ok=True)
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("near", "far"):
        parser.add_argument(name)
    parser.add_argument("figures", type=Path)
    for name, value in asdict(Weakness()).items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    weakness = Weakness(args.delay, args.loss, args.rate, args.queue)
    chance = random.Random(args.seed)
    near, far = tap(args.near), tap(args.far)
    to_far, to_near = Wire(weakness, chance), Wire(weakness, chance)
    pass_on({near: (far, to_far), far: (near, to_near)})
    args.figures.write_text(json.dumps({"to the machine": to_far.figures(), "from the machine": to_near.figures()}))


if __name__ == "__main__":
    main()
