"""What an executed notebook says: its metrics, and which cell failed."""

import json
import math

import pytest

from panal.api.executed import LONGEST, METRICS, MOST, Failure, NotebookError, failure, metrics, read


def cell(source, *outputs, kind="code"):
    return {"cell_type": kind, "source": source, **({"outputs": list(outputs)} if kind == "code" else {})}


def shows(content, kind=METRICS):
    return {"output_type": "display_data", "data": {kind: content}, "metadata": {}}


def error(name, value):
    return {"output_type": "error", "ename": name, "evalue": value, "traceback": ["\x1b[31m…"]}


def notebook(*cells):
    return read(json.dumps({"cells": cells, "nbformat": 4, "nbformat_minor": 5, "metadata": {}}).encode())


def test_metrics_are_those_of_all_cells_and_the_last_of_a_name_counts():
    found = notebook(
        cell("a", shows({"accuracy": 0.5, "loss": 1})),
        cell("text", kind="markdown"),
        cell("b", shows({"accuracy": 0.9}), shows({"other": 1}, "application/json"), {"output_type": "stream", "text": "0.1"}),
    )
    assert metrics(found) == {"accuracy": 0.9, "loss": 1.0}


@pytest.mark.parametrize(
    ("value", "kept"),
    [("nan", "NaN"), ("NaN", "NaN"), ("-inf", "-Infinity"), ("Infinity", "Infinity"), (math.nan, "NaN"), (math.inf, "Infinity"),
     (10**400, "Infinity"), (3, 3.0), (True, None), ("0.9", None), (None, None), ([1], None), ({"a": 1}, None)],
)  # fmt: skip
def test_a_metric_is_a_number(value, kept):
    assert metrics(notebook(cell("", shows({"m": value})))) == ({} if kept is None else {"m": kept})


def test_names_are_escaped_and_bounded_and_so_is_their_number():
    (name,) = metrics(notebook(cell("", shows({"\x1b[2J" + "x" * 100: 1}))))
    assert name.startswith("\\x1b[2J")
    assert len(name) == 64
    assert len(metrics(notebook(cell("", shows({f"m{n}": n for n in range(1000)}))))) == MOST


@pytest.mark.parametrize("content", [[], "text", {"cells": "x", "nbformat": 4}, {"cells": [], "nbformat": 3}, {}])
def test_what_is_no_notebook_is_named(content):
    with pytest.raises(NotebookError):
        read(json.dumps(content).encode())
    with pytest.raises(NotebookError):
        read(b"\xff\xfe")


def tagged(each, *tags):
    return each | {"metadata": {"tags": list(tags)}}


def test_a_cell_that_may_raise_fails_only_by_the_execution():
    raising = tagged(cell("1 / 0", error("ZeroDivisionError", "division by zero")), "raises-exception")
    assert failure(notebook(raising)) is None
    assert failure(notebook(raising, cell("assert x", error("AssertionError", "")))).cell == 2
    late = error("CellTimeoutError", "it took more than 1 s")
    assert failure(notebook(tagged(cell("a", late), "raises-exception"))) == Failure(1, "a", "CellTimeoutError: it took more than 1 s")
    assert failure(notebook(tagged(cell("a", error("E", "")), "other"))) is not None
    for metadata in (None, [], {"tags": None}, {"tags": "raises-exception"}):
        assert failure(notebook(cell("a", error("E", "")) | {"metadata": metadata})) is not None


def test_outputs_of_any_form_do_no_harm():
    found = notebook(
        3, None, {"cell_type": "code"}, cell("a", 3, {"data": 3}, shows([1]), shows({"m": 1})), {"cell_type": "code", "outputs": {}}
    )
    assert metrics(found) == {"m": 1.0}
    assert failure(found) is None


def test_the_first_cell_that_failed_is_named_by_its_number_and_its_first_line_of_code():
    found = notebook(
        cell("# Title", kind="markdown"),
        cell("x = 1"),
        cell(
            ["# why\n", "\n", "  images = load(file)\n", "y\n"],
            {"output_type": "stream", "text": "…"},
            error("OSError", "\x1b[1mno\x1b[0m file"),
        ),
        cell("z", error("KeyError", "later")),
    )
    assert failure(found) == Failure(2, "images = load(file)", "OSError: no file")
    assert str(failure(found)) == "cell 2 (images = load(file)): OSError: no file"


def test_the_text_of_an_error_is_escaped_and_bounded():
    found = failure(notebook(cell("x" * 200, error("E", "a\u202eb\n" + "y" * 1000))))
    assert found
    assert len(found.line) == 80
    assert found.error.startswith("E: a\\u202eb\\n")
    assert len(found.error) == LONGEST
