"""Parses a FederatedLearning from JSON.

The API server has validated the resource and set its defaults, so a ParseError means that the CRD on the hub has another version, or that
the resource was stored with the former controller's CRD. Metadata can always be parsed, so that a resource with an invalid spec can still
get a condition and be deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from pydantic import ValidationError

from panal.api.types import Model, Spec, Status

Part = TypeVar("Part", bound=Model)


class ParseError(ValueError):
    """`problems` has one line for each wrong field, such as `spec.server.rounds: Input should be greater than or equal to 1`."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Metadata:
    name: str
    namespace: str
    uid: str
    generation: int
    created: datetime
    deleting_since: datetime | None
    finalizers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FederatedLearning:
    """`has_status` is false until the controller has written a status."""

    metadata: Metadata
    spec: Spec
    status: Status
    has_status: bool


def parse(resource: Mapping[str, Any]) -> FederatedLearning:
    """The whole resource; raises ParseError."""
    status = resource.get("status") or {}
    return FederatedLearning(
        metadata=parse_metadata(resource), spec=parse_spec(resource), status=parse_status(resource), has_status=bool(status)
    )


def parse_metadata(resource: Mapping[str, Any]) -> Metadata:
    """Raises ParseError if a field that an API server sets is missing."""
    metadata = resource.get("metadata") or {}
    missing = [key for key in ("name", "namespace", "uid", "creationTimestamp") if not metadata.get(key)]
    if missing:
        raise ParseError(tuple(f"metadata.{key}: missing" for key in missing))
    deleting = metadata.get("deletionTimestamp")
    return Metadata(
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        deleting_since=datetime.fromisoformat(deleting) if deleting else None,
        finalizers=tuple(metadata.get("finalizers") or ()),
    )


def parse_spec(resource: Mapping[str, Any]) -> Spec:
    return _parse(Spec, resource, "spec")


def parse_status(resource: Mapping[str, Any]) -> Status:
    """Drops fields that another version of panal wrote in another form; raises ParseError only for the phase."""
    found = resource.get("status") or {}
    try:
        return Status.model_validate(found)
    except ValidationError as error:
        wrong = {one["loc"][0] for one in error.errors(include_url=False, include_input=False)} - {"phase"}
        return _parse(Status, {"status": {k: v for k, v in found.items() if k not in wrong}}, "status")


def _parse(part: type[Part], resource: Mapping[str, Any], name: str) -> Part:
    try:
        return part.model_validate(resource.get(name) or {})
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False, include_context=False)
        raise ParseError(tuple(_problem(name, one["loc"], one["msg"]) for one in details)) from error


def _problem(part: str, location: tuple[int | str, ...], message: str) -> str:
    """The field as users write it (`spec.server.listeners[0].port`) and what is wrong with it."""
    path = part
    for step in location:
        path += f"[{step}]" if isinstance(step, int) else f".{step}"
    return f"{path}: {message.removeprefix('Value error, ')}"
