"""The outcomes of the Placements of `placement_fleets`: by `panal.placement`, as a controller would call it, and as objects on a server."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import placement_fleets
from panal.placement import Hub, schedule
from placement_fleets import DISABLED, GROUP, Fleet, Object

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RECORDING = Path(__file__).parents[1] / "unit/placement/golden.json.gz"
PLACEMENT = f"{GROUP}/placement"
STATES = ("1", "2", "3")

Outcome = dict[str, Any] | None
Outcomes = dict[str, dict[str, Outcome]]  # by state, then by the Placement's namespace and name


def key(placement: Object) -> str:
    return f"{placement['metadata']['namespace']}/{placement['metadata']['name']}"


def everything() -> list[Object]:
    """Placements over the clusters of all fleets, by a set with an empty selector and one without a selector."""
    metadata = {"namespace": "everything"}
    spread = {"decisionStrategy": {"groupStrategy": {"clustersPerDecisionGroup": "60%"}}}
    exact = {"mode": "Exact", "configurations": []}
    specs = {
        "all": {"tolerations": [{"operator": "Exists"}]},
        "groups": {"tolerations": [{"operator": "Exists"}]} | spread,
        "some": {"numberOfClusters": 130, "prioritizerPolicy": exact, "tolerations": [{"operator": "Exists"}]},
        "none": {"clusterSets": ["nothing"]},
    }
    return [
        {"apiVersion": f"{GROUP}/v1beta1", "kind": "Placement", "metadata": metadata | {"name": name}, "spec": spec}
        for name, spec in specs.items()
    ]


def everywhere() -> tuple[list[Object], list[Object]]:
    """The sets of those Placements, and their bindings."""
    specs = {"everything": {"clusterSelector": {"selectorType": "LabelSelector", "labelSelector": {}}}}
    specs["nothing"] = {"clusterSelector": {"selectorType": "LabelSelector"}}
    head = {"apiVersion": f"{GROUP}/v1beta2"}
    sets = [head | {"kind": "ManagedClusterSet", "metadata": {"name": name}, "spec": spec} for name, spec in specs.items()]
    bound = {"kind": "ManagedClusterSetBinding"}
    return sets, [head | bound | {"metadata": {"name": n, "namespace": "everything"}, "spec": {"clusterSet": n}} for n in specs]


class Simulated:
    """A hub on which a controller calls `schedule` whenever its own writing calls for it; keeps decisions and statuses."""

    def __init__(self) -> None:
        self.decisions: dict[str, list[Object]] = {}
        self.status: dict[str, Object] = {}

    def settle(self, placement: Object, fleet: Fleet, others: Iterable[Object] = ()) -> Outcome:
        """Passes until nothing changes any more."""
        name = key(placement)
        for _ in range(3):
            before = self.decisions.get(name, []), self.status.get(name, {})
            hub = Hub(fleet.clusters, fleet.sets, fleet.bindings, [*others, *before[0]], fleet.scores)
            outcome = schedule(placement, hub, NOW)
            if outcome is None:
                break
            namespace = placement["metadata"]["namespace"]
            self.decisions[name] = [
                {"metadata": {"name": d.name, "namespace": namespace, "labels": dict(d.labels)}, "status": d.status}
                for d in outcome.decisions
            ]
            self.status[name] = outcome.status(before[1], NOW)
            if before == (self.decisions[name], self.status[name]):
                break
        else:
            raise AssertionError(f"{name} does not come to rest")
        return compact(self.status.get(name), self.decisions.get(name, []))


def compact(status: Object | None, decisions: Sequence[Object]) -> Outcome:
    """What has to be the same; None where a Placement was never scheduled."""
    if not status:
        return None
    conditions = sorted([c["type"], c["status"], c["reason"], _message(c["message"])] for c in status["conditions"])
    return {
        "conditions": conditions,
        "selected": status.get("numberOfSelectedClusters", 0),
        "groups": [
            [g["decisionGroupIndex"], g["decisionGroupName"], g["clusterCount"], *g["decisions"]]
            for g in status.get("decisionGroups") or ()
        ],
        "decisions": {d["metadata"]["name"]: _decision(d) for d in sorted(decisions, key=lambda d: d["metadata"]["name"])},
    }


def _message(text: str) -> str:
    """Of a CEL expression that does not compile only where: the two CEL libraries do not always say the same of it."""
    where = re.match(r"Predicate:compilation failed: ERROR: <input>:\d+:\d+", text)
    return where[0] if where else text


def _decision(decision: Object) -> list[Any]:
    return [decision["metadata"]["labels"], [d["clusterName"] for d in (decision.get("status") or {}).get("decisions") or ()]]


def disabled(placement: Object) -> Object:
    return placement | {"metadata": placement["metadata"] | {"annotations": {DISABLED: "true"}}}


def simulate(fleets: Sequence[Fleet]) -> Outcomes:
    """All states of all fleets, through panal.placement."""
    outcomes: Outcomes = {state: {} for state in STATES}
    for fleet in fleets:
        hub = Simulated()
        first = outcomes["1"]
        first |= {key(placement): hub.settle(placement, fleet) for placement in fleet.plain}
        for placement in fleet.waves:
            others = [d for name, found in hub.decisions.items() if name != key(placement) for d in found]
            first[key(placement)] = hub.settle(placement, fleet, [*others, placement_fleets.ballast()])
        fleet.waves = [disabled(placement) for placement in fleet.waves]
        for state in STATES[1:]:
            fleet = placement_fleets.changed(fleet, placement_fleets.changes(fleet, int(state)))
            outcomes[state] |= {key(placement): hub.settle(placement, fleet) for placement in fleet.placements}
    whole = union(placement_fleets.fleets())
    outcomes["1"] |= {key(placement): Simulated().settle(placement, whole) for placement in everything()}
    return outcomes


def union(fleets: Sequence[Fleet]) -> Fleet:
    sets, bindings = everywhere()
    return Fleet("", [cluster for fleet in fleets for cluster in fleet.clusters], sets, bindings)


def differences(ours: Outcomes, real: Outcomes) -> list[str]:
    """One line for each Placement and state with another outcome."""
    keys = [(state, name) for state in STATES for name in sorted({*ours[state], *real[state]})]
    return [
        f"state {state} {name}:\n  ours {ours[state].get(name)}\n  real {real[state].get(name)}"
        for state, name in keys
        if ours[state].get(name) != real[state].get(name)
    ]


def write(outcomes: Outcomes) -> None:
    text = json.dumps(outcomes, sort_keys=True, separators=(",", ":"))
    RECORDING.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def read() -> Outcomes:
    found: Outcomes = json.loads(gzip.decompress(RECORDING.read_bytes()))
    return found
