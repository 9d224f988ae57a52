"""Constants that Flower's Pods share with the hub (`panal.runtimes.flower`), beyond those of all runtimes (`panal.pod.tools.codes`)."""

from __future__ import annotations

from ..codes import FAILURES, Code

SUPERLINK_PORT = 8000  # on loopback

EVALUATE = "evaluate"  # phase of a round: sites evaluate the model
EVALUATE_LOCAL = "evaluate-local"  # phase of an evaluation (spec.mode: Evaluate): sites evaluate the models that they have trained alone
SERVER = "server"  # phase of a round: the server app evaluates the model; also in round 0

# Keys of an app's run config with the number of rounds, the most common first; `_` in an app's key counts as `-`.
ROUNDS_KEYS = ("num-server-rounds", "num-rounds", "server-rounds", "rounds")
# Keys of an app's run config that are set to spec.server.minAvailableClients if the app declares them as integers; `_` counts as `-`.
MIN_CLIENTS_KEYS = {
    f"min-{what}"
    for what in (
        "clients", "nodes", "available-clients", "available-nodes", "fit-clients", "train-clients", "train-nodes", "evaluate-clients",
        "evaluate-nodes", "num-clients", "num-nodes",
    )
}  # fmt: skip


class FlowerEnding(Code):
    """Why a program of Flower's Pods ends, or ends the run."""

    FLOWER_NOT_SUPPORTED = "FlowerNotSupported"
    FLOWER_VERSIONS_DIFFER = "FlowerVersionsDiffer"
    WORKFLOW_HALTED = "WorkflowHalted"
    MODEL_TOO_LARGE = "ModelTooLarge"
    AGGREGATION_NOT_POSSIBLE = "AggregationNotPossible"  # by the method of spec.server.aggregation


class FlowerDoubt(Code):
    """A problem that does not end the run."""

    TREES_LOST = "TreesLost"


ENDINGS: frozenset[str] = frozenset({*FAILURES, *FlowerEnding})
