"""A ManifestWork: the options of manifests, the status, and the applied objects."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from panal.kube import kinds
from panal.kube.objects import Key
from panal_local.ocm import applying, statuses, works
from panal_local.ocm.conditions import new_condition
from panal_local.ocm.statuses import Observed

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
OWNER = {"apiVersion": works.API, "kind": "AppliedManifestWork", "name": "h-w", "uid": "u1"}
OTHER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "u2"}
FAILED = new_condition("Applied", False, "AppliedManifestFailed", "Failed to apply manifest: no")


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
def test_the_first_matching_config_sets_each_option(configs: list[Any], strategy: str) -> None:
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
def test_orphaned_objects_are_not_owned(option: Any, orphan: bool) -> None:
    manifest = one(work(option=option))
    assert manifest.orphan is orphan
    owners = applying.with_owner(config_map(), OWNER, manifest.orphan)["metadata"].get("ownerReferences", [])
    assert owners == ([] if orphan else [OWNER])


def test_the_pods_of_a_work() -> None:
    named = {"metadata": {"name": "w"}, "spec": {"workload": {"manifests": [config_map(), config_map("p") | {"kind": "Pod"}]}}}
    assert works.has_pod(named, Key("n", "p"))
    assert not works.has_pod(named, Key("n", "c"))
    assert not works.has_pod(named, Key("m", "p"))


# --- status -----------------------------------------------------------------------------------------------------------
def live(**data: str) -> dict[str, Any]:
    return config_map(data=data)


@pytest.mark.parametrize(
    ("observed", "applied", "available"),
    [
        ([], ("True", "AppliedManifestWorkComplete"), ("Unknown", "ResourcesStatusUnknown")),
        ([(applying.DONE, live())], ("True", "AppliedManifestWorkComplete"), ("True", "ResourcesAvailable")),
        ([(applying.DONE, None)], ("True", "AppliedManifestWorkComplete"), ("False", "ResourcesNotAvailable")),
        ([(FAILED, live()), (applying.DONE, live())], ("False", "AppliedManifestWorkFailed"), ("True", "ResourcesAvailable")),
        ([(FAILED, None), (applying.DONE, live())], ("False", "AppliedManifestWorkFailed"), ("False", "ResourcesNotAvailable")),
    ],
)
def test_conditions_of_the_whole(observed: list[Any], applied: tuple[str, str], available: tuple[str, str]) -> None:
    all_seen = [Observed(one(work(), n, f"c{n}"), obj, applied=a) for n, (a, obj) in enumerate(observed)]
    status = statuses.status(work(generation=4), all_seen, NOW)
    found = {c["type"]: (c["status"], c["reason"], c["observedGeneration"]) for c in status["conditions"]}
    assert found == {"Applied": (*applied, 4), "Available": (*available, 4)}


def test_an_unknown_kind() -> None:
    manifest = works.manifest(work(), 0, {"apiVersion": "e.com/v1", "kind": "Foo", "metadata": {"name": "f"}}, None)
    status = statuses.status(work(), [Observed(manifest, None, applied=FAILED)], NOW)
    assert {c["type"]: c["status"] for c in status["conditions"]} == {"Applied": "False", "Available": "Unknown"}
    meta = {"ordinal": 0, "group": "e.com", "version": "v1", "kind": "Foo", "resource": "", "namespace": "", "name": "f"}
    assert status["resourceStatus"]["manifests"][0]["resourceMeta"] == meta


def with_feedback(status: Any = None) -> dict[str, Any]:
    return work(config(feedbackRules=[{"type": "JSONPaths", "jsonPaths": [{"name": "k", "path": ".data.k"}]}]), status=status)


def look(at: dict[str, Any], obj: Any, now: datetime, applied: Any = None) -> dict[str, Any]:
    return statuses.status(at, [Observed(one(at), obj, applied=applied)], now)


def test_an_unchanged_observation_does_not_change_the_status() -> None:
    status = look(with_feedback(), live(k="v"), NOW, applying.DONE)
    assert look(with_feedback(status), live(k="v"), NOW + timedelta(minutes=1)) == status


def synced_since(status: dict[str, Any]) -> str:
    conditions = status["resourceStatus"]["manifests"][0]["conditions"]
    return next(c["lastTransitionTime"] for c in conditions if c["type"] == "StatusFeedbackSynced")


def test_the_time_of_feedback_is_that_of_the_last_value() -> None:
    first = look(with_feedback(), live(k="v"), NOW, applying.DONE)
    second = look(with_feedback(first), live(k="w"), NOW + timedelta(minutes=1))
    assert (synced_since(first), synced_since(second)) == ("2030-01-01T12:00:00Z", "2030-01-01T12:01:00Z")


def test_feedback_of_a_removed_object_stays() -> None:
    first = look(with_feedback(), live(k="v"), NOW, applying.DONE)
    gone = look(with_feedback(first), None, NOW)
    assert gone["resourceStatus"]["manifests"][0]["statusFeedback"] == first["resourceStatus"]["manifests"][0]["statusFeedback"]
    assert {c["type"]: c["status"] for c in gone["conditions"]} == {"Applied": "True", "Available": "False"}


def test_only_an_apply_updates_the_observed_generation() -> None:
    status = look(work(), live(), NOW, applying.DONE)
    later = work(generation=2, status=status)
    assert {c["type"]: c["observedGeneration"] for c in look(later, live(), NOW)["conditions"]} == {"Applied": 1, "Available": 2}


# --- objects ----------------------------------------------------------------------------------------------------------
def test_applied_resources_are_written_and_read() -> None:
    listed = works.resource(one(work()), {"metadata": {"uid": "u"}})
    applied = {"status": {"appliedResources": [listed.json()]}}
    assert listed.json() == {"group": "", "version": "v1", "resource": "configmaps", "namespace": "n", "name": "c", "uid": "u"}
    assert works.applied_resources(applied) == [listed]


def test_two_works_with_a_common_object_do_not_alternate() -> None:
    shared = {"metadata": {"name": "c", "ownerReferences": [OWNER, OTHER]}}
    for owner in (OWNER, OTHER):
        assert applying.owners(shared, owner, orphan=False) == [OWNER, OTHER]
    assert applying.owners(shared, OWNER, orphan=True) == [OTHER]
