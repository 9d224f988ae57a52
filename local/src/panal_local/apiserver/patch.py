"""Patches: merge patch (RFC 7386), JSON patch (RFC 6902), and strategic merge patch, by which kubectl changes built-in kinds.

Strategic merge knows the keys of lists from the schema, `$patch: delete | replace | merge`, `$deleteFromPrimitiveList`, `$retainKeys`
and `$setElementOrder`.
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
MOST_OPERATIONS = 10_000


def go_kind(value: Any) -> str:
    known = {dict: "object", list: "array", str: "string", bool: "bool", int: "number", float: "number"}
    return known.get(type(value), "null")


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


def json_patched(value: Any, patch: Any) -> Any:
    if not isinstance(patch, list):
        raise bad_request(f"error decoding patch: json: cannot unmarshal {go_kind(patch)} into Go value of type []handlers.jsonPatchOp")
    if len(patch) > MOST_OPERATIONS:
        raise StatusError(
            413, "RequestEntityTooLarge", f"The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {len(patch)}"
        )
    try:
        return jsonpatch.JsonPatch(patch).apply(value)
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError, KeyError, ValueError, AttributeError) as error:
        raise StatusError(422, "Invalid", "the server rejected our request due to an error in our request", {}) from error


# --- strategic merge ----------------------------------------------------------------------------------------------
def strategic(value: Any, patch: Any, schema: Schema) -> Any:
    if not isinstance(patch, dict):
        raise bad_request("a strategic merge patch must be an object")
    return _maps(value if isinstance(value, dict) else {}, patch, schema)


def _maps(value: dict[str, Any], patch: dict[str, Any], schema: Schema) -> dict[str, Any]:
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
        known = child(schema, name) or ANY
        if item is None:
            result.pop(name, None)
        elif isinstance(item, dict):
            before = result.get(name)
            result[name] = _maps(before if isinstance(before, dict) else {}, item, known)
        elif isinstance(item, list) and isinstance(result.get(name), list):
            result[name] = _lists(result[name], item, known)
        else:
            result[name] = _clean(item) if isinstance(item, list) else item
    _from_primitive_lists(result, patch)
    _ordered(result, patch, schema)
    return result


def _clean(value: Any) -> Any:
    """Without directives, for there is nothing that they could be about."""
    if isinstance(value, dict):
        return {k: _clean(v) for k, v in value.items() if not k.startswith(DIRECTIVES) and v is not None}
    if isinstance(value, list):
        return [_clean(v) for v in value if not (isinstance(v, dict) and v.get("$patch") == "delete")]
    return copy.deepcopy(value)


def _lists(value: list[Any], patch: list[Any], schema: Schema) -> list[Any]:
    if schema.get("x-kubernetes-list-type") == "set":
        return [*value, *(item for item in patch if item not in value)]
    key = schema.get("x-kubernetes-patch-merge-key")
    if key is None or any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch):
        return [_clean(i) for i in patch if not (isinstance(i, dict) and i.get("$patch") == "replace")]
    known = {item.get(key): item for item in value if isinstance(item, dict)}
    for item in patch:
        if not isinstance(item, dict) or key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {key}")
    gone = [item[key] for item in patch if item.get("$patch") == "delete"]
    new = {i[key]: _maps(known[i[key]], i, schema.get("items", ANY)) if i[key] in known else _clean(i) for i in patch if i[key] not in gone}
    return _in_order({k: v for k, v in known.items() if k not in gone}, new)


def _in_order(old: dict[Any, Any], new: dict[Any, Any]) -> list[Any]:
    """The patch's order prevails; what only the object has keeps its place."""
    result, names = [], iter(new)
    for name in old:
        if name not in new:
            result.append(old[name])
            continue
        for following in names:
            result.append(new[following])
            if following == name or following in old:
                break
    return result + [new[name] for name in names]


def _from_primitive_lists(result: dict[str, Any], patch: dict[str, Any]) -> None:
    for name, gone in patch.items():
        if name.startswith("$deleteFromPrimitiveList/"):
            field = name.partition("/")[2]
            result[field] = [item for item in result.get(field) or () if item not in gone]


def _ordered(result: dict[str, Any], patch: dict[str, Any], schema: Schema) -> None:
    for name, wanted in patch.items():
        field = name.partition("/")[2]
        if not name.startswith("$setElementOrder/") or not isinstance(result.get(field), list) or not isinstance(wanted, list):
            continue
        key = (child(schema, field) or {}).get("x-kubernetes-patch-merge-key")
        places = [w.get(key) if isinstance(w, dict) else w for w in wanted]

        def place(item: Any, key: Any = key, places: list[Any] = places) -> int:
            name = item.get(key) if isinstance(item, dict) else item
            return places.index(name) if name in places else len(places)

        result[field] = sorted(result[field], key=place)
