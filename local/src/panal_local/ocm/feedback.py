"""Values that a ManifestWork asks to be read off its objects, by JSONPath or those that are well known of a kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from panal.kube.objects import Object, conditions_of
from panal_local.ocm.conditions import Condition, said
from panal_local.ocm.jsonpath import PathError, find

Values = list[dict[str, Any]]
TYPE = "StatusFeedbackSynced"
NO_RULES = said(TYPE, True, "NoStatusFeedbackSynced")
SYNCED = said(TYPE, True, "StatusFeedbackSynced")
INT64 = 1 << 63

WELL_KNOWN: dict[tuple[str, str], dict[str, str]] = {
    ("apps/v1", "Deployment"): {
        "ReadyReplicas": ".status.readyReplicas",
        "Replicas": ".status.replicas",
        "AvailableReplicas": ".status.availableReplicas",
    },
    ("apps/v1", "DaemonSet"): {
        "NumberReady": ".status.numberReady",
        "DesiredNumberScheduled": ".status.desiredNumberScheduled",
        "NumberAvailable": ".status.numberAvailable",
    },
    ("batch/v1", "Job"): {"JobComplete": '.status.conditions[?(@.type=="Complete")].status', "JobSucceeded": ".status.succeeded"},
    ("v1", "Pod"): {"PodReady": '.status.conditions[?(@.type=="Ready")].status', "PodPhase": ".status.phase"},
}


def read(obj: Object, rules: list[Mapping[str, Any]]) -> tuple[Values, Condition]:
    """The values found, and the condition that tells whether anything was wrong."""
    if not rules:
        return [], NO_RULES
    values: Values = []
    errors: list[str] = []
    for rule in rules:
        for name, path, version in _paths(obj, rule, errors):
            if version and version != obj["apiVersion"].rpartition("/")[2]:
                errors.append(f"version set in the path {name} is not matched for the related resource")
                continue
            try:
                values += _value(name, path, obj)
            except PathError as error:
                errors.append(str(error))
    return values, SYNCED if not errors else _failed(errors)


def _paths(obj: Object, rule: Mapping[str, Any], errors: list[str]) -> Iterator[tuple[str, str, str]]:
    if rule["type"] == "JSONPaths":
        yield from ((p["name"], p["path"], p.get("version") or "") for p in rule.get("jsonPaths") or ())
        return
    paths = WELL_KNOWN.get((obj["apiVersion"], obj["kind"]))
    if paths is None:
        group, _, version = obj["apiVersion"].rpartition("/")
        errors.append(f"cannot find the wellknown statuses for resource with gvk {group}/{version}, Kind={obj['kind']}")
    yield from ((name, path, "") for name, path in (paths or {}).items())


def _value(name: str, path: str, obj: Object) -> Values:
    """One value or none: of several hits, the first."""
    try:
        found = find(path, obj)
    except PathError as error:
        raise PathError(_explained(name, path, error)) from error
    if not found or found[0] is None:
        return []
    match found[0]:
        case bool(value):
            return [{"name": name, "fieldValue": {"type": "Boolean", "boolean": value}}]
        case int(value) if -INT64 <= value < INT64:
            return [{"name": name, "fieldValue": {"type": "Integer", "integer": value}}]
        case str(value):
            return [{"name": name, "fieldValue": {"type": "String", "string": value}}]
        case other:
            raise PathError(f"the type {_go_type(other)} of the value for {name} is not found")


def _explained(name: str, path: str, error: PathError) -> str:
    bounds = "out of bounds" in str(error) or "is not array" in str(error)
    return (
        f"failed to find value for {name} with error: {error}"
        if bounds
        else f"failed to parse json path {path} of {name} with error: {error}"
    )


def _go_type(value: Any) -> str:
    """What Open Cluster Management calls it."""
    if isinstance(value, dict):
        return "map[string]interface {}"
    return "[]interface {}" if isinstance(value, list) else "float64"


def _failed(errors: list[str]) -> Condition:
    text = errors[0] if len(errors) == 1 else f"[{', '.join(dict.fromkeys(errors))}]"
    return said(TYPE, False, "StatusFeedbackSyncFailed", f"Sync status feedback failed with error {text}")


def succeeded_or_failed(obj: Object) -> Condition | None:
    """What the rule WellKnownConditions says of a Job or Pod that has or has not ended; None for other kinds."""
    match obj["kind"]:
        case "Job":
            ended = next((c for c in conditions_of(obj) if c["type"] in ("Complete", "Failed") and c["status"] == "True"), None)
            message = "" if ended is None else ended.get("message") or ""
            return said("Complete", ended is not None, "ConditionRuleEvaluated", message if ended else "Job is not finished")
        case "Pod":
            phase = (obj.get("status") or {}).get("phase", "")
            done = phase in ("Succeeded", "Failed")
            return said("Complete", done, "ConditionRuleEvaluated", f"Pod is in phase {phase}")
    return None
