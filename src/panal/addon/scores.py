"""The AddOnPlacementScore of a cluster with the add-on: how much CPU, memory and GPUs are free there, as far as the hub knows.

Free is what the cluster's nodes offer (`status.allocatable` of its ManagedCluster) without what panal's own collaborators request there.
What else runs at a site is not known on the hub, and an agent at each site that counts it would need to read all Pods of the site.
The volume of the data at a site is what its owner announces with the location.

Open Cluster Management counts a missing or expired score as 0, so scores begin at 0: a cluster about which nothing is known never comes
before one that has something free. CPU, memory and data are scored by their logarithm, so that a score means the same on every hub and
changes only when an amount changes by some percent. A score is renewed long before it expires, and has no items while its cluster is
unavailable.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

from panal.addon.manifests import owner
from panal.api import names
from panal.api.quantity import exact

Object = dict[str, Any]
NAME = names.ADDON  # of the AddOnPlacementScore in each cluster's namespace
API = "cluster.open-cluster-management.io/v1alpha1"
GPU = "gpu"  # the score of all resources whose name contains it, such as nvidia.com/gpu
MOST = 100
RANGES = {"cpu": (1, 2**10), "memory": (2**30, 2**42)}  # score 0 and score MOST: cores, bytes
DATA = "data/"  # prefix of a data claim: the score of the volume that its value announces
VOLUMES = (2**20, 2**45)
VALID = timedelta(hours=6)
RENEWED = timedelta(hours=3)  # at the latest so long before the end
SPREAD = 3600  # seconds by which clusters are renewed earlier, so that not all are renewed at once


def counted(resource: str) -> bool:
    """Whether the scores depend on this resource."""
    return resource in RANGES or GPU in resource


def scores(cluster: Mapping[str, Any], requests: Iterable[Mapping[str, Any]], volumes: Mapping[str, int] | None = None) -> dict[str, int]:
    """By name. `cluster`: the ManagedCluster; `requests`: the resources that panal's collaborators there request; `volumes`: the bytes of
    data by claim. Empty if the cluster is not available, or offers nothing that is counted."""
    status = cluster.get("status") or {}
    conditions = status.get("conditions") or ()
    if not any(c.get("type") == "ManagedClusterConditionAvailable" and c.get("status") == "True" for c in conditions):
        return {}
    free: dict[str, Fraction] = {}
    for name, amount in _amounts(status.get("allocatable")):
        free[name] = free.get(name, Fraction()) + amount
    for requested in requests:
        for name, amount in _amounts(requested):
            if name in free:
                free[name] -= amount
    data = {f"{DATA}{claim}": _by_size(Fraction(size), *VOLUMES) for claim, size in (volumes or {}).items()}
    return {name: _score(name, amount) for name, amount in sorted(free.items())} | dict(sorted(data.items()))


def _amounts(resources: Mapping[str, Any] | None) -> Iterable[tuple[str, Fraction]]:
    """What is counted, by score. An amount that is none, which an agent may report, is left out."""
    for resource, quantity in (resources or {}).items():
        if counted(resource):
            try:
                yield (resource if resource in RANGES else GPU), exact(str(quantity))
            except ValueError:
                continue


def _score(name: str, amount: Fraction) -> int:
    if amount <= 0:
        return 0
    if name not in RANGES:
        return MOST if amount >= MOST else math.floor(amount)
    return _by_size(amount, *RANGES[name])


def _by_size(amount: Fraction, least: int, most: int) -> int:
    """By the logarithm: 0 for `least` and below, MOST for `most` and above."""
    if amount <= least:
        return 0
    if amount >= most:  # also an amount that is too large for a float
        return MOST
    return max(0, min(MOST, math.floor(MOST * math.log(amount / least) / math.log(most / least) + 1e-9)))


def resource(addon: Object) -> Object:
    """Without status. The ManagedClusterAddOn owns it, so that it goes with the add-on."""
    metadata = {
        "name": NAME,
        "namespace": addon["metadata"]["namespace"],
        "labels": names.MANAGED_BY | {names.ADDON_LABEL: names.ADDON},
        "ownerReferences": [owner(addon)],
    }
    return {"apiVersion": API, "kind": "AddOnPlacementScore", "metadata": metadata}


def status(found: Mapping[str, int], now: datetime) -> Object:
    until = (now + VALID).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"scores": [{"name": name, "value": value} for name, value in found.items()], "validUntil": until}


def owned(live: Object | None, addon: Object) -> bool:
    """Whether the AddOnPlacementScore exists and belongs to this ManagedClusterAddOn."""
    return any(each.get("uid") == addon["metadata"]["uid"] for each in ((live or {}).get("metadata") or {}).get("ownerReferences") or ())


def current(live: Object, found: Mapping[str, int], now: datetime) -> bool:
    """Whether its status needs no write."""
    written = {each["name"]: each["value"] for each in (live.get("status") or {}).get("scores") or ()}
    return written == found and renewal(live, now) > 0


def renewal(live: Object, now: datetime) -> float:
    """The seconds until it is renewed; not more than 0 if it is due."""
    until = (live.get("status") or {}).get("validUntil")
    if not until:
        return 0.0
    early = int.from_bytes(hashlib.sha256(live["metadata"]["namespace"].encode()).digest()[:4]) % SPREAD
    return (datetime.fromisoformat(until) - RENEWED - now).total_seconds() - early
