"""What goes to a bucket, in which order and in which parts; and what a volume is asked for."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panal.pod.parts import LIMIT, MIB, MOST, Upload, checksum, part_size, remember, remembered
from panal.pod.publishing import Volume, marks, to_send
from panal.pod.storage_errors import StorageError


def test_the_model_comes_last_and_its_metadata_before_it() -> None:
    wanted = {name: [1, 1] for name in ("model.safetensors", "files/z", "metadata.json", "start-1/model.safetensors", "model.ubj")}
    assert to_send(wanted, {}) == ["files/z", "model.ubj", "start-1/model.safetensors", "metadata.json", "model.safetensors"]


def test_only_what_has_changed_is_sent() -> None:
    there = {"metadata.json": [1, 1], "model.safetensors": [5, 5]}
    assert to_send({"metadata.json": [1, 2], "model.safetensors": [5, 5], "files/a": [0, 0]}, there) == ["files/a", "metadata.json"]


def test_files_of_the_reporter_itself_are_not_marked(tmp_path: Path) -> None:
    for name in ("model.safetensors", ".model.safetensors.part", ".mirrored.json", "files/.hidden"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert sorted(marks(tmp_path)) == ["files/.hidden", "model.safetensors"]
    assert marks(tmp_path / "absent") == {}


@given(st.integers(LIMIT + 1, 5 << 40))
def test_every_file_fits_into_the_parts_that_s3_allows(size: int) -> None:
    of_part = part_size(size)
    upload = Upload("id", "digest", of_part, sha256=True, parts={})
    assert len(upload.missing(size)) == -(-size // of_part) <= MOST
    assert 5 * MIB <= of_part <= 5 << 30


def test_what_was_sent_is_remembered(tmp_path: Path) -> None:
    upload = Upload("id", "digest", 10, sha256=True, parts={2: {"ETag": "b", "ChecksumSHA256": "y"}, 10: {"ETag": "c"}, 1: {"ETag": "a"}})
    remember(tmp_path, "a/key", upload)
    found = remembered(tmp_path, "a/key")
    assert found == upload
    assert [each["PartNumber"] for each in found.listed()] == [1, 2, 10]
    assert found.missing(105) == [3, 4, 5, 6, 7, 8, 9, 11]
    assert remembered(tmp_path, "another/key") is None
    next(tmp_path.glob(".upload-*")).write_text("[1")
    assert remembered(tmp_path, "a/key") is None


def test_checksums_are_as_s3_wants_them() -> None:
    sha = base64.b64encode(hashlib.sha256(b"x").digest()).decode()
    assert checksum(b"x", sha256=True) == {"ChecksumSHA256": sha}
    assert list(checksum(b"x", sha256=False)) == ["ContentMD5"]


def test_a_volume_is_checked_without_writing(tmp_path: Path) -> None:
    Volume.at(tmp_path / "team/digits/uid").check()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def _nobody() -> Iterator[None]:
    """Root may write everywhere."""
    if os.getuid():
        yield
        return
    os.setresuid(65534, 65534, 0)
    yield
    os.setresuid(0, 0, 0)


@pytest.mark.usefixtures("_nobody")
@pytest.mark.parametrize("folder", ["/", "/proc/1/fd/team", "/sys/team/digits/uid"])
def test_a_folder_of_others_is_refused(folder: str) -> None:
    with pytest.raises(StorageError, match=r"spec\.server\.storage: the reporter \(user"):
        Volume.at(Path(folder)).check()
