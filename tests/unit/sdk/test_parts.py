"""The parts of the Python API that need no API server: what is shown, what is read from a file, and how calls wait."""

from __future__ import annotations

import asyncio
import json
import math
import re
import struct
import subprocess
import sys
import threading
from datetime import UTC, datetime
from xml.etree import ElementTree

import numpy as np
import pytest
from safetensors.numpy import save_file

import panal
from dashboards import HOSTILE, row, run
from panal.api.history import Round
from panal.client.problem import Code, Problem
from panal.sdk import display, loop, tensors
from panal.sdk.picture import page
from panal.sdk.progress import RunFailed, progress_of


# --- the package -------------------------------------------------------------------------------------------------
def test_importing_panal_is_light() -> None:
    code = "import sys, panal; print(sorted(m for m in sys.modules if m.startswith(('panal.', 'pydantic', 'aiohttp', 'numpy', 'typer'))))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_the_api_needs_neither_numpy_nor_the_libraries_of_the_command_line() -> None:
    code = "import sys, panal; panal.run, panal.FederatedLearning; print([m for m in ('numpy', 'rich', 'typer') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_the_names_are_those_that_are_promised() -> None:
    assert panal.__all__ == ["FederatedLearning", "Model", "Problem", "Progress", "RunFailed", "run"]
    assert set(panal.__all__) <= set(dir(panal))
    with pytest.raises(AttributeError, match="no attribute 'runn'"):
        _ = panal.runn  # type: ignore[attr-defined]


# --- what is shown -----------------------------------------------------------------------------------------------
def rounds(*found: dict[str, object]) -> list[Round]:
    return [Round.model_validate(each) for each in found]


def test_the_picture_is_well_formed_and_has_the_numbers() -> None:
    html = page(progress_of(run()), rounds(row(1, 0.8), row(2, "NaN"), row(3, 0.91)))
    tree = ElementTree.fromstring(html)
    cells = [[cell.text for cell in line] for line in tree.iter("tr")]
    assert cells[0] == ["round", "seconds", "clusters", "failed", "accuracy"]
    assert cells[2:4] == [["2", "12.0", "2", "0", "NaN"], ["3", "12.0", "2", "0", "0.91"]]
    assert [title.text for title in tree.iter("title")] == ["accuracy"]
    assert len(list(tree.iter("polyline"))) == 2, "a round without a number is a gap"
    assert "round 2/5, 2/2 clusters" in "".join(tree.itertext())


TAGS = {"div", "b", "table", "tr", "th", "td", "svg", "title", "text", "line", "polyline", "circle"}


@pytest.mark.parametrize("text", HOSTILE)
def test_what_apps_and_sites_write_is_text(text: str) -> None:
    failed = {"cluster": "site-a", "state": "Failed", "reason": text, "message": text}
    found = run(name=text, message=text, collaborators=[failed], metrics={text: 1.0})
    html = page(progress_of(found, unavailable=text), rounds(row(1, 0.5) | {"metrics": {text: 0.5}}))
    tree = ElementTree.fromstring(html)
    assert {element.tag for element in tree.iter()} <= {
        "div",
        "b",
        "table",
        "tr",
        "th",
        "td",
        "svg",
        "title",
        "text",
        "line",
        "polyline",
        "circle",
    }
    assert not any(name.startswith("on") or name in ("href", "src") for element in tree.iter() for name in element.attrib)
    assert "\u202e" not in html


def test_lines_are_changes_and_say_when_they_may_be_old() -> None:
    said: list[str] = []
    lines = display.Lines(said.append)
    since = datetime(2026, 3, 1, 12, tzinfo=UTC)
    first = run(metrics={"accuracy": 0.9})
    lines.change(progress_of(first), ())
    lines.change(progress_of(first), ())
    lines.change(progress_of(first, unavailable="refused"), ())
    lines.change(progress_of(first, silent_since=since), ())
    lines.change(progress_of(first), ())
    lines.change(progress_of(run(phase="Completed", message="model after 5 rounds", metrics={"accuracy": 0.9}), silent_since=since), ())
    assert said == [
        "site-a takes part",
        "round 2/5: accuracy 0.9 (2 clusters, 12.0 s)",
        "Running: round 3 of 5",
        "may be out of date: the API server does not answer (refused)",
        "may be out of date: the controller has not been running since 2026-03-01 12:00:00Z",
        "up to date again",
        "Completed: model after 5 rounds",
    ]


def test_the_history_is_read_once_for_each_round_and_at_the_end() -> None:
    asked: list[int] = []
    shown: list[tuple[int, int]] = []

    class Shown:
        def say(self, text: str) -> None:
            raise AssertionError(text)

        def change(self, progress: panal.Progress, known: object) -> None:
            shown.append((progress.round, len(known)))  # type: ignore[arg-type]

    def history() -> list[Round]:
        asked.append(1)
        return rounds(*(row(1 + n, 0.5) for n in range(len(asked))))

    states = [run(completed=0), run(completed=1), run(completed=1), run(completed=2), run(completed=2, phase="Completed")]
    last = display.follow(Shown(), map(progress_of, states), history)
    assert last.phase == "Completed"
    assert (len(asked), shown) == (4, [(0, 1), (1, 2), (1, 2), (2, 3), (2, 4)])


