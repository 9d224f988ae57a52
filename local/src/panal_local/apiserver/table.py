"""Tables, as `kubectl get` prints them. CRDs define their columns as JSONPaths; this module has the few columns of built-in kinds."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from panal_local.apiserver.kinds import Column, Resource
from panal_local.apiserver.store import Entry
from panal_local.jsonpath import PathError, find

Object = dict[str, Any]
UNITS = ((86400, 48 * 3600, "d"), (3600, 3 * 3600, "h"), (60, 120, "m"))  # seconds in the unit, the age in seconds from which it is used

STARTING = ("", "Completed", "PodInitializing")  # reasons of init containers that are not problems


def of(resource: Resource, entries: list[Entry], include: str, metadata: Object | None = None, columns: bool = True) -> Object:
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata or {},
        "columnDefinitions": [_definition(c) for c in resource.columns] if columns else None,
        "rows": [{"cells": [cell(e.object, c) for c in resource.columns], "object": _shown(e, include)} for e in entries],
    }


def _definition(column: Column) -> Object:
    return {"name": column.name, "type": column.type, "format": column.format, "description": "", "priority": column.priority}


def _shown(entry: Entry, include: str) -> Object | None:
    metadata = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": entry.object["metadata"]}
    return {"None": None, "Object": entry.object}.get(include, metadata)


def cell(obj: Object, column: Column) -> Any:
    if column.path in BUILT_IN_COLUMNS:
        return BUILT_IN_COLUMNS[column.path](obj)
    found = _first(obj, column.path)
    if column.type == "date":
        return age(found)
    return json.dumps(found) if column.type == "string" and isinstance(found, dict | list | bool) else found


def age(moment: Any) -> str:
    try:
        seconds = int((datetime.now(UTC) - datetime.fromisoformat(str(moment))).total_seconds())
    except (ValueError, TypeError):
        return "<unknown>"
    return next((f"{seconds // size}{unit}" for size, since, unit in UNITS if seconds >= since), f"{max(0, seconds)}s")


def _first(obj: Object, path: str) -> Any:
    """The first value at a JSONPath; None if there is none, or the path is not supported."""
    try:
        return next(iter(find(path, obj)), None)
    except PathError:
        return None


# --- columns of built-in kinds ------------------------------------------------------------------------------------
def _statuses(pod: Object) -> list[Object]:
    return (pod.get("status") or {}).get("containerStatuses") or []


def _pod_ready(pod: Object) -> str:
    return f"{sum(bool(s.get('ready')) for s in _statuses(pod))}/{len((pod.get('spec') or {}).get('containers') or ())}"


def _pod_status(pod: Object) -> str:
    status = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp"):
        return "Terminating"
    beginning = (f"Init:{_reason(s)}" for s in status.get("initContainerStatuses") or () if _reason(s) not in STARTING)
    reasons = (*beginning, *filter(None, map(_reason, _statuses(pod))))
    return str(next(iter(reasons), "") or status.get("reason") or status.get("phase") or "Unknown")


def _reason(status: Object) -> str:
    state = status.get("state") or {}
    return next((state[part]["reason"] for part in ("waiting", "terminated") if (state.get(part) or {}).get("reason")), "")


def _holds(obj: Object, kind: str) -> bool:
    return bool(_first(obj, f'.status.conditions[?(@.type=="{kind}")].status') == "True")


def _job_status(job: Object) -> str:
    return next((kind for kind in ("Complete", "Failed", "Suspended") if _holds(job, kind)), "Running")


def _completions(job: Object) -> str:
    return f"{(job.get('status') or {}).get('succeeded', 0)}/{job['spec'].get('completions', 1)}"


def _ports(service: Object) -> str:
    ports = service["spec"].get("ports") or ()
    shown = (f"{p['port']}{':' + str(p['nodePort']) if p.get('nodePort') else ''}/{p.get('protocol', 'TCP')}" for p in ports)
    return ",".join(shown) or "<none>"


def _node_status(node: Object) -> str:
    return "Ready" if _holds(node, "Ready") else "NotReady"


def _involved(event: Object) -> str:
    about = event.get("involvedObject") or {}
    return f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"


BUILT_IN_COLUMNS: dict[str, Callable[[Object], Any]] = {
    "pod_ready": _pod_ready,
    "pod_status": _pod_status,
    "pod_restarts": lambda pod: sum(int(s.get("restartCount", 0)) for s in _statuses(pod)),
    "data": lambda o: len(o.get("data") or {}) + len(o.get("binaryData") or {}),
    "job_status": _job_status,
    "completions": _completions,
    "ports": _ports,
    "node_status": _node_status,
    "involved": _involved,
}
