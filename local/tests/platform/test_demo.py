"""`make demo`: federated training is better than training alone, and only the model remains."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[3]
ROW = re.compile(r"^all\s+([\d. ]+)$", re.MULTILINE)


def test_the_demo(home):
    work = home.work / "demo"
    (work / "platform/images").mkdir(parents=True)
    (work / "platform/images/.venvs").symlink_to(home.folder.images.joinpath(".venvs").readlink())
    command = ["make", "demo", f"DEMO={work}"]
    done = subprocess.run(command, cwd=ROOT, env=home.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-4000:]}"
    header = next(line for line in done.stdout.splitlines() if line.startswith("digit ")).split()[1:]
    row = ROW.search(done.stdout)
    assert row
    accuracy = dict(zip(header, map(float, row[1].split()), strict=True))
    assert accuracy["federated"] >= max(0.92, accuracy["central"] - 0.03)
    assert all(accuracy["federated"] > accuracy[f"cluster{n}"] for n in (1, 2, 3))
    assert "cluster4 takes part" not in done.stdout
    assert (work / "result/digits.safetensors").stat().st_size > 100_000
    assert [path.name for path in (work / "platform").iterdir()] == ["images"]
    assert str(work) not in "".join(home.processes())
