"""Executes a notebook with the Jupyter of a user's environment: `python execute.py NOTEBOOK EXECUTED REPORT [CELL [ALL]]`.

`panal notebook --execute` starts it as a script, the Pod that validates a model as `run.py notebook execute`. It needs the Python packages
nbclient, nbconvert and ipykernel. CELL is what each cell may take in seconds, ALL what they may take together; 0 is no limit. EXECUTED is
the notebook with its outputs, REPORT the same as HTML that loads nothing from elsewhere. If a cell fails, both are written with its error,
and the cells that follow are not executed. Exits with 0 if both are written, and with 2 if the notebook cannot be executed at all.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

PYTHON = "python3"  # the kernel of this environment
REMOTE = ("jquery_url", "jupyter_widgets_base_url", "mathjax_url", "mermaid_js_url", "mermaid_layout_elk_js_url", "require_js_url")
LONGEST = 40  # characters of the folder in which a kernel's sockets are
NEEDED = "nbclient nbconvert ipykernel"


def execute(notebook: Any, cell_limit: int, limit: int) -> None:
    """Adds the outputs, in place of those with which the notebook was stored. The cell that failed gets its error as an output."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    from traitlets.config import Config

    clear(notebook)
    end, started, given = time.monotonic() + limit, [0], [0]

    def seconds(_: Any) -> int | None:
        left = max(1, round(end - time.monotonic())) if limit else 0
        given[0] = min(filter(None, (cell_limit, left)), default=0)
        return given[0] or None

    place = short_folder()
    with TemporaryDirectory(prefix="nb-", dir=place) as folder:
        os.environ["JUPYTER_RUNTIME_DIR"] = folder
        sockets = {"transport": "ipc", "ip": f"{folder}/kernel"}  # no port, to which other users of the machine could connect
        options = {"timeout_func": seconds, "kernel_name": kernel(notebook), "config": Config({"KernelManager": sockets if place else {}})}
        client = NotebookClient(notebook, on_cell_start=lambda cell, cell_index: started.append(cell_index), **options)
        try:
            client.execute()
        except CellExecutionError:
            return
        except CellTimeoutError as error:
            whole = limit and (not cell_limit or given[0] < cell_limit)
            why = f"the notebook took more than {limit} s" if whole else f"it took more than {cell_limit} s"
            fail(notebook.cells[started[-1]], type(error).__name__, why)
        except DeadKernelError as error:
            fail(notebook.cells[started[-1]], type(error).__name__, "its kernel died, such as for lack of memory")


def clear(notebook: Any) -> None:
    """A cell that is not executed, after a failed one or by a tag, would keep what its author stored, as if it were a result."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None


def short_folder() -> str | None:
    """A folder for sockets, whose paths have at most 107 characters; None if there is none."""
    return next((place for place in (gettempdir(), "/tmp") if len(place) <= LONGEST and os.access(place, os.W_OK)), None)


def fail(cell: Any, name: str, why: str) -> None:
    """Adds an error, in place of the one of an interrupted cell."""
    import nbformat

    outputs = [output for output in cell.get("outputs", []) if output.output_type != "error"]
    cell.outputs = [*outputs, nbformat.v4.new_output("error", ename=name, evalue=why, traceback=[f"{name}: {why}"])]


def kernel(notebook: Any) -> str:
    """The kernel that the notebook names. If this environment does not have it, the one of this environment."""
    from jupyter_client.kernelspec import KernelSpecManager

    named = str(notebook.metadata.get("kernelspec", {}).get("name", PYTHON))
    return named if named in KernelSpecManager().find_kernel_specs() else PYTHON


def report(notebook: Any) -> str:
    from nbconvert import HTMLExporter

    known = HTMLExporter.class_trait_names()
    made, _ = HTMLExporter(**{name: "" for name in REMOTE if name in known}).from_notebook_node(notebook)
    return str(made)


def main() -> int:
    source, executed, html = map(Path, sys.argv[1:4])
    cell_limit, limit = (*map(int, sys.argv[4:6]), 0, 0)[:2]
    try:
        import nbclient
        import nbconvert
        import nbformat
    except ImportError as error:
        print(f"{sys.executable} cannot execute a notebook: {error}; install {NEEDED} in its environment", file=sys.stderr)
        return 2
    print(f"executing {source} with nbclient {nbclient.__version__} and nbconvert {nbconvert.__version__}", flush=True)
    try:
        notebook = nbformat.read(source, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError) as error:
        print(f"{source}: {error}", file=sys.stderr)
        return 2
    try:
        execute(notebook, cell_limit, limit)
    except RuntimeError as error:  # of jupyter_client; its own cleanup would print more after it
        print(f"the kernel does not start: {error}", file=sys.stderr, flush=True)
        os._exit(2)
    nbformat.write(notebook, executed)
    html.write_text(report(notebook), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
