"""A client that sends whatever it is told, right or wrong, where a real one would refuse to: TLS with any certificate, then one request
in HTTP/2 frames made by hand."""

from __future__ import annotations

import socket
import ssl
import struct
import tempfile
from collections.abc import Iterable
from pathlib import Path

from certificates import Pair

DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY, CONTINUATION = 0, 1, 3, 4, 7, 9
END_STREAM, END_HEADERS = 1, 4
_NO_TABLE = struct.pack(">HI", 1, 0)  # SETTINGS_HEADER_TABLE_SIZE: every answer is spelled out
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_STATIC = {8: "200", 9: "204", 10: "206", 11: "304", 12: "400", 13: "404", 14: "500"}  # HPACK's table
_HUFFMAN = {f"{n:05b}": str(n) for n in range(3)} | {f"{n + 22:06b}": str(n) for n in range(3, 10)}  # of digits

Fields = Iterable[tuple[str, str | bytes]]


def request_fields(
    path: str = "/v1/fleet/x", method: str = "POST", authority: str = "aggregator", extra: Fields = ()
) -> list[tuple[str, str | bytes]]:
    return [(":method", method), (":scheme", "https"), (":path", path), (":authority", authority), *extra]


def tls_context(pair: Pair | None, protocols: list[str], *, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """One that believes any server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode, context.maximum_version = False, ssl.CERT_NONE, newest
    if pair is not None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "pem"
            file.write_bytes(pair.key + pair.certificate)
            context.load_cert_chain(file)
    if protocols:
        context.set_alpn_protocols(protocols)
    return context


def connect(port: int, context: ssl.SSLContext, server_name: str = "aggregator.example") -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", port), timeout=10)
    try:
        return context.wrap_socket(plain, server_hostname=server_name)
    except BaseException:
        plain.close()
        raise


def talk(port: int, sent: bytes, context: ssl.SSLContext | None = None) -> str:
    """What came of `sent`: the status of the answer, "reset", "closed", or how TLS failed."""
    try:
        with connect(port, context) if context else socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(sent)
            return outcome(connection)
    except ssl.SSLError as error:
        return f"tls: {error.reason}"
    except ConnectionError:
        return "closed"


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(fields: Fields) -> bytes:
    """HPACK without any compression."""

    def text(value: str | bytes) -> bytes:
        raw = value if isinstance(value, bytes) else value.encode()
        rest = len(raw) - 127
        return (bytes([len(raw)]) if rest < 0 else b"\x7f" + _varint(rest)) + raw

    return b"".join(b"\0" + text(name) + text(value) for name, value in fields)


def _varint(number: int) -> bytes:
    found = b""
    while number > 127:
        found += bytes([number & 127 | 128])
        number >>= 7
    return found + bytes([number])


def opening() -> bytes:
    return PREFACE + frame(SETTINGS, 0, 0, _NO_TABLE)


def message(fields: Fields, body: bytes = b"", stream: int = 1) -> bytes:
    """With the body's length, where `fields` say nothing about it."""
    fields = list(fields)
    if all(name.lower() != "content-length" for name, _ in fields):
        fields.append(("content-length", str(len(body))))
    head = frame(HEADERS, END_HEADERS | (0 if body else END_STREAM), stream, literal(fields))
    return head + (frame(DATA, END_STREAM, stream, body) if body else b"")


def headers_in_pieces(fields: Fields, stream: int = 1, size: int = 16_000) -> bytes:
    """A request without a body whose headers are too long for one frame."""
    block = literal(fields)
    pieces = [block[at : at + size] for at in range(0, len(block), size)]
    last = len(pieces) - 1
    return b"".join(
        frame(CONTINUATION if n else HEADERS, (0 if n else END_STREAM) | (END_HEADERS if n == last else 0), stream, piece)
        for n, piece in enumerate(pieces)
    )


def outcome(connection: socket.socket) -> str:
    """How the first stream ended, or the connection before it."""
    return Answers(connection).of(1)


class Answers:
    """How the streams of a connection end: the status of the answer, "reset", or "closed" with the connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.found: dict[int, str] = {}
        self._buffer, self._closed = b"", False

    def of(self, stream: int) -> str:
        while stream not in self.found and not self._closed:
            self._read()
        return self.found.get(stream, "closed")

    def _read(self) -> None:
        data = self.connection.recv(1 << 16)
        self._closed = not data
        self._buffer += data
        while len(self._buffer) >= 9:
            length, kind, stream = int.from_bytes(self._buffer[:3]), self._buffer[3], int.from_bytes(self._buffer[5:9])
            if len(self._buffer) < 9 + length:
                return
            payload, self._buffer = self._buffer[9 : 9 + length], self._buffer[9 + length :]
            self._closed |= kind == GOAWAY
            if kind == HEADERS:
                self.found.setdefault(stream, _status(payload))
            if kind == RST_STREAM:
                self.found.setdefault(stream, "reset")


def _status(block: bytes) -> str:
    while block[0] >> 5 == 1:  # a change of the table's size
        block = block[1:]
    if block[0] & 0x80:
        return _STATIC[block[0] & 0x7F]
    length, raw = block[1] & 0x7F, block[2 : 2 + (block[1] & 0x7F)]
    if not block[1] & 0x80:
        return raw.decode()
    bits, found = "".join(f"{b:08b}" for b in raw[:length]), ""
    while len(found) < 3:
        size = next(n for n in (5, 6) if bits[:n] in _HUFFMAN)
        found, bits = found + _HUFFMAN[bits[:size]], bits[size:]
    return found
