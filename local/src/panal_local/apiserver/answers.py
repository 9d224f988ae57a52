"""Answers and what clients accept: JSON alone, and the forms of it that they ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from panal_local.apiserver.errors import StatusError
from panal_local.apiserver.reads import Form
from panal_local.apiserver.store import encode

KINDS = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
TYPES = {"application/json", "application/*", "*/*"}


@dataclass(frozen=True, slots=True)
class Answer:
    body: bytes
    code: int = 200
    content_type: str = "application/json"
    warnings: Sequence[str] = ()

    @property
    def headers(self) -> list[tuple[str, str]]:
        found = [("Content-Type", self.content_type), ("Cache-Control", "no-cache, private")]
        return found + [("Warning", f'299 - "{_quoted(w)}"') for w in self.warnings]


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').encode("ascii", "backslashreplace").decode().replace("\n", " ")


def json_answer(value: Any, code: int = 200, warnings: Sequence[str] = ()) -> Answer:
    return Answer(encode(value), code, warnings=warnings)


def plain(text: str, code: int = 200) -> Answer:
    return Answer(text.encode(), code, "text/plain; charset=utf-8")


def refused(error: StatusError) -> Answer:
    return json_answer(error.body, error.code)


def form_of(accept: str, query: Mapping[str, str]) -> Form:
    """406 if the client takes nothing that can be had here."""
    for choice in _choices(accept):
        kind = choice.get("as", "")
        if choice[""] in TYPES and (not kind or (kind in KINDS and choice.get("v") == "v1")):
            return Form(kind, query.get("includeObject") or "Metadata")
    told = "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf"
    raise StatusError(406, "NotAcceptable", told)


def _choices(accept: str) -> list[dict[str, str]]:
    found = []
    for part in (accept or "*/*").split(","):
        media, *parameters = (p.strip() for p in part.split(";"))
        pairs = (p.partition("=") for p in parameters)
        found.append({"": media.lower(), **{name: value for name, _, value in pairs}})
    return found


def wants_aggregated(accept: str) -> bool:
    """Whether discovery is asked for in one piece."""
    return any(c.get("as") == "APIGroupDiscoveryList" and c.get("v") == "v2" for c in _choices(accept)[:1])
