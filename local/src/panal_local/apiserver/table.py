"""Tables: what `kubectl get` prints. Columns of custom kinds are JSONPaths of their CRD, those of built-in kinds are few, and made here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

from panal_local.apiserver import policies
from panal_local.apiserver.kinds import Column, Resource
from panal_local.apiserver.store import Entry

Object = dict[str, Any]


def of(resource: Resource, entries: list[Entry], include: str, metadata: Object | None = None, columns: bool = True) -> Object:
    version = {"resourceVersion": str(entries[0].version)} if metadata is None and entries else metadata or {}
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": version,
        "columnDefinitions": [_definition(c, resource) for c in resource.columns] if columns else None,
        "rows": [{"cells": [cell(e.object, c) for c in resource.columns], "object": _shown(resource, e, include)} for e in entries],
    }


def _definition(column: Column, resource: Resource) -> Object:
    words = column.description or (f"Custom resource definition column (in JSONPath format): {column.path}" if resource.custom else "")
    if column.format == "name":
        words = resource.schema["properties"]["metadata"]["properties"]["name"]["description"]
    kind = column.type if resource.custom or column.type != "date" else "string"
    return {"name": column.name, "type": kind, "format": column.format, "description": words, "priority": column.priority}


def _shown(resource: Resource, entry: Entry, include: str) -> Object | None:
    if include == "None":
        return None
    if include == "Object":
        return {**entry.object, "apiVersion": resource.api_version}
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": entry.object["metadata"]}


def cell(obj: Object, column: Column) -> Any:
    if column.path in MADE:
        return MADE[column.path](obj)
    found = first(obj, column.path)
    if column.type == "date":
        return age(found)
    if column.type == "string":
        return (
            ""
            if found is None and not column.path.startswith(".")
            else found
            if found is None or isinstance(found, str)
            else json.dumps(found)
        )
    return found


def age(moment: Any) -> str:
    try:
        seconds = int((datetime.now(UTC) - datetime.fromisoformat(str(moment))).total_seconds())
    except (ValueError, TypeError):
        return "<unknown>"
    if seconds < 120:
        return f"{max(0, seconds)}s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    return f"{hours}h" if hours < 48 else f"{days}d"


# --- JSONPath -----------------------------------------------------------------------------------------------------
_STEP = re.compile(
    r"\.([A-Za-z0-9_$-]+|\*)|\['((?:[^'\\]|\\.)+)'\]|\[(\d+|\*)\]|\[\?\(@\.([\w.]+)\s*==\s*[\"']([^\"']*)[\"']\)\]|\.((?:[^.\[\\]|\\.)+)"
)


@cache
def _steps(path: str) -> tuple[tuple[str | None, ...], ...]:
    found, at = [], 0
    while at < len(path):
        m = _STEP.match(path, at)
        if not m:
            return ()
        found.append(m.groups())
        at = m.end()
    return tuple(found)


def first(obj: Any, path: str) -> Any:
    """The first value at a JSONPath; None if there is none, or the path is of a form that is not known here."""
    values = [obj] if _steps(path) else []
    for name, quoted, index, where, wanted, escaped in _steps(path):
        values = [v for value in values for v in _step(value, name or quoted or (escaped or "").replace("\\", ""), index, where, wanted)]
    return values[0] if values else None


def _step(value: Any, name: str, index: str | None, where: str | None, wanted: str | None) -> list[Any]:
    if where is not None:
        return [v for v in value if isinstance(v, dict) and str(first(v, f".{where}")) == wanted] if isinstance(value, list) else []
    if index is not None or name == "*":
        every = value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else []
        return every if index in (None, "*") else every[int(str(index)) : int(str(index)) + 1]
    return [value[name]] if isinstance(value, dict) and name in value else []


# --- columns of built-in kinds ------------------------------------------------------------------------------------
def _statuses(pod: Object) -> list[Object]:
    return (pod.get("status") or {}).get("containerStatuses") or []


def _pod_ready(pod: Object) -> str:
    return f"{sum(bool(s.get('ready')) for s in _statuses(pod))}/{len((pod.get('spec') or {}).get('containers') or ())}"


def _pod_status(pod: Object) -> str:
    status = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp"):
        return "Terminating"
    for i, s in enumerate(status.get("initContainerStatuses") or ()):
        state = s.get("state") or {}
        if (ended := state.get("terminated")) and ended.get("exitCode"):
            return f"Init:{ended.get('reason') or 'Error'}"
        if (waits := state.get("waiting")) and waits.get("reason") not in (None, "PodInitializing"):
            return f"Init:{waits['reason']}"
        if "running" in state and not s.get("started"):
            return f"Init:{i}/{len(status['initContainerStatuses'])}"
    for s in _statuses(pod):
        state = s.get("state") or {}
        for part in ("waiting", "terminated"):
            if (state.get(part) or {}).get("reason"):
                return str(state[part]["reason"])
    return str(status.get("reason") or status.get("phase") or "Unknown")


def _condition(obj: Object, kind: str) -> Object:
    return next((c for c in (obj.get("status") or {}).get("conditions") or () if c.get("type") == kind), {})


def _holds(obj: Object, kind: str) -> bool:
    return _condition(obj, kind).get("status") == "True"


def _job_status(job: Object) -> str:
    for kind, shown in (("Complete", "Complete"), ("Failed", "Failed"), ("Suspended", "Suspended")):
        if _holds(job, kind):
            return shown
    return "Terminating" if job["metadata"].get("deletionTimestamp") else "Running"


def _completions(job: Object) -> str:
    return f"{(job.get('status') or {}).get('succeeded', 0)}/{job['spec'].get('completions', 1)}"


def _ports(service: Object) -> str:
    shown = []
    for p in service["spec"].get("ports") or ():
        node = f":{p['nodePort']}" if p.get("nodePort") else ""
        shown.append(f"{p['port']}{node}/{p.get('protocol', 'TCP')}")
    return ",".join(shown) or "<none>"


def _external(service: Object) -> str:
    given = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    found = [i.get("ip") or i.get("hostname", "") for i in given] + (service["spec"].get("externalIPs") or [])
    return ",".join(found) or ("<pending>" if service["spec"].get("type") == "LoadBalancer" else "<none>")


def _claim(volume: Object) -> str:
    ref = volume["spec"].get("claimRef") or {}
    return f"{ref['namespace']}/{ref['name']}" if ref.get("name") else ""


def _node_status(node: Object) -> str:
    ready = "Ready" if _holds(node, "Ready") else "NotReady"
    return ready + (",SchedulingDisabled" if (node.get("spec") or {}).get("unschedulable") else "")


def _involved(event: Object) -> str:
    about = event.get("involvedObject") or {}
    return f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"


def _csr(csr: Object) -> str:
    told = [k for k in ("Approved", "Denied", "Failed") if _holds(csr, k)] or ["Pending"]
    return ",".join(told + (["Issued"] if (csr.get("status") or {}).get("certificate") else []))


def _addresses(found: Object) -> str:
    return ",".join(a for e in found.get("endpoints") or () for a in e.get("addresses") or ()) or "<unset>"


MADE: dict[str, Callable[[Object], Any]] = {
    "pod_ready": _pod_ready,
    "pod_status": _pod_status,
    "pod_restarts": lambda pod: sum(int(s.get("restartCount", 0)) for s in _statuses(pod)),
    "data": lambda o: len(o.get("data") or {}) + len(o.get("binaryData") or {}),
    "secrets": lambda o: len(o.get("secrets") or ()),
    "replicas": lambda o: f"{(o.get('status') or {}).get('readyReplicas', 0)}/{(o.get('spec') or {}).get('replicas', 1)}",
    "job_status": _job_status,
    "completions": _completions,
    "ports": _ports,
    "external": _external,
    "claim": _claim,
    "node_status": _node_status,
    "involved": _involved,
    "csr_condition": _csr,
    "addresses": _addresses,
    "pod_selector": policies.selected,
    "role_ref": lambda o: f"{o['roleRef'].get('kind')}/{o['roleRef'].get('name')}",
}
