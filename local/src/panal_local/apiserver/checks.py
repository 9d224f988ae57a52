"""Validation beyond the schema: names and labels of all kinds, and the built-in kinds that users apply.

Other built-in kinds are written by programs, which are tested on real API servers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from panal_local.apiserver.errors import FORBIDDEN, INVALID, REQUIRED, Cause

Object = dict[str, Any]
Causes = Iterator[Cause]
_WORD = "must consist of lower case alphanumeric characters"
SUBDOMAIN = (
    253,
    r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*",
    f"a lowercase RFC 1123 subdomain {_WORD}, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com'",
)
LABEL = (
    63,
    r"[a-z0-9]([-a-z0-9]*[a-z0-9])?",
    f"a lowercase RFC 1123 label {_WORD} or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc'",
)
SEGMENT = (253, r"(?!\.{1,2}$)[^/%]+", "may not be '.' or '..' and may not contain '/' or '%' (e.g. 'system:node'")
NAMES = {"Namespace": LABEL, "Service": LABEL, **dict.fromkeys(("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"), SEGMENT)}
KEY = re.compile(r"(?!\.{1,2}$)[-._a-zA-Z0-9]{1,253}")
QUALIFIED = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
ANNOTATIONS = 256 << 10  # bytes, in total
DATA = 1 << 20  # bytes, of a ConfigMap or Secret


def name_problem(kind: str, name: str) -> str:
    longest, form, words = NAMES.get(kind, SUBDOMAIN)
    if len(name) > longest:
        return f"must be no more than {longest} characters"
    if re.fullmatch(form, name):
        return ""
    return "must not contain dots" if form == LABEL[1] and "." in name else f"{words}, regex used for validation is '{form}')"


def metadata(obj: Object, kind: str) -> Causes:
    """Checks the metadata of an object of any kind."""
    found = obj["metadata"]
    name = found.get("name", "")
    if not name:
        yield Cause(REQUIRED, "Required value: name or generateName is required", "metadata.name")
    elif problem := name_problem(kind, name):
        yield Cause(INVALID, f"Invalid value: {json.dumps(name)}: {problem}", "metadata.name")
    for key, value in (found.get("labels") or {}).items():
        yield from _key("labels", key)
        yield from _label_value(value)
    annotations = found.get("annotations") or {}
    for key in annotations:
        yield from _key("annotations", key.lower())
    if sum(len(text.encode()) for pair in annotations.items() for text in pair) > ANNOTATIONS:
        yield Cause("FieldValueTooLong", f"Too long: may not be more than {ANNOTATIONS} bytes", "metadata.annotations")


def _key(part: str, key: str) -> Causes:
    if not QUALIFIED.fullmatch(key):
        text = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
        text += " (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
        yield Cause(INVALID, f"Invalid value: {json.dumps(key)}: {text}", f"metadata.{part}")


def _label_value(value: str) -> Causes:
    if not LABEL_VALUE.fullmatch(value):
        text = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with"
        text += " an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is"
        text += " '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
        text = text if len(value) <= 63 else "must be no more than 63 characters"
        yield Cause(INVALID, f"Invalid value: {json.dumps(value)}: {text}", "metadata.labels")


# --- kinds --------------------------------------------------------------------------------------------------------
def of_kind(obj: Object, old: Object | None) -> Causes:
    match obj["kind"]:
        case "PersistentVolumeClaim":
            yield from _claim(obj, old)
        case "ConfigMap" | "Secret":
            yield from _data(obj, old)


def _claim(claim: Object, old: Object | None) -> Causes:
    spec = claim["spec"]
    if not spec.get("accessModes"):
        yield Cause(REQUIRED, "Required value: at least 1 access mode is required", "spec.accessModes")
    if not ((spec.get("resources") or {}).get("requests") or {}).get("storage"):
        yield Cause(REQUIRED, "Required value", "spec.resources[storage]")
    if old is None:
        return
    free = {"resources", "volumeAttributesClassName"} | (set() if old["spec"].get("volumeName") else {"volumeName"})
    if any(spec.get(k) != old["spec"].get(k) for k in {*spec, *old["spec"]} - free):
        text = "Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        yield Cause(FORBIDDEN, text, "spec")


def _data(obj: Object, old: Object | None) -> Causes:
    parts = ("data", "binaryData")
    for part, key in [(p, k) for p in parts for k in obj.get(p) or () if not KEY.fullmatch(k)]:
        text = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
        text += " (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
        yield Cause(INVALID, f"Invalid value: {json.dumps(key)}: {text}", f"{part}[{key}]")
    if sum(len(str(value)) for part in parts for value in (obj.get(part) or {}).values()) > DATA:
        yield Cause("FieldValueTooLong", f"Too long: may not be more than {DATA} bytes", "")
    if old is None:
        return
    if old.get("type") != obj.get("type"):
        yield Cause(INVALID, f"Invalid value: {json.dumps(obj.get('type'))}: field is immutable", "type")
    for part in (*parts, "immutable") if old.get("immutable") else ():
        if obj.get(part) != old.get(part):
            yield Cause(FORBIDDEN, "Forbidden: field is immutable when `immutable` is set", part)
