"""The remedies of the OpenFL runtime: for its own reasons, and more specific ones for others."""

from __future__ import annotations

from panal.pod.tools.codes import Ending
from panal.pod.tools.openfl.codes import OpenFLEnding

_LOG = "Read the log of the aggregator's container aggregator."

REMEDIES: dict[str, str] = {
    Ending.APP_INVALID: "Check that the image's working directory holds an OpenFL workspace that `fx plan initialize` accepts.",
    OpenFLEnding.OPENFL_NOT_SUPPORTED: "Install openfl==1.9 in spec.server.image and spec.client.image, and create the run again.",
    Ending.SERVER_APP_FAILED: f"{_LOG} OpenFL could not aggregate what the collaborators sent.",
    Ending.AGGREGATOR_FAILED: _LOG,
    Ending.NO_RESULT: f"Check status.collaborators for the causes. {_LOG}",
    Ending.MODEL_MISSING: "Check that a task of the plan trains, or set spec.result to Files or None.",
}
