"""Patches: merge patch (RFC 7386), JSON patch (RFC 6902), and strategic merge patch, which kubectl uses for built-in kinds.

Strategic merge takes the keys of lists from the schema. It supports the directives `$patch: delete | replace`, `$deleteFromPrimitiveList`
and `$retainKeys`. `$setElementOrder` has no effect: new items of a list come last.
"""

from __future__ import annotations

import copy
from typing import Any

import jsonpatch
import jsonpointer

from panal_local.apiserver.errors import StatusError, bad_request
from panal_local.apiserver.schema import ANY, Schema, child

MERGE, JSON, STRATEGIC, APPLY = (
    f"application/{name}" for name in ("merge-patch+json", "json-patch+json", "strategic-merge-patch+json", "apply-patch+yaml")
)
DIRECTIVES = ("$patch", "$retainKeys", "$setElementOrder/", "$deleteFromPrimitiveList/")
Object = dict[str, Any]


def merged(value: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    result = dict(value) if isinstance(value, dict) else {}
    for name, item in patch.items():
        if item is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), item)
    return result


def json_patched(value: Object, patch: Any) -> Any:
    try:
        return jsonpatch.JsonPatch(patch).apply(value)
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError, LookupError, ValueError, AttributeError) as error:
        raise StatusError(422, "Invalid", f"the JSON patch cannot be applied: {error}") from error


# --- strategic merge ----------------------------------------------------------------------------------------------
def strategic(value: Object, patch: Object, schema: Schema) -> Object:
    order = patch.get("$patch")
    if order == "replace":
        return {k: _clean(v) for k, v in patch.items() if k != "$patch"}
    if order == "delete":
        return {}
    retained = patch.get("$retainKeys")
    result = {k: v for k, v in value.items() if not isinstance(retained, list) or k in retained}
    for name, item in patch.items():
        if name.startswith(DIRECTIVES):
            continue
        known, before = child(schema, name) or ANY, result.get(name)
        if item is None:
            result.pop(name, None)
        elif isinstance(item, dict):
            result[name] = strategic(before if isinstance(before, dict) else {}, item, known)
        elif isinstance(item, list):
            result[name] = _lists(before, item, known) if isinstance(before, list) else _clean(item)
        else:
            result[name] = item
    _from_primitive_lists(result, patch)
    return result


def _clean(value: Any) -> Any:
    """The value without directives, which have no effect on a new value."""
    if isinstance(value, dict):
        return {k: _clean(v) for k, v in value.items() if not k.startswith(DIRECTIVES) and v is not None}
    if isinstance(value, list):
        return [_clean(v) for v in value if not (isinstance(v, dict) and v.get("$patch") == "delete")]
    return copy.deepcopy(value)


def _lists(value: list[Any], patch: list[Any], schema: Schema) -> list[Any]:
    if schema.get("x-kubernetes-list-type") == "set":
        return [*value, *(item for item in patch if item not in value)]
    key = schema.get("x-kubernetes-patch-merge-key")
    if key is None:
        return _clean(patch)  # type: ignore[no-any-return]
    known = {item.get(key): item for item in value if isinstance(item, dict)}
    for item in patch:
        if not isinstance(item, dict) or key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {key}")
        if item.get("$patch") == "delete":
            known.pop(item[key], None)
        else:
            known[item[key]] = strategic(known.get(item[key], {}), item, schema.get("items", ANY))
    return [*known.values()]


def _from_primitive_lists(result: Object, patch: Object) -> None:
    for name, gone in patch.items():
        if name.startswith("$deleteFromPrimitiveList/"):
            field = name.partition("/")[2]
            result[field] = [item for item in result.get(field) or () if item not in gone]
