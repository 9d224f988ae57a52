"""Label and field selectors in Kubernetes' syntax."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from panal_local.apiserver.errors import bad_request
from panal_local.apiserver.kinds import Resource

Test = Callable[[Mapping[str, str]], bool]
Object = dict[str, Any]
_KEY = r"([A-Za-z0-9][-A-Za-z0-9_./]*)"
_SET = re.compile(rf"^{_KEY}\s+(in|notin)\s*\(([^()]*)\)$")
_EQUAL = re.compile(rf"^{_KEY}\s*(==|=|!=)\s*([-A-Za-z0-9_.]*)$")
_EXISTS = re.compile(rf"^(!?)\s*{_KEY}$")
# The fields that selectors support, in addition to name and namespace.
FIELDS = {
    "Pod": ("spec.nodeName", "status.phase"),
    "Event": ("involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid", "involvedObject.apiVersion",
              "involvedObject.fieldPath", "reason", "type"),
    "Secret": ("type",), "CertificateSigningRequest": ("spec.signerName",),
}  # fmt: skip


def labels(text: str) -> Test | None:
    """Parses a label selector; None selects everything. Raises StatusError, 400."""
    tests = [_label(part.strip()) for part in re.split(r",(?![^()]*\))", text)] if text.strip() else []
    return (lambda found: all(t(found) for t in tests)) if tests else None


def _label(text: str) -> Test:
    if m := _SET.match(text):
        name, values = m[1], {v.strip() for v in m[3].split(",")}
        return (lambda f: f.get(name) in values) if m[2] == "in" else (lambda f: f.get(name) not in values)
    if m := _EQUAL.match(text):
        name, value = m[1], m[3]
        return (lambda f: f.get(name) != value) if m[2] == "!=" else (lambda f: f.get(name) == value)
    if m := _EXISTS.match(text):
        name = m[2]
        return (lambda f: name not in f) if m[1] else (lambda f: name in f)
    raise bad_request(f"unable to parse requirement: found '{text}', expected: !, identifier, or 'end of string'")


def fields(text: str, resource: Resource) -> Callable[[Object], bool] | None:
    tests = [_field(part.strip(), resource) for part in text.split(",") if part.strip()]
    return (lambda obj: all(t(obj) for t in tests)) if tests else None


def _field(text: str, resource: Resource) -> Callable[[Object], bool]:
    m = re.match(r"^([A-Za-z0-9.]+)\s*(==|=|!=)\s*(.*)$", text)
    if not m:
        raise bad_request(f"invalid selector: '{text}'; can't understand '{text}'")
    path, equal, wanted = m[1], m[2] != "!=", m[3]
    if path not in ("metadata.name", "metadata.namespace", *(() if resource.custom else FIELDS.get(resource.kind, ()))):
        raise bad_request(f"field label not supported: {path}")
    return lambda obj: (_at(obj, path) == wanted) == equal


def _at(obj: Any, path: str) -> str:
    for name in path.split("."):
        obj = obj.get(name) if isinstance(obj, dict) else None
    return "" if obj is None else str(obj)
