"""Follows docs/tutorial/first-run.md literally: runs its commands one after another. The demo has its own test."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/tutorial/first-run.md"


def commands() -> str:
    blocks = re.findall(r"^```bash\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 5
    return "".join(f"echo '### {number}'\n{block}" for number, block in enumerate(blocks))


@pytest.fixture(scope="module")
def said(home):
    command = ["bash", "-euo", "pipefail", "-c", commands()]
    done = subprocess.run(
        command, cwd=ROOT, env=home.env | {"TMPDIR": str(home.work)}, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout.split("### ")


def accuracies(text, rounds):
    """The accuracies in the order of the rounds, of which the last is shown. A round that is over at once may not be."""
    found = {int(number): float(accuracy) for number, accuracy in re.findall(rf"round (\d+)/{rounds}: accuracy ([\d.]+)", text)}
    assert list(found) == sorted(found)
    assert list(found)[-1] == rounds
    assert len(found) >= rounds / 2
    return list(found.values())


def test_the_app_learns_what_no_cluster_could_learn_alone(said):
    assert accuracies(said[2], 5)[-1] > 0.85
    assert "model   pvc://models/default/myapp-1/" in said[2]


def test_the_edited_app_runs(said):
    """More rounds with harder points."""
    assert accuracies(said[3], 8)[-1] < accuracies(said[2], 5)[-1]
    assert re.search(r"default +myapp-1 +Completed.*\n.*default +myapp-2 +Completed", said[3])


def test_the_commands_for_details_work(said):
    assert re.search(r"cluster3 +Done +8 ", said[4])
    assert len(re.findall(r"^cluster1: 600 points, accuracy 0\.\d+$", said[4], re.MULTILINE)) == 3  # a client app's last words
    assert re.search(r"^/.*/myapp-2/.*/model.safetensors$", said[4], re.MULTILINE)


def test_nothing_remains(said, home):
    assert "down; everything stays in" in said[5]
    assert home.processes() == []
