"""What a large model costs: bare Flower and panal, one after the other, REPEATS times, with an app that averages a model.

    make test-flower                                                   # once: Flower's environment
    .venv/bin/python benchmarks/large_models.py                        # memory: 800 MB in one array, two collaborators
    .venv/bin/python benchmarks/large_models.py --megabytes 100 --arrays 10 --clients 20 --ways Auto
    .venv/bin/python benchmarks/large_models.py --megabytes 64 --arrays 801   # time: many arrays

The processes and the stand-in for the gateways are those of `flower_overhead.py`. Memory is the largest sum of the proportional set sizes
(PSS) of all processes of the SuperLink, and of those of one SuperNode, the largest of all nodes; it is given in multiples of the model's
size. The memory of the processes without a model is part of it, so models of a few megabytes have large multiples. Seconds are those from
submission to finish.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import statistics
import tempfile
import threading
from pathlib import Path

from flower_overhead import Pods

APP = Path(__file__).parent / "large_app"
PERIOD = 0.1  # seconds between two looks at the memory
WAYS = ("bare", "Auto")


class Memory:
    """The largest PSS of the processes below each of `roots`, in bytes."""

    def __init__(self, roots: list[int]) -> None:
        self.most = dict.fromkeys(roots, 0)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def end(self) -> list[int]:
        self._over.set()
        self._thread.join()
        return list(self.most.values())

    def _watch(self) -> None:
        while not self._over.wait(PERIOD):
            below = children()
            for root in self.most:
                self.most[root] = max(self.most[root], sum(map(pss, family(root, below))))


def children() -> dict[int, list[int]]:
    """The processes that each process has started."""
    found: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            found.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
    return found


def family(root: int, below: dict[int, list[int]]) -> list[int]:
    return [root, *(each for child in below.get(root, []) for each in family(child, below))]


def pss(process: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    return 0


def configured(folder: Path, options: argparse.Namespace) -> Path:
    """The app with a model of `options.megabytes` in `options.arrays`."""
    source = folder / "source"
    shutil.copytree(APP, source)
    file = source / "pyproject.toml"
    text = file.read_text()
    for name in ("megabytes", "arrays"):
        text = text.replace(f"\n{name} = 1\n", f"\n{name} = {getattr(options, name)}\n")
    file.write_text(text)
    return source


def measure(way: str, options: argparse.Namespace) -> tuple[float, float, float]:
    """Seconds, and the memory of the aggregator and of a collaborator in multiples of the model."""
    folder = Path(tempfile.mkdtemp(prefix="panal-benchmark-"))
    pods = Pods(way, folder, app=configured(folder, options), nodes=options.clients, rounds=options.rounds)
    watched: list[Memory] = []
    started = pods.start

    def start(*args: str | list[str], **env: str) -> None:
        started(*args, **env)  # type: ignore[arg-type]
        if len(pods.processes) == options.clients + 1:
            watched.append(Memory([process.pid for process in pods.processes]))

    pods.start = start  # type: ignore[method-assign,assignment]
    try:
        seconds = pods.run()
        aggregator, *collaborators = (most / (options.megabytes << 20) for most in watched[0].end())
        return seconds, aggregator, max(collaborators)
    finally:
        for memory in watched:
            memory.end()
        pods.end()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("megabytes", 800), ("arrays", 1), ("clients", 2), ("rounds", 2), ("repeats", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    options = parser.parse_args()
    found: dict[str, list[tuple[float, float, float]]] = {way: [] for way in WAYS if way in options.ways}
    for number in range(options.repeats):
        for way in found:
            found[way].append(measure(way, options))
            seconds, aggregator, collaborator = found[way][-1]
            print(
                f"{number} {way:5} {seconds:6.1f} s   aggregator {aggregator:5.2f} x model   collaborator {collaborator:5.2f} x model",
                flush=True,
            )
    if len(found) == len(WAYS):
        ratios = [statistics.median(ours[i] / bare[i] for bare, ours in zip(*found.values(), strict=True)) for i in range(3)]
        print("panal's part of bare Flower: time {:.2f}, aggregator's memory {:.2f}, collaborator's memory {:.2f}".format(*ratios))


if __name__ == "__main__":
    main()
