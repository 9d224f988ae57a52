"""What the local platform costs: seconds of `panal up` and `panal down`, processes and memory of a hub and its clusters, in turns.

    make venv
    .venv/bin/python benchmarks/local_platform.py [--clusters 4] [--repeats 3] [--images .cache/local-images] [TREE ...]

TREE is the root of a source tree; two of them are compared side by side. Each turn begins with an empty folder. The Python
environments of panal's own images come from `--images`, where they are made once; the time to make them is not counted. Processes are all
that name the folder in their arguments or environment, Pods apart, of which there are none; memory is their PSS: pages that processes share
are counted once. The seconds of computing, of `panal up` and of all processes soon after, say more than the clock on a busy machine.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

ROOT = Path(__file__).parents[1]
SETTLED = 5.0  # seconds between the end of `panal up` and the look at its processes


@dataclass(frozen=True)
class Turn:
    first_up: float
    cpu_seconds: float
    processes: float
    megabytes: float
    down: float
    second_up: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", type=Path, default=[ROOT])
    parser.add_argument("--clusters", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--images", type=Path, default=ROOT / ".cache/local-images")
    given = parser.parse_args()
    given.images.mkdir(parents=True, exist_ok=True)
    turns: dict[Path, list[Turn]] = {source.resolve(): [] for source in given.sources}
    for source in turns:
        turn(source, 1, given.images)  # makes the environments
    for _ in range(given.repeats):
        for source, done in turns.items():
            done.append(turn(source, given.clusters, given.images))
            print(source, done[-1], flush=True)
    names = [field.name for field in fields(Turn)]
    print("medians".ljust(50), *(name.rjust(12) for name in names))
    for source, done in turns.items():
        print(str(source).ljust(50), *(f"{statistics.median(getattr(t, name) for t in done):12.1f}" for name in names))


def turn(source: Path, clusters: int, images: Path) -> Turn:
    with tempfile.TemporaryDirectory(prefix="panal-") as folder:
        home = Path(folder) / "home"
        (home / "images").mkdir(parents=True)
        (home / "images/.venvs").symlink_to(images.resolve())
        try:
            before = children()
            first = panal(source, home, "up", "--clusters", str(clusters))
            command = children() - before
            time.sleep(SETTLED)
            found = list(processes(home))
            used = command + sum(map(cpu, found))
            memory = sum(map(pss, found)) / 1024
            down = panal(source, home, "down")
            again = panal(source, home, "up")
        finally:
            panal(source, home, "down")
    return Turn(first, used, len(found), memory, down, again)


def panal(source: Path, home: Path, *words: str) -> float:
    """Seconds that the command takes."""
    env = {**os.environ, "PYTHONPATH": f"{source}/src:{source}/local/src", "PANAL_HOME": str(home)}
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "panal.cli.main", *words], env=env, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def processes(home: Path) -> Iterator[int]:
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            if str(home).encode() in words:
                yield int(process.name)


def children() -> float:
    times = os.times()
    return times.children_user + times.children_system


def cpu(pid: int) -> float:
    """Seconds that the process has computed so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pss(pid: int) -> int:
    """In KiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


if __name__ == "__main__":
    main()
