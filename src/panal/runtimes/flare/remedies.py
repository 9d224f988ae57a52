"""The remedies of the FLARE runtime: for its own reason, and more specific ones for others."""

from __future__ import annotations

from panal.pod.tools.codes import Ending
from panal.pod.tools.flare.codes import FlareEnding

_LOG = "Read the log of the aggregator's container server."

REMEDIES: dict[str, str] = {
    Ending.APP_INVALID: "Correct the job folder in the working directory of spec.server.image; FLARE's recipes export one.",
    FlareEnding.FLARE_NOT_SUPPORTED: "Install nvflare==2.9.* in spec.server.image and spec.client.image, and create the run again.",
    Ending.SERVER_APP_FAILED: _LOG,
    Ending.AGGREGATOR_FAILED: _LOG,
    Ending.NO_RESULT: f"Check status.collaborators for the causes. {_LOG}",
    Ending.MODEL_MISSING: "Use a workflow with a global model, such as FedAvg, or set spec.result to Files or None.",
}
