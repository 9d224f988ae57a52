"""Large contents of Flower's objects in files instead of memory.

The files are in the container's volume for temporary files. No folder lists them, so their space is free again when the last content in
them is dropped, and also after a crash. Processes of one container exchange references to these files instead of contents. A content that
cannot be written (the volume is full) stays in memory.
"""

from __future__ import annotations

import io
import os
import stat
import tempfile
import threading
from collections.abc import Iterable, Iterator
from typing import Any
from weakref import WeakValueDictionary

from ..files import log_line

SMALLEST = 64 << 10  # bytes; smaller contents stay in memory
SEGMENT = 64 << 20  # bytes of a file after which another begins: a file's space is free when all of its contents are dropped
BLOCK = 4 << 20  # bytes that are read at a time

Reference = tuple[str, int, int, int, int]  # path, device and inode of a file; start and length of a content in it


def temporary_folder() -> str:
    """The container's volume for temporary files."""
    return os.environ.get("PANAL_TMP", "/tmp")


class Segment:
    """One file, by its descriptor. It is closed with the last content in it."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor, self.process, self.length = descriptor, os.getpid(), 0
        status = os.fstat(descriptor)
        self.device, self.inode, self.regular = status.st_dev, status.st_ino, stat.S_ISREG(status.st_mode)

    @classmethod
    def create(cls) -> Segment:
        with tempfile.TemporaryFile(dir=temporary_folder(), buffering=0) as file:
            return cls(os.dup(file.fileno()))

    def __del__(self) -> None:
        os.close(self.descriptor)

    def append(self, content: bytes | memoryview) -> int:
        """Returns where the content begins. Raises OSError."""
        start, view = self.length, memoryview(content).cast("B")
        while view:
            written = os.pwrite(self.descriptor, view, self.length)
            self.length += written
            view = view[written:]
        return start


class Piece:
    """Consecutive bytes of a file."""

    def __init__(self, segment: Segment, start: int, length: int) -> None:
        self._segment, self._start, self._length = segment, start, length

    def __len__(self) -> int:
        return self._length

    def part(self, start: int, length: int) -> Piece:
        return Piece(self._segment, self._start + start, length)

    def read_into(self, buffer: memoryview, start: int) -> None:
        """Fills `buffer` with the bytes from `start`."""
        done = 0
        while done < len(buffer):
            got = os.preadv(self._segment.descriptor, [buffer[done:]], self._start + start + done)
            if not got:
                raise OSError("a temporary file is shorter than what was written to it")
            done += got

    def reference(self) -> Reference:
        """How another process of this container finds the piece, as long as this process keeps it."""
        of = self._segment
        return f"/proc/{os.getpid()}/fd/{of.descriptor}", of.device, of.inode, self._start, self._length


_opened: WeakValueDictionary[tuple[int, int], Segment] = WeakValueDictionary()
_opening = threading.Lock()


def opened(reference: Reference) -> Piece:
    """The piece of another process. Raises OSError if that file is gone."""
    path, device, inode, start, length = reference
    with _opening:
        segment = _opened.get((device, inode))
        if segment is None:
            segment = Segment(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))
            if (segment.device, segment.inode) != (device, inode) or not segment.regular:
                raise OSError(f"{path} is another file now")
            _opened[device, inode] = segment
    return Piece(segment, start, length)


class Contents:
    """Consecutive pieces and bytes, read as one. They do not change, so a copy is the same object."""

    def __init__(self, parts: Iterable[bytes | Piece]) -> None:
        self.parts = tuple(parts)
        self._length = sum(map(len, self.parts))

    def __len__(self) -> int:
        return self._length

    def __deepcopy__(self, _memo: Any) -> Contents:
        return self

    def __reduce__(self) -> Any:
        return Contents, ((self.read(),),)

    def part(self, start: int, length: int) -> Contents:
        found, end = [], start + length
        for each in self.parts:
            first, last = max(0, start), min(len(each), end)
            if first < last:
                found.append(each.part(first, last - first) if isinstance(each, Piece) else each[first:last])
            start, end = start - len(each), end - len(each)
        return Contents(found)

    def read_into(self, buffer: memoryview, start: int = 0) -> None:
        """Fills `buffer` with the bytes from `start`."""
        done = 0
        for each in self.part(start, len(buffer)).parts:
            if isinstance(each, Piece):
                each.read_into(buffer[done : done + len(each)], 0)
            else:
                buffer[done : done + len(each)] = each
            done += len(each)

    def blocks(self, size: int = BLOCK) -> Iterator[memoryview]:
        """The bytes in blocks of `size`. Each block is valid until the next."""
        buffer = memoryview(bytearray(min(size, self._length)))
        for start in range(0, self._length, size):
            block = buffer[: self._length - start]
            self.read_into(block, start)
            yield block

    def read(self) -> bytes:
        """All bytes, which are in memory once."""
        file = io.BytesIO()
        for block in self.blocks():
            file.write(block)
        return file.getvalue()

    def file(self) -> io.RawIOBase:
        return _Reader(self)


class _Reader(io.RawIOBase):
    def __init__(self, contents: Contents) -> None:
        self._contents, self._at = contents, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: len(self._contents)}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)[: max(0, len(self._contents) - self._at)]
        self._contents.read_into(view, self._at)
        self._at += len(view)
        return len(view)


Stored = bytes | Contents


class Spool:
    """Writes contents to files. Threads may share it; a forked process begins files of its own."""

    def __init__(self) -> None:
        self._segment: Segment | None = None
        self._lock = threading.Lock()

    def add(self, content: bytes | memoryview) -> Stored:
        """Contents in a file; the bytes themselves if they are few or cannot be written."""
        if len(content) >= SMALLEST:
            try:
                with self._lock:
                    segment = self._room()
                    return Contents([Piece(segment, segment.append(content), len(content))])
            except OSError as error:
                self._segment = None
                log_line(f"{len(content)} bytes stay in memory: {error}")
        return bytes(content)

    def _room(self) -> Segment:
        segment = self._segment
        if segment is None or segment.length >= SEGMENT or segment.process != os.getpid():
            self._segment = segment = Segment.create()
        return segment


def whole(stored: Stored) -> bytes:
    return stored.read() if isinstance(stored, Contents) else stored


def beginning(stored: Stored, length: int) -> bytes:
    return whole(stored.part(0, length)) if isinstance(stored, Contents) else stored[:length]
