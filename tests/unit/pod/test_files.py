"""The files by which the containers of a Pod communicate are replaced atomically and have the right mode."""

from __future__ import annotations

import os
import resource
import stat
from pathlib import Path

import pytest

from panal.pod.tools.files import replace


@pytest.mark.parametrize("umask", [0o000, 0o077])
@pytest.mark.parametrize("mode", [0o644, 0o600, 0o440])
def test_replace_sets_the_mode_independently_of_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    file = tmp_path / "file"
    before = os.umask(umask)
    try:
        for content in ("first", b"second", "dritte é"):
            replace(file, content, mode=mode, durable=True)
            assert file.read_bytes() == (content if isinstance(content, bytes) else content.encode())
            assert stat.S_IMODE(file.stat().st_mode) == mode
    finally:
        os.umask(before)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_files_left_by_a_killed_process_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / ".file.part").write_text("half of")
    (tmp_path / ".file.part").chmod(0o400)
    replace(tmp_path / "file", "whole")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"file": "whole"}


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "file"
    replace(file, "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # a write beyond fails
    try:
        with pytest.raises(OSError, match="File too large"):
            replace(file, "x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"file": "old"}
