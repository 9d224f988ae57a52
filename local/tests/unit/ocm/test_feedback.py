"""Values read off objects: JSONPaths, well-known statuses, condition rules."""

from __future__ import annotations

from typing import Any

import pytest

from panal_local.ocm import feedback, rules
from panal_local.ocm.jsonpath import PathError, find

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
        ("$.status.phase", ["Running"]),
        (".status.missing.more", []),
        (".status.missing[0].more", []),
        (".status.containerStatuses[0].state.waiting.reason", ["ImagePullBackOff"]),
        (".status.list[-1]", ["c"]),
        (".status.list[0:2]", ["a", "b"]),
        (".status.list[*]", ["a", "b", "c"]),
        (".status.conditions[*].type", ["Ready", "PodScheduled"]),
        ('.status.conditions[?(@.type=="PodScheduled")].message', ["no node"]),
        (".status.conditions[?(@.type=='PodScheduled')].message", ["no node"]),
        (".status.conditions[?(@.n>3)].type", ["PodScheduled"]),
        (".status.conditions[?(@.message)].type", ["PodScheduled"]),
        (".status.conditions[?(@.type>3)].type", []),
        (".metadata.labels['a.b/c']", ["x"]),
        (r".metadata.labels.a\.b/c", ["x"]),
        ("..reason", ["ImagePullBackOff"]),
        (".metadata.*", ["p", {"a.b/c": "x"}]),
    ],
)
def test_a_path_leads_to_values(path: str, found: list[Any]) -> None:
    assert find(path, POD) == found


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        (".status.list[3]", "array index out of bounds: index 3, length 3"),
        (".status.phase[0]", "is not array or slice"),
        (".status[", "unterminated array"),
        (".status.list[?(@ ~ 3)]", "filter"),
        (".status.list[?(@.x == y)]", "unrecognized literal"),
        ("status", "unrecognized character"),
    ],
)
def test_a_path_that_cannot_be_followed_says_why(path: str, problem: str) -> None:
    with pytest.raises(PathError, match=problem.replace("(", r"\(")):
        find(path, POD)


def paths(**given: str) -> list[dict[str, Any]]:
    return [{"type": "JSONPaths", "jsonPaths": [{"name": name, "path": path} for name, path in given.items()]}]


def test_each_value_has_its_type() -> None:
    values, condition = feedback.read(POD, paths(s=".status.phase", i=".status..restartCount", b=".status..ready", none=".status.zz"))
    assert values == [
        {"name": "s", "fieldValue": {"type": "String", "string": "Running"}},
        {"name": "i", "fieldValue": {"type": "Integer", "integer": 2}},
        {"name": "b", "fieldValue": {"type": "Boolean", "boolean": True}},
    ]
    assert condition == feedback.SYNCED


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        (".status..share", "the type float64 of the value for v is not found"),
        (".status", "the type map[string]interface {} of the value for v is not found"),
        (".status.list", "the type []interface {} of the value for v is not found"),
        (".status.list[9]", "failed to find value for v with error: array index out of bounds: index 9, length 3"),
        (".status[", "failed to parse json path .status[ of v with error: unterminated array"),
    ],
)
def test_what_is_no_value_is_told_and_the_others_stay(path: str, problem: str) -> None:
    values, condition = feedback.read(POD, paths(v=path, s=".status.phase"))
    assert [v["name"] for v in values] == ["s"]
    assert condition["reason"] == "StatusFeedbackSyncFailed"
    assert condition["message"] == f"Sync status feedback failed with error {problem}"


def test_a_path_may_be_for_another_version() -> None:
    rule = {"type": "JSONPaths", "jsonPaths": [{"name": "v", "path": ".status.phase", "version": "v2"}]}
    values, condition = feedback.read(POD, [rule])
    assert (values, condition["status"]) == ([], "False")


@pytest.mark.parametrize(
    ("obj", "values"),
    [
        (POD, {"PodReady": "True", "PodPhase": "Running"}),
        ({"apiVersion": "batch/v1", "kind": "Job", "status": {"succeeded": 1}}, {"JobSucceeded": 1}),
        (
            {"apiVersion": "apps/v1", "kind": "Deployment", "status": {"replicas": 2, "readyReplicas": 1}},
            {"ReadyReplicas": 1, "Replicas": 2},
        ),
    ],
)
def test_well_known_statuses(obj: dict[str, Any], values: dict[str, Any]) -> None:
    found, condition = feedback.read(obj, [{"type": "WellKnownStatus"}])
    assert {v["name"]: v["fieldValue"].get("string", v["fieldValue"].get("integer")) for v in found} == values
    assert condition == feedback.SYNCED


def test_nothing_is_well_known_of_other_kinds() -> None:
    _, condition = feedback.read({"apiVersion": "v1", "kind": "ConfigMap"}, [{"type": "WellKnownStatus"}])
    assert condition["message"].endswith("cannot find the wellknown statuses for resource with gvk /v1, Kind=ConfigMap")


def test_without_rules_nothing_is_read() -> None:
    assert feedback.read(POD, []) == ([], feedback.NO_RULES)


def rule(*expressions: str, **more: str) -> dict[str, Any]:
    return {"type": "CEL", "condition": "C", "celExpressions": list(expressions), **more}


@pytest.mark.parametrize(
    ("given", "status", "reason", "message"),
    [
        (rule("object.status.phase == 'Running'", message="runs"), "True", "ConditionRuleEvaluated", "runs"),
        (rule("true"), "True", "ConditionRuleEvaluated", "Manifest is C"),
        (rule("true", "false"), "False", "ConditionRuleEvaluated", "Manifest is not C"),
        (rule(), "True", "ConditionRuleEvaluated", "Manifest is C"),
        (rule("false", "object.status.phase"), "False", "ConditionRuleEvaluated", "Manifest is not C"),
        (rule("object.status.zz == 1", message="m"), "False", "ConditionRuleExpressionError", "no such key: zz"),
        (rule("object.status.phase"), "False", "ConditionRuleExpressionError", "expected bool result, got string"),
        (rule("hasConditions(object.status)"), "True", "ConditionRuleEvaluated", "Manifest is C"),
        (rule("hasConditions(object)"), "False", "ConditionRuleEvaluated", "Manifest is not C"),
        (rule("true", messageExpression="object.status.phase + (result ? '!' : '?')"), "True", "ConditionRuleEvaluated", "Running!"),
        (rule("true", message="m", messageExpression="object.zz"), "True", "ConditionRuleEvaluated", "no such key: zz"),
    ],
)
def test_condition_rules(given: dict[str, Any], status: str, reason: str, message: str) -> None:
    condition = {"type": "C", "status": status, "reason": reason, "message": message, "observedGeneration": 3}
    assert rules.evaluate(POD, [given], 3) == [condition]


@pytest.mark.parametrize(
    ("obj", "status"),
    [
        ({"kind": "Pod", "status": {"phase": "Pending"}}, "False"),
        ({"kind": "Pod", "status": {"phase": "Failed"}}, "True"),
        ({"kind": "Job", "status": {}}, "False"),
        ({"kind": "Job", "status": {"conditions": [{"type": "Failed", "status": "True", "message": "m"}]}}, "True"),
        ({"kind": "ConfigMap"}, None),
    ],
)
def test_what_ends_is_complete(obj: dict[str, Any], status: str | None) -> None:
    found = rules.evaluate(obj, [{"type": "WellKnownConditions", "condition": "Complete"}], 1)
    assert [c["status"] for c in found] == ([status] if status else [])
