"""JSON in the one form that is hashed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any


def canonical(content: Mapping[str, Any]) -> bytes:
    """JSON without spaces, with sorted keys, in UTF-8. Raises ValueError for a number that is not finite."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(content: Mapping[str, Any]) -> str:
    """SHA-256, in hexadecimal digits."""
    return hashlib.sha256(canonical(content)).hexdigest()


def step(pointer: str, name: str | int) -> str:
    """The JSON pointer (RFC 6901) of a member."""
    return f"{pointer}/{str(name).replace('~', '~0').replace('/', '~1')}"


def leaves(content: Any, pointer: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that has no members, with its JSON pointer; an empty object or list is one."""
    if isinstance(content, Mapping) and content:
        for name, value in content.items():
            yield from leaves(value, step(pointer, name))
    elif isinstance(content, list | tuple) and content:
        for number, value in enumerate(content):
            yield from leaves(value, step(pointer, number))
    else:
        yield pointer, content
