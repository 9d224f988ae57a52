"""A kind in another version than the one that panal is written for (`Client.speak`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from panal.kube.kinds import Kind
from panal.kube.objects import Object


def _same(obj: Object) -> Object:
    return obj


@dataclass(frozen=True, slots=True)
class Form:
    """A kind in another version. `read` translates objects of that version, `write` objects and patches into it. What was read keeps its
    apiVersion."""

    kind: Kind
    read: Callable[[Object], Object] = _same
    write: Callable[[Object], Object] = _same


def in_form(form: Form, obj: Object) -> Object:
    """The object as the server takes it."""
    return form.write(obj) | {"apiVersion": form.kind.api_version}
