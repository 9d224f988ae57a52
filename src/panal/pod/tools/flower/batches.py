"""Several objects in one request of Flower's protocol: their names are joined by commas, and their contents are packed into one.

Flower sends one request for each object, and a model with hundreds of arrays has thousands of objects. Between the hub and a site a batch
holds the contents. Between processes of one container it holds references to files (`spool`), so that large contents are not copied.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from .spool import Contents, Piece, Stored, opened, whole

NAMES = 256  # objects in a batch
LARGEST = 4 << 20  # bytes of a batch with more than one object
_LENGTH = 4  # bytes of a length


class BadBatchError(ValueError):
    """A batch is not in this form."""


def joined(names: Sequence[str]) -> str:
    """The names of a batch, in the place of the name of one object."""
    return "".join(f"{name}," for name in names)


def is_batch(name: str) -> bool:
    return "," in name


def names_in(name: str) -> list[str]:
    """The names of a batch, without duplicates."""
    found = list(dict.fromkeys(name.removesuffix(",").split(",")))
    if len(found) > NAMES:
        raise BadBatchError(f"a batch of {len(found)} objects; it may have {NAMES}")
    return found


def pack(contents: Iterable[bytes]) -> bytes:
    return b"".join(part for content in contents for part in (len(content).to_bytes(_LENGTH, "big"), content))


def unpack(packed: bytes) -> list[bytes]:
    """Raises BadBatchError."""
    found, at = [], 0
    while at < len(packed):
        start = at + _LENGTH
        at = start + int.from_bytes(packed[at:start], "big")
        if at > len(packed):
            raise BadBatchError("a batch is shorter than it says")
        found.append(packed[start:at])
    return found


def pack_references(contents: Iterable[Stored]) -> bytes:
    """For a process of this container."""
    parts = [content.parts if isinstance(content, Contents) else (content,) for content in contents]
    listed = [[part.reference() if isinstance(part, Piece) else len(part) for part in each] for each in parts]
    head = json.dumps(listed).encode()
    return b"".join([len(head).to_bytes(_LENGTH, "big"), head, *(part for each in parts for part in each if isinstance(part, bytes))])


def unpack_references(packed: bytes) -> list[Stored]:
    """Raises BadBatchError, or OSError if a file is gone."""
    at = _LENGTH + int.from_bytes(packed[:_LENGTH], "big")
    found: list[Stored] = []
    try:
        for each in json.loads(packed[_LENGTH:at]):
            parts: list[bytes | Piece] = []
            for part in each:
                if isinstance(part, int):
                    parts.append(packed[at : at + part])
                    at += part
                else:
                    parts.append(opened(tuple(part)))
            contents = Contents(parts)
            found.append(contents if any(isinstance(part, Piece) for part in parts) else whole(contents))
    except (ValueError, TypeError) as error:
        raise BadBatchError(str(error)) from error
    return found


def in_memory(content: Stored) -> int:
    """The bytes of a content that a batch with references holds."""
    return sum(len(part) for part in content.parts if isinstance(part, bytes)) if isinstance(content, Contents) else len(content)
