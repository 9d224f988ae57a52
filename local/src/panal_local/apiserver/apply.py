"""Server-side apply: merges a configuration into an object and records the owners of fields.

Follows Kubernetes' structured merge. A manager owns the fields of its last configuration. A field that it omits is removed unless another
manager owns it. A different value for a field of another manager is a conflict, unless the apply is forced.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from panal_local.apiserver.errors import StatusError
from panal_local.apiserver.fields import (
    EMPTY,
    MISSING,
    NOT_OWNED,
    Fields,
    Path,
    compare,
    element,
    from_v1,
    is_granular_list,
    is_granular_map,
    items,
    owned,
    readable,
    to_v1,
)
from panal_local.apiserver.schema import ANY, Schema, child

Object = dict[str, Any]
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True)
class Manager:
    name: str
    operation: str  # Apply or Update
    api_version: str
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Ownership:
    fields: Fields
    time: str


Managers = dict[Manager, Ownership]


def managers_of(obj: Object) -> Managers:
    found: Managers = {}
    for entry in obj["metadata"].get("managedFields") or ():
        manager = Manager(entry.get("manager", ""), entry["operation"], entry["apiVersion"], entry.get("subresource", ""))
        found[manager] = Ownership(frozenset(from_v1(entry.get("fieldsV1"))), entry.get("time", ""))
    return found


def write_managers(obj: Object, managers: Managers) -> None:
    entries = [_entry(m, o) for m, o in sorted(managers.items(), key=lambda i: (i[0].operation, i[1].time, i[0].name)) if o.fields]
    obj["metadata"].pop("managedFields", None)
    if entries:
        obj["metadata"]["managedFields"] = entries


def _entry(manager: Manager, ownership: Ownership) -> Object:
    entry: Object = {"manager": manager.name, "operation": manager.operation, "apiVersion": manager.api_version, "time": ownership.time}
    entry |= {"fieldsType": "FieldsV1", "fieldsV1": to_v1(ownership.fields)}
    return entry | ({"subresource": manager.subresource} if manager.subresource else {})


# --- updates ------------------------------------------------------------------------------------------------------
def updated(old: Object | None, new: Object, schema: Schema, manager: Manager, time: str) -> None:
    """Records field ownership in `new` after `manager` changed `old` by a create, an update or a patch. `time` is the time of the write."""
    known = managers_of(new) if "managedFields" in new["metadata"] else (managers_of(old) if old else {})
    difference = compare(old if old is not None else {}, new, schema)
    written, removed = frozenset(difference.written), frozenset(difference.removed)
    result: Managers = {}
    for each, ownership in known.items():
        result[each] = replace(ownership, fields=_without(ownership.fields, removed | (written if each != manager else EMPTY)))
    before = known.get(manager, Ownership(EMPTY, time)).fields
    fields = _without((before | written), removed - written)
    if fields:
        result[manager] = Ownership(fields, time if fields != before else known[manager].time)
    write_managers(new, result)


def _without(fields: Fields, gone: Iterable[Path]) -> Fields:
    """`fields` without the paths in `gone` and those below them."""
    lost = gone if isinstance(gone, frozenset) else frozenset(gone)
    return frozenset(p for p in fields if not any(p[:i] in lost for i in range(1, len(p) + 1))) if lost else fields


# --- apply --------------------------------------------------------------------------------------------------------
def applied(live: Object | None, config: Object, schema: Schema, manager: Manager, force: bool, time: str) -> Object:
    """Returns the object with the configuration applied and its managers updated. Raises StatusError, 409, for conflicts."""
    known = managers_of(live) if live else {}
    last = known.get(manager, Ownership(EMPTY, time))
    mine = owned(config, schema)
    merged = merge(live, config, schema) if live else copy.deepcopy(config)
    others = {m: o for m, o in known.items() if m != manager}
    kept = _named(mine.union(*(o.fields for o in others.values()))) | NOT_OWNED
    remove(merged, _named(last.fields) - kept, schema)
    difference = compare(live or {}, merged, schema)
    taken = {m: o.fields & difference.written for m, o in others.items()}
    disputed = {m: left for m, f in taken.items() if (left := f - _applied_by_kubectl(live, manager, schema))}
    if disputed and not force:
        raise _conflicts(disputed)
    after = {m: replace(o, fields=_without(o.fields - taken[m], difference.removed)) for m, o in others.items()}
    after[manager] = Ownership(mine, time if mine != last.fields else last.time)
    merged["metadata"].pop("managedFields", None)
    write_managers(merged, after)
    return merged


def _applied_by_kubectl(live: Object | None, manager: Manager, schema: Schema) -> Fields:
    """The fields that kubectl applied client-side. kubectl may take them over without a conflict when it applies server-side."""
    noted = ((live or {}).get("metadata", {}).get("annotations") or {}).get(LAST_APPLIED)
    if manager.name != "kubectl" or not noted:
        return EMPTY
    try:
        return owned(json.loads(noted), schema)
    except (ValueError, AttributeError, TypeError):
        return EMPTY


def _named(fields: Fields) -> Fields:
    """`fields` and the named fields above each of them."""
    return fields | {p[:i] for p in fields for i in range(1, len(p)) if p[i - 1].startswith("f:")}


def merge(old: Any, new: Any, schema: Schema) -> Any:
    if is_granular_map(old, schema) and is_granular_map(new, schema):
        result = {name: copy.deepcopy(item) for name, item in old.items() if name not in new}
        both = {name: merge(old.get(name, MISSING), item, child(schema, name) or ANY) for name, item in new.items()}
        return {name: both[name] if name in both else result[name] for name in [*old, *(n for n in new if n not in old)]}
    if is_granular_list(old, schema) and is_granular_list(new, schema):
        return _merge_lists(items(schema, old), items(schema, new), schema)
    return copy.deepcopy(new)


def _merge_lists(old: dict[str, Any], new: dict[str, Any], schema: Schema) -> list[Any]:
    """The items of both lists. Existing items keep their positions, so that applying again changes nothing."""
    names = new if old.keys() <= new.keys() else {**old, **new}
    inner = schema.get("items", ANY)
    return [merge(old.get(name, MISSING), new[name], inner) if name in new else copy.deepcopy(old[name]) for name in names]


def remove(value: Any, gone: Fields, schema: Schema, path: Path = ()) -> Any:
    """Removes the fields `gone` from `value` in place. A map or list that loses its last item becomes null, as in Kubernetes."""
    if not gone:
        return value
    prefixes = {p[:i] for p in gone for i in range(len(p))}
    return _remove(value, gone, prefixes, schema, path)


def _remove(value: Any, gone: Fields, prefixes: set[Path], schema: Schema, path: Path) -> Any:
    if path not in prefixes:
        return value
    if is_granular_map(value, schema):
        for name in list(value):
            here = (*path, f"f:{name}")
            if here in gone:
                del value[name]
            else:
                value[name] = _remove(value[name], gone, prefixes, child(schema, name) or ANY, here)
        return value if value or not path else None
    if is_granular_list(value, schema):
        named = [((*path, element(schema, item)), item) for item in value]
        value[:] = [_remove(item, gone, prefixes, schema.get("items", ANY), here) for here, item in named if here not in gone]
        return value or None
    return value


def _order(path: Path) -> tuple[tuple[bool, str], ...]:
    """Sorts the fields of a level before the fields below them."""
    return tuple((i < len(path) - 1, name) for i, name in enumerate(path))


def _conflicts(found: dict[Manager, Fields]) -> StatusError:
    causes = []
    for manager, fields in sorted(found.items(), key=lambda i: i[0].name):
        using = f" using {manager.api_version}" if manager.operation == "Update" or manager.subresource else ""
        with_ = f' with subresource "{manager.subresource}"' if manager.subresource else ""
        text = f'conflict with "{manager.name}"{with_}{using}'
        causes += [{"reason": "FieldManagerConflict", "message": text, "field": readable(p)} for p in sorted(fields, key=_order)]
    first, fields_ = causes[0]["message"], [cause["field"] for cause in causes]
    if len(causes) == 1:
        return StatusError(409, "Conflict", f"Apply failed with 1 conflict: {first}: {fields_[0]}", {"causes": causes})
    lines = "\n".join(f"- {each}" for each in fields_)
    of = f"conflicts{first.removeprefix('conflict')}" if len(found) == 1 else "conflicts"
    return StatusError(409, "Conflict", f"Apply failed with {len(causes)} conflicts: {of}:\n{lines}", {"causes": causes})
