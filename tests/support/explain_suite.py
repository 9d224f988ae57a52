"""Compares `panal explain` with the decisions of the real placement controller, on fleets made from seeds.

For each fleet: what is explained before the run exists is what is decided then; of the existing run nothing is decided otherwise than is
explained; and the changes that are suggested for a cluster make it qualify.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

import random_fleets
from api import Api
from command_line import *  # noqa: F403
from panal.hub import views
from panal.kube import kinds
from panal.kube.objects import condition
from panal.lifecycle.placement import rendered
from random_fleets import GROUP, Fleet
from waiting import eventually

BALLAST = 5  # decisions of a cluster that no fleet has: the highest number, so that the fleets do not change each other's Balance
Reported = dict[str, Any]
Explain = Callable[..., Reported]


@pytest.fixture
def explain(panal, placement_api) -> Explain:
    def reported(*words: str) -> Reported:
        code, out, err = panal("explain", *words, "--kubeconfig", str(placement_api.kubeconfig), "-o", "json")
        assert code == 0, err
        found: Reported = json.loads(out)
        return found

    return reported


def run_of(fleet: Fleet) -> dict[str, Any]:
    spec = {
        "framework": "flower",
        "server": {"image": "example/app:1", "rounds": 1, "minAvailableClients": 1},
        "client": {"image": "example/app:1", "placement": fleet.placement, "dataClaim": "None"},
    }
    api_version = "federation-ai.open-cluster-management.io/v1alpha1"
    return {"apiVersion": api_version, "kind": "FederatedLearning", "metadata": {"name": "run", "namespace": fleet.name}, "spec": spec}


# --- what is on the hub ----------------------------------------------------------------------------------------------
def create(hub: Api, obj: dict[str, Any]) -> None:
    """With its status, if it has one."""
    made = hub.create({key: value for key, value in obj.items() if key != "status"})
    if status := obj.get("status"):
        metadata = made["metadata"]
        hub.patch_status(kinds.kind_of(obj), metadata.get("namespace", ""), metadata["name"], **status)


def prepare(hub: Api, fleets: Iterable[Fleet]) -> None:
    if not hub.get(kinds.NAMESPACE, "", "ballast"):
        hub.make_namespace("ballast")
        for number in range(BALLAST):
            create(hub, random_fleets.decisions("ballast", number, ["ballast"]))
    for fleet in fleets:
        for name in fleet.namespaces:
            hub.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        for obj in (*fleet.sets, *fleet.bindings, *fleet.decisions, *fleet.scores, *fleet.clusters):
            create(hub, obj)


def start(hub: Api, fleet: Fleet, bind: bool) -> None:
    """Creates the run, and its Placement as the controller does; `bind`: the bindings of the sets that it names as well."""
    run = hub.create(run_of(fleet))
    clusters = {view.name: view for view in map(views.cluster, fleet.clusters)}
    members = views.members(fleet.sets, clusters)
    bound = {b["metadata"]["name"] for b in fleet.bindings}
    missing = {each for each in fleet.placement.get("clusterSets", ()) if each in members} - bound if bind else set()
    for name in missing:
        hub.create(random_fleets.binding(fleet.name, name))
    spec = rendered(fleet.placement, clusters, members, bound | missing, frozenset())
    place(hub, fleet.name, "run", spec, {"fl.panal/run-uid": run["metadata"]["uid"]})


def place(hub: Api, namespace: str, name: str, spec: dict[str, Any], labels: dict[str, str]) -> None:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    hub.create({"apiVersion": f"{GROUP}/v1beta1", "kind": "Placement", "metadata": metadata, "spec": spec})


def decided(hub: Api, namespace: str, name: str) -> set[str] | None:
    """None until the Placement is scheduled."""
    placement = hub.get(kinds.PLACEMENT, namespace, name)
    found = hub.list(kinds.PLACEMENT_DECISION, namespace, labels=f"{GROUP}/placement={name}")
    clusters = {d["clusterName"] for each in found for d in (each.get("status") or {}).get("decisions") or ()}
    if placement is None or not condition(placement, "PlacementSatisfied"):
        return None
    return clusters if len(clusters) == (placement["status"].get("numberOfSelectedClusters") or 0) else None


def settled(hub: Api, namespace: str, name: str) -> set[str]:
    return eventually(lambda: [found] if (found := decided(hub, namespace, name)) is not None else None, f"{namespace}/{name}", 60)[0]


# --- the changes that are suggested ----------------------------------------------------------------------------------
def apply(hub: Api, cluster: str, change: dict[str, Any]) -> None:
    """Makes one change to a cluster; a value that its owner may choose is `chosen`."""
    value = None if change["action"] == "remove" else change["value"] or "chosen"
    obj = hub.get(kinds.MANAGED_CLUSTER, "", cluster)
    assert obj
    match change["what"]:
        case "label":
            hub.label(kinds.MANAGED_CLUSTER, cluster, **{change["key"]: value})
        case "claim":
            claims = [c for c in obj["status"].get("clusterClaims") or () if c["name"] != change["key"]]
            claims += [{"name": change["key"], "value": value}] if value else []
            hub.patch_status(kinds.MANAGED_CLUSTER, "", cluster, clusterClaims=claims)
        case "taint":
            left = [t for t in obj["spec"]["taints"] if t["key"] != change["key"]]
            hub.patch(kinds.MANAGED_CLUSTER, "", cluster, spec={"taints": left})
        case other:
            raise AssertionError(other)


def changeable(report: Reported, fleet: Fleet) -> dict[str, list[dict[str, Any]]]:
    """The changes for each cluster of the fleet that would qualify after them."""
    own = {cluster["metadata"]["name"] for cluster in fleet.clusters}
    found = {}
    for each in report["clusters"]:
        changes = [reason["change"] for reason in each["reasons"]]
        if each["cluster"] in own and each["verdict"] == "NotQualified" and all(changes):
            found[each["cluster"]] = changes
    return found


# --- the proof -------------------------------------------------------------------------------------------------------
def verdicts(report: Reported) -> dict[str, str]:
    return {each["cluster"]: each["verdict"] for each in report["clusters"]}


def check_forecast(forecast: Reported, selected: set[str]) -> Counter[str]:
    """What was explained before. Clusters for which nothing was claimed may be decided either way."""
    found = verdicts(forecast)
    wrong = {c: v for c, v in found.items() if v != "NotEvaluated" and (v == "Selected") != (c in selected)}
    assert not wrong, (wrong, selected, forecast)
    own = {name: verdict for name, verdict in found.items() if name.startswith(f"{forecast['namespace']}-")}
    return Counter(own.values())


def check_existing(report: Reported, selected: set[str]) -> None:
    assert not report["summary"]["decidedOtherwise"], report
    found = verdicts(report)
    assert {c for c, v in found.items() if v == "Selected"} == selected
    assert {each["cluster"] for each in report["clusters"] if each["decided"]} == selected
    assert all(each["reasons"] for each in report["clusters"] if each["verdict"] != "Selected")


def compare(hub: Api, explain: Explain, fleets: list[Fleet], folder: Path) -> Counter[str]:
    prepare(hub, fleets)
    counted: Counter[str] = Counter()
    forecasts, reports = {}, {}
    for fleet in fleets:
        file = folder / f"{fleet.name}.yaml"
        file.write_text(yaml.safe_dump(run_of(fleet)))
        forecasts[fleet.name] = explain("--dry-run", "-f", str(file))
    for number, fleet in enumerate(fleets):
        start(hub, fleet, bind=number % 2 == 0)
    for number, fleet in enumerate(fleets):
        selected = settled(hub, fleet.name, "run")
        reports[fleet.name] = explain("run", "-n", fleet.name)
        if number % 2 == 0 or not forecasts[fleet.name]["notes"]:  # which say that a binding is assumed
            counted += check_forecast(forecasts[fleet.name], selected)
        check_existing(reports[fleet.name], selected)
    counted["raised"] = check_numbers(hub, fleets, reports)
    counted["changed"] = check_changes(hub, explain, fleets, reports)
    return counted


def check_changes(hub: Api, explain: Explain, fleets: list[Fleet], reports: dict[str, Reported]) -> int:
    """One cluster of each fleet. A second Placement without numberOfClusters shows whether it qualifies afterwards."""
    probed = {}
    for fleet in fleets:
        possible = changeable(reports[fleet.name], fleet)
        if not possible or fleet.uses_cel:
            continue
        cluster = sorted(possible)[0]
        for change in possible[cluster]:
            apply(hub, cluster, change)
        probed[fleet.name] = cluster
        placement = hub.get(kinds.PLACEMENT, fleet.name, "run")
        assert placement
        spec = {key: value for key, value in placement["spec"].items() if key != "numberOfClusters"}
        place(hub, fleet.name, "probe", spec, {})
    for namespace, cluster in probed.items():
        assert cluster in settled(hub, namespace, "probe"), (cluster, reports[namespace])
        after = verdicts(explain("run", "-n", namespace, "--cluster", cluster))
        assert after[cluster] in ("Selected", "Outscored"), after
    return len(probed)


def check_numbers(hub: Api, fleets: list[Fleet], reports: dict[str, Reported]) -> int:
    """A cluster that qualifies and has too low a score is selected when numberOfClusters is raised as is suggested."""
    raised = {}
    for fleet in fleets:
        outscored = [each for each in reports[fleet.name]["clusters"] if each["verdict"] == "Outscored"]
        if outscored:
            (reason,) = outscored[0]["reasons"]
            assert reason["change"]["key"] == "spec.client.placement.numberOfClusters"
            hub.patch(kinds.PLACEMENT, fleet.name, "run", spec={"numberOfClusters": int(reason["change"]["value"])})
            raised[fleet.name] = outscored[0]["cluster"]
    for namespace, cluster in raised.items():
        eventually(lambda c=cluster, n=namespace: c in (decided(hub, n, "run") or ()), f"{cluster} is selected", 30)
    return len(raised)
