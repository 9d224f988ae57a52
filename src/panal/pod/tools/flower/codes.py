"""What Flower's Pods and the hub (`panal.runtimes.flower`) agree on, beside what holds for every runtime (`panal.pod.tools.codes`)."""

from __future__ import annotations

from ..codes import Ending, Word

SUPERLINK_PORT = 8000  # on loopback

EVALUATE = "evaluate"  # phase of a round: sites evaluate the model
SERVER = "server"  # what the server app evaluates itself; may be of round 0

# Keys of an app's run config with the number of rounds, the most usual first; `_` in an app's key counts as `-`.
ROUNDS_KEYS = ("num-server-rounds", "num-rounds", "server-rounds", "rounds")


class FlowerEnding(Word):
    """Why a program of Flower's Pods ends, or ends the run."""

    FLOWER_NOT_SUPPORTED = "FlowerNotSupported"
    FLOWER_VERSIONS_DIFFER = "FlowerVersionsDiffer"
    WORKFLOW_HALTED = "WorkflowHalted"


class FlowerDoubt(Word):
    """What a person should know of a run that goes on."""

    TREES_LOST = "TreesLost"


ENDINGS: frozenset[str] = frozenset({*Ending, *FlowerEnding})
