"""The remedies of the runtime `other` where they are more specific than those of `lifecycle.reasons`."""

from __future__ import annotations

from panal.pod.tools.codes import Ending

REMEDIES: dict[str, str] = {
    Ending.APP_INVALID: "Correct spec.server.command or spec.client.command, or the image.",
    Ending.SERVER_APP_FAILED: "Read the log of the aggregator's container server.",
    Ending.AGGREGATOR_FAILED: "Read the log of the aggregator's container server.",
    Ending.MODEL_MISSING: "Have the server write PANAL_MODEL before it ends, or set spec.result to Files or None.",
    Ending.NO_RESULT: "Have the server write a record for each round, with the number of replies. Read the log of its container server.",
}
