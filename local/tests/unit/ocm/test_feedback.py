"""Values read from objects by JSONPath."""

from __future__ import annotations

from typing import Any

import pytest

from panal_local.jsonpath import PathError, find
from panal_local.ocm import feedback

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "labels": {"a.b/c": "x"}},
    "status": {
        "phase": "Running",
        "conditions": [
            {"type": "Ready", "status": "True", "n": 3},
            {"type": "PodScheduled", "status": "False", "message": "no node", "n": 7},
        ],
        "containerStatuses": [{"ready": True, "restartCount": 2, "state": {"waiting": {"reason": "ImagePullBackOff"}}, "share": 0.5}],
        "list": ["a", "b", "c"],
    },
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".status.phase", ["Running"]),
        (".status.missing.more", []),
        (".status.missing[0].more", []),
        (".status.containerStatuses[0].state.waiting.reason", ["ImagePullBackOff"]),
        (".status.list[1]", ["b"]),
        (".status.list[3]", []),
        (".status.phase[0]", []),
        (".status.list[*]", ["a", "b", "c"]),
        (".status.conditions[*].type", ["Ready", "PodScheduled"]),
        ('.status.conditions[?(@.type=="PodScheduled")].message', ["no node"]),
        (".status.conditions[?(@.type=='PodScheduled')].message", ["no node"]),
        (".status.conditions[?( @.type == 'Other' )].message", []),
        (".status.list[?(@.type=='Other')]", []),
    ],
)
def test_the_values_at_a_path(path: str, found: list[Any]) -> None:
    assert find(path, POD) == found


@pytest.mark.parametrize("path", [".status[", "status", "..reason", ".status.list[-1]", ".status.conditions[?(@.n>3)].type"])
def test_an_unsupported_path_names_the_supported_forms(path: str) -> None:
    with pytest.raises(PathError, match="the local platform knows"):
        find(path, POD)


def paths(**given: str) -> list[dict[str, Any]]:
    return [{"type": "JSONPaths", "jsonPaths": [{"name": name, "path": path} for name, path in given.items()]}]


def test_each_value_has_its_type() -> None:
    values, condition = feedback.read(
        POD,
        paths(s=".status.phase", i=".status.containerStatuses[0].restartCount", b=".status.containerStatuses[0].ready", none=".status.zz"),
    )
    assert values == [
        {"name": "s", "fieldValue": {"type": "String", "string": "Running"}},
        {"name": "i", "fieldValue": {"type": "Integer", "integer": 2}},
        {"name": "b", "fieldValue": {"type": "Boolean", "boolean": True}},
    ]
    assert condition == feedback.SYNCED


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        (".status.containerStatuses[0].share", "v: .status.containerStatuses[0].share is neither a text, a whole number nor true or false"),
        (".status", "v: .status is neither"),
        (".status[", "v: unrecognized '['"),
    ],
)
def test_an_invalid_value_is_reported_and_the_others_stay(path: str, problem: str) -> None:
    values, condition = feedback.read(POD, paths(v=path, s=".status.phase"))
    assert [v["name"] for v in values] == ["s"]
    assert condition["reason"] == "StatusFeedbackSyncFailed"
    assert condition["message"].startswith(f"Sync status feedback failed with error {problem}")


def test_other_rules_are_reported_as_unsupported() -> None:
    values, condition = feedback.read(POD, [{"type": "WellKnownStatus"}])
    assert values == []
    assert "of type WellKnownStatus are not evaluated by the local platform; use JSONPaths" in condition["message"]


def test_without_rules_nothing_is_read() -> None:
    assert feedback.read(POD, []) == ([], feedback.NO_RULES)
