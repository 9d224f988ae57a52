"""What is done to a notebook around its execution, without Jupyter. `make test-notebooks` executes notebooks."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

from panal.pod.tools.notebook import execute as program


@pytest.fixture
def jupyter(monkeypatch):
    """Packages of the user's environment, whose client executes only the first cell."""

    class Failed(Exception):  # noqa: N818
        pass

    class Client:
        def __init__(self, notebook, **_):
            self.notebook = notebook

        def execute(self):
            self.notebook.cells[0].outputs = ["new"]
            raise Failed

    content = {
        "nbclient": {"NotebookClient": Client},
        "nbclient.exceptions": {"CellExecutionError": Failed, "CellTimeoutError": TimeoutError, "DeadKernelError": OSError},
        "traitlets": {},
        "traitlets.config": {"Config": dict},
    }
    for name, attributes in content.items():
        module = ModuleType(name)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(program, "kernel", lambda _: "python3")
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", "")


def test_outputs_that_the_author_stored_are_no_results(jupyter):
    cells = [SimpleNamespace(cell_type="code", outputs=["stored"], execution_count=number) for number in (1, 2)]
    text = SimpleNamespace(cell_type="markdown")
    program.execute(SimpleNamespace(cells=[cells[0], text, cells[1]], metadata={}), 0, 0)
    assert [each.outputs for each in cells] == [["new"], []]
    assert [each.execution_count for each in cells] == [None, None]
    assert vars(text) == {"cell_type": "markdown"}
