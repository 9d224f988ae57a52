"""Lets the clusters of a local platform take part: installs the add-on on all of them, and waits until each has its certificate.

What is there already is left as it is: somebody may have chosen other clusters, or shut one out. Nobody waits for those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from panal.addon import install, issued
from panal.api import names
from panal.cli.tasks import together
from panal.kube import kinds
from panal.kube.client import Client
from panal.kube.errors import AlreadyExists, NotFound
from panal.kube.objects import Object, condition, holds, key_of
from panal.kube.times import now_utc
from panal.local.supervisor.folder import HUB
from panal.local.supervisor.ready import NotYetError, Patience

LATER = 1.0  # seconds after all else: what is missing beneath this explains it better
WORDS_AFTER = 25  # looks in vain, five seconds: then it is said what is waited for
Tell = Callable[[str], None]


def objects() -> list[Object]:
    namespace = names.SYSTEM_NAMESPACE
    return [*install.everywhere(namespace), install.addon([install.placed_everywhere(namespace)])]


async def let_all_take_part(patience: Patience, hub: Client, clusters: Iterable[str], tell: Tell) -> None:
    """Returns when every cluster that is to take part can. PlatformError with what is said of the one that cannot."""
    later = replace(patience, until=patience.until + LATER)
    ours = True

    async def installed() -> bool:
        nonlocal ours
        ours = all([await _is_there(hub, obj) for obj in objects()])
        return True

    await later.wait(HUB, "add-ons can be installed", installed)
    await together(*(_wait(later, hub, cluster, ours, tell) for cluster in clusters))


async def _is_there(hub: Client, obj: Object) -> bool:
    """Whether it is as we make it; it is made where there is none."""
    try:
        found = await hub.create(obj)
    except AlreadyExists:
        found = await hub.get(kinds.kind_of(obj), *key_of(obj))
    return _within(obj["spec"], found["spec"])


def _within(ours: Any, theirs: Any) -> bool:
    """The API server adds defaults, so only what we say is compared."""
    if isinstance(ours, Mapping):
        return isinstance(theirs, Mapping) and all(key in theirs and _within(value, theirs[key]) for key, value in ours.items())
    if isinstance(ours, Sequence) and not isinstance(ours, str):
        return isinstance(theirs, Sequence) and len(ours) == len(theirs) and all(map(_within, ours, theirs))
    return bool(ours == theirs)


async def _wait(patience: Patience, hub: Client, cluster: str, chosen: bool, tell: Tell) -> None:
    looks = 0

    async def settled() -> bool:
        nonlocal looks
        looks += 1
        try:
            said = await _takes_part(hub, cluster, chosen)
        except NotYetError as why:
            if looks == WORDS_AFTER:
                tell(f"{cluster}: waits for its certificate. {why}")
            raise
        tell(f"{cluster}: {said}")
        return True

    await patience.wait("hub-controller", f"{cluster} can take part", settled)


async def _takes_part(hub: Client, cluster: str, chosen: bool) -> str:
    """What is said of a cluster for which there is nothing to wait; NotYetError says what is missing."""
    try:
        addon = await hub.get(kinds.MANAGED_CLUSTER_ADDON, cluster, names.ADDON)
    except NotFound:
        if not chosen:
            return f"is not among those that may take part: `kubectl get clustermanagementaddon {names.ADDON} -o yaml`"
        raise NotYetError(f"Open Cluster Management has not installed {names.ADDON} there") from None
    if issued.revoked(addon):
        return f"is shut out; `panal certs restore {cluster}` lets it take part again"
    if holds(addon, "Available") and issued.valid(issued.issued(addon), now_utc()):
        return "has its certificate"
    raise NotYetError(condition(addon, "Available").get("message") or f"Nobody has said anything of {names.ADDON} there")
