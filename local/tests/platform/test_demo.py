"""`make demo`: federated training is better than training alone, the notebook says the same, and only the model remains."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[3]
NOTEBOOK = ROOT / ".cache/notebook"


@dataclass(frozen=True)
class Demo:
    work: Path
    printed: str

    def accuracies(self) -> dict[str, list[float]]:
        """What compare.py printed: for each model the accuracy over all digits, then of each."""
        header, *rows = self.printed[self.printed.index("digit  ") :].splitlines()[:12]
        columns = zip(*(map(float, row.split()[1:]) for row in rows), strict=True)
        return dict(zip(header.split()[1:], map(list, columns), strict=True))


@pytest.fixture(scope="module")
def demo(home):
    work = home.work / "demo"
    (work / "platform/images").mkdir(parents=True)
    (work / "platform/images/.venvs").symlink_to(home.folder.images.joinpath(".venvs").readlink())
    command = ["make", "demo", f"DEMO={work}"]
    env = home.env | {"PATH": f"{home.env['PATH']}:{NOTEBOOK}/bin"}
    done = subprocess.run(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-4000:]}"
    return Demo(work, done.stdout)


def test_the_demo(demo, home):
    accuracy = {name: column[0] for name, column in demo.accuracies().items()}
    assert accuracy["federated"] >= max(0.92, accuracy["central"] - 0.03)
    assert all(accuracy["federated"] > accuracy[f"cluster{n}"] for n in (1, 2, 3))
    assert "cluster4 takes part" not in demo.printed
    assert (demo.work / "result/digits.safetensors").stat().st_size > 100_000
    assert [path.name for path in (demo.work / "platform").iterdir()] == ["images"]
    assert str(demo.work) not in "".join(home.processes())


def test_the_notebook_has_the_numbers_of_the_comparison(demo):
    """It was executed on what the runs have stored, with their histories."""
    if not (NOTEBOOK / ".ready").exists():
        assert "left out: no Python with" in demo.printed
        pytest.skip("there is no Jupyter: `make .cache/notebook/.ready`")
    found = json.loads((demo.work / "result/notebook/metrics.json").read_text())
    expected = demo.accuracies()
    of_digits = [found[f"accuracy-of-{digit}"] for digit in range(10)]
    assert [found["accuracy"], *of_digits] == pytest.approx(expected["federated"], abs=0.0006)  # which has three digits
    assert found["accuracy-central"] == pytest.approx(expected["central"][0], abs=0.0006)
    for site in ("cluster1", "cluster2", "cluster3"):
        assert found[f"accuracy-alone-{site}"] == pytest.approx(expected[site][0], abs=0.0006)
    assert found["wrong"] == round((1 - found["accuracy"]) * found["digits"])
    executed = json.loads((demo.work / "result/notebook/validate.executed.ipynb").read_text())
    printed = "".join(text for cell in executed["cells"] for output in cell.get("outputs", ()) for text in output.get("text", ()))
    assert "5 rounds with cluster1, cluster2, cluster3" in printed
    assert "the run reported" in printed
