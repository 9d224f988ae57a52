"""Executes a notebook, in the environment of the user: `python execute.py NOTEBOOK EXECUTED REPORT [SECONDS]`.

Needs the Python packages nbclient, nbconvert and ipykernel; nothing of panal. SECONDS is what each cell may take. EXECUTED is the notebook
with its outputs, REPORT the same as HTML that loads nothing from elsewhere. If a cell fails, both are written with its error, and the cells
that follow are not executed.
Exits with 0, with 1 if a cell failed, or with 2 if the notebook cannot be executed at all.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert import HTMLExporter
from traitlets.config import Config

PYTHON = "python3"  # the kernel of this environment
REMOTE = ("jquery_url", "jupyter_widgets_base_url", "mathjax_url", "mermaid_js_url", "mermaid_layout_elk_js_url", "require_js_url")


def execute(notebook: Any, seconds: int | None) -> bool:
    """Whether all cells succeeded. The cell that failed has its error as an output."""
    started: list[int] = []
    settings = Config({"KernelManager": {"transport": "ipc"}})  # no port, to which other users of the machine could connect
    options = {"timeout": seconds, "kernel_name": kernel(notebook), "config": settings}
    client = NotebookClient(notebook, on_cell_start=lambda cell, cell_index: started.append(cell_index), **options)
    try:
        with TemporaryDirectory(prefix="nb-") as folder:  # the path of a socket must be short
            os.environ["JUPYTER_RUNTIME_DIR"] = folder
            client.execute()
    except CellExecutionError:
        return False
    except (CellTimeoutError, DeadKernelError) as error:
        why = f"it took more than {seconds} s" if isinstance(error, CellTimeoutError) else "its kernel died, such as for lack of memory"
        name = type(error).__name__
        cell = notebook.cells[started[-1] if started else 0]
        outputs = [output for output in cell.get("outputs", []) if output.output_type != "error"]  # that of an interrupted cell
        cell.outputs = [*outputs, nbformat.v4.new_output("error", ename=name, evalue=why, traceback=[f"{name}: {why}"])]
        return False
    return True


def kernel(notebook: Any) -> str:
    """The kernel that the notebook names. If this environment does not have it, the one of this environment."""
    named = str(notebook.metadata.get("kernelspec", {}).get("name", PYTHON))
    return named if named in KernelSpecManager().find_kernel_specs() else PYTHON


def report(notebook: Any) -> str:
    known = HTMLExporter.class_trait_names()
    made, _ = HTMLExporter(**{name: "" for name in REMOTE if name in known}).from_notebook_node(notebook)
    return str(made)


def main() -> int:
    source, executed, html = map(Path, sys.argv[1:4])
    seconds = int(sys.argv[4]) if len(sys.argv) > 4 else None
    try:
        notebook = nbformat.read(source, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError) as error:
        print(f"{source}: {error}", file=sys.stderr)
        return 2
    done = execute(notebook, seconds)
    nbformat.write(notebook, executed)
    html.write_text(report(notebook), encoding="utf-8")
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main())
