"""Sets, bindings, decisions and add-ons on the hub."""

from __future__ import annotations

from typing import Any

import pytest

from panal.api.names import ClusterName
from panal.kube.objects import Key
from panal.placement.hub import PLACEMENT_LABEL
from panal_local.ocm import addons, placing, sets
from panal_local.ocm.clusters import NAME_LABEL
from panal_local.scheduling.schedule import Decision


@pytest.mark.parametrize(
    ("metadata", "bound"),
    [
        ({"name": "default"}, True),
        ({"name": "runs"}, True),
        ({"name": "kube-system"}, False),
        ({"name": "open-cluster-management-hub"}, False),
        ({"name": "cluster1", "labels": {NAME_LABEL: "cluster1"}}, False),
        ({"name": "runs", "annotations": {sets.BOUND: "true"}}, False),
        ({"name": "runs", "deletionTimestamp": "2030-01-01T12:00:00Z"}, False),
    ],
)
def test_the_namespaces_that_are_bound(metadata: dict[str, Any], bound: bool) -> None:
    assert sets.needs_binding({"metadata": metadata}) is bound


PLACEMENT = {"metadata": {"name": "p", "namespace": "n", "uid": "u"}}


def decision(number: int, *clusters: str) -> Decision:
    return Decision(f"p-decision-{number}", {PLACEMENT_LABEL: "p"}, tuple(map(ClusterName, clusters)))


def written(decision: Decision) -> dict[str, Any]:
    return {"metadata": {"name": decision.name, "labels": dict(decision.labels)}, "status": decision.status}


def test_existing_decisions_are_not_written() -> None:
    wanted = [decision(1, "a"), decision(2, "b")]
    assert placing.difference(PLACEMENT, wanted, map(written, wanted)) == placing.Difference((), (), ())


def test_decisions_are_created_changed_and_deleted() -> None:
    present = [written(decision(1, "a")), written(decision(3)), written(decision(9))]
    found = placing.difference(PLACEMENT, [decision(1, "b"), decision(2, "c"), decision(3)], present)
    assert [o["metadata"]["name"] for o in found.create] == ["p-decision-2"]
    assert found.create[0]["metadata"]["ownerReferences"][0]["uid"] == "u"
    assert [d.name for d in found.statuses] == ["p-decision-1", "p-decision-2"]
    assert found.surplus == ("p-decision-9",)
    assert placing.clusters(present) == {"a"}


HERE, THERE = Key("n", "here"), Key("n", "there")
KIND = {"group": "addon.open-cluster-management.io", "resource": "addondeploymentconfigs"}


def named(name: str) -> dict[str, str]:
    return {**KIND, "namespace": "n", "name": name}


def addon(type_: str = "Placements", *, default: str = "", here: str = "", there: str = "", **annotations: str) -> dict[str, Any]:
    supported = KIND | ({"defaultConfig": {"namespace": "n", "name": default}} if default else {})
    placements = [{"namespace": "n", "name": name, "configs": [named(c)] if c else []} for name, c in (("here", here), ("there", there))]
    spec = {"supportedConfigs": [supported], "installStrategy": {"type": type_, "placements": placements}}
    return {"metadata": {"name": "a", "uid": "u", "annotations": annotations}, "spec": spec}


def installed(cluster: str = "c1", *own: str, **status: Any) -> dict[str, Any]:
    spec = {"configs": [named(c) for c in own]} if own else {}
    return {"metadata": {"name": "a", "namespace": cluster}, "spec": spec, "status": status}


def hub_clusters(*names: str) -> list[dict[str, Any]]:
    return [{"metadata": {"name": n}} for n in names]


