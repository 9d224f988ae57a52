"""Status feedback: values that a ManifestWork reads from its objects by JSONPath."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from panal.kube.objects import Object
from panal_local.jsonpath import PathError, find
from panal_local.ocm.conditions import Condition, new_condition

Values = list[dict[str, Any]]
TYPE = "StatusFeedbackSynced"
NO_RULES = new_condition(TYPE, True, "NoStatusFeedbackSynced")
SYNCED = new_condition(TYPE, True, "StatusFeedbackSynced")
INT64 = 1 << 63


def read(obj: Object, rules: list[Mapping[str, Any]]) -> tuple[Values, Condition]:
    """The values, and the condition StatusFeedbackSynced, which names the errors."""
    if not rules:
        return [], NO_RULES
    values: Values = []
    errors: list[str] = []
    for rule in rules:
        if rule["type"] != "JSONPaths":
            errors.append(f"feedback rules of type {rule['type']} are not evaluated by the local platform; use JSONPaths")
        for path in rule.get("jsonPaths") or ():
            try:
                values += _value(path["name"], path["path"], obj)
            except PathError as error:
                errors.append(f"{path['name']}: {error}")
    return values, SYNCED if not errors else _failed(errors)


def _value(name: str, path: str, obj: Object) -> Values:
    """The first value at the path, as a list of one or none."""
    found = find(path, obj)
    if not found or found[0] is None:
        return []
    match found[0]:
        case bool(value):
            return [{"name": name, "fieldValue": {"type": "Boolean", "boolean": value}}]
        case int(value) if -INT64 <= value < INT64:
            return [{"name": name, "fieldValue": {"type": "Integer", "integer": value}}]
        case str(value):
            return [{"name": name, "fieldValue": {"type": "String", "string": value}}]
        case _:
            raise PathError(f"{path} is neither a text, a whole number nor true or false")


def _failed(errors: list[str]) -> Condition:
    return new_condition(TYPE, False, "StatusFeedbackSyncFailed", f"Sync status feedback failed with error {'; '.join(errors)}")
