"""The program that writes a file of a run's storage to its output."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from panal.pod import giving


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    folder = tmp_path / "out/team/digits/u"
    (folder / "files").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 10_000)
    (tmp_path / "secret").write_text("of another run")
    run = {"PANAL_NAMESPACE": "team", "PANAL_RUN": "digits", "PANAL_RUN_UID": "u"}
    return run | {"PANAL_STORAGE_DIR": str(tmp_path), "PANAL_STORAGE_URI": "pvc://models", "PANAL_STORAGE_PATH": "out"}


def test_a_file_is_written_as_it_is(env: dict[str, str], capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    giving.give("model.safetensors", env)
    assert capfdbinary.readouterr().out == bytes(range(256)) * 10_000


@pytest.mark.parametrize("name", ["../../../../secret", "/etc/hostname", "files/../../x", ""])
def test_nothing_outside_the_runs_folder_is_read(env: dict[str, str], name: str) -> None:
    with pytest.raises(ValueError, match="is not a file of the run"):
        giving.give(name, env)


def test_what_is_missing_is_named() -> None:
    env = {"PANAL_NAMESPACE": "team", "PANAL_RUN": "digits", "PANAL_RUN_UID": "u", "PANAL_STORAGE_URI": "pvc://models"}
    done = subprocess.run(
        [sys.executable, "-m", "panal.pod.giving", "x"], env=os.environ | env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "the storage has no x of this run\n")