def test_progress_has_every_metric_as_a_number() -> None:
    found = progress_of(run(metrics={"a": 1.0}, nonFiniteMetrics={"b": "NaN", "c": "-Infinity"}))
    assert found.metrics["a"] == 1.0
    assert math.isnan(found.metrics["b"])
    assert found.metrics["c"] == -math.inf
    assert str(found) == "digits: Running, round 2/5, a 1, b nan, c -inf"


def test_a_failed_run_says_why_and_what_to_do() -> None:
    condition = {"type": "Failed", "status": "True", "reason": "AppFailed", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    model = {"uri": "pvc://m/x", "digest": "sha256:0", "size": 1, "round": 3}
    failed = run(phase="Failed", message="the server app failed: KeyError", conditions=[condition], model=model)
    error = RunFailed(progress_of(failed))
    assert (error.reason, error.code) == ("AppFailed", Code.FAILED_WITH_MODEL)
    assert str(error) == "digits failed with the reason AppFailed: the server app failed: KeyError"
    assert error.__notes__ == ["`panal logs digits` shows the app's output. Its model of round 3 is stored: model() downloads it."]


# --- the model's file ----------------------------------------------------------------------------------------------
def test_arrays_are_read_as_they_were_written(tmp_path) -> None:
    arrays = {
        "half": np.arange(6, dtype=np.float16).reshape(2, 3), "whole": np.array(7), "none": np.zeros((0, 4), np.float32),
        "flags": np.array([True, False]), "bytes": np.arange(5, dtype=np.uint8), "big": np.array([[2**40]], np.int64),
    }  # fmt: skip
    save_file(arrays, tmp_path / "m.safetensors", {"about": "x"})
    found = tensors.read(tmp_path / "m.safetensors")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype, name
        np.testing.assert_array_equal(found[name], array, name)
        assert found[name].flags.writeable
        assert found[name].flags.c_contiguous


def packed(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype: object = "F32", shape: object = (1,), offsets: object = (0, 4)) -> dict[str, object]:
    return {"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no valid length"),
        (b"\xff" * 8, "no valid length"),
        (packed(b"{"), "not JSON"),
        (packed(b"[" * 100_000), "not JSON"),
        (packed([]), "not an object"),
        (packed({"a": 1}), "is not described"),
        (packed(entry(dtype="BF16"), b"1234"), "of type 'BF16', which numpy does not have"),
        (packed(entry(dtype=["F32"]), b"1234"), "of type ['F32']"),
        (packed(entry(), b"123"), "are not those of its type and shape"),
        (packed(entry(shape=[-1], offsets=[0, -4]), b"1234"), "are not those of its type and shape"),
        (packed(entry(shape=[2**62, 4], offsets=[0, 4]), b"1234"), "are not those of its type and shape"),
        (packed(entry(offsets=[-4, 0]), b"1234"), "are not those of its type and shape"),
        (packed(entry(shape=["1"]), b"1234"), "are not those of its type and shape"),
    ],
)
def test_a_file_that_is_none_is_refused(content: bytes, why: str, tmp_path) -> None:
    (tmp_path / "m.safetensors").write_bytes(content)
    with pytest.raises(Problem, match=re.escape(why)):
        tensors.read(tmp_path / "m.safetensors")


def test_another_format_is_the_frameworks(tmp_path) -> None:
    model = panal.Model(tmp_path / "model.ubj", "sha256:0", 1, "pvc://m/model.ubj")
    with pytest.raises(Problem, match="is not a safetensors file"):
        _ = model.arrays


# --- how calls wait ------------------------------------------------------------------------------------------------
async def test_a_call_works_where_a_loop_runs() -> None:
    async def work() -> str:
        await asyncio.sleep(0)
        return threading.current_thread().name

    assert loop.call(work()) == "panal"


def test_an_error_is_escaped_and_has_its_remedy() -> None:
    async def work() -> None:
        raise Problem(Code.REFUSED, "no\x1b[2J", "Do\x1b[2J this.")

    with pytest.raises(Problem) as found:
        loop.call(work())
    assert str(found.value) == r"no\x1b[2J"
    assert found.value.__notes__ == [r"Do\x1b[2J this."]


def test_a_deadline_ends_the_iteration_and_what_it_opened() -> None:
    closed = threading.Event()

    async def items():
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            closed.set()

    found = loop.iterate(items(), timeout=0.05, overdue="not within 0.05 s")
    assert next(found) == 1
    with pytest.raises(Problem, match="not within") as error:
        next(found)
    assert error.value.code == Code.TIMEOUT
    assert closed.wait(5)


def test_who_stops_iterating_closes_what_was_opened() -> None:
    closed = threading.Event()

    async def items():
        try:
            while True:
                yield 1
        finally:
            closed.set()

    for _ in loop.iterate(items()):
        break
    assert closed.wait(5)
