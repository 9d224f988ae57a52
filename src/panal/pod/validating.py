"""The last step of a validation: `python3 -m panal.pod.validating`, in the Job `<run>-validation`.

It puts what the notebook's container has left beside the model, and writes the result as the termination message. What that container left
is not trusted: only regular files of a limited size are read, and the result is bounded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from panal.api import executed
from panal.api.validation import EXECUTED, FOLDER, METRICS, MOST, REPORT, Result
from panal.pod.run_folder import ResultError, Store, program, regular

LARGEST = 64 << 20  # bytes of an executed notebook, and of a report


def collect(store: Store, results: Path, scratch: Path) -> Result:
    """Stores the files. Raises ResultError, OSError, StorageError."""
    for name in (EXECUTED, REPORT):
        _copy_regular(results / name, scratch / name)
    try:
        notebook = executed.read((scratch / EXECUTED).read_bytes())
    except executed.NotebookError as error:
        raise ResultError(f"the executed notebook cannot be read: {error}") from error
    metrics, failure = executed.metrics(notebook), executed.failure(notebook)
    (scratch / METRICS).write_text(json.dumps(metrics, indent=1) + "\n")
    for name in (EXECUTED, REPORT, METRICS):
        store.put(f"{FOLDER}/{name}", scratch / name)
    return Result(metrics=dict(list(metrics.items())[:MOST]), failure=str(failure or ""))


def _copy_regular(source: Path, target: Path) -> None:
    with regular(source) as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ResultError(f"{source.name} is larger than {LARGEST >> 20} MiB")
    target.write_bytes(content)


def step(store: Store, env: Mapping[str, str], scratch: Path) -> str:
    return collect(store, Path(env["PANAL_RESULTS_DIR"]), scratch).message()


if __name__ == "__main__":
    program(step)
