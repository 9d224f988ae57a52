"""How much processor time a pass of the placement scheduler takes: `.venv/bin/python benchmarks/placement.py [CLUSTERS]`."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import Any

from panal.placement import Hub, schedule

CLUSTERS = int(sys.argv[1]) if len(sys.argv) > 1 else 3500
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ANY: dict[str, Any] = {"tolerations": [{"operator": "Exists"}]}


def cluster(number: int) -> dict[str, Any]:
    labels = {"region": f"r{number % 7}", "env": "prod", "cluster.open-cluster-management.io/clusterset": "default"}
    amounts = {"cpu": f"{number % 64 + 1}", "memory": f"{number % 512 + 1}Gi"}
    claims = [{"name": f"claim{i}", "value": f"v{number % 5}"} for i in range(20)]
    taints = [{"key": "gpu", "effect": "NoSelect", "timeAdded": "2025-01-01T00:00:00Z"}] * (number % 2)
    status = {"clusterClaims": claims, "capacity": amounts, "allocatable": amounts, "version": {"kubernetes": "v1.31.2"}}
    return {"metadata": {"name": f"cluster{number:05}", "labels": labels}, "spec": {"taints": taints}, "status": status}


def predicate(**selector: Any) -> dict[str, Any]:
    return ANY | {"predicates": [{"requiredClusterSelector": selector}]}


def prioritized(*coordinates: dict[str, Any]) -> dict[str, Any]:
    configurations = [{"scoreCoordinate": one, "weight": 2} for one in coordinates]
    return ANY | {"numberOfClusters": 50, "prioritizerPolicy": {"configurations": configurations}}


def in_regions(kind: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": "region" if kind == "labelSelector" else "claim3", "operator": "In", "values": ["r1", "v1"]}]}


CASES = {
    "all clusters": ANY,
    "labels": predicate(labelSelector=in_regions("labelSelector")),
    "claims": predicate(claimSelector=in_regions("claimSelector")),
    "50 by the default prioritizers": ANY | {"numberOfClusters": 50},
    "50 by memory and a score": prioritized(
        {"type": "BuiltIn", "builtIn": "ResourceAllocatableMemory"}, {"type": "AddOn", "addOn": {"resourceName": "load", "scoreName": "a"}}
    ),
    "CEL": predicate(
        celSelector={"celExpressions": ['managedCluster.status.clusterClaims.exists(c, c.name == "claim3" && c.value == "v1")']}
    ),
}


def hub() -> Hub:
    clusters = [cluster(number) for number in range(CLUSTERS)]
    names = [each["metadata"]["name"] for each in clusters]
    sets = [{"metadata": {"name": "default"}, "spec": {}}]
    bindings = [{"metadata": {"name": "default", "namespace": "ns"}}]
    decisions = [
        {
            "metadata": {
                "name": f"d{start}",
                "namespace": "ns",
                "labels": {"cluster.open-cluster-management.io/placement": f"other{start}"},
            },
            "status": {"decisions": [{"clusterName": name, "reason": ""} for name in names[start : start + 100]]},
        }
        for start in range(0, CLUSTERS, 50)
    ]
    scores = [
        {"metadata": {"name": "load", "namespace": name}, "status": {"scores": [{"name": "a", "value": len(name)}]}} for name in names
    ]
    return Hub(clusters, sets, bindings, decisions, scores)


def main() -> None:
    print(f"{CLUSTERS} clusters: milliseconds of processor time for a new Hub, and for the same one again (best of 5)")
    for name, spec in CASES.items():
        placement = {"metadata": {"name": "p", "namespace": "ns"}, "spec": spec}
        first, again = [], []
        for _ in range(5):
            fresh = hub()
            for times in (first, again):
                started = time.process_time()
                outcome = schedule(placement, fresh, NOW)
                times.append(time.process_time() - started)
        assert outcome
        print(f"{name:32} {min(first) * 1000:7.1f} {min(again) * 1000:7.1f}   {outcome.selected} selected")


if __name__ == "__main__":
    main()
