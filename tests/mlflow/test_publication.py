"""A model in a real MLflow server: the version, its files, what loads it, and that there is one after a crash at any moment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import publications
from mlflow_server import Server, serving
from panal.api.status import PublishedMLflow
from panal.pod import registering
from panal.pod.registries import mlflow
from panal.pod.tracking.mlflow_api import MLflowApi
from panal.pod.tracking.server import ServerError
from processes import free_port
from publications import exported, variables


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return exported(tmp_path / "model")


def content(uri: str, name: str, uid: str = "", seconds: int = 200) -> dict[str, Any]:
    said = publications.content(uid or f"uid-{name}", mlflow=publications.server(uri, name, experiment=name))
    return said | {"seconds": seconds}


async def published(model: Path, said: dict[str, Any], scratch: Path) -> PublishedMLflow:
    found = (await registering.publish(variables(model, said), scratch)).mlflow
    assert found
    return found


async def test_a_version_is_registered_and_mlflow_loads_it(server: Server, model: Path, tmp_path: Path) -> None:
    found = await published(model, content(server.uri, "digits"), tmp_path)
    assert (found.name, found.version, found.uri) == ("digits", "1", "models:/digits/1")
    (version,) = server.versions("digits")
    tags = {each["key"]: each["value"] for each in version["tags"]}
    assert tags["panal.uid"] == "uid-digits"
    assert tags["panal.model.digest"] == f"sha256:{'a' * 64}"
    assert (tags["panal.validated"], tags["panal.app.hash"], tags["panal.image.server"]) == ("True", "abc", "example/app:1")
    assert json.loads(tags["panal.clusters"]) == {"hospital-a": 3, "hospital-b": 1}
    assert json.loads(tags["panal.metrics"])["accuracy"] == 0.9
    (run,) = server.runs("digits")
    assert (run["info"]["status"], run["info"]["run_id"]) == ("FINISHED", version["run_id"])
    assert server.points(run, "accuracy") == [(3, 0.9)]
    assert server.points(run, "top_5") == [(3, 0.99)]
    listed = server.ask(f"artifacts/list?run_id={run['info']['run_id']}&path=panal-model")["files"]
    assert "panal-model/python_env.yaml" not in {each["path"] for each in listed}, "MLflow would read it as the model's environment"
    answer = server.load(
        found.uri,
        """
signature = model.metadata.signature
y = model.predict({"x": numpy.array([[1.0], [2.0]], dtype=numpy.float32)})
print(json.dumps([y["y"].tolist(), str(signature.inputs), str(signature.outputs)]))
""",
    )
    assert answer[0] == [[3.0], [5.0]]
    assert "'x': Tensor('float32', (-1, 1))" in answer[1].replace("x: Tensor", "'x': Tensor")
    assert "float32" in answer[2]


async def test_a_job_that_was_killed_at_any_request_makes_one_version(
    server: Server, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, killed = MLflowApi.ask, 0
    for last in range(1, 20):
        count = 0

        async def dying(self: MLflowApi, *words: Any, last: int = last, **what: Any) -> dict[str, Any]:
            """The request arrives, and the process ends before the answer."""
            nonlocal count
            count += 1
            answer = await ask(self, *words, **what)
            if count == last:
                raise Killed
            return answer

        monkeypatch.setattr(MLflowApi, "ask", dying)
        try:
            await published(model, content(server.uri, "killed-job"), tmp_path)
        except Killed:
            killed += 1
            continue
        break
    assert killed > 3
    monkeypatch.setattr(MLflowApi, "ask", ask)
    again = await published(model, content(server.uri, "killed-job"), tmp_path)
    assert again.version == "1"
    assert len(server.versions("killed-job")) == 1
    (run,) = server.runs("killed-job")
    assert run["info"]["status"] == "FINISHED"
    assert server.points(run, "accuracy") == [(3, 0.9)]


async def test_metrics_that_mlflow_refuses_do_not_hold_up_the_model(
    server: Server, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow, "name_of", str)
    found = await published(model, content(server.uri, "refused"), tmp_path)
    assert found.version == "1"
    (run,) = server.runs("refused")
    assert run["info"]["status"] == "FINISHED"


async def test_an_attempt_continues_the_run_that_the_last_one_could_not_end(
    server: Server, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = MLflowApi.ask
    failed: list[str] = []

    async def away(self: MLflowApi, method: str, path: str, *words: Any, **what: Any) -> dict[str, Any]:
        if path.endswith(("runs/log-batch", "runs/update")) and path not in failed:
            failed.append(path)
            raise ServerError("503", "")
        return await ask(self, method, path, *words, **what)

    monkeypatch.setattr(MLflowApi, "ask", away)
    monkeypatch.setattr(registering, "FIRST", 0.0)
    await published(model, content(server.uri, "away"), tmp_path)
    assert len(failed) == 2
    (run,) = server.runs("away")
    assert run["info"]["status"] == "FINISHED"
    assert server.points(run, "accuracy") == [(3, 0.9)]


async def test_another_run_is_another_version(server: Server, model: Path, tmp_path: Path) -> None:
    for uid, version in (("one", "1"), ("two", "2"), ("one", "1")):
        found = await published(model, content(server.uri, "several", uid), tmp_path)
        assert found.version == version


async def test_a_model_without_an_export_is_registered_and_not_loaded(server: Server, model: Path, tmp_path: Path) -> None:
    (model.parent / "export/export.json").unlink()
    found = await published(model, content(server.uri, "plain"), tmp_path)
    assert found.version == "1"
    (run,) = server.runs("plain")
    listed = server.ask(f"artifacts/list?run_id={run['info']['run_id']}&path=panal-model")["files"]
    assert sorted(each["path"] for each in listed) == [
        f"panal-model/{name}" for name in ("MLmodel", "metadata.json", "model.safetensors", "requirements.txt")
    ]


async def test_a_server_that_is_away_is_asked_again(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    started: list[Server] = []

    async def starting(_: float) -> None:
        if not started:
            started.append(stack.__enter__())

    stack = serving(tmp_path / "later", port)
    (tmp_path / "later").mkdir()
    monkeypatch.setattr(registering.asyncio, "sleep", starting)
    try:
        found = await published(model, content(f"http://127.0.0.1:{port}", "late"), tmp_path)
        assert found.version == "1"
    finally:
        stack.__exit__(None, None, None)


def test_the_program_says_what_is_wrong(server: Server, model: Path, tmp_path: Path) -> None:
    def ended(said: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        env = os.environ | variables(model, said) | {"PANAL_TERMINATION_LOG": str(tmp_path / "message")}
        command = [sys.executable, "-m", "panal.pod.registering"]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)

    assert ended(content(server.uri, "program")).returncode == 0
    message = json.loads((tmp_path / "message").read_text())
    assert message == {"mlflow": {"name": "program", "version": "1", "uri": "models:/program/1"}}
    wrong = ended(content(f"{server.uri}/nowhere", "program"))
    assert wrong.returncode == 1
    assert wrong.stderr.strip().splitlines()[-1].startswith("spec.publish.mlflow.uri: the server answers 404")
    away = ended(content(f"http://127.0.0.1:{free_port()}", "program", seconds=0))
    assert "spec.publish.mlflow.uri: http://127.0.0.1" in away.stderr
