"""Decodes the JSON of an API server. Objects with free fields may be nested thousands of levels deep, which an API server accepts."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from panal.kube.errors import Unavailable

DEEPEST = 100  # levels that remain of JSON that is nested too deeply for the decoder
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]')


def decode(content: bytes) -> Any:
    """Raises Unavailable for anything but JSON: a proxy has answered, or the response is incomplete."""
    try:
        try:
            return msgspec.json.decode(content)
        except RecursionError:
            return msgspec.json.decode(_cut(content))
    except msgspec.DecodeError as error:
        raise Unavailable(0, "NotJSON", f"the response is not JSON: {content[:100]!r}") from error


def _cut(content: bytes) -> bytes:
    """The JSON with null for what is below DEEPEST levels."""
    kept, depth, start = [], 0, 0
    for token in _TOKEN.finditer(content):
        if token[0] in (b"{", b"["):
            depth += 1
            if depth == DEEPEST + 1:
                kept += [content[start : token.start()], b"null"]
        elif token[0] in (b"}", b"]"):
            if depth == DEEPEST + 1:
                start = token.end()
            depth -= 1
    return b"".join([*kept, content[start:]])
