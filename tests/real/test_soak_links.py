"""Runs of three clusters on real nodes, one of which is behind a weak link (`tests/testenv/weak_link.py`) (`make soak`).

The link has a round trip of 300 ms, loses 2 % of the frames and carries 1 Mbit/s in each direction. All that the cluster sends and receives
passes it: the run, the agents of Open Cluster Management, certificates and the Pod's report.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from containers import Containers
from runs import Run, apply

pytestmark = [pytest.mark.real, pytest.mark.nodes, pytest.mark.soak]

NS, SITES, WEAK = "runs", ["cluster1", "cluster2", "cluster3"], "cluster3"
MANY = 30  # rounds
CUT_SECONDS = 120
LARGE = 1_000_000  # numbers of a model; each has four bytes
PATIENCE = 900  # seconds


@pytest.fixture
def weak(engine: Containers) -> Iterator[Containers]:
    engine.fleet.weaken(WEAK)
    yield engine
    engine.restore(WEAK)
    print("the weak link:", engine.fleet.mend(WEAK))


def start(engine: Containers, name: str, rounds: int, seconds: int = 0, numbers: int = 3) -> Run:
    """All clusters are needed. `seconds` is what a training takes at least, `numbers` the size of the model."""
    server = {"rounds": rounds, "quorumTimeoutSeconds": 300, "env": [{"name": "STEPS_NUMBERS", "value": str(numbers)}]}
    return apply(engine, NS, name, clusters=SITES, server=server, client={"env": [{"name": "STEPS_SECONDS", "value": str(seconds)}]})


def complete(run: Run) -> None:
    run.until_cleaned()
    run.delete()


def test_every_cluster_takes_part_in_every_round(weak: Containers) -> None:
    run = start(weak, "many-rounds", MANY)
    run.until_every_round_counted(SITES, PATIENCE)
    complete(run)


def test_a_large_model_passes_and_the_status_names_the_slow_cluster(weak: Containers) -> None:
    run = start(weak, "large-model", 2, numbers=LARGE)
    for number in (1, 2):
        run.until(lambda s, n=number: s.get("message") == f"round {n} of 2: waits for {WEAK}", f"round {number} waits", PATIENCE)
    run.until_every_round_counted(SITES, PATIENCE)
    complete(run)


def test_no_round_is_lost_when_the_cable_is_cut_for_two_minutes(weak: Containers) -> None:
    """While the clusters train. All are needed, and Flower gives up a cluster that is silent for 60 s: the round waits and is repeated."""
    run = start(weak, "long-cut", 3, seconds=10)
    run.until_round(1)
    weak.cut(WEAK)
    cut = time.monotonic()
    run.until(lambda s: s.get("message") == f"round 2 of 3: waits for {WEAK}", "the status names the cluster", CUT_SECONDS)
    time.sleep(max(0.0, cut + CUT_SECONDS - time.monotonic()))
    weak.restore(WEAK)
    run.until_no_round_is_lost(SITES, PATIENCE)
    complete(run)
