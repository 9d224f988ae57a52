"""Refuses to start beside another controller that handles the same runs: each would undo what the other does.

Controllers of one installation share a Lease, and one of them leads. Another installation has a Lease in its own namespace, and the former
controller of Open Cluster Management has one with a name of its own.
"""

from __future__ import annotations

import logging
from typing import Protocol

from panal.api import names
from panal.api.text import shown
from panal.kube.client import Listing, Selector
from panal.kube.clock import Clock, SystemClock
from panal.kube.errors import Forbidden
from panal.kube.kinds import LEASE, Kind
from panal.kube.objects import Key, Object, key_of, version_of

log = logging.getLogger(__name__)
LEASES = (names.CONTROLLER_LEASE, names.FORMER_LEASE)
EVERY = 2.0  # seconds between two looks
DURATION, LONGEST = 30, 60  # seconds: of a Lease that does not say it, and what a start waits at most


class SecondController(Exception):  # noqa: N818  says what it is
    """Another controller handles the same runs. The message names it and the remedy."""


class Api(Protocol):
    async def list(self, kind: Kind, selector: Selector) -> Listing: ...


async def refuse_second(api: Api, namespace: str, clock: Clock | None = None) -> None:
    """Raises SecondController if somebody renews another controller's Lease, and ApiError. A Lease that stays unchanged for its duration
    is left over. An admission policy limits who may write one (charts/panal/templates/leases.yaml)."""
    clock = clock or SystemClock()
    seen = await _others(api, namespace)
    if not seen:
        return
    log.info("waiting whether another controller runs: %s", ", ".join(f"{key.namespace}/{key.name}" for key in seen))
    longest = min(LONGEST, max(_duration(lease) for lease in seen.values()))
    began = clock.monotonic()
    while clock.monotonic() - began <= longest:
        await clock.sleep(EVERY)
        for key, lease in (await _others(api, namespace)).items():
            if key not in seen or version_of(lease) != version_of(seen[key]):
                raise SecondController(_told(key, lease))


def _told(key: Key, lease: Object) -> str:
    holder = shown(str(lease["spec"]["holderIdentity"]), 100)
    return (
        f"{names.other_controller(key.name)} ({holder}) runs in the namespace {key.namespace} and handles the same runs: "
        "remove it, or this one (docs/how-to/migrate.md)"
    )


def _duration(lease: Object) -> float:
    return float(lease["spec"].get("leaseDurationSeconds") or DURATION)


async def _others(api: Api, namespace: str) -> dict[Key, Object]:
    """The Leases of other installations that have a holder."""
    try:
        found = [each for name in LEASES for each in (await api.list(LEASE, Selector(fields=f"metadata.name={name}"))).items]
    except Forbidden as error:
        log.warning("cannot look for other controllers: %s", error)
        return {}
    own = Key(namespace, names.CONTROLLER_LEASE)
    return {key_of(each): each for each in found if key_of(each) != own and (each.get("spec") or {}).get("holderIdentity")}
