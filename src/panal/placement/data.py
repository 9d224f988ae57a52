"""Where a cluster's training data is: which ClusterClaim says so, and what its value means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

SCHEME = "pvc://"
FORM = "give the ClusterClaim the form pvc://CLAIM/sub/path or an absolute path"
CLAIM_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


@dataclass(frozen=True, slots=True)
class PvcLocation:
    """`sub_path` is relative to the volume's root; empty for the root."""

    name: str
    sub_path: str


@dataclass(frozen=True, slots=True)
class HostPathLocation:
    """`path` is absolute, and not the root."""

    path: str


DataLocation = PvcLocation | HostPathLocation


def data_claim(placement_spec: Mapping[str, Any], explicit: str) -> str:
    """The claim's name: `explicit` (spec.client.dataClaim), else the last one that a predicate asks to exist. NO_DATA where the run says
    that it needs none; "" where it says nothing, and so cannot run: a cluster takes part with data that its owner has announced."""
    return explicit or next(reversed(_claims_that_exist(placement_spec)), "")


def _claims_that_exist(placement_spec: Mapping[str, Any]) -> list[str]:
    selectors = ((predicate.get("requiredClusterSelector") or {}).get("claimSelector") or {} for predicate in _predicates(placement_spec))
    expressions = (expression for selector in selectors for expression in selector.get("matchExpressions") or ())
    return [expression["key"] for expression in expressions if expression.get("operator") == "Exists"]


def _predicates(placement_spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    return placement_spec.get("predicates") or []


@lru_cache(maxsize=8192)
def data_location(value: str) -> DataLocation:
    """What a claim's value names; ValueError says what is wrong with it, for the site's owner to read."""
    if any(not character.isprintable() for character in value):
        raise ValueError(f"data location {value!r} contains unprintable characters; {FORM}")
    if value.startswith(SCHEME):
        return _pvc(value)
    if value.startswith("/"):
        return HostPathLocation(_host_path(value))
    raise ValueError(f'data location "{value}" is neither a claim nor an absolute path; {FORM}')


def _pvc(value: str) -> PvcLocation:
    name, _, path = value.removeprefix(SCHEME).partition("/")
    if not name:
        raise ValueError(f'data location "{value}" names no claim; {FORM}')
    if len(name) > 253 or not CLAIM_NAME.fullmatch(name):
        raise ValueError(f'data location "{value}": "{name}" cannot be the name of a PersistentVolumeClaim; {FORM}')
    return PvcLocation(name, _safe(path.removesuffix("/"), value))


def _host_path(value: str) -> str:
    path = _safe(value.removeprefix("/").removesuffix("/"), value)
    if not path:
        raise ValueError(f'data location "{value}" is the whole file system; name a folder in it')
    return f"/{path}"


def _safe(path: str, value: str) -> str:
    """A path below its root: no part may lead elsewhere or be read in two ways."""
    if path and any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError(f'data location "{value}" contains an empty part, "." or ".."; write the path itself')
    if ":" in path:
        raise ValueError(f'data location "{value}" contains ":", which Kubernetes does not accept in a path; rename the folder')
    return path
