"""Converts Kubernetes objects to the frozen values of a World. Pure. Fields that do not exist yet are tolerated."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from panal.addon.config import SiteConfig
from panal.addon.issued import issued, latest_end
from panal.api import names
from panal.api.names import ClusterName
from panal.api.status import ENDED
from panal.kube.objects import Object, condition, holds
from panal.lifecycle.world import (
    ClusterView,
    Compliance,
    ContainerView,
    IngressClassView,
    JobView,
    OtherRun,
    PlacementView,
    PodView,
    SiteView,
)
from panal.placement.sets import members as members_of

DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"  # annotation


def site(obj: Object, config: SiteConfig) -> SiteView:
    """Reads a ManagedClusterAddOn: from a condition, whether the agent has a certificate; from the annotation, until when."""
    annotations = obj["metadata"].get("annotations") or {}
    rotated = condition(obj, "ClusterCertificateRotated")
    return SiteView(
        certified=latest_end(obj) if rotated.get("status") == "True" else None,
        revoked=annotations.get(names.ANNOTATION_REVOKED, ""),
        denied=rotated.get("message", "") if rotated.get("status") == "False" else "",
        config=config,
        issued=issued(obj),
    )


def time_of(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def created(obj: Object) -> datetime:
    return datetime.fromisoformat(obj["metadata"]["creationTimestamp"])


def cluster(obj: Object) -> ClusterView:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    available = condition(obj, "ManagedClusterConditionAvailable").get("status")
    labels = obj["metadata"].get("labels") or {}
    return ClusterView(
        name=ClusterName(obj["metadata"]["name"]),
        accepted=holds(obj, "HubAcceptedManagedCluster"),
        available={"True": True, "False": False}.get(available or ""),
        labels=labels,
        claims={c["name"]: c["value"] for c in status.get("clusterClaims") or () if c.get("name") and c.get("value")},
        cluster_set=labels.get(names.CLUSTER_SET_LABEL, ""),
        taints=tuple((t["key"], t.get("value", ""), t["effect"]) for t in spec.get("taints") or ()),
        untimed=any(not t.get("timeAdded") for t in spec.get("taints") or ()),
    )


def compliance(policies: Iterable[Object]) -> Compliance:
    """Reads the copies of policies in the namespaces of clusters."""
    found: dict[str, dict[ClusterName, str]] = {}
    for each in policies:
        state = (each.get("status") or {}).get("compliant") or ""
        found.setdefault(each["metadata"]["name"], {})[ClusterName(each["metadata"]["namespace"])] = state
    return found


def run_limit(namespace: Object | None) -> str | None:
    """How many runs of the namespace may be active, as its annotation says."""
    annotations: dict[str, str] = namespace["metadata"].get("annotations") or {} if namespace else {}
    return annotations.get(names.ANNOTATION_MAX_ACTIVE_RUNS)


def other_run(obj: Object) -> OtherRun | None:
    """None if it has ended, is suspended, or is deleted before it has started."""
    metadata, status = obj["metadata"], obj.get("status") or {}
    started = bool(status.get("startTime"))
    if status.get("phase") in ENDED or (obj.get("spec") or {}).get("suspend") or (metadata.get("deletionTimestamp") and not started):
        return None
    return OtherRun(metadata["name"], created(obj), started, condition(obj, "Progressing").get("reason", ""))


def ingress_class(obj: Object) -> IngressClassView:
    annotations = obj["metadata"].get("annotations") or {}
    return IngressClassView((obj.get("spec") or {}).get("controller", ""), annotations.get(DEFAULT_CLASS) == "true")


def placement(obj: Object, decisions: Iterable[Object]) -> PlacementView | None:
    """None until OCM has scheduled the Placement for the first time."""
    satisfied = condition(obj, "PlacementSatisfied")
    if not satisfied:
        return None
    invalid = condition(obj, "PlacementMisconfigured")
    selected = frozenset(ClusterName(d["clusterName"]) for o in decisions for d in (o.get("status") or {}).get("decisions") or ())
    return PlacementView(
        selected=selected,
        settled=len(selected) == ((obj.get("status") or {}).get("numberOfSelectedClusters") or 0),
        misconfigured=invalid.get("message", "") if invalid.get("status") == "True" else "",
    )


def job(obj: Object, pods: Iterable[Object]) -> JobView:
    failed = condition(obj, "Failed")
    uid = obj["metadata"]["uid"]
    own = (p for p in pods if any(o.get("uid") == uid for o in p["metadata"].get("ownerReferences") or ()))
    return JobView(
        uid=uid,
        created=created(obj),
        deleting=bool(obj["metadata"].get("deletionTimestamp")),
        succeeded=holds(obj, "Complete"),
        failed=failed.get("status") == "True",
        failure=f"{failed.get('reason', '')} {failed.get('message', '')}".strip(),
        pods=tuple(pod(p) for p in own),
    )


def pod(obj: Object) -> PodView:
    status = obj.get("status") or {}
    scheduled = condition(obj, "PodScheduled")
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return PodView(
        reason=status.get("reason", ""),
        message=status.get("message", ""),
        scheduled=scheduled.get("status") == "True",
        unschedulable=scheduled.get("message", "") if scheduled.get("status") == "False" else "",
        created=created(obj),
        containers=tuple(container(c) for c in containers),
    )


def of_aggregator(obj: Object) -> bool:
    """Whether a Pod is that of an aggregator, and has not ended."""
    component = (obj["metadata"].get("labels") or {}).get(names.LABEL_COMPONENT)
    return component == "aggregator" and (obj.get("status") or {}).get("phase") not in ("Succeeded", "Failed")


def container(status: dict[str, Any]) -> ContainerView:
    state = status.get("state") or {}
    waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
    return ContainerView(
        name=status["name"],
        image=status.get("image", ""),
        image_id=status.get("imageID", ""),
        running="running" in state,
        waiting=waiting.get("reason", ""),
        waiting_message=waiting.get("message", ""),
        exit_code=ended.get("exitCode"),
        terminated=ended.get("reason", ""),
        message=ended.get("message", ""),
        ended=time_of(ended.get("finishedAt")),
    )


def node_addresses(nodes: Iterable[Object]) -> tuple[str, ...]:
    """One address of each Ready node, in order of node names, external addresses first."""
    found = []
    for node in sorted(nodes, key=lambda n: str(n["metadata"]["name"])):
        addresses = {a["type"]: a["address"] for a in reversed((node.get("status") or {}).get("addresses") or [])}
        if holds(node, "Ready") and not node["metadata"].get("deletionTimestamp"):
            found.append((addresses.get("ExternalIP", ""), addresses.get("InternalIP", "")))
    externals = tuple(external for external, _ in found if external)
    return externals + tuple(internal for external, internal in found if internal and not external)


def members(sets: Iterable[Object], clusters: dict[ClusterName, ClusterView]) -> dict[str, frozenset[ClusterName]]:
    """The clusters of each ManagedClusterSet, by the label of clusters or by the label selector of the set."""
    labelled: dict[str, list[ClusterView]] = {}
    for view in clusters.values():
        labelled.setdefault(view.cluster_set, []).append(view)
    found = ((s["metadata"]["name"], members_of(s, clusters.values(), labelled, lambda view: view.labels)) for s in sets)
    return {name: frozenset(view.name for view in views) for name, views in found}


def run_uid(obj: Object) -> str:
    return str((obj["metadata"].get("labels") or {}).get(names.LABEL_RUN_UID, ""))
