"""The reporter and a real MLflow server: what is there after a run, a crash, and an outage."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mlflow_server import Server, serving
from panal.pod.tracking.points import CUT, DIVERGED
from processes import free_port
from reported import CLUSTERS, Run, eventually


def tracked(folder: Path, uid: str, uri: str, **parameters: str) -> Run:
    """`uid` also names its experiment."""
    content = {"uri": uri, "experiment": uid, "parameters": {"rounds": "3", **parameters}}
    return Run(folder, uid, PANAL_TRACKING=json.dumps(content))


def of(content: list[Mapping[str, str]]) -> dict[str, str]:
    return {each["key"]: each["value"] for each in content}


def the_run(server: Server, run: Run) -> dict[str, Any]:
    (found,) = server.runs(run.uid)
    return found


async def test_a_run_is_tracked_while_it_goes_on(server: Server, tmp_path: Path) -> None:
    run = tracked(tmp_path, "whole", server.uri, **{"server.image": "example/app:1", "config/long": "x" * 9000})
    async with run.reported():
        run.train(1, 2)
        await eventually(lambda: server.runs("whole") and server.points(the_run(server, run), "loss") == [(1, 2.0), (2, 1.0)])
        assert the_run(server, run)["info"]["status"] == "RUNNING"
        run.train(3)
        run.complete(3)
        await eventually(lambda: run.answered)
    found = the_run(server, run)
    assert (found["info"]["status"], found["info"]["run_name"]) == ("FINISHED", "team/digits")
    tags, parameters = of(found["data"]["tags"]), of(found["data"]["params"])
    assert tags["panal.model.digest"] == run.config_map.progress.model.digest  # type: ignore[union-attr]
    assert (parameters["server.image"], len(parameters["config/long"]), tags[CUT]) == ("example/app:1", 500, "config/long")
    assert DIVERGED not in tags
    assert server.points(found, "panal/seconds") == [(1, 1.5), (2, 1.5), (3, 1.5)]
    for cluster in CLUSTERS:
        assert server.points(found, f"clusters/{cluster}/loss") == [(1, 1.0), (2, 0.5), (3, pytest.approx(0.3333333))]
        received = [step for step, _ in server.points(found, f"clusters/{cluster}/panal/received")]  # rounds 1 and 2 may be read together
        assert (received[0], received[-1]) == (1, 3)
    artifacts = server.artifacts(found)
    volume = tmp_path / "volume/team/digits/whole"
    assert artifacts == {name: (volume / name).stat().st_size for name in ("history.jsonl", "metadata.json", "model.safetensors")}
    assert "TrackingFailed" not in run.config_map.progress.notices


async def test_a_reporter_that_was_killed_neither_loses_nor_doubles_a_point(server: Server, tmp_path: Path) -> None:
    run = tracked(tmp_path, "killed", server.uri)
    for first, last in ((1, 2), (3, 5), (6, 9)):
        async with run.killed():
            run.train(*range(first, last + 1))
            await eventually(lambda first=first: server.runs("killed") and len(server.points(the_run(server, run), "loss")) >= first)
    async with run.reported():
        run.train(10)
        run.complete(10)
        await eventually(lambda: run.answered)
    points = server.points(the_run(server, run), "loss")
    assert [step for step, _ in points] == list(range(1, 11))
    assert [step for step, _ in server.points(the_run(server, run), "clusters/cluster2/loss")] == list(range(1, 11))


async def test_an_outage_is_a_condition_as_long_as_it_lasts_and_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    (tmp_path / "run").mkdir()
    port = free_port()
    run = tracked(tmp_path / "run", "outage", f"http://127.0.0.1:{port}")
    async with run.reported():
        run.train(1)
        await eventually(lambda: "spec.tracking.mlflow.uri" in run.config_map.progress.notices.get("TrackingFailed", ""))
        with serving(tmp_path / "server", port):
            run.train(2)
            await eventually(lambda: "TrackingFailed" not in run.config_map.progress.notices)
        run.train(3)
        await eventually(lambda: "TrackingFailed" in run.config_map.progress.notices)
        with serving(tmp_path / "server", port) as server:
            run.complete(3)
            await eventually(lambda: run.answered, 120)
            await eventually(lambda: len(server.points(the_run(server, run), "loss")) == 3)
            assert server.points(the_run(server, run), "loss") == [(1, 2.0), (2, 1.0), (3, pytest.approx(0.6666667))]
    assert run.config_map.progress.model


@pytest.mark.parametrize("value", ["Infinity", "-Infinity", "NaN"])
async def test_a_run_that_diverged_cannot_be_missed(server: Server, tmp_path: Path, value: str) -> None:
    run = tracked(tmp_path, f"diverged{value}", server.uri)
    async with run.reported():
        run.train(1)
        run.train(2, accuracy=value)
        run.train(3)
        run.complete(3)
        await eventually(lambda: run.answered)
    found = the_run(server, run)
    assert of(found["data"]["tags"])[DIVERGED] == f"round 2: accuracy {value}"
    assert server.points(found, "accuracy") == [(2, "NaN")]


async def test_another_aggregator_goes_on_with_the_same_run(server: Server, tmp_path: Path) -> None:
    run = tracked(tmp_path, "another", server.uri)
    async with run.reported():
        run.train(1, 2)
        await eventually(lambda: server.runs("another") and len(server.points(the_run(server, run), "loss")) == 2)
    assert the_run(server, run)["info"]["status"] == "KILLED"
    run.env["PANAL_ATTEMPT"] = "job-2"
    async with run.reported():
        run.train(3)
        await eventually(lambda: len(server.points(the_run(server, run), "loss")) == 3)
        assert the_run(server, run)["info"]["status"] == "RUNNING"
