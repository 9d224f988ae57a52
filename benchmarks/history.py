"""What the history of a large run costs the reporter: memory, and time for a row, for the ConfigMap, and for a checkpoint.

.venv/bin/python -m benchmarks.history --rounds 1000 --clusters 300 --metrics 3
"""

from __future__ import annotations

import argparse
import random
import resource
import tempfile
import time
from pathlib import Path

from panal.api.history import FILE, for_config_map, of_config_map
from panal.api.progress import Progress
from panal.pod.fold import fold
from panal.pod.history import HistoryLog
from panal.pod.tools.codes import END, TRAIN
from panal.pod.tools.records import Record, Reply, Round


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, number in (("rounds", 1000), ("clusters", 300), ("metrics", 3)):
        parser.add_argument(f"--{name}", type=int, default=number)
    given = parser.parse_args()
    sites = [f"cluster{number:03}" for number in range(given.clusters)]
    counters: dict[str, tuple[int, int]] = {}
    state, history = Progress(), HistoryLog({"name": "large", "namespace": "team", "uid": "u"}, "job", lambda: counters)
    before, row, folded = memory(), 0.0, 0.0
    for number in range(1, given.rounds + 1):
        counters = {site: (number * 1_000_000 + random.randrange(9999), number * 1_000_000) for site in sites}
        replies = {site: Reply(seconds=random.random(), metrics={f"m{i}": random.random() for i in range(given.metrics)}) for site in sites}
        records: list[Record] = [
            Round(
                round=number,
                phase=TRAIN,
                replies=len(sites),
                failures=0,
                seconds=2.0,
                collaborators=replies,
                metrics={"loss": random.random()},
            ),
            Round(round=number, phase=END, seconds=2.5, time=float(number)),
        ]
        for record in records:
            began = time.perf_counter()
            state = fold(state, record)
            folded += time.perf_counter() - began
            began = time.perf_counter()
            history.note(state, record)
            row += time.perf_counter() - began
    each = f"a row {1000 * row / given.rounds:.1f} ms, folding its records {1000 * folded / given.rounds:.1f} ms"
    print(f"memory {memory() - before:.0f} MB; {each}")
    for what, make in (
        ("first ConfigMap", history.shortened),
        ("next ConfigMap", history.shortened),
        ("checkpoint", lambda _: history.packed()),
    ):
        began = time.perf_counter()
        made = make(state)
        print(f"{what}: {len(made) / 1024:.0f} KiB in {time.perf_counter() - began:.2f} s")
    packed = history.shortened(state)
    began = time.perf_counter()
    found = of_config_map({"binaryData": for_config_map(packed)})
    assert found
    named = sum(each.clusters is not None for each in found.rounds)
    print(f"read: {len(found.rounds)} rounds, {named} with clusters, in {time.perf_counter() - began:.2f} s")
    with tempfile.TemporaryDirectory() as folder:
        history.save(Path(folder), list(history.rows))
        print(f"the file: {(Path(folder) / FILE).stat().st_size / 1e6:.1f} MB")


def memory() -> float:
    """The largest so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


if __name__ == "__main__":
    main()
