"""Fleets that are made from a seed: clusters, cluster sets, scores, decisions of other Placements, and the placement of a run.

Each fleet has its own namespace, and names and sets that no other fleet has. Values are few, so that clusters often nearly qualify.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

GROUP = "cluster.open-cluster-management.io"
SET_LABEL = f"{GROUP}/clusterset"
Object = dict[str, Any]
VALUES = {"env": ("prod", "dev"), "gpu": ("true",), "zone": ("a", "b", "c")}
CLAIMS = {"data.example.com/mnist": ("pvc://mnist", "/data/mnist"), "region": ("eu", "us"), "tier": ("gold", "tin")}
TAINTS = ("example.com/busy", "example.com/spare", f"{GROUP}/unreachable")
EFFECTS = ("NoSelect", "NoSelect", "NoSelectIfNew", "PreferNoSelect")
SCORES = ("memory", "speed")
CEL = (
    'managedCluster.metadata.labels["env"] == "prod"',
    '"gpu" in managedCluster.metadata.labels',
    'managedCluster.status.clusterClaims.exists(c, c.name == "region" && c.value == "eu")',
    '!managedCluster.status.clusterClaims.exists(c, c.name == "tier")',
    'managedCluster.metadata.name.endsWith("1")',
    'quantity(managedCluster.status.allocatable.cpu).isGreaterThan(quantity("4"))',  # a function of Kubernetes
)


@dataclass
class Fleet:
    name: str
    clusters: list[Object]
    sets: list[Object]
    bindings: list[Object]
    scores: list[Object]
    decisions: list[Object]  # of other Placements
    placement: Object  # the run's spec.client.placement
    namespaces: list[str] = field(default_factory=list)

    @property
    def uses_cel(self) -> bool:
        return any((p.get("requiredClusterSelector") or {}).get("celSelector") for p in self.placement.get("predicates") or ())


def fleet(seed: int, now: datetime | None = None) -> Fleet:
    rng = random.Random(seed)
    now = now or datetime.now(UTC)
    name = f"fleet{seed}"
    names = [f"{name}-c{number}" for number in range(rng.randint(3, 7))]
    clusters = [_cluster(rng, each, name, now) for each in names]
    scored = [each for each in names if rng.random() < 0.5]
    others = [decisions(name, number, rng.sample(names, rng.randint(0, len(names)))) for number in range(rng.randint(0, 2))]
    return Fleet(
        name=name,
        clusters=clusters,
        sets=_sets(rng, name),
        bindings=[binding(name, each) for each in (f"{name}-a", f"{name}-b", f"{name}-l", f"{name}-gone") if rng.random() < 0.9],
        scores=[_scores(rng, each, now) for each in scored],
        decisions=others,
        placement=_placement(rng, name),
        namespaces=[name, *scored],
    )


def _cluster(rng: random.Random, name: str, fleet_name: str, now: datetime) -> Object:
    labels = {"fleet": fleet_name} | {key: rng.choice(values) for key, values in VALUES.items() if rng.random() < 0.75}
    if rng.random() < 0.9:
        labels[SET_LABEL] = rng.choice([*[f"{fleet_name}-a"] * 4, *[f"{fleet_name}-b"] * 2, "elsewhere"])
    claims = {key: rng.choice(values) for key, values in CLAIMS.items() if rng.random() < 0.75}
    amounts = {"cpu": rng.choice(["2", "4500m", "8"]), "memory": rng.choice(["4Gi", "16Gi", "3000000Ki"])}
    status: Object = {
        "conditions": [_condition("HubAcceptedManagedCluster", now), _condition("ManagedClusterConditionAvailable", now)],
        "version": {"kubernetes": "v1.34.0"},
        "clusterClaims": [{"name": key, "value": value} for key, value in sorted(claims.items())],
    }
    if rng.random() < 0.9:
        status |= {"capacity": amounts, "allocatable": amounts}
    taints = [_taint(rng, key, now) for key in TAINTS if rng.random() < 0.15]
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "ManagedCluster",
        "metadata": {"name": name, "labels": labels},
        "spec": {"hubAcceptsClient": True, "taints": taints},
        "status": status,
    }


def _condition(type_: str, now: datetime) -> Object:
    return {"type": type_, "status": "True", "reason": "Test", "message": "", "lastTransitionTime": _time(now)}


def _taint(rng: random.Random, key: str, now: datetime) -> Object:
    value = {"value": "yes"} if rng.random() < 0.5 else {}
    return {"key": key, "effect": rng.choice(EFFECTS), "timeAdded": _time(now - timedelta(hours=rng.choice([1, 48])))} | value


def _time(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def _sets(rng: random.Random, name: str) -> list[Object]:
    expressions = rng.choice([[{"key": "env", "operator": "In", "values": ["prod"]}], [{"key": "zone", "operator": "Exists"}], []])
    by_label = {"matchLabels": {"fleet": name}, "matchExpressions": expressions}
    return [
        _set(f"{name}-a", {"selectorType": "ExclusiveClusterSetLabel"}),
        _set(f"{name}-b", {"selectorType": "ExclusiveClusterSetLabel"}),
        _set(f"{name}-l", {"selectorType": "LabelSelector", "labelSelector": by_label}),
    ]


def _set(name: str, selector: Object) -> Object:
    spec = {"clusterSelector": selector}
    return {"apiVersion": f"{GROUP}/v1beta2", "kind": "ManagedClusterSet", "metadata": {"name": name}, "spec": spec}


def binding(namespace: str, name: str) -> Object:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": f"{GROUP}/v1beta2", "kind": "ManagedClusterSetBinding", "metadata": metadata, "spec": {"clusterSet": name}}


def _scores(rng: random.Random, cluster: str, now: datetime) -> Object:
    valid = {} if rng.random() < 0.4 else {"validUntil": _time(now + timedelta(hours=rng.choice([-1, 24, 24])))}
    scores = [{"name": name, "value": rng.choice([-100, -20, 35, 36, 100])} for name in SCORES if rng.random() < 0.8]
    metadata = {"name": "capacity", "namespace": cluster}
    return {"apiVersion": f"{GROUP}/v1alpha1", "kind": "AddOnPlacementScore", "metadata": metadata, "status": {"scores": scores} | valid}


def decisions(namespace: str, number: int, clusters: list[str]) -> Object:
    metadata = {"name": f"other{number}-decision-1", "namespace": namespace, "labels": {f"{GROUP}/placement": f"other{number}"}}
    status = {"decisions": [{"clusterName": each, "reason": ""} for each in clusters]}
    return {"apiVersion": f"{GROUP}/v1beta1", "kind": "PlacementDecision", "metadata": metadata, "status": status}


# --- the placement ---------------------------------------------------------------------------------------------------
def _placement(rng: random.Random, name: str) -> Object:
    spec: Object = {}
    if rng.random() < 0.6:
        spec["clusterSets"] = rng.sample([f"{name}-a", f"{name}-b", f"{name}-l", f"{name}-gone"], rng.randint(1, 3))
    if rng.random() < 0.5:
        spec["numberOfClusters"] = rng.randint(1, 3)
    if rng.random() < 0.8:
        spec["predicates"] = [{"requiredClusterSelector": _selector(rng)} for _ in range(rng.randint(1, 3))]
    if rng.random() < 0.4:
        spec["tolerations"] = [_toleration(rng) for _ in range(rng.randint(1, 2))]
    if rng.random() < 0.5:
        spec["prioritizerPolicy"] = {"mode": rng.choice(["Additive", "Exact"]), "configurations": _configurations(rng)}
    return spec


def _selector(rng: random.Random) -> Object:
    found: Object = {}
    if rng.random() < 0.5:
        found["labelSelector"] = {"matchExpressions": _expressions(rng, VALUES)}
        if rng.random() < 0.3:
            found["labelSelector"]["matchLabels"] = {"env": "prod"}
    if rng.random() < 0.4:
        found["claimSelector"] = {"matchExpressions": _expressions(rng, {key: CLAIMS[key] for key in ("region", "tier")})}
        found["claimSelector"]["matchExpressions"] += [{"key": "data.example.com/mnist", "operator": "Exists"}] * rng.randint(0, 1)
    if rng.random() < 0.3:
        found["celSelector"] = {"celExpressions": rng.sample(CEL, rng.randint(1, 2))}
    return found


def _expressions(rng: random.Random, known: dict[str, tuple[str, ...]]) -> list[Object]:
    found = []
    for key in rng.sample(sorted(known), rng.choice([1, 1, 2])):
        operator = rng.choice(["In", "In", "NotIn", "Exists", "Exists", "DoesNotExist"])
        values = rng.sample(known[key], rng.randint(1, len(known[key]))) if operator in ("In", "NotIn") else []
        found.append({"key": key, "operator": operator} | ({"values": values} if values else {}))
    return found


def _toleration(rng: random.Random) -> Object:
    if rng.random() < 0.04:
        return {"operator": "Exists", "value": "x"}  # wrong: nothing is selected
    key = rng.choice([*TAINTS, ""])
    operator = "Exists" if not key else rng.choice(["Exists", "Equal"])
    found: Object = (
        {"operator": operator} | ({"key": key} if key else {}) | ({"value": "yes"} if operator == "Equal" and rng.random() < 0.6 else {})
    )
    if rng.random() < 0.3:
        found["tolerationSeconds"] = 24 * 3600
    if rng.random() < 0.2:
        found["effect"] = "NoSelect"
    return found


def _configurations(rng: random.Random) -> list[Object]:
    coordinates: list[Object] = [{"type": "BuiltIn", "builtIn": each} for each in ("Balance", "Steady")]
    coordinates += [{"type": "BuiltIn", "builtIn": f"ResourceAllocatable{each}"} for each in ("CPU", "Memory")]
    coordinates += [{"type": "AddOn", "addOn": {"resourceName": "capacity", "scoreName": each}} for each in SCORES]
    chosen = rng.sample(coordinates, rng.randint(1, 3))
    return [{"scoreCoordinate": each, "weight": _weight(rng, each)} for each in chosen]


def _weight(rng: random.Random, coordinate: Object) -> int:
    """With a negative weight of Steady every pass of the scheduler exchanges the clusters."""
    return rng.choice([0, 1, 1, 2, 7] if coordinate.get("builtIn") == "Steady" else [-3, 0, 1, 1, 2, 7])
