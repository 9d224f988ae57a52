"""`python3 sniffer.py INTERFACE FILE`: every frame that passes an interface of the network it runs in, until it is ended with SIGTERM.

A program of its own, because it is run inside the networks of machines and Pods (`nsenter`); it needs the standard library and root.
FILE is made when nothing is missed any more. Each frame is preceded by its length, four bytes; the last word is the number of those lost.
"""

from __future__ import annotations

import signal
import socket
import struct
import sys
from pathlib import Path
from types import FrameType

EVERYTHING = 0x0003  # ETH_P_ALL
SOL_PACKET, PACKET_STATISTICS = 263, 6
SO_RCVBUFFORCE = 33
BUFFER = 64 << 20
LARGEST = 1 << 18  # segments are not cut before they leave a virtual cable


def end(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit


def main(interface: str, file: Path) -> None:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERYTHING))
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
    sock.bind((interface, 0))
    frames: list[bytes] = []
    signal.signal(signal.SIGTERM, end)
    file.touch()
    try:
        while True:
            frames.append(sock.recv(LARGEST))
    except SystemExit:
        _, lost = struct.unpack("II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        part = file.with_suffix(".part")
        with part.open("wb") as out:
            for frame in frames:
                out.write(struct.pack("!I", len(frame)) + frame)
            out.write(struct.pack("!I", lost))
        part.replace(file)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
