"""Assigns a partition to each cluster, for apps that divide one data set among clients: an index, and the number of partitions.

The indexes follow the order of the clusters' names when the collaborators are created. They are stored in the collaborator's StatefulSet,
which never changes, so they survive a restart of the controller, and a cluster that joins or leaves does not change those of others. A
cluster that joins later gets the lowest free index; if the index exceeds the number of partitions, its number is raised accordingly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from panal.api import names
from panal.api.names import ClusterName
from panal.lifecycle.world import Object, WorkView
from panal.runtimes.base import Partition


def assign(participants: Iterable[ClusterName], works: Mapping[ClusterName, WorkView]) -> dict[ClusterName, Partition]:
    """The partition of each participant. Existing works keep theirs, including works that are being deleted. A new one gets the number of
    partitions that most have (of several, the smallest): a site may change its own work."""
    wanted = sorted(participants)
    known = {cluster: work.partition for cluster, work in works.items() if work.partition}
    counts = Counter(each.count for each in known.values())
    first = min(counts, key=lambda count: (-counts[count], count), default=len(wanted))
    taken = {each.index for each in known.values()}
    free = (index for index in range(len(taken) + len(wanted)) if index not in taken)
    new = {cluster: next(free) for cluster in wanted if cluster not in known}
    return {c: known.get(c) or Partition(new[c], max(first, new[c] + 1)) for c in wanted}


def text(manifests: Iterable[Object]) -> str:
    """The annotation of the StatefulSet among the manifests of a work, such as "3/100"; empty if it has none."""
    stateful_set = next((m for m in manifests if m.get("kind") == "StatefulSet"), {})
    annotations = (stateful_set.get("metadata") or {}).get("annotations") or {}
    return str(annotations.get(names.ANNOTATION_PARTITION, ""))


def annotation(partition: Partition) -> dict[str, str]:
    return {names.ANNOTATION_PARTITION: f"{partition.index}/{partition.count}"}


def read(text: str) -> Partition | None:
    index, _, count = text.partition("/")
    return Partition(int(index), int(count)) if len(text) < 20 and index.isdecimal() and count.isdecimal() else None
