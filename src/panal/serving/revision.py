"""What the Pods of a service do, and which model has answered.

KServe's condition Ready does not say that: it stays True, and modelStatus Loaded, while the Pods of a new version crash and those of the
old one answer. So a version serves when its own Pod has answered, no other Pod is ready, and the Service has answered, each time with the
digest of the version's model if the runtime states one.

A runtime states the digest of the file that it has loaded, as `sha256:` and 64 hexadecimal digits, in the header `model-digest`, or, of
protocol V2, in `model_version` or `parameters.model_digest` of a prediction, or in `versions` of the model's metadata.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from panal.serving.predictor import REVISION
from panal.serving.version import Version

Object = dict[str, Any]
HEADER = "model-digest"
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
RESTARTS = 3  # after which a container that has crashed is not waited for


@dataclass(frozen=True, slots=True)
class Pods:
    """`ready`: the names of the Pods of the version that are ready; `others`: ready Pods of other versions. `problem`: why no Pod of the
    version is ready; `hopeless`: waiting does not help. `crashed`: a Pod of the version with a container that has crashed."""

    ready: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    problem: str = ""
    hopeless: bool = False
    crashed: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request has shown. `digest` is empty if the runtime states none that can be compared. `problem` is empty if the model has
    answered; `wrong`: another model has."""

    digest: str = ""
    problem: str = ""
    wrong: bool = False


def look(pods: Sequence[Object], deployment: Object | None, version: Version) -> Pods:
    mine = [pod for pod in pods if (pod["metadata"].get("annotations") or {}).get(REVISION) == version.revision and not _leaving(pod)]
    others = tuple(pod["metadata"]["name"] for pod in pods if pod not in mine and _ready(pod))
    ready = tuple(pod["metadata"]["name"] for pod in mine if _ready(pod))
    if ready:
        return Pods(ready, others)
    if not mine:
        return Pods((), others, _without_pods(deployment))
    found = [(_waits_for(pod), pod["metadata"]["name"]) for pod in mine]
    hopeless = any(_restarts(pod) >= RESTARTS for pod in mine)
    crashed = next((pod["metadata"]["name"] for pod in mine if _restarts(pod)), "")
    return Pods((), others, f"its Pod {found[0][1]} is not ready: {found[0][0]}", hopeless, crashed)


def _leaving(pod: Object) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp")) or (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded")


def _ready(pod: Object) -> bool:
    """A Pod that ends may still answer for a moment, so it counts."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def _containers(pod: Object) -> list[Object]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _restarts(pod: Object) -> int:
    return max((int(each.get("restartCount") or 0) for each in _containers(pod)), default=0)


def _waits_for(pod: Object) -> str:
    for container in _containers(pod):
        state = container.get("state") or {}
        waiting, ended = state.get("waiting") or {}, state.get("terminated") or (container.get("lastState") or {}).get("terminated") or {}
        if waiting.get("reason") == "CrashLoopBackOff" or (ended and ended.get("exitCode")):
            why = f": {ended['message'].strip()}" if ended.get("message") else ""
            times = f"{container.get('restartCount', 0)} restarts"
            return f"the container {container['name']} crashes ({times}, exit code {ended.get('exitCode', 'unknown')}){why}"
        if waiting and waiting.get("reason") not in ("PodInitializing", "ContainerCreating"):
            return f"{waiting.get('reason')} {waiting.get('message') or ''}".strip()
    conditions = (pod.get("status") or {}).get("conditions") or ()
    scheduled: Object = next((c for c in conditions if c.get("type") == "PodScheduled"), {})
    if scheduled.get("status") == "False":
        return str(scheduled.get("message") or scheduled.get("reason"))
    return str((pod.get("status") or {}).get("message") or "it starts")


def _without_pods(deployment: Object | None) -> str:
    if deployment is None:
        return "KServe has created no Deployment"
    conditions = (deployment.get("status") or {}).get("conditions") or ()
    failed = next((c for c in conditions if c.get("type") == "ReplicaFailure" and c.get("status") == "True"), None)
    return f"its Pod is refused: {failed.get('message') or failed.get('reason')}" if failed else "it has no Pod yet"


def path(model: str, protocol: str, predicts: bool) -> str:
    """Of a prediction, or of the model's metadata."""
    if protocol == "v2":
        return f"/v2/models/{model}/infer" if predicts else f"/v2/models/{model}"
    return f"/v1/models/{model}:predict" if predicts else f"/v1/models/{model}"


def answer(status: int, headers: Mapping[str, str], body: Any, version: Version, predicts: bool) -> Answer:
    """`body`: the JSON of the response, or text if it is none. `headers`: with names in lower case."""
    if status != 200:
        return Answer(problem=f"it answers with status {status}: {_why(body)}")
    if not isinstance(body, dict):
        return Answer(problem="it answers without a JSON object")
    if predicts and not (body.get("outputs") or body.get("predictions")):
        return Answer(problem="it answers without `outputs` or `predictions`")
    stated = digests(headers, body)
    if version.digests and stated and not stated & set(version.digests):
        was, wanted = " ".join(sorted(stated)), " ".join(version.digests)
        return Answer(min(stated), f"the model {was} answers, and the model of {version.run} is {wanted}", wrong=True)
    return Answer(min(stated & set(version.digests), default=""))


def digests(headers: Mapping[str, str], body: Object) -> set[str]:
    """Those that the response states, as sha256:<hex>."""
    parameters, versions = body.get("parameters"), body.get("versions")
    stated: list[object] = [headers.get(HEADER), body.get("model_version")]
    stated += [parameters.get("model_digest")] if isinstance(parameters, dict) else []
    stated += versions if isinstance(versions, list) else []
    found = (_DIGEST.fullmatch(each) for each in stated if isinstance(each, str))
    return {f"sha256:{each[1]}" for each in found if each}


def _why(body: Any) -> str:
    if isinstance(body, dict):
        body = body.get("error") or body.get("message") or body.get("detail") or body
    return str(body)[:300]


def only(ready: Pods, asked: Collection[str]) -> bool:
    """Whether all ready Pods are of the version and have answered."""
    return bool(ready.ready) and not ready.others and set(ready.ready) <= set(asked)
