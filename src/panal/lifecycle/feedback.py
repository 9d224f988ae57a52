"""The values of the collaborator's Pod that OCM's work agent reports in the status of the ManifestWork, with their names.

Containers are selected by name, because a site may inject containers into Pods, and the order of container statuses is not specified.
"""

from __future__ import annotations

from typing import Any

from panal.api import names
from panal.lifecycle import pods
from panal.lifecycle.world import Object

_POD = {
    "phase": ".status.phase",
    "unschedulable": '.status.conditions[?(@.type=="PodScheduled")].message',
}
# At a site with a policy; the decision is a condition that the site controller writes.
_DECISION = f'.status.conditions[?(@.type=="{names.SITE_GATE}")]'
_SITE = {
    "siteGate": f'.spec.schedulingGates[?(@.name=="{names.SITE_GATE}")].name',
    "siteDecision": f"{_DECISION}.status",
    "siteReason": f"{_DECISION}.reason",
}
_INIT = {"toolsWaiting": pods.TOOLS, "gatewayWaiting": pods.GATEWAY}  # sidecars are init containers as well
_MAIN = {
    "waiting": "state.waiting.reason",
    "waitingMessage": "state.waiting.message",
    "ready": "ready",
    "restarts": "restartCount",
    "lastExitCode": "lastState.terminated.exitCode",
    "lastReason": "lastState.terminated.reason",
    "lastMessage": "lastState.terminated.message",
}


def rule(stateful_set: Object) -> dict[str, Any]:
    """The feedback rule for the Pod of this StatefulSet, as JSONPaths."""
    pod = stateful_set["spec"]["template"]["spec"]
    main = pod["containers"][0]["name"]
    init = {value: _path("initContainerStatuses", name, "state.waiting.reason") for value, name in _INIT.items()}
    site = _SITE if pod.get("schedulingGates") else {}
    paths = {**_POD, **site, **init, **{value: _path("containerStatuses", main, field) for value, field in _MAIN.items()}}
    return {"type": "JSONPaths", "jsonPaths": [{"name": value, "path": path} for value, path in paths.items()]}


def _path(statuses: str, container: str, field: str) -> str:
    return f'.status.{statuses}[?(@.name=="{container}")].{field}'
