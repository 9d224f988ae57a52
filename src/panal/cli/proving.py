"""Waits until a version of a service answers, and proves which one does. `panal.serving.revision` decides."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from panal.cli.served import Service
from panal.kube import kinds
from panal.kube.client import Selector
from panal.kube.errors import ApiError, NotFound, TooManyRequests, Unavailable
from panal.kube.kinds import Kind
from panal.kube.objects import Object
from panal.serving import predictor, revision
from panal.serving.revision import Answer, Pods
from panal.serving.version import Version

LOOK = 1.0  # seconds
ANSWERING = 20.0  # seconds in which a Pod that is ready answers without an error
LINES = 5  # of the log of a container that crashes


@dataclass(frozen=True, slots=True)
class Asking:
    """`probe`: the body of a prediction; None asks for the model's metadata. `wait`: seconds until the version must answer."""

    protocol: str
    probe: Any = None
    wait: float = 300.0


@dataclass(frozen=True, slots=True)
class Proof:
    """`digest` is empty if the runtime does not state it; then `pods`, which were made from the version, are the proof."""

    pods: tuple[str, ...]
    digest: str
    answer: Any


class NotServed(Exception):  # noqa: N818  what has happened
    """The version does not answer: why, with the last lines of a container that has crashed."""


async def prove(service: Service, name: str, wanted: Version, asking: Asking, say: Callable[[str], None]) -> Proof:
    """`name`: the InferenceService. Raises NotServed."""
    until, watch = time.monotonic() + asking.wait, Watch(service, name, wanted, asking)
    while True:
        try:
            proof = await watch.look()
        except (Unavailable, TooManyRequests) as error:
            proof, watch.why = None, str(error)
        except ApiError as error:
            raise NotServed(f"it cannot be proven that the model of {wanted.run} answers: {error}") from error
        if proof is not None:
            return proof
        if watch.hopeless or time.monotonic() >= until:
            late = "" if watch.hopeless else f" within {asking.wait:g} s"
            raise NotServed(f"the model of {wanted.run} does not answer{late}: {watch.why}{await _log(service, watch.crashed)}")
        say(f"{name}: {watch.why or 'its Pods are ready'}")
        await asyncio.sleep(LOOK)


@dataclass(slots=True)
class Watch:
    """What has been seen of a version. `why` it has not answered; `failing`: since when a Pod that is ready gives no right answer."""

    service: Service
    name: str
    wanted: Version
    asking: Asking
    asked: dict[str, Answer] = field(default_factory=dict)
    why: str = ""
    crashed: str = ""
    hopeless: bool = False
    failing: float | None = None

    async def look(self) -> Proof | None:
        pods = await _look(self.service, self.name, self.wanted)
        self.crashed, self.hopeless = pods.crashed, pods.hopeless
        self.why = pods.problem or (f"Pods of another version are still ready: {', '.join(pods.others)}" if pods.others else "")
        for pod in pods.ready:
            if pod not in self.asked or self.asked[pod].problem:
                self.asked[pod], _ = await _ask(self.service, kinds.POD, f"{pod}:{predictor.PORT}", self.wanted, self.asking)
        found = next((self.asked[pod] for pod in pods.ready if self.asked[pod].problem), None)
        self.hopeless = self.hopeless or (found is not None and found.wrong)
        if found is None and revision.only(pods, self.asked):
            target = f"{predictor.predictor_of(self.name)}:{predictor.SERVICE_PORT}"
            found, content = await _ask(self.service, kinds.SERVICE, target, self.wanted, self.asking)
            if not found.problem:
                return Proof(pods.ready, found.digest, content)
        if found is not None:
            self.why = f"its Pods are ready, and {found.problem}"
            self.failing = self.failing or time.monotonic()
            self.hopeless = self.hopeless or time.monotonic() - self.failing > ANSWERING
        return None


async def _look(service: Service, name: str, wanted: Version) -> Pods:
    labels = f"serving.kserve.io/inferenceservice={name},component=predictor"
    found = (await service.client.list(kinds.POD, Selector(service.namespace, labels))).items
    try:
        deployment: Object | None = await service.client.get(kinds.DEPLOYMENT, service.namespace, predictor.predictor_of(name))
    except NotFound:
        deployment = None
    return revision.look(found, deployment, wanted)


async def _ask(service: Service, kind: Kind, name: str, wanted: Version, asking: Asking) -> tuple[Answer, Any]:
    """What a Pod or the Service answers through the API server, and the content."""
    predicts = asking.probe is not None
    path = revision.path(service.name, asking.protocol, predicts)
    reply = await service.client.ask(kind, service.namespace, name, path, asking.probe)
    try:
        content = msgspec.json.decode(reply.content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        content = reply.content[:300].decode(errors="replace")
    return revision.answer(reply.status, reply.headers, content, wanted, predicts), content


async def _log(service: Service, pod: str) -> str:
    """The last lines of the container, if a Pod has crashed."""
    if not pod:
        return ""
    try:
        lines = [each async for each in service.client.logs(service.namespace, pod, predictor.CONTAINER, tail=LINES)]
    except ApiError:
        return ""
    return f"; its log ends with: {' | '.join(line.decode(errors='replace').strip() for line in lines)}" if lines else ""
