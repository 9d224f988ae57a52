"""What passed on a wire, as `sniffer.py` wrote it: frames, the TCP streams in them, and the TLS records in those."""

from __future__ import annotations

import signal
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from waiting import eventually

SNIFFER = Path(__file__).with_name("sniffer.py")
IPV4, TCP = 0x0800, 6
FIN, SYN, RST = 1, 2, 4
CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA = 20, 21, 22, 23
CLIENT_HELLO, SERVER_HELLO = 1, 2
SUPPORTED_VERSIONS = 43
TLS_1_3 = 0x0304


@dataclass
class Capture:
    """Empty until the sniffer has ended."""

    frames: list[bytes] = field(default_factory=list)
    lost: int = 0

    def says(self, words: bytes) -> bool:
        return any(words in frame for frame in self.frames)

    def streams(self) -> list[Stream]:
        return list(_streams(self.frames))


@contextmanager
def sniffed(interface: str, folder: Path, enter: Iterable[str] = ()) -> Iterator[Capture]:
    """What passes the interface meanwhile; `enter` is the command line that leads into the network it is in."""
    file, capture = folder / f"{interface}.frames", Capture()
    process = subprocess.Popen([*enter, sys.executable, str(SNIFFER), interface, str(file)])
    try:
        eventually(lambda: file.exists() or process.poll(), f"frames of {interface} are read", 20)
        yield capture
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    capture.frames, capture.lost = _read(file.read_bytes())


def _read(data: bytes) -> tuple[list[bytes], int]:
    frames, at = [], 0
    while at < len(data) - 4:
        (length,) = struct.unpack_from("!I", data, at)
        frames.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    return frames, struct.unpack_from("!I", data, at)[0]


class End(NamedTuple):
    address: str
    port: int


@dataclass(frozen=True)
class Stream:
    """One direction of a TCP connection that began while the wire was watched."""

    source: End
    target: End
    data: bytes


class Segment(NamedTuple):
    source: End
    target: End
    number: int
    flags: int
    data: bytes


def _segment(frame: bytes) -> Segment | None:
    if len(frame) < 34 or int.from_bytes(frame[12:14]) != IPV4 or frame[23] != TCP:
        return None
    packet = frame[14 : 14 + int.from_bytes(frame[16:18])]  # short frames are padded
    tcp = packet[(packet[0] & 0xF) * 4 :]
    source, target, number = struct.unpack_from("!HHI", tcp)
    addresses = [".".join(map(str, packet[at : at + 4])) for at in (12, 16)]
    return Segment(End(addresses[0], source), End(addresses[1], target), number, tcp[13], tcp[(tcp[12] >> 4) * 4 :])


def _streams(frames: Iterable[bytes]) -> Iterator[Stream]:
    begun: dict[tuple[End, End], tuple[int, list[Segment]]] = {}
    for frame in frames:
        segment = _segment(frame)
        if segment is None:
            continue
        ends = segment.source, segment.target
        if segment.flags & SYN:
            if ends in begun and begun[ends][0] != segment.number:
                yield _joined(ends, *begun.pop(ends))
            begun.setdefault(ends, (segment.number, []))
        elif ends in begun:
            begun[ends][1].append(segment)
    for ends, found in begun.items():
        yield _joined(ends, *found)


def _joined(ends: tuple[End, End], first: int, segments: list[Segment]) -> Stream:
    """In the order of their numbers, which wrap around; what was sent twice counts once."""
    data = bytearray()
    for number, part in sorted(((s.number - first - 1) % 2**32, s.data) for s in segments if s.data):
        assert number <= len(data), f"{ends}: {number - len(data)} bytes are missing at {len(data)}"
        data[number : number + len(part)] = part
    return Stream(*ends, bytes(data))


class Record(NamedTuple):
    kind: int
    body: bytes


def tls_records(data: bytes) -> list[Record]:
    """All of the stream, which may end within a record; AssertionError if it is anything but TLS."""
    found, at = [], 0
    while at + 5 <= len(data):
        kind, version, length = struct.unpack_from("!BHH", data, at)
        assert kind in (CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA), f"no TLS at {at}: {data[at : at + 40]!r}"
        assert version in (0x0301, 0x0303), f"no TLS at {at}: {data[at : at + 40]!r}"
        assert length <= 16384 + 256, f"no TLS at {at}: {data[at : at + 40]!r}"
        found.append(Record(kind, data[at + 5 : at + 5 + length]))
        at += 5 + length
    return found


def versions(record: Record) -> list[int]:
    """Those that a ClientHello offers, or the one that a ServerHello has selected, by the extension; empty without it (TLS 1.2)."""
    assert record.kind == HANDSHAKE
    assert record.body[0] in (CLIENT_HELLO, SERVER_HELLO)
    client = record.body[0] == CLIENT_HELLO
    at = 4 + 2 + 32  # the message's head, a version of old, random numbers
    at += 1 + record.body[at]  # session
    at += 2 + int.from_bytes(record.body[at : at + 2]) if client else 2  # ciphers
    at += 1 + record.body[at] if client else 1  # compression
    end = at + 2 + int.from_bytes(record.body[at : at + 2])
    at += 2
    while at < end:
        kind, length = struct.unpack_from("!HH", record.body, at)
        said = record.body[at + 4 : at + 4 + length]
        if kind == SUPPORTED_VERSIONS:
            listed = said[1:] if client else said
            return [int.from_bytes(listed[n : n + 2]) for n in range(0, len(listed), 2)]
        at += 4 + length
    return []
