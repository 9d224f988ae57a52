"""Executes a notebook with a real Jupyter, as `panal notebook --execute` does, for tests that look at its outputs and numbers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from panal.api.executed import metrics, read

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "src/panal/pod/tools/notebook/execute.py"
PROTOTYPE = ROOT / ".cache/prototype"  # an environment with panal, Flower and Jupyter: `make .cache/prototype/.ready`


@dataclass(frozen=True)
class Executed:
    """`cells`: the outputs by the id of the cell. `metrics`: the notebook's numbers for programs."""

    cells: dict[str, list[dict[str, Any]]]
    metrics: dict[str, float]


def execute(python: Path, notebook: Path, folder: Path, env: Mapping[str, str], seconds: int) -> Executed:
    """The executed notebook and its report are left in `folder`. Fails if a cell does."""
    made, report = folder / "executed.ipynb", folder / "report.html"
    env = {**env, "OPENBLAS_NUM_THREADS": "1", "JUPYTER_PREFER_ENV_PATH": "1"}
    words = [python, PROGRAM, notebook, made, report, "0", str(seconds)]
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    cells = {cell["id"]: cell.get("outputs", []) for cell in json.loads(made.read_text())["cells"]}
    failed = [output for outputs in cells.values() for output in outputs if output["output_type"] == "error"]
    assert not failed, "\n".join(failed[0]["traceback"])
    return Executed(cells, metrics(read(made.read_bytes())))
