"""Constants that Flower's Pods share with the hub (`panal.runtimes.flower`), beyond those of all runtimes (`panal.pod.tools.codes`)."""

from __future__ import annotations

from ..codes import Code, Ending

SUPERLINK_PORT = 8000  # on loopback

EVALUATE = "evaluate"  # phase of a round: sites evaluate the model
SERVER = "server"  # phase of a round: the server app evaluates the model; also in round 0

# Keys of an app's run config with the number of rounds, the most common first; `_` in an app's key counts as `-`.
ROUNDS_KEYS = ("num-server-rounds", "num-rounds", "server-rounds", "rounds")


class FlowerEnding(Code):
    """Why a program of Flower's Pods ends, or ends the run."""

    FLOWER_NOT_SUPPORTED = "FlowerNotSupported"
    FLOWER_VERSIONS_DIFFER = "FlowerVersionsDiffer"
    WORKFLOW_HALTED = "WorkflowHalted"


class FlowerDoubt(Code):
    """A problem that does not end the run."""

    TREES_LOST = "TreesLost"


ENDINGS: frozenset[str] = frozenset({*Ending, *FlowerEnding})
