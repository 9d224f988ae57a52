"""Assigns a partition to each cluster, for apps that divide one data set among clients: an index, and the number of partitions.

The indexes follow the order of the clusters' names when the collaborators are created. They are stored in the collaborator's StatefulSet,
which never changes, so they survive a restart of the controller, and a cluster that joins or leaves does not change those of others. A
cluster that joins later gets the lowest free index; if the index exceeds the number of partitions, its number is raised accordingly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from panal.api import names
from panal.api.names import ClusterName
from panal.lifecycle.world import Object, WorkView
from panal.runtimes.base import Partition


def assign(participants: Iterable[ClusterName], works: Mapping[ClusterName, WorkView]) -> dict[ClusterName, Partition]:
    """The partition of each participant. Existing works keep theirs, including works that are being deleted."""
    wanted = sorted(participants)
    known = {cluster: found for cluster, work in works.items() if (found := of_work(work)) is not None}
    first = min((each.count for each in known.values()), default=len(wanted))
    taken = {each.index for each in known.values()}
    free = (index for index in range(len(taken) + len(wanted)) if index not in taken)
    new = {cluster: next(free) for cluster in wanted if cluster not in known}
    return {c: known.get(c) or Partition(new[c], max(first, new[c] + 1)) for c in wanted}


def of_work(work: WorkView) -> Partition | None:
    """The partition in a work's StatefulSet; None if an earlier version created it without one."""
    for manifest in work.object.get("spec", {}).get("workload", {}).get("manifests", []):
        if manifest.get("kind") == "StatefulSet":
            return _read(manifest)
    return None


def annotation(partition: Partition) -> dict[str, str]:
    return {names.ANNOTATION_PARTITION: f"{partition.index}/{partition.count}"}


def _read(stateful_set: Object) -> Partition | None:
    text = str((stateful_set["metadata"].get("annotations") or {}).get(names.ANNOTATION_PARTITION, ""))
    index, _, count = text.partition("/")
    return Partition(int(index), int(count)) if index.isdecimal() and count.isdecimal() else None
