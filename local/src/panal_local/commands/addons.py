"""Installs the add-on on all clusters of a local platform, and waits until each of them has its certificate.

Existing objects are not changed: the user may have selected other clusters, or revoked one. Those clusters are not waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from panal.addon import install, issued
from panal.api import names
from panal.client.tasks import together
from panal.kube import kinds
from panal.kube.client import Client
from panal.kube.errors import AlreadyExists, NotFound
from panal.kube.objects import Object, condition, holds, key_of
from panal.kube.times import now_utc
from panal_local.supervisor.folder import HUB
from panal_local.supervisor.ready import NotYetError, Waiter

LATER = 1.0  # seconds after all other limits: an error below the add-on explains more
REPORT_AFTER = 25  # failed checks, five seconds: then the cause is reported
Tell = Callable[[str], None]


def objects() -> list[Object]:
    namespace = names.SYSTEM_NAMESPACE
    return [*install.everywhere(namespace), install.addon([install.placed_everywhere(namespace)])]


async def install_everywhere(waiter: Waiter, hub: Client, clusters: Iterable[str], tell: Tell) -> None:
    """Returns when every selected cluster can take part. Raises PlatformError with the cause for a cluster that cannot."""
    later = replace(waiter, until=waiter.until + LATER)
    ours = True

    async def installed() -> bool:
        nonlocal ours
        ours = all([await _is_there(hub, obj) for obj in objects()])
        return True

    await later.wait(HUB, "add-ons can be installed", installed)
    await together(*(_wait(later, hub, cluster, ours, tell) for cluster in clusters))


async def _is_there(hub: Client, obj: Object) -> bool:
    """Creates the object if it does not exist. Whether its spec is the one of panal."""
    try:
        found = await hub.create(obj)
    except AlreadyExists:
        found = await hub.get(kinds.kind_of(obj), *key_of(obj))
    return _within(obj["spec"], found["spec"])


def _within(ours: Any, theirs: Any) -> bool:
    """Compares only the fields of `ours`, since the API server adds defaults."""
    if isinstance(ours, Mapping):
        return isinstance(theirs, Mapping) and all(key in theirs and _within(value, theirs[key]) for key, value in ours.items())
    if isinstance(ours, Sequence) and not isinstance(ours, str):
        return isinstance(theirs, Sequence) and len(ours) == len(theirs) and all(map(_within, ours, theirs))
    return bool(ours == theirs)


async def _wait(waiter: Waiter, hub: Client, cluster: str, chosen: bool, tell: Tell) -> None:
    checks = 0

    async def settled() -> bool:
        nonlocal checks
        checks += 1
        try:
            state = await _state(hub, cluster, chosen)
        except NotYetError as why:
            if checks == REPORT_AFTER:
                tell(f"{cluster}: waits for its certificate. {why}")
            raise
        tell(f"{cluster}: {state}")
        return True

    await waiter.wait("hub-controller", f"{cluster} can take part", settled)


async def _state(hub: Client, cluster: str, chosen: bool) -> str:
    """The state of a cluster that needs no more waiting. Raises NotYetError with what is missing."""
    try:
        addon = await hub.get(kinds.MANAGED_CLUSTER_ADDON, cluster, names.ADDON)
    except NotFound:
        if not chosen:
            return f"is not selected for the add-on: `kubectl get clustermanagementaddon {names.ADDON} -o yaml`"
        raise NotYetError(f"Open Cluster Management has not installed {names.ADDON} there") from None
    if issued.revoked(addon):
        return f"is revoked; `panal certs restore {cluster}` restores it"
    if holds(addon, "Available") and issued.valid(issued.issued(addon), now_utc()):
        return "has its certificate"
    raise NotYetError(condition(addon, "Available").get("message") or f"The add-on {names.ADDON} has no condition Available yet")
