"""HTTP responses: JSON, as objects or as the tables that kubectl requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from panal_local.apiserver.errors import StatusError
from panal_local.apiserver.reads import Form
from panal_local.apiserver.store import encode


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
    return Form("as=Table;v=v1;" in accept, query.get("includeObject") or "Metadata")
