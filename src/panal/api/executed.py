"""What an executed notebook says: its metrics, and which cell failed.

Metrics are outputs of the type METRICS: an object of names and numbers. A notebook makes one without panal:

    display({"application/vnd.panal.metrics+json": {"accuracy": 0.94}}, raw=True)

Everything in a notebook is from its author and the data: names are bounded and escaped, and what is no number is left out.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from panal.api.progress import MAX_NAME, Metric
from panal.api.text import by_name, shown

METRICS = "application/vnd.panal.metrics+json"
MOST = 64  # metrics of a notebook
RAISES = "raises-exception"  # Jupyter's tag of cells that may raise
INTERRUPTED = ("CellTimeoutError", "DeadKernelError")  # errors of the execution (`pod.tools.notebook.execute`), not of the cell
LONGEST = 300  # characters of a cell's line, and of its error
NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "infinity": "Infinity", "-inf": "-Infinity", "-infinity": "-Infinity"}
_COLORS = re.compile(r"\x1b\[[0-9;]*m")


class NotebookError(ValueError):
    """A file is not a notebook. The message says why."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The first cell that failed. `cell` is its number among the code cells, from 1, and `line` its first line of code."""

    cell: int
    line: str
    error: str

    def __str__(self) -> str:
        return f"cell {self.cell} ({self.line}): {self.error}"


def read(content: bytes) -> Mapping[str, Any]:
    """The notebook in a file. Raises NotebookError."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise NotebookError("it is not JSON") from error
    if not isinstance(found, dict) or not isinstance(found.get("cells"), list) or found.get("nbformat") != 4:
        raise NotebookError("it is not a notebook in the format 4")
    return found


def metrics(notebook: Mapping[str, Any]) -> dict[str, Metric]:
    """The first MOST metrics; of two with the same name the last one."""
    found: dict[str, Metric] = {}
    for _, output in _outputs(notebook):
        data = output.get("data")
        content = data.get(METRICS) if isinstance(data, Mapping) else None
        for name, value in content.items() if isinstance(content, Mapping) else ():
            if (metric := _metric(value)) is not None:
                found[name] = metric
    return dict(list(by_name(found, MAX_NAME).items())[:MOST])


def failure(notebook: Mapping[str, Any]) -> Failure | None:
    numbers: dict[int, int] = {}
    for position, output in _outputs(notebook):
        numbers.setdefault(position, len(numbers) + 1)
        cell = notebook["cells"][position]
        if output.get("output_type") == "error" and not (_may_raise(cell) and output.get("ename") not in INTERRUPTED):
            return Failure(_number(notebook, position), _line(cell), _error(output))
    return None


def _may_raise(cell: Mapping[str, Any]) -> bool:
    metadata = cell.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, Mapping) else None
    return isinstance(tags, list) and RAISES in tags


def _outputs(notebook: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The outputs of the code cells, each with the position of its cell."""
    for position, cell in enumerate(notebook["cells"]):
        outputs = cell.get("outputs") if isinstance(cell, Mapping) and cell.get("cell_type") == "code" else None
        for output in outputs if isinstance(outputs, list) else ():
            if isinstance(output, Mapping):
                yield position, output


def _number(notebook: Mapping[str, Any], position: int) -> int:
    return sum(isinstance(cell, Mapping) and cell.get("cell_type") == "code" for cell in notebook["cells"][: position + 1])


def _line(cell: Mapping[str, Any]) -> str:
    source = cell.get("source", "")
    text = "".join(map(str, source)) if isinstance(source, list) else str(source)
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return shown(lines[0] if lines else "", 80)


def _error(output: Mapping[str, Any]) -> str:
    name, value = (_COLORS.sub("", str(output.get(key) or "")).strip() for key in ("ename", "evalue"))
    return shown(": ".join(filter(None, (name, value))), LONGEST)


def _metric(value: Any) -> Metric | None:
    """JSON has no NaN: a kernel writes it as a text, or Python's json as the word NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str):
        return NOT_FINITE.get(value.lower())  # type: ignore[return-value]
    try:
        number = float(value)
    except OverflowError:
        return "Infinity" if value > 0 else "-Infinity"
    return number if math.isfinite(number) else NOT_FINITE[str(number)]  # type: ignore[return-value]
