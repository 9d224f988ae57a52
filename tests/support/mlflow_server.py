"""A real MLflow server from an environment of its own (PANAL_MLFLOW_VENV), with a database and artifacts in a folder."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from processes import free_port
from waiting import eventually

REPOSITORY = Path(__file__).parents[2]


def environment() -> Path:
    venv = Path(os.environ.setdefault("PANAL_MLFLOW_VENV", str(REPOSITORY / ".cache/mlflow-3.17")))
    if not (venv / "bin/mlflow").exists():
        pytest.fail(f"no MLflow in {venv}: run `make test-mlflow`, or set PANAL_MLFLOW_VENV to an environment with mlflow==3.17.*")
    return venv


@dataclass(frozen=True)
class Server:
    uri: str
    folder: Path

    def ask(self, path: str, **body: Any) -> dict[str, Any]:
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(f"{self.uri}/api/2.0/mlflow/{path}", data=data, headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            found: dict[str, Any] = json.loads(answer.read())
        return found

    def runs(self, experiment: str) -> list[dict[str, Any]]:
        """Of the experiment; none if it does not exist."""
        try:
            number = self.ask(f"experiments/get-by-name?experiment_name={experiment}")["experiment"]["experiment_id"]
        except urllib.error.HTTPError:
            return []
        return self.ask("runs/search", experiment_ids=[number]).get("runs") or []

    def points(self, run: dict[str, Any], key: str) -> list[tuple[int, Any]]:
        """Step and value of each."""
        found = self.ask(f"metrics/get-history?run_id={run['info']['run_id']}&metric_key={key}").get("metrics") or []
        return [(each["step"], each["value"]) for each in found]

    def artifacts(self, run: dict[str, Any]) -> dict[str, int]:
        """Sizes by path."""
        found = self.ask(f"artifacts/list?run_id={run['info']['run_id']}").get("files") or []
        return {each["path"]: int(each["file_size"]) for each in found}

    def versions(self, name: str) -> list[dict[str, Any]]:
        """Of the registered model."""
        wanted = quote(f"name='{name}'")
        return self.ask(f"model-versions/search?filter={wanted}").get("model_versions") or []

    def load(self, uri: str, code: str) -> Any:
        """What the code prints about `model`, loaded by MLflow."""
        program = f"import json, mlflow, numpy\nmlflow.set_tracking_uri({self.uri!r})\nmodel = mlflow.pyfunc.load_model({uri!r})\n{code}"
        ended = subprocess.run([environment() / "bin/python", "-c", program], capture_output=True, text=True, check=False, timeout=180)
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout.strip().splitlines()[-1])


@contextmanager
def serving(folder: Path, port: int | None = None, host: str = "127.0.0.1") -> Iterator[Server]:
    """Starts the server on that port, or on a free one; its data is in `folder`."""
    program, port = environment() / "bin/mlflow", port or free_port()
    where = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts")]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [program, "server", "--host", host, "--port", str(port), "--workers", "1", *where],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        server = Server(f"http://{host}:{port}", folder)
        eventually(lambda: _answers(server, process), lambda: (folder / "log").read_text()[-2000:], 120)
        yield server
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def _answers(server: Server, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "the server has ended"
    try:
        with urllib.request.urlopen(f"{server.uri}/health", timeout=5):
            return True
    except OSError:
        return False
