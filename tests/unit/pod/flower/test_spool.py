"""Contents in files."""

from __future__ import annotations

import copy
import os
import pickle
from pathlib import Path

import pytest

from panal.pod.tools.flower import batches, spool
from panal.pod.tools.flower.spool import SMALLEST, Contents, Piece, Spool, opened, whole

LARGE = bytes(range(256)) * 1024


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANAL_TMP", str(tmp_path))


def test_a_large_content_is_in_a_file_without_a_name_and_a_small_one_in_memory(tmp_path: Path) -> None:
    kept = Spool()
    stored = kept.add(LARGE)
    assert isinstance(stored, Contents)
    assert whole(stored) == LARGE
    assert kept.add(b"small") == b"small"
    assert list(tmp_path.iterdir()) == []


def test_a_content_stays_in_memory_if_no_file_can_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PANAL_TMP", str(tmp_path / "none"))
    assert Spool().add(LARGE) == LARGE


def test_a_file_is_closed_with_the_last_content_in_it() -> None:
    kept = Spool()
    first, second = kept.add(LARGE), kept.add(LARGE)
    descriptor = piece(first)._segment.descriptor
    del kept, first
    assert os.fstat(descriptor).st_size == 2 * len(LARGE)
    del second
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_full_file_is_followed_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "SEGMENT", len(LARGE))
    kept = Spool()
    first, second = kept.add(LARGE), kept.add(LARGE)
    assert piece(first)._segment is not piece(second)._segment


def test_a_forked_process_begins_a_file_of_its_own() -> None:
    kept = Spool()
    before = piece(kept.add(LARGE))._segment
    before.process = -1
    assert piece(kept.add(LARGE))._segment is not before


def test_parts_are_read_across_pieces_and_bytes() -> None:
    contents = Contents([b"head", *parts(Spool().add(LARGE)), b"tail"])
    expected = b"head" + LARGE + b"tail"
    assert contents.read() == expected
    assert contents.part(2, 5).read() == expected[2:7]
    assert contents.part(len(expected) - 6, 6).read() == expected[-6:]
    assert b"".join(map(bytes, contents.blocks(1000))) == expected
    file = contents.file()
    file.seek(-4, os.SEEK_END)
    assert (file.read(9), file.tell()) == (b"tail", len(expected))


def test_a_copy_is_the_same_and_a_pickled_one_has_the_bytes() -> None:
    contents = Contents(parts(Spool().add(LARGE)))
    assert copy.deepcopy(contents) is contents
    assert pickle.loads(pickle.dumps(contents)).read() == LARGE


def test_a_reference_leads_to_the_same_file_only() -> None:
    kept = piece(Spool().add(LARGE))
    found = kept.reference()
    assert Contents([opened(found)]).read() == LARGE
    path, device, inode, start, length = found
    with pytest.raises(OSError, match="another file"):
        opened((path, device, inode + 1, start, length))
    status = os.stat("/dev/null")
    with pytest.raises(OSError, match="another file"):
        opened(("/dev/null", status.st_dev, status.st_ino, 0, 1))


def test_a_batch_of_contents_and_one_with_references() -> None:
    assert batches.unpack(batches.pack([b"one", b"", b"three"])) == [b"one", b"", b"three"]
    large = Contents([b"head", *parts(Spool().add(LARGE))])
    small, found, tiny = batches.unpack_references(packed := batches.pack_references([b"small", large, b""]))
    assert (small, whole(found), tiny) == (b"small", b"head" + LARGE, b"")
    assert isinstance(found, Contents)
    assert len(packed) < SMALLEST
    assert batches.in_memory(large) == 4


@pytest.mark.parametrize("packed", [b"\0\0\0\x09short", b"\0\0"])
def test_a_broken_batch(packed: bytes) -> None:
    with pytest.raises(batches.BadBatchError):
        batches.unpack(packed)


@pytest.mark.parametrize("packed", [b"", b"\0\0\0\x02{]", b"\0\0\0\x01[", b'\0\0\0\x04["1"', b"\0\0\0\x051.5x1"])
def test_a_broken_batch_with_references(packed: bytes) -> None:
    with pytest.raises((batches.BadBatchError, OSError)):
        batches.unpack_references(packed)


def test_the_names_of_a_batch() -> None:
    assert batches.is_batch(batches.joined(["a"]))
    assert not batches.is_batch("a")
    assert batches.names_in(batches.joined(["a", "b", "a"])) == ["a", "b"]
    with pytest.raises(batches.BadBatchError, match="257 objects"):
        batches.names_in(batches.joined([str(n) for n in range(257)]))


def parts(stored: object) -> tuple[bytes | Piece, ...]:
    assert isinstance(stored, Contents)
    return stored.parts


def piece(stored: object) -> Piece:
    (found,) = parts(stored)
    assert isinstance(found, Piece)
    return found
