"""A run with secure aggregation of which collaborators are killed while they train, on any engine."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from safetensors.numpy import load

from engine import Engine
from runs import apply

ROUNDS, THRESHOLD = 3, 3
SECONDS = 20  # of a training, in the middle of which sites are killed, on a busy machine as well


def secure_with_drop_outs(engine: Engine, namespace: str, clusters: Sequence[str], killed: Sequence[str]) -> None:
    """Each site adds one to the model in each round, so the mean shows whether masks have stayed in a sum. The killed ones drop out of the
    second round."""
    run = apply(
        engine,
        namespace,
        "secure-killed",
        clusters=list(clusters),
        minimum=THRESHOLD,
        server={"rounds": ROUNDS},
        client={"env": [{"name": "STEPS_SECONDS", "value": str(SECONDS)}]},
        privacy={"secureAggregation": {"threshold": THRESHOLD}},
    )
    run.until_round(1)
    time.sleep(SECONDS / 2)  # one that is killed before it trains goes on with the session when it is back
    for cluster in killed:
        run.kill(cluster, "run.py flower supernode")
    status = run.until_ended("Completed")
    rows = run.history().rounds
    assert [row.secure.threshold if row.secure else 0 for row in rows] == [THRESHOLD] * ROUNDS, run.story()
    assert rows[1].secure is not None
    assert rows[1].secure.dropped == sorted(killed), run.story()
    assert status["privacy"]["secureAggregation"]["threshold"] == THRESHOLD
    model = load(engine.read(namespace, "models", str(status["model"]["uri"]).removeprefix("pvc://models/")))
    assert np.abs(model["shared-weights"] - ROUNDS).max() < 1e-6
    run.until_cleaned(30)
    run.delete()
