"""The time of each method of spec.server.aggregation and of Flower's own strategies, as multiples of FedAvg's, with the arrays in files.

PYTHONPATH=src .cache/flower-1.42/bin/python -m benchmarks.aggregation --sites 10 --megabytes 100
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from typing import Any

import flwr.app.message.array
import flwr.app.message.arrayrecord
import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg, FedMedian, FedTrimmedAvg, Krum
from flwr.supercore.task_identity import TaskIdentity

from panal.pod.tools.flower import arrays
from panal.pod.tools.flower.methods import Method
from panal.pod.tools.flower.replies import Clusters, Phase
from panal.pod.tools.flower.robust import Robust

ARRAYS = 8  # of a model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, number in (("sites", 10), ("megabytes", 100), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=number)
    given = parser.parse_args()
    arrays.patch(flwr.app.message.array)
    arrays.patch(flwr.app.message.arrayrecord)
    TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 1

    def ours(method: Method) -> Callable[[list[Message]], Any]:
        return lambda found: Robust(method, 1).in_place_of_the_mean("train", aggregated(FedAvg), Clusters(), Phase())(found)

    rows = {"FedAvg": aggregated(FedAvg)}
    rows |= {str(method): ours(method) for method in Method if method is not Method.APP}
    rows |= {
        "Flower's FedMedian": aggregated(FedMedian),
        "Flower's FedTrimmedAvg": aggregated(FedTrimmedAvg),
        "Flower's Krum": aggregated(Krum),
    }
    base = 0.0
    for name, aggregate in rows.items():
        best = min(timed(aggregate, replies(given.sites, given.megabytes)) for _ in range(given.repeats))
        base = base or best
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"{name:24} {best:6.2f} s {best / base:6.2f} of FedAvg, memory at most {peak} MB so far", flush=True)


def aggregated(strategy: Callable[[], Any]) -> Callable[[list[Message]], Any]:
    made = strategy()
    return lambda found: made.aggregate_train(1, found)


def timed(aggregate: Callable[[list[Message]], Any], found: list[Message]) -> float:
    began = time.perf_counter()
    aggregate(found)
    return time.perf_counter() - began


def replies(sites: int, megabytes: int) -> list[Message]:
    rng, found = np.random.default_rng(1), []
    for node in range(1, sites + 1):
        record = ArrayRecord({str(index): Array(rng.random(megabytes * (1 << 18) // ARRAYS, np.float32)) for index in range(ARRAYS)})
        content = RecordDict({"arrays": record, "metrics": MetricRecord({"num-examples": 10})})
        found.append(Message(content, reply_to=Message(RecordDict(), dst_node_id=node, message_type="train")))
    return found


if __name__ == "__main__":
    main()
