"""Errors as Kubernetes' Status objects, with the code, reason, causes and message that clients read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

INVALID, REQUIRED, DUPLICATE = "FieldValueInvalid", "FieldValueRequired", "FieldValueDuplicate"
UNSUPPORTED, TYPE, FORBIDDEN = "FieldValueNotSupported", "FieldValueTypeInvalid", "FieldValueForbidden"


@dataclass(frozen=True, slots=True)
class Cause:
    """One problem of an object. `field` is a path, such as spec.ports[0].port."""

    reason: str
    message: str
    field: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


@dataclass(frozen=True, slots=True)
class Mistyped(Cause):
    """A value of the wrong type."""

    wanted: str
    given: str


class StatusError(Exception):
    """Ends a request; `body` is the Status object of the answer."""

    def __init__(self, code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    @property
    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message}
        if self.reason:
            found["reason"] = self.reason
        if self.details is not None:
            found["details"] = self.details
        return found | {"code": self.code}


class AlreadyExists(StatusError):  # noqa: N818
    """An object of that name exists."""


class UndecodableError(StatusError):
    """An object that cannot be decoded as its kind. The message of a patch contains only `why`."""

    def __init__(self, kind: str, version: str, why: str) -> None:
        super().__init__(400, "BadRequest", f'{kind} in version "{version}" cannot be handled as a {kind}: {why}')
        self.why = why


class NotServed(Exception):  # noqa: N818
    """Nothing is served at the path. The response is plain text, as clients of unknown groups expect."""


def success() -> dict[str, Any]:
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}


def qualified(plural: str, group: str) -> str:
    return f"{plural}.{group}" if group else plural


def details(group: str, kind: str, name: str) -> dict[str, Any]:
    return {key: value for key, value in {"name": name, "group": group, "kind": kind}.items() if value}


def bad_request(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def not_found(group: str, plural: str, name: str) -> StatusError:
    return StatusError(404, "NotFound", f'{qualified(plural, group)} "{name}" not found', details(group, plural, name))


def already_exists(group: str, plural: str, name: str) -> StatusError:
    return AlreadyExists(409, "AlreadyExists", f'{qualified(plural, group)} "{name}" already exists', details(group, plural, name))


def conflict(group: str, plural: str, name: str, why: str) -> StatusError:
    message = f'Operation cannot be fulfilled on {qualified(plural, group)} "{name}": {why}'
    return StatusError(409, "Conflict", message, details(group, plural, name))


CHANGED = "the object has been modified; please apply your changes to the latest version and try again"


def forbidden(group: str, plural: str, name: str, why: str) -> StatusError:
    return StatusError(403, "Forbidden", f'{qualified(plural, group)} "{name}" is forbidden: {why}', details(group, plural, name))


def invalid(group: str, kind: str, name: str, causes: Sequence[Cause]) -> StatusError:
    lines = list(dict.fromkeys(str(c) for c in causes))
    text = lines[0] if len(lines) == 1 else f"[{', '.join(lines)}]"
    named = [{"reason": c.reason, "message": c.message, "field": c.field} for c in causes]
    return StatusError(
        422, "Invalid", f'{qualified(kind, group)} "{name}" is invalid: {text}', details(group, kind, name) | {"causes": named}
    )


def invalid_option(kind: str, field: str, message: str, reason: str = FORBIDDEN) -> StatusError:
    """For an invalid option of a request, such as one of ListOptions."""
    return invalid("meta.k8s.io", kind, "", [Cause(reason, message, field)])


def method_not_allowed() -> StatusError:
    return StatusError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})


def unsupported_media(message: str) -> StatusError:
    return StatusError(415, "UnsupportedMediaType", message)