@pytest.mark.parametrize(
    ("here", "there", "present", "create", "remove"),
    [
        ({"c1"}, {"c2"}, [], ["c1", "c2"], []),
        ({"c1"}, {"c1"}, ["c1"], [], []),
        ({"c1"}, set(), ["c1", "c2"], [], ["c2"]),
        (set(), set(), ["c1"], [], ["c1"]),
        ({"c1", "unknown"}, set(), ["c1"], [], []),
    ],
)
def test_an_add_on_is_installed_by_its_placements(
    here: set[str], there: set[str], present: list[str], create: list[str], remove: list[str]
) -> None:
    plan = addons.decide(addon(), {HERE: here, THERE: there}, hub_clusters("c1", "c2"), map(installed, present))
    assert [o["metadata"]["namespace"] for o in plan.create] == create
    assert list(plan.remove) == [Key(c, "a") for c in remove]


def test_an_add_on_without_placements_is_not_installed() -> None:
    nowhere = addon() | {"spec": {"installStrategy": {"type": "Placements"}}}
    assert addons.decide(nowhere, {}, hub_clusters("c1"), [installed("c1")]) == addons.Plan(remove=(Key("c1", "a"),))


@pytest.mark.parametrize("left_alone", [addon("Manual"), addon(**{addons.LIFECYCLE: "self"})])
def test_an_add_on_with_its_own_manager_is_not_changed(left_alone: dict[str, Any]) -> None:
    assert addons.decide(left_alone, {HERE: {"c1"}}, hub_clusters("c1"), [installed("c2")]) == addons.Plan()


@pytest.mark.parametrize(
    ("given", "own", "decided", "found"),
    [
        (addon(), (), {HERE}, []),
        (addon(default="d"), (), {HERE}, ["d"]),
        (addon(default="d"), (), set(), ["d"]),
        (addon(default="d", here="h"), (), {HERE}, ["h"]),
        (addon(default="d", here="h"), (), {THERE}, ["d"]),
        (addon(here="h", there="t"), (), {HERE, THERE}, ["t"]),
        (addon(default="d", here="h"), ("own",), {HERE}, ["own"]),
        (addon(), ("own", "second"), {HERE}, ["own", "second"]),
    ],
    ids=lambda value: "" if isinstance(value, dict) else None,
)
def test_the_more_specific_configuration_wins(given: dict[str, Any], own: tuple[str, ...], decided: set[Key], found: list[str]) -> None:
    clusters = {key: {"c1"} if key in decided else set[str]() for key in (HERE, THERE)}
    status, _ = addons.installed_status(given, installed("c1", *own), clusters, [])
    references = status.get("configReferences", [])
    assert [r["desiredConfig"]["name"] for r in references] == found
    assert all(r["namespace"] == "n" and r["name"] == r["desiredConfig"]["name"] for r in references)


def test_known_fields_of_a_configuration_stay() -> None:
    before = {**named("own"), "lastObservedGeneration": 3, "desiredConfig": {"namespace": "n", "name": "own", "specHash": "7"}}
    status, _ = addons.installed_status(addon(), installed("c1", "own", configReferences=[before]), {}, [])
    assert status["configReferences"] == [before]


APPLIED = {"conditions": [{"type": "ManifestApplied", "status": "True"}]}


def work(ready: bool = True) -> dict[str, Any]:
    conditions = [{"type": t, "status": str(ready), "observedGeneration": 1} for t in ("Applied", "Available")]
    return {"metadata": {"name": "w", "generation": 1}, "status": {"conditions": conditions}}


@pytest.mark.parametrize(
    ("status", "works", "reason"),
    [
        ({}, [], "WaitingForManifestApplied"),
        (APPLIED, [], "Progressing"),
        (APPLIED, [work()], "Completed"),
        (APPLIED, [work(), work(ready=False)], "Progressing"),
        (APPLIED, [work() | {"metadata": {"name": "w", "generation": 2}}], "Progressing"),
    ],
)
def test_a_rollout_is_complete_when_its_works_are(status: dict[str, Any], works: list[Any], reason: str) -> None:
    status_, conditions = addons.installed_status(addon(default="d"), installed("c1", **status), {HERE: {"c1"}}, works)
    assert next(c for c in conditions if c["type"] == "Progressing")["reason"] == reason
    (reference,) = status_["configReferences"]
    assert ("lastAppliedConfig" in reference) is (reason == "Completed")
