"""A real MLflow server from an environment of its own (PANAL_MLFLOW_VENV), with a database and artifacts in a folder."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processes import free_port
from waiting import eventually


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


@contextmanager
def serving(folder: Path, port: int | None = None) -> Iterator[Server]:
    """Starts the server on that port, or on a free one; its data is in `folder`."""
    program, port = Path(os.environ["PANAL_MLFLOW_VENV"]) / "bin/mlflow", port or free_port()
    where = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts")]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [program, "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1", *where],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        server = Server(f"http://127.0.0.1:{port}", folder)
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
