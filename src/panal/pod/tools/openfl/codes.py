"""Constants that OpenFL's Pods share with the hub (`panal.runtimes.openfl`), beyond those of all runtimes (`panal.pod.tools.codes`)."""

from __future__ import annotations

from ..codes import FAILURES, Code

AGGREGATOR_PORT = 8000  # on loopback
SERVICE = "/openfl.aggregator.Aggregator/"  # prefix of the paths of OpenFL's gRPC service
LARGEST_REPLY = 256 << 20  # bytes of a task's results, if the resource sets no size

EVALUATE = "evaluate"  # phase of a round: sites evaluate the model


class OpenFLEnding(Code):
    """Why a program of OpenFL's Pods ends, or ends the run."""

    OPENFL_NOT_SUPPORTED = "OpenFLNotSupported"


ENDINGS: frozenset[str] = frozenset({*FAILURES, *OpenFLEnding})
