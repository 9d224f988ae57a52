"""`panal run APP --data FOLDER`: a folder of data for each cluster of the local platform, announced by a ClusterClaim on that cluster.

The claim's name is derived from the app's name and the folder, so a run that still waits keeps its data when a later run of the app gets
other data. The number of claims of a cluster on a hub is limited, so claims that no run needs any more are removed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from panal.api.status import ENDED
from panal.client.access import Access
from panal.client.problem import Code, Problem
from panal.client.tasks import together
from panal.kube import kinds
from panal.kube.client import Client
from panal.kube.objects import Object
from panal.placement.data import HostPathLocation, data_claim, data_location
from panal_local.commands.install import claim

PREFIX = "data-"  # and SUFFIX: of the claims that this module creates
SUFFIX = ".panal"

Claims = Mapping[str, str]  # cluster -> path of its data


def claim_name(app: str, folder: Path) -> str:
    mark = hashlib.sha256(str(folder.expanduser().resolve()).encode(errors="surrogateescape")).hexdigest()[:8]
    return f"{PREFIX}{mark}.{app}{SUFFIX}"


def found(folder: Path, clusters: Iterable[str]) -> Claims:
    """The clusters with a folder of their name in `folder`. Raises Problem if there is none, or a path is not supported."""
    place, names = folder.expanduser().resolve(), list(clusters)
    claims = {name: str(place / name) for name in names if (place / name).is_dir()}
    if not claims:
        message = f"the data folder {place} contains none of the folders {', '.join(names)}"
        raise Problem(Code.USAGE, message, f"Put each cluster's data into a folder with the cluster's name, such as {place / names[0]}.")
    for path in claims.values():
        _check(path)
    return claims


def _check(path: str) -> None:
    try:
        assert isinstance(data_location(path), HostPathLocation)
    except ValueError as error:
        raise Problem(Code.USAGE, f"--data: {error}", "Rename the folder, or copy the data to another folder.") from error


async def announce(at: Access, hub: Client, name: str, claims: Claims, clusters: Iterable[str]) -> None:
    """Sets the claim `name` on exactly the clusters of `claims`, and removes claims that no run needs. Not safe for concurrent commands."""
    needed = {name} | _needed((await hub.list(kinds.FEDERATED_LEARNING)).items)
    await together(*(_on(at.at(cluster), cluster, name, claims, needed) for cluster in clusters))


def _needed(runs: Iterable[Object]) -> set[str]:
    """The claims of the runs that have not ended."""
    clients = (run["spec"].get("client") or {} for run in runs if (run.get("status") or {}).get("phase") not in ENDED)
    return {data_claim(client.get("placement") or {}, client.get("dataClaim", "")) for client in clients}


async def _on(at: Access, cluster: str, name: str, claims: Claims, needed: set[str]) -> None:
    async with at.open() as spoke:
        for each in (await spoke.list(kinds.CLUSTER_CLAIM)).items:
            there = each["metadata"]["name"]
            if _ours(there) and (there not in needed or (there == name and cluster not in claims)):
                await spoke.delete(kinds.CLUSTER_CLAIM, "", there)
        if cluster in claims:
            await spoke.apply(claim(name, claims[cluster]))


def _ours(name: str) -> bool:
    return name.startswith(PREFIX) and name.endswith(SUFFIX)
