"""Sets, bindings, decisions and add-ons on the hub."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from panal.api.names import ClusterName
from panal.kube.objects import Key
from panal.placement.groups import Decision
from panal_local.ocm import addons, placing, sets
from panal_local.ocm.clusters import NAME_LABEL

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)


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
def test_which_namespaces_come_bound(metadata: dict[str, Any], bound: bool) -> None:
    assert sets.to_be_bound({"metadata": metadata}) is bound


@pytest.mark.parametrize(
    ("name", "spec", "annotations", "changed"),
    [
        ("default", sets.OURS["default"], {}, False),
        ("default", {"clusterSelector": {"selectorType": "LabelSelector"}}, {}, True),
        ("default", {"clusterSelector": {"selectorType": "LabelSelector"}}, {sets.NOT_OVERWRITTEN: "false"}, False),
        ("mine", {"clusterSelector": {"selectorType": "LabelSelector"}}, {}, False),
    ],
)
def test_the_sets_of_every_hub_stay_as_they_are(name: str, spec: Any, annotations: Any, changed: bool) -> None:
    assert sets.was_changed({"metadata": {"name": name, "annotations": annotations}, "spec": spec}) is changed


PLACEMENT = {"metadata": {"name": "p", "namespace": "n", "uid": "u"}}


def decision(number: int, *clusters: str) -> Decision:
    return Decision(f"p-decision-{number}", {placing.PLACEMENT_LABEL: "p", "i": "0"}, tuple(map(ClusterName, clusters)))


def written(decision: Decision) -> dict[str, Any]:
    return {"metadata": {"name": decision.name, "labels": dict(decision.labels)}, "status": decision.status}


def test_decisions_that_are_there_are_not_written_again() -> None:
    wanted = [decision(1, "a"), decision(2, "b")]
    assert placing.difference(PLACEMENT, wanted, map(written, wanted)) == placing.Difference((), (), (), ())


def test_decisions_are_made_changed_and_taken_away() -> None:
    relabelled = written(decision(3)) | {"metadata": {"name": "p-decision-3", "labels": {placing.PLACEMENT_LABEL: "p"}}}
    present = [written(decision(1, "a")), relabelled, written(decision(9))]
    found = placing.difference(PLACEMENT, [decision(1, "b"), decision(2, "c"), decision(3)], present)
    assert [o["metadata"]["name"] for o in found.create] == ["p-decision-2"]
    assert found.create[0]["metadata"]["ownerReferences"][0]["uid"] == "u"
    assert [d.name for d in found.statuses] == ["p-decision-1", "p-decision-2"]
    assert [d.name for d in found.labels] == ["p-decision-3"]
    assert found.surplus == ("p-decision-9",)
    assert placing.clusters(present) == {"a"}


HERE = Key("n", "p")


def addon(type_: str = "Placements", **annotations: str) -> dict[str, Any]:
    strategy = {"type": type_, "placements": [{"namespace": "n", "name": "p"}]}
    return {"metadata": {"name": "a", "uid": "u", "annotations": annotations}, "spec": {"installStrategy": strategy}}


def installed(*clusters: str) -> list[dict[str, Any]]:
    return [{"metadata": {"name": "a", "namespace": c}} for c in clusters]


def hub_clusters(*names: str) -> list[dict[str, Any]]:
    return [{"metadata": {"name": n}} for n in names]


@pytest.mark.parametrize(
    ("decided", "present", "create", "remove", "message"),
    [
        ({"c1", "c2"}, [], ["c1", "c2"], [], "0/2 progressing..., 0 failed 0 timeout."),
        ({"c1"}, ["c1"], [], [], "1/1 completed with no errors, 0 failed 0 timeout."),
        ({"c1"}, ["c1", "c2"], [], ["c2"], "1/1 completed with no errors, 0 failed 0 timeout."),
        (set(), ["c1"], [], ["c1"], "0/0 progressing..., 0 failed 0 timeout."),
        ({"c1", "unknown"}, ["c1"], [], [], "1/1 completed with no errors, 0 failed 0 timeout."),
    ],
)
def test_an_add_on_is_where_its_placement_says(
    decided: set[str], present: list[str], create: list[str], remove: list[str], message: str
) -> None:
    plan = addons.decide(addon(), {HERE: decided}, hub_clusters("c1", "c2"), installed(*present), NOW)
    assert [o["metadata"]["namespace"] for o in plan.create] == create
    assert list(plan.remove) == [Key(c, "a") for c in remove]
    (progression,) = plan.status["installProgressions"]
    assert (progression["namespace"], progression["name"], progression["conditions"][0]["message"]) == (*HERE, message)


def test_an_add_on_whose_placements_are_still_to_be_named_is_nowhere() -> None:
    nowhere = addon() | {"spec": {"installStrategy": {"type": "Placements"}}}
    plan = addons.decide(nowhere, {}, hub_clusters("c1"), installed("c1"), NOW)
    assert (list(plan.create), list(plan.remove)) == ([], [Key("c1", "a")])


@pytest.mark.parametrize("left_alone", [addon("Manual"), addon(**{addons.LIFECYCLE: "self"})])
def test_an_add_on_that_others_manage_is_left_alone(left_alone: dict[str, Any]) -> None:
    plan = addons.decide(left_alone, {HERE: {"c1"}}, hub_clusters("c1"), installed("c2"), NOW)
    assert (plan.create, plan.remove, plan.status.get("installProgressions") or []) == ((), (), [])


def test_a_progression_said_again_stays_as_it_was() -> None:
    def progressions(before: list[Any], now: datetime) -> list[Any]:
        known = addon() | {"status": {"installProgressions": before}}
        return list(addons.decide(known, {HERE: {"c1"}}, hub_clusters("c1"), installed("c1"), now).status["installProgressions"])

    first = progressions([], NOW)
    assert progressions(first, NOW.replace(hour=13)) == first
