"""Which configuration a cluster's add-on has, and when it counts as rolled out: as Open Cluster Management 1.2.1 does it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from panal.kube.objects import Key
from panal_local.ocm import addons, configs

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
KIND = {"group": "addon.open-cluster-management.io", "resource": "addondeploymentconfigs"}
HERE, THERE = Key("n", "here"), Key("n", "there")


def named(name: str) -> dict[str, str]:
    return {**KIND, "namespace": "n", "name": name}


def hashed(name: str, text: str = "") -> dict[str, Any]:
    return {"namespace": "n", "name": name, "specHash": text}


def addon(default: str = "", here: str = "", there: str = "", **hashes: str) -> dict[str, Any]:
    """With two placements, and as the add-on manager has it once the add-on's own manager has told the hashes."""
    supported = KIND | ({"defaultConfig": {"namespace": "n", "name": default}} if default else {})
    placements = [{"namespace": "n", "name": name, "configs": [named(c)] if c else []} for name, c in (("here", here), ("there", there))]
    spec = {"supportedConfigs": [supported], "installStrategy": {"type": "Placements", "placements": placements}}
    made: dict[str, Any] = {"metadata": {"name": "a", "uid": "u"}, "spec": spec}
    made["status"] = addons.decide(made, {HERE: set(), THERE: set()}, [], [], NOW).status
    of_placements = [r for p in made["status"]["installProgressions"] for r in p["configReferences"]]
    for reference in [*made["status"]["defaultconfigReferences"], *of_placements]:
        reference["desiredConfig"]["specHash"] = hashes.get(reference["desiredConfig"]["name"], "")
    return made


def installed(*own: str, **status: Any) -> dict[str, Any]:
    spec = {"configs": [named(c) for c in own]} if own else {}
    return {"metadata": {"name": "a", "namespace": "c1"}, "spec": spec, "status": status}


def work(ready: bool = True, **names: str) -> dict[str, Any]:
    content = json.dumps({f"addondeploymentconfigs.addon.open-cluster-management.io/n/{name}": text for name, text in names.items()})
    conditions = [{"type": t, "status": str(ready), "observedGeneration": 1} for t in ("Applied", "Available")]
    annotations = {configs.HASHES: content} if names else {}
    return {"metadata": {"name": "w", "generation": 1, "annotations": annotations}, "status": {"conditions": conditions}}


@pytest.mark.parametrize(
    ("given", "own", "decided", "found"),
    [
        (addon(), (), {HERE}, []),
        (addon(default="d", d="1"), (), {HERE}, [("d", "1")]),
        (addon(default="d", d="1"), (), set(), [("d", "1")]),
        (addon(default="d", here="h", d="1", h="2"), (), {HERE}, [("h", "2")]),
        (addon(default="d", here="h", d="1", h="2"), (), {THERE}, [("d", "1")]),
        (addon(here="h", there="t", h="2", t="3"), (), {HERE, THERE}, [("t", "3")]),
        (addon(default="d", here="h", d="1", h="2"), ("own",), {HERE}, [("own", "")]),
        (addon(), ("own", "second", "own"), {HERE}, [("own", ""), ("second", "")]),
    ],
    ids=lambda value: "" if isinstance(value, dict) else None,
)
def test_the_more_special_configuration_counts(given: dict[str, Any], own: tuple[str, ...], decided: set[Key], found: list[Any]) -> None:
    clusters = {key: {"c1"} if key in decided else set[str]() for key in (HERE, THERE)}
    status, _ = addons.installed_status(given, installed(*own), clusters, [])
    references = status.get("configReferences", [])
    assert [(r["desiredConfig"]["name"], r["desiredConfig"]["specHash"]) for r in references] == found
    assert all(r["namespace"] == "n" and r["name"] == r["desiredConfig"]["name"] for r in references)


def test_the_hash_of_a_configuration_of_ones_own_stays() -> None:
    before = {**named("own"), "lastObservedGeneration": 3, "desiredConfig": hashed("own", "7")}
    status, _ = addons.installed_status(addon(), installed("own", configReferences=[before]), {}, [])
    assert status["configReferences"] == [before]


SUPPORTED = {"supportedConfigs": [KIND]}
APPLIED = {"conditions": [{"type": "ManifestApplied", "status": "True"}]}


@pytest.mark.parametrize(
    ("given", "cluster", "works", "reason", "message"),
    [
        (addon(), installed("own"), [], "ConfigurationUnsupported", "addondeploymentconfigs is not supported"),
        (addon(), installed("own", **SUPPORTED), [], "WaitingForManifestApplied", "Waiting for"),
        (addon(), installed(**APPLIED), [], "Progressing", "no addon works"),
        (addon(), installed(**APPLIED), [work()], "Completed", "completed with no errors."),
        (addon(), installed(**APPLIED), [work(ready=False)], "Progressing", "work is not ready"),
        (addon(), installed(**APPLIED), [work(d="1")], "Progressing", "mca and work configs mismatch"),
        (addon(default="d", d="1"), installed(**APPLIED), [work()], "Progressing", "mca and work configs mismatch"),
        (addon(default="d", d="1"), installed(**APPLIED), [work(d="0")], "Progressing", "mca and work configs mismatch"),
        (addon(default="d"), installed(**APPLIED), [work(d="")], "Progressing", "mca and work configs mismatch"),
        (addon(default="d", d="1"), installed(**APPLIED), [work(d="1"), work(d="1")], "Completed", "completed with no errors."),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_said_of_a_rollout(given: dict[str, Any], cluster: dict[str, Any], works: list[Any], reason: str, message: str) -> None:
    status, conditions = addons.installed_status(given, cluster, {HERE: {"c1"}}, works)
    progress = next(c for c in conditions if c["type"] == "Progressing")
    assert progress["reason"] == reason
    assert message in progress["message"]
    applied = [r.get("lastAppliedConfig") for r in status.get("configReferences", [])]
    assert all(applied) if reason == "Completed" else not any(applied)


def test_a_rollout_is_done_when_every_cluster_has_applied_it() -> None:
    given, clusters = addon(default="d", d="1"), [{"metadata": {"name": "c1"}}]

    def progression(cluster: dict[str, Any]) -> Any:
        return addons.decide(given, {HERE: {"c1"}, THERE: set()}, clusters, [cluster], NOW).status["installProgressions"][0]

    reference = {**named("d"), "lastObservedGeneration": 0, "desiredConfig": hashed("d", "1")}
    before = progression(installed(configReferences=[reference]))
    assert (before["conditions"][0]["status"], "lastAppliedConfig" in before["configReferences"][0]) == ("True", False)
    after = progression(installed(configReferences=[reference | {"lastAppliedConfig": hashed("d", "1")}]))
    assert after["conditions"][0]["message"] == "1/1 completed with no errors, 0 failed 0 timeout."
    assert after["configReferences"][0]["lastAppliedConfig"] == after["configReferences"][0]["lastKnownGoodConfig"] == hashed("d", "1")
