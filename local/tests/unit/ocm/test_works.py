"""A ManifestWork: options of its manifests, conditions of the whole, and what happens to objects of the cluster."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from panal.kube import kinds
from panal_local.ocm import applying, statuses, works
from panal_local.ocm.conditions import said
from panal_local.ocm.statuses import Seen

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
OWNER = {"apiVersion": works.API, "kind": "AppliedManifestWork", "name": "h-w", "uid": "u1"}
OTHER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "u2"}
FAILED = said("Applied", False, "AppliedManifestFailed", "Failed to apply manifest: no")


def config_map(name: str = "c", **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "n"}, **more}


def work(*configs: dict[str, Any], generation: int = 1, option: Any = None, status: Any = None) -> dict[str, Any]:
    spec = {"workload": {"manifests": []}, "manifestConfigs": list(configs), "deleteOption": option}
    return {"metadata": {"name": "w", "generation": generation}, "spec": spec, "status": status or {}}


def config(name: str = "c", namespace: str = "n", **options: Any) -> dict[str, Any]:
    return {"resourceIdentifier": {"group": "", "resource": "configmaps", "name": name, "namespace": namespace}, **options}


def one(of: dict[str, Any], ordinal: int = 0, name: str = "c") -> works.Manifest:
    return works.manifest(of, ordinal, config_map(name), kinds.CONFIG_MAP)


READ_ONLY = {"updateStrategy": {"type": "ReadOnly"}}


@pytest.mark.parametrize(
    ("configs", "strategy"),
    [
        ([], "Update"),
        ([config(**READ_ONLY)], "ReadOnly"),
        ([config("*", **READ_ONLY)], "ReadOnly"),
        ([config("c*", "?", **READ_ONLY)], "ReadOnly"),
        ([config("d", **READ_ONLY)], "Update"),
        ([config(namespace="m", **READ_ONLY)], "Update"),
        ([config(feedbackRules=[]), config("*", **READ_ONLY), config("*", updateStrategy={"type": "CreateOnly"})], "ReadOnly"),
    ],
)
def test_the_first_config_that_names_a_manifest_counts_for_each_option(configs: list[Any], strategy: str) -> None:
    assert one(work(*configs)).strategy == strategy


RULE = {"group": "", "resource": "configmaps", "name": "c", "namespace": "n"}


@pytest.mark.parametrize(
    ("option", "orphan"),
    [
        (None, False),
        ({"propagationPolicy": "Foreground"}, False),
        ({"propagationPolicy": "Orphan"}, True),
        ({"propagationPolicy": "SelectivelyOrphan", "selectivelyOrphans": {"orphaningRules": [RULE]}}, True),
        ({"propagationPolicy": "SelectivelyOrphan", "selectivelyOrphans": {"orphaningRules": [RULE | {"name": "d"}]}}, False),
        ({"propagationPolicy": "Foreground", "selectivelyOrphans": {"orphaningRules": [RULE]}}, False),
    ],
)
def test_what_is_orphaned_is_not_owned(option: Any, orphan: bool) -> None:
    manifest = one(work(option=option))
    assert manifest.orphan is orphan
    owners = applying.with_owner(config_map(), OWNER, manifest.orphan)["metadata"].get("ownerReferences", [])
    assert owners == ([] if orphan else [OWNER])


def test_manifests_are_applied_in_the_order_of_their_needs() -> None:
    order = ["Namespace", "Role", "ServiceAccount", "ConfigMap", "Service", "StatefulSet", "FederatedLearning"]
    made = [works.manifest(work(), 0, {"apiVersion": "v1", "kind": kind}, None) for kind in order]
    assert [m.rank for m in made] == sorted(m.rank for m in made)


# --- status -----------------------------------------------------------------------------------------------------------
def live(**data: str) -> dict[str, Any]:
    return config_map(data=data)


@pytest.mark.parametrize(
    ("seen", "applied", "available"),
    [
        ([], ("True", "AppliedManifestWorkComplete"), ("Unknown", "ResourcesStatusUnknown")),
        ([(applying.DONE, live())], ("True", "AppliedManifestWorkComplete"), ("True", "ResourcesAvailable")),
        ([(applying.DONE, None)], ("True", "AppliedManifestWorkComplete"), ("False", "ResourcesNotAvailable")),
        ([(FAILED, live()), (applying.DONE, live())], ("False", "AppliedManifestWorkFailed"), ("True", "ResourcesAvailable")),
        ([(FAILED, None), (applying.DONE, live())], ("False", "AppliedManifestWorkFailed"), ("False", "ResourcesNotAvailable")),
    ],
)
def test_conditions_of_the_whole(seen: list[Any], applied: tuple[str, str], available: tuple[str, str]) -> None:
    all_seen = [Seen(one(work(), n, f"c{n}"), obj, applied=a) for n, (a, obj) in enumerate(seen)]
    status = statuses.status(work(generation=4), all_seen, NOW)
    found = {c["type"]: (c["status"], c["reason"], c["observedGeneration"]) for c in status["conditions"]}
    assert found == {"Applied": (*applied, 4), "Available": (*available, 4)}


def test_a_kind_that_the_cluster_does_not_know() -> None:
    manifest = works.manifest(work(), 0, {"apiVersion": "e.com/v1", "kind": "Foo", "metadata": {"name": "f"}}, None)
    status = statuses.status(work(), [Seen(manifest, None, applied=FAILED)], NOW)
    assert {c["type"]: c["status"] for c in status["conditions"]} == {"Applied": "False", "Available": "Unknown"}
    meta = {"ordinal": 0, "group": "e.com", "version": "v1", "kind": "Foo", "resource": "", "namespace": "", "name": "f"}
    assert status["resourceStatus"]["manifests"][0]["resourceMeta"] == meta


def with_feedback(status: Any = None) -> dict[str, Any]:
    return work(config(feedbackRules=[{"type": "JSONPaths", "jsonPaths": [{"name": "k", "path": ".data.k"}]}]), status=status)


def look(at: dict[str, Any], obj: Any, now: datetime, applied: Any = None) -> dict[str, Any]:
    return statuses.status(at, [Seen(one(at), obj, applied=applied)], now)


def test_a_second_look_at_the_same_says_the_same() -> None:
    status = look(with_feedback(), live(k="v"), NOW, applying.DONE)
    assert look(with_feedback(status), live(k="v"), NOW + timedelta(minutes=1)) == status


def synced_since(status: dict[str, Any]) -> str:
    conditions = status["resourceStatus"]["manifests"][0]["conditions"]
    return next(c["lastTransitionTime"] for c in conditions if c["type"] == "StatusFeedbackSynced")


def test_the_time_of_feedback_is_that_of_the_last_value() -> None:
    first = look(with_feedback(), live(k="v"), NOW, applying.DONE)
    second = look(with_feedback(first), live(k="w"), NOW + timedelta(minutes=1))
    assert (synced_since(first), synced_since(second)) == ("2030-01-01T12:00:00Z", "2030-01-01T12:01:00Z")


def test_values_of_an_object_that_went_stay() -> None:
    first = look(with_feedback(), live(k="v"), NOW, applying.DONE)
    gone = look(with_feedback(first), None, NOW)
    assert gone["resourceStatus"]["manifests"][0]["statusFeedback"] == first["resourceStatus"]["manifests"][0]["statusFeedback"]
    assert {c["type"]: c["status"] for c in gone["conditions"]} == {"Applied": "True", "Available": "False"}


def test_a_look_alone_does_not_say_that_a_new_generation_is_applied() -> None:
    status = look(work(), live(), NOW, applying.DONE)
    later = work(generation=2, status=status)
    assert {c["type"]: c["observedGeneration"] for c in look(later, live(), NOW)["conditions"]} == {"Applied": 1, "Available": 2}
    assert not statuses.applied_before(later, one(later))
    assert statuses.applied_before(work(status=status), one(work()))


@pytest.mark.parametrize(
    ("type_", "values", "status"),
    [
        ("Ok", ["a", "a"], "True"),
        ("Ok", ["a", "b"], "False"),
        ("Progressing", ["a", "b"], "True"),
        ("Progressing", ["b", "b"], "False"),
    ],
)
def test_conditions_of_rules_are_put_together(type_: str, values: list[str], status: str) -> None:
    rule = {"type": "CEL", "condition": type_, "celExpressions": ["object.data.k == 'a'"], "message": "m"}
    of = work(config("*", conditionRules=[rule]))
    found = statuses.status(of, [Seen(one(of, n, f"c{n}"), live(k=v), applied=applying.DONE) for n, v in enumerate(values)], NOW)
    condition = next(c for c in found["conditions"] if c["type"] == type_)
    assert (condition["status"], condition["message"]) == (status, "Aggregated from 2 manifest conditions")


def test_a_condition_whose_rule_went_goes() -> None:
    rule = {"type": "CEL", "condition": "Ok", "celExpressions": [], "message": "m"}
    with_rule = work(config(conditionRules=[rule]))
    status = look(with_rule, live(), NOW, applying.DONE)
    without = look(work(status=status), live(), NOW)
    assert [c["type"] for c in status["conditions"]] == ["Applied", "Available", "Ok"]
    assert [c["type"] for c in without["conditions"]] == ["Applied", "Available"]


# --- objects ----------------------------------------------------------------------------------------------------------
def stored(**metadata: Any) -> dict[str, Any]:
    return config_map(data={"k": "v", "theirs": "x"}) | {"metadata": {"name": "c", "namespace": "n", "resourceVersion": "7", **metadata}}


def test_an_update_replaces_what_the_manifest_has_and_keeps_labels_of_others() -> None:
    manifest = config_map(data={"k": "w"})
    manifest["metadata"]["labels"] = {"mine": "2"}
    wanted = applying.updated(stored(labels={"theirs": "1", "mine": "1"}, ownerReferences=[OTHER]), manifest, OWNER, orphan=False)
    assert wanted["data"] == {"k": "w"}
    assert wanted["metadata"]["labels"] == {"theirs": "1", "mine": "2"}
    assert wanted["metadata"]["ownerReferences"] == [OTHER, OWNER]
    assert wanted["metadata"]["resourceVersion"] == "7"


def test_an_update_that_changes_nothing_is_the_same() -> None:
    known = stored(ownerReferences=[OWNER])
    assert applying.updated(known, config_map(data=known["data"]), OWNER, orphan=False) == known


@pytest.mark.parametrize(
    ("wanted", "covered"),
    [
        ({"a": 1}, True),
        ({"a": 2}, False),
        ({"d": {"x": "1"}}, True),
        ({"d": {"y": "1"}}, False),
        ({"l": [{"n": "a"}]}, True),
        ({"l": [{"n": "a"}, {"n": "b"}]}, False),
        ({"absent": None}, True),
        ({"t": "text"}, True),
        ({"status": {"x": 1}}, True),
    ],
)
def test_drift_is_what_the_server_would_not_have_added(wanted: Any, covered: bool) -> None:
    assert applying.covers({"a": 1, "d": {"x": "1", "z": "2"}, "l": [{"n": "a", "added": True}], "t": "text"}, wanted) is covered


def test_what_was_applied_is_listed_and_read_again() -> None:
    listed = works.resource(one(work()), {"metadata": {"uid": "u"}})
    applied = {"status": {"appliedResources": [listed.json()]}}
    assert listed.json() == {"group": "", "version": "v1", "resource": "configmaps", "namespace": "n", "name": "c", "uid": "u"}
    assert works.applied_resources(applied) == [listed]


def test_two_works_that_share_an_object_do_not_take_turns() -> None:
    shared = stored(ownerReferences=[OWNER, OTHER])
    for owner in (OWNER, OTHER):
        assert applying.updated(shared, config_map(), owner, orphan=False)["metadata"] == shared["metadata"]
