"""Events, as `kubectl get events` and `kubectl describe` show them.

The name of an Event is derived from its object, reason and message. Repeating an Event, from any process, therefore increments the count
of the existing one. An Event that cannot be written is logged and dropped.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import timedelta
from typing import Literal, Protocol

from panal.api.names import FIELD_MANAGER
from panal.api.text import shown
from panal.kube import metrics
from panal.kube.errors import AlreadyExists, KubeError
from panal.kube.kinds import EVENT, Kind
from panal.kube.objects import Object, key_of, uid_of, version_of
from panal.kube.times import Now, from_time, now_utc, to_micro_time, to_time

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 1024  # the API server's limit
REPEATED_AFTER = timedelta(seconds=15)  # an earlier repetition is the effect of a restart, and not counted


class EventApi(Protocol):
    """The methods of `panal.kube.client.Client` that are used."""

    async def get(self, kind: Kind, namespace: str, name: str) -> Object: ...

    async def create(self, obj: Object) -> Object: ...

    async def merge_patch(self, kind: Kind, namespace: str, name: str, patch: Object) -> Object: ...


class EventRecorder:
    """`component` is what `kubectl describe` shows as the source; `instance` is the Pod's name."""

    def __init__(self, api: EventApi, component: str = FIELD_MANAGER, instance: str = "", now: Now = now_utc) -> None:
        self._api = api
        self._component = component
        self._instance = instance or component
        self._now = now

    async def record(self, regarding: Object, type_: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        """`regarding` needs apiVersion, kind and metadata with name, namespace and uid. Does not raise if the Event cannot be written."""
        event = self._event(regarding, type_, reason, shortened(shown(message)))
        try:
            await self._create_or_count(event)
        except KubeError as error:
            metrics.EVENTS_LOST.inc()
            log.warning("Event %s on %s not written: %s", reason, regarding["metadata"]["name"], error)

    async def _create_or_count(self, event: Object) -> None:
        try:
            await self._api.create(event)
        except AlreadyExists:
            await self._count(event)

    async def _count(self, event: Object) -> None:
        namespace, name = key_of(event)
        before = await self._api.get(EVENT, namespace, name)
        if self._now() - from_time(before["lastTimestamp"]) < REPEATED_AFTER:
            return
        patch = {
            "metadata": {"resourceVersion": version_of(before)},
            "count": (before.get("count") or 1) + 1,
            "lastTimestamp": event["lastTimestamp"],
        }
        await self._api.merge_patch(EVENT, namespace, name, patch)

    def _event(self, regarding: Object, type_: str, reason: str, message: str) -> Object:
        now = self._now()
        namespace, name = key_of(regarding)
        return {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.kind,
            "metadata": {"namespace": namespace or "default", "name": _event_name(regarding, type_, reason, message)},
            "involvedObject": {
                "apiVersion": regarding["apiVersion"],
                "kind": regarding["kind"],
                "namespace": namespace,
                "name": name,
                "uid": uid_of(regarding),
            },
            "type": type_,
            "reason": reason,
            "action": reason,
            "message": message,
            "count": 1,
            "firstTimestamp": to_time(now),
            "lastTimestamp": to_time(now),
            "eventTime": to_micro_time(now),  # orders Events of the same second
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "reportingInstance": self._instance,
        }


def shortened(message: str) -> str:
    """At most MAX_MESSAGE_BYTES of UTF-8. A truncated message ends in an ellipsis."""
    encoded = message.encode()
    if len(encoded) <= MAX_MESSAGE_BYTES:
        return message
    return encoded[: MAX_MESSAGE_BYTES - 3].decode(errors="ignore") + "…"


def _event_name(regarding: Object, type_: str, reason: str, message: str) -> str:
    identity = "\0".join((regarding["kind"], uid_of(regarding), type_, reason, message))
    return f"{regarding['metadata']['name'][:200].rstrip('-.')}.{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
