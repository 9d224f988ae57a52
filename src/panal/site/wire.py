"""The wire format of Protocol Buffers (https://protobuf.dev/programming-guides/encoding/), for messages whose schema is not at hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
LONGEST_VARINT = 10  # bytes
MOST_FIELDS = 1 << 16  # of one message


class NotProtobufError(ValueError):
    """The bytes are no message, or none with these fields."""


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field in its order: an int, or the bytes of what has a length, not copied. Raises NotProtobufError."""
    at, count = 0, 0
    while at < len(message):
        count += 1
        if count > MOST_FIELDS:
            raise NotProtobufError("too many fields")
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind not in (FIXED64, FIXED32, LENGTH):
            raise NotProtobufError(f"a field of the wire type {kind}")
        size = 8 if kind == FIXED64 else 4
        if kind == LENGTH:
            size, at = _varint(message, at)
        if at + size > len(message):
            raise NotProtobufError("it is shorter than it says")
        piece = message[at : at + size]
        yield number, piece if kind == LENGTH else int.from_bytes(piece, "little")
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for count, byte in enumerate(message[at : at + LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value, at + count + 1
    raise NotProtobufError("a number without an end")


Kinds = Mapping[int, type[int] | type[memoryview]]


def known(message: memoryview, kinds: Kinds, repeated: frozenset[int] = frozenset()) -> dict[int, list[int | memoryview]]:
    """The fields by number. Raises NotProtobufError for a field that is not in `kinds`, has another type, or is there twice without being
    in `repeated`: readers differ in what they take then."""
    found: dict[int, list[int | memoryview]] = {}
    for number, value in fields(message):
        if number not in kinds or not isinstance(value, kinds[number]):
            raise NotProtobufError(f"a field {number} that is not known")
        if number in found and number not in repeated:
            raise NotProtobufError(f"a second field {number}")
        found.setdefault(number, []).append(value)
    return found
