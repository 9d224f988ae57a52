"""What a process logs: one line for each message, whatever stands in it."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

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


TALK = """
import asyncio, logging, sys
from panal.kube.client import Client
from panal.kube.errors import ApiError
from panal.kube.kinds import POD
from panal.kube.logs import log_to_stdout

async def ask():
    client = Client.from_kubeconfig(sys.argv[2])
    async with client:
        try:
            await client.get(POD, "a", "b")
        except ApiError:
            logging.getLogger("panal.hub").debug("no answer")

log_to_stdout(sys.argv[1])
asyncio.run(ask(), debug=False)
for name in ("httpx2", "httpcore2", "hpack.hpack", "asyncio"):
    logging.getLogger(name).debug("a library's particulars")
logging.getLogger("asyncio").error("a library's trouble")
"""
CONFIG = """
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: u, user: {token: t}}]
"""


@pytest.mark.parametrize(("level", "ours"), [("DEBUG", ["panal.hub: no answer"]), ("INFO", [])])
def test_only_panals_own_messages_are_logged_below_a_warning(tmp_path, level: str, ours: list[str]) -> None:
    (tmp_path / "config").write_text(CONFIG)
    command = [sys.executable, "-c", TALK, level, str(tmp_path / "config")]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.split(" ", 3)[-1] for line in lines if "panal" in line] == ours
    assert [line.split(" ", 3)[-1] for line in lines if "panal" not in line] == ["asyncio: a library's trouble"]
