"""The remedies of the Flower runtime: for its own reasons, and more specific ones for others."""

from __future__ import annotations

from panal.pod.tools.codes import Doubt, Ending
from panal.pod.tools.flower.codes import FlowerDoubt, FlowerEnding

NOTICES = tuple(str(doubt) for doubt in FlowerDoubt)

REMEDIES: dict[str, str] = {
    Ending.APP_INVALID: "Check that the image's working directory holds a Flower app (`flwr build` in that folder reports why not).",
    FlowerEnding.FLOWER_NOT_SUPPORTED: "Build the image with such a version, and create the run again.",
    FlowerEnding.FLOWER_VERSIONS_DIFFER: "Install the same minor version of flwr in spec.server.image and spec.client.image.",
    Ending.SERVER_APP_FAILED: "Read the log of the aggregator's container superlink.",
    Ending.MODEL_MISSING: "Check that the server app's strategy returns arrays, or set spec.result to Files or None.",
    Ending.AGGREGATOR_FAILED: "Read the log of the aggregator's container launcher.",
    FlowerEnding.WORKFLOW_HALTED: ("Read the log of the aggregator's container superlink. Secure aggregation needs enough collaborators."),
    FlowerEnding.MODEL_TOO_LARGE: "Raise the memory limit in spec.server.resources to what the message says, or more.",
    FlowerEnding.AGGREGATION_NOT_POSSIBLE: "Let the app train with one of Flower's strategies that average, or remove the field.",
    Ending.NO_RESULT: "Check status.collaborators for the causes, and read the log of the aggregator's container superlink.",
    Doubt.NOT_AGGREGATED: "The strategy may need more collaborators than took part. Read the log of the aggregator's container superlink.",
    FlowerDoubt.TREES_LOST: "Have each site send one tree a round, or write a strategy that aggregates them.",
}
