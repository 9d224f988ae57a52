"""The wire format of Protocol Buffers (https://protobuf.dev/programming-guides/encoding/), for messages whose schema is not at hand."""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
LONGEST_VARINT = 10  # bytes
Value = int | bytes


class NotProtobufError(ValueError):
    """The bytes are no message."""


def fields(message: bytes | memoryview) -> Iterator[tuple[int, Value]]:
    """Number and value of each field in its order: an int, or the bytes of what has a length. Raises NotProtobufError."""
    view, at = memoryview(message), 0
    while at < len(view):
        tag, at = _varint(view, at)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, at = _varint(view, at)
            yield number, value
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
            yield number, int.from_bytes(_piece(view, at, size), "little")
            at += size
        elif kind == LENGTH:
            size, at = _varint(view, at)
            yield number, _piece(view, at, size)
            at += size
        else:
            raise NotProtobufError(f"a field of the wire type {kind}")


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for count, byte in enumerate(view[at : at + LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value, at + count + 1
    raise NotProtobufError("a number without an end")


def _piece(view: memoryview, at: int, size: int) -> bytes:
    if at + size > len(view):
        raise NotProtobufError("it is shorter than it says")
    return bytes(view[at : at + size])


def texts(message: bytes, number: int) -> list[str]:
    """The values of a field of type string. Raises NotProtobufError."""
    try:
        return [value.decode() for each, value in fields(message) if each == number and isinstance(value, bytes)]
    except UnicodeDecodeError as error:
        raise NotProtobufError("a text is not UTF-8") from error


def messages(message: bytes, number: int) -> list[bytes]:
    """The values of a field whose values are messages or bytes. Raises NotProtobufError."""
    return [value for each, value in fields(message) if each == number and isinstance(value, bytes)]
