"""The log format: one line for each message, whatever the message contains."""

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
    line = logged("a: refused\n2026-01-01 00:00:00 INFO panal: ready\x1b[2A")
    assert line.endswith(r"WARNING panal: run a: refused\n2026-01-01 00:00:00 INFO panal: ready\x1b[2A")
    assert line.isprintable()


def test_a_traceback_is_indented() -> None:
    first, *rest = logged("a", ValueError("no number\n2026-01-01 00:00:00 INFO panal: ready\x1b[2A")).split("\n")
    assert first.endswith("run a")
    assert rest == ["  ValueError: no number", r"  2026-01-01 00:00:00 INFO panal: ready\x1b[2A"]


PROGRAM = """
import asyncio, logging, sys
from panal.kube.client import Client
from panal.kube.errors import ApiError
from panal.kube.kinds import POD
from panal.kube.logs import log_to_stdout

async def request():
    client = Client.from_kubeconfig(sys.argv[2])
    async with client:
        try:
            await client.get(POD, "a", "b")
        except ApiError:
            logging.getLogger("panal.hub").debug("no response")

log_to_stdout(sys.argv[1])
asyncio.run(request(), debug=False)
for name in ("httpx2", "httpcore2", "hpack.hpack", "asyncio"):
    logging.getLogger(name).debug("details of a library")
logging.getLogger("asyncio").error("an error in a library")
"""
CONFIG = """
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: u, user: {token: t}}]
"""


@pytest.mark.parametrize(("level", "expected"), [("DEBUG", ["panal.hub: no response"]), ("INFO", [])])
def test_below_warning_only_panal_logs(tmp_path, level: str, expected: list[str]) -> None:
    (tmp_path / "config").write_text(CONFIG)
    command = [sys.executable, "-c", PROGRAM, level, str(tmp_path / "config")]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.split(" ", 3)[-1] for line in lines if "panal" in line] == expected
    assert [line.split(" ", 3)[-1] for line in lines if "panal" not in line] == ["asyncio: an error in a library"]
