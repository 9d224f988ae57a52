"""What a process logs: one line for each message, whatever stands in it."""

from __future__ import annotations

import logging

from panal.kube.logs import FORMAT, Plain


def logged(message: str, error: Exception | None = None) -> str:
    raised = (type(error), error, error.__traceback__) if error else None
    return Plain(FORMAT).format(logging.LogRecord("panal", logging.WARNING, "", 0, "run %s", (message,), raised))  # type: ignore[arg-type]


def test_a_message_is_one_line() -> None:
    line = logged("a: refused\n2026-01-01 00:00:00 INFO panal: all is well\x1b[2A")
    assert line.endswith(r"WARNING panal: run a: refused\n2026-01-01 00:00:00 INFO panal: all is well\x1b[2A")
    assert line.isprintable()


def test_a_traceback_is_set_in() -> None:
    first, *rest = logged("a", ValueError("no number\n2026-01-01 00:00:00 INFO panal: all is well\x1b[2A")).split("\n")
    assert first.endswith("run a")
    assert rest == ["  ValueError: no number", r"  2026-01-01 00:00:00 INFO panal: all is well\x1b[2A"]
