"""What a run says to MLflow, and what the reporter says of a server that refuses it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiohttp import web

from panal.pod.history import Row, _row
from panal.pod.tracking import mlflow as mlflow_module
from panal.pod.tracking.mlflow import MLflow
from panal.pod.tracking.points import BATCH, artifact_path, batches, diverged, name_of, parameters, points
from panal.pod.tracking.settings import Tracking
from panal.pod.tracking.unsent import mark, unlogged

RUN = {"namespace": "team", "name": "digits", "uid": "u"}


def row(number: int, **more: object) -> Row:
    return _row({"round": number, "time": 1700.25 + number, "seconds": 2.0, "replies": 1, "failures": 0, **more})


def test_points_have_the_round_as_their_step_and_its_end_as_their_time() -> None:
    clusters = {"cluster1": {"seconds": 1.5, "metrics": {"loss": 0.5}, "received": 10, "sent": 20}, "cluster2": {"reason": "NoReply"}}
    found = points(row(3, metrics={"loss": 0.25}, clusters=clusters))
    assert {(each["step"], each["timestamp"]) for each in found} == {(3, 1_703_250)}
    assert {each["key"]: each["value"] for each in found} == {
        "loss": 0.25,
        "panal/seconds": 2.0,
        "panal/replies": 1,
        "panal/failures": 0,
        "clusters/cluster1/loss": 0.5,
        "clusters/cluster1/panal/seconds": 1.5,
        "clusters/cluster1/panal/received": 10,
        "clusters/cluster1/panal/sent": 20,
    }


def test_what_is_not_finite_is_sent_as_nan_and_named() -> None:
    found = row(2, metrics={"loss": "Infinity", "accuracy": 0.5})
    assert next(each for each in points(found) if each["key"] == "loss")["value"] == "NaN"
    assert diverged(found) == "round 2: loss Infinity"
    assert diverged(row(1, metrics={"loss": 1.0})) == ""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("val/f1 (macro)", "val/f1 _macro_"),
        ("größe", "gr__e"),
        ("/", "_/_"),
        ("a//b", "a/_/b"),
        ("./a/..", "_/a/_"),
        ("x" * 300, "x" * 250),
    ],
)
def test_names_are_those_that_mlflow_accepts(name: str, expected: str) -> None:
    assert name_of(name) == expected


def test_a_long_parameter_is_cut_and_named() -> None:
    found, cut = parameters({"rounds": "3", "config/text": "x" * 501, "empty": ""})
    assert (found, cut) == ([{"key": "rounds", "value": "3"}, {"key": "config/text", "value": f"{'x' * 499}…"}], ["config/text"])


def test_rows_after_the_last_that_was_sent_are_sent() -> None:
    rows = [row(1), row(2), row(3)]
    assert unlogged(rows, "") == rows
    assert unlogged(rows, mark(rows[1])) == rows[2:]
    assert unlogged(rows, mark(rows[2])) == []
    assert unlogged(rows, "2@another time") == rows
    assert unlogged(rows, "2@1702.9") == rows[2:]  # that round was repeated


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("mlflow-artifacts:/1/abc/artifacts", "1/abc/artifacts"),
        ("mlflow-artifacts://host:5000/1/abc", "1/abc"),
        ("s3://bucket/1/abc", None),
    ],
)
def test_artifacts_go_to_the_server_if_it_takes_them(uri: str, path: str | None) -> None:
    assert artifact_path(uri) == path


def test_a_run_without_the_variable_is_not_tracked() -> None:
    assert Tracking.read({}) is None
    assert Tracking.read({"PANAL_TRACKING": ""}) is None


@pytest.fixture
async def server() -> AsyncIterator[SimpleNamespace]:
    """Answers each request with `status` and `body`, and keeps the credentials that it was sent."""
    found = SimpleNamespace(status=200, body="{}", given="", uri="", type="application/json")

    async def answer(request: web.BaseRequest) -> web.Response:
        found.given = request.headers.get("Authorization", "")
        return web.Response(status=found.status, body=found.body.encode(), headers={"Content-Type": found.type})

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.uri = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


async def said(server: SimpleNamespace, credentials: dict[str, str] | None = None, **tracked: str) -> str:
    """What the run says after one attempt."""
    told: list[str] = []
    uri = tracked.pop("uri", server.uri)
    mlflow = MLflow.of(Tracking(uri, "digits", **tracked), RUN, lambda: [row(1)], told.append, credentials or {})
    await mlflow.end("FINISHED", Path("absent"))
    await mlflow.close()
    return told[-1]


async def test_a_server_that_refuses_is_named_by_its_field(server: SimpleNamespace) -> None:
    server.status, server.body = 401, "You are not authenticated\x1b[2J"
    found = await said(server, {"MLFLOW_TRACKING_TOKEN": "s3cret"}, secret="mlflow")
    assert found == (
        "spec.tracking.mlflow.secretName: the server refuses the credentials (the Secret mlflow): You are not authenticated\\x1b[2J"
    )
    assert server.given == "Bearer s3cret"
    server.status, server.body = 500, json.dumps({"error_code": "INTERNAL_ERROR", "message": "the database is away"})
    assert await said(server) == "spec.tracking.mlflow.uri: the server answers 500: the database is away"
    assert server.given == ""
    server.status, server.body = 200, "<html>a login page</html>"
    assert await said(server) == f"spec.tracking.mlflow.uri: {server.uri} does not answer as MLflow does"
    server.body = '{"experiment_id": ["x"]}'
    assert await said(server) == f"spec.tracking.mlflow.uri: {server.uri} does not answer as MLflow does"
    server.body = "[]"
    assert "does not answer as MLflow does" in await said(server)
    assert "Cannot connect" in await said(server, uri="http://127.0.0.1:1")


async def test_a_user_and_a_password_are_sent(server: SimpleNamespace) -> None:
    await said(server, {"MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": "secret"})
    assert server.given == "Basic bWU6c2VjcmV0"


async def test_authorities_that_are_missing_or_wrong_are_named(server: SimpleNamespace, tmp_path: Path) -> None:
    bundle = "key ca.crt of ConfigMap authorities"
    found = await said(server, authorities=str(tmp_path / "ca.crt"), bundle=bundle)
    assert found == f"spec.tracking.mlflow.caBundle: there is no {bundle}"
    (tmp_path / "ca.crt").write_text("no certificate")
    found = await said(server, authorities=str(tmp_path / "ca.crt"), bundle=bundle)
    assert found == f"spec.tracking.mlflow.caBundle: {bundle} is not a certificate in PEM form"


def test_a_round_of_many_clusters_is_sent_in_several_requests() -> None:
    many = {f"c{number}": {"seconds": 1.0, "metrics": {"a": 1.0}, "received": 1, "sent": 1} for number in range(300)}
    found = points(row(1, clusters=many))
    assert [len(batch) for batch in batches(found, BATCH)] == [1000, 203]


def test_names_that_differ_in_what_mlflow_refuses_stay_apart() -> None:
    found, _ = parameters({"config/a@b": "1", "config/a#b": "2"})
    assert [each["key"] for each in found] == ["config/a_b", "config/a_b_2"]


@pytest.mark.parametrize("body", ["[" * 100_000, "\x00", "{}" * 10, "x" * 5_000_000])
@pytest.mark.parametrize("status", [200, 500])
async def test_no_answer_of_a_server_ends_the_reporter(server: SimpleNamespace, body: str, status: int) -> None:
    server.status, server.body, server.type = status, body, "text/plain; charset=hex"
    found = await said(server)
    assert found.startswith("spec.tracking.mlflow.uri")
    assert len(found) <= 400


async def test_a_server_that_does_not_take_the_model_holds_the_run_up_for_a_limited_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It accepts connections and then is silent."""
    monkeypatch.setattr(mlflow_module, "UPLOADING", 0.5)
    writers: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
    told: list[str] = []
    uri = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
    mlflow = MLflow.of(Tracking(uri, "digits"), RUN, lambda: [row(1)], told.append, {})
    async with asyncio.timeout(10):
        await mlflow.model(tmp_path, ["model.safetensors"], {}, lambda: None)
    assert told[-1] == f"spec.tracking.mlflow.uri: {uri} does not take the model"
    await mlflow.close()
    for writer in writers:
        writer.close()
        await writer.wait_closed()
    silent.close()
    await silent.wait_closed()
