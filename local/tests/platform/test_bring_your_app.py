"""Follows docs/how-to/bring-your-flower-app.md literally. tests/real follows its part for a hub."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import pages

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/how-to/bring-your-flower-app.md"
LINE = re.compile(r"^weight = ([\d.]+) kg/cm \* height ([-+][\d.]+) kg$", re.MULTILINE)


@pytest.fixture(scope="module")
def said(home):
    blocks = pages.commands(PAGE, "", "platform")
    assert len(blocks) == 6
    command = ["bash", "-euo", "pipefail", "-c", pages.script(blocks)]
    done = subprocess.run(
        command, cwd=ROOT, env=home.env | {"TMPDIR": str(home.work)}, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout.split("### ")


def test_the_unchanged_app_runs(said):
    assert re.search(r"Completed: model after 3 rounds at pvc://models/default/heights-1/", said[2])
    slope, offset = map(float, LINE.search(said[2]).groups())
    assert (slope, offset) == (pytest.approx(0.9, abs=0.1), pytest.approx(-85, abs=20))


def test_with_its_loader_changed_each_cluster_trains_on_its_own_data(said):
    assert re.search(r"Completed: model after 3 rounds at pvc://models/default/heights-2/", said[4])
    assert len(re.findall(r"^100 people, 1\.\d kg off$", said[4], re.MULTILINE)) == 3
    assert re.search(r"cluster3 takes part", said[4])


def test_the_files_for_a_hub_exist(said, home):
    assert "FROM python:3.11-slim AS build" in said[5]
    assert "image: registry.example.com/me/heights:1.0.0" in said[5]
    assert "key: people.example.com" in said[5]
    assert home.processes() == []
