"""The offset of the last lines of a log."""

import pytest

from panal_local.node import logs


@pytest.mark.parametrize(
    ("content", "lines", "tail"),
    [
        (b"a\nb\nc\n", 1, b"c\n"),
        (b"a\nb\nc\n", 2, b"b\nc\n"),
        (b"a\nb\nc", 1, b"c"),
        (b"a\nb\nc", 2, b"b\nc"),
        (b"a\n\n\n", 2, b"\n\n"),
        (b"a\nb\n", 9, b"a\nb\n"),
        (b"a\nb\n", 0, b""),
        (b"", 3, b""),
        (b"\n", 1, b"\n"),
    ],
)
@pytest.mark.parametrize("chunk", [1, 2, 3, 1000])
def test_tail(content, lines, tail, chunk, tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "CHUNK", chunk)
    file = tmp_path / "log"
    file.write_bytes(content)
    assert content[logs.tail_offset(file, lines) :] == tail
