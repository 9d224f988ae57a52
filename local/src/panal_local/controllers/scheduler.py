"""Selects a node for a Pod: the first Ready node that fits, else the message of kube-scheduler that says why none does.

CPU and memory are not counted, since all nodes share one machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from panal.kube.objects import Object, holds

NO_EFFECT = "PreferNoSchedule"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The node's name, or the reason why no node fits."""

    node: str = ""
    message: str = ""


def decide(pod: Object, nodes: Iterable[Object], claims: Mapping[str, Object]) -> Verdict:
    """`claims` are the PersistentVolumeClaims of the Pod's namespace by name."""
    every = sorted(nodes, key=lambda n: str(n["metadata"]["name"]))
    volume = _claim_problem(pod, claims)
    if volume:
        return Verdict(message=f"0/{len(every)} nodes are available: {volume}. preemption: not eligible due to a terminating pod.")
    reasons: Counter[str] = Counter()
    for node in every:
        problem = _problem(pod["spec"], node)
        if not problem:
            return Verdict(node=node["metadata"]["name"])
        reasons[problem] += 1
    if not every:
        return Verdict(message="no nodes available to schedule pods")
    problems = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    return Verdict(message=f"0/{len(every)} nodes are available: {problems}.")


def _claim_problem(pod: Object, claims: Mapping[str, Object]) -> str:
    for volume in pod["spec"].get("volumes") or ():
        name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if name is None:
            continue
        claim = claims.get(name)
        if claim is None:
            return f'persistentvolumeclaim "{name}" not found'
        if (claim.get("status") or {}).get("phase") != "Bound":
            return "pod has unbound immediate PersistentVolumeClaims"
    return ""


def _problem(spec: Mapping[str, Any], node: Object) -> str:
    if (spec.get("affinity") or {}).get("nodeAffinity"):
        return "node(s) of the local platform, which do not evaluate spec.affinity.nodeAffinity (use nodeSelector)"
    labels, selector = node["metadata"].get("labels") or {}, spec.get("nodeSelector") or {}
    if (node.get("spec") or {}).get("unschedulable"):
        return "node(s) were unschedulable"
    if not holds(node, "Ready"):
        return "node(s) had untolerated taint(s)"
    if not selector.items() <= labels.items():
        return "node(s) didn't match Pod's node affinity/selector"
    if not all(_tolerated(t, spec.get("tolerations") or ()) for t in (node.get("spec") or {}).get("taints") or ()):
        return "node(s) had untolerated taint(s)"
    return _resources(spec, node)


def _tolerated(taint: Mapping[str, str], tolerations: Iterable[Mapping[str, str]]) -> bool:
    if taint.get("effect") == NO_EFFECT:
        return True
    return any(_tolerates(t, taint) for t in tolerations)


def _tolerates(toleration: Mapping[str, str], taint: Mapping[str, str]) -> bool:
    if toleration.get("effect") not in (None, "", taint.get("effect")) or toleration.get("key") not in (None, "", taint["key"]):
        return False
    return toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", "")


def _resources(spec: Mapping[str, Any], node: Object) -> str:
    """Checks extended resources, such as GPUs; CPU and memory are not counted."""
    has = (node.get("status") or {}).get("allocatable") or {}
    for container in spec.get("containers") or ():
        for name in (container.get("resources") or {}).get("requests") or {}:
            if name not in ("cpu", "memory", "ephemeral-storage") and name not in has:
                return f"Insufficient {name}"
    return ""
