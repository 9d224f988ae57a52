"""A runtime of another distribution, found by its entry point: all members of the interface of a runtime."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from panal.api.progress import Progress
from panal.api.types import Phase
from panal.cli.log_filter import LogFilter
from panal.client import apps
from panal.client.problem import Problem
from panal.lifecycle.decide import decide
from panal.lifecycle.support import ignored_fields, unsupported
from panal.lifecycle.world import ContainerView, Object, World
from panal.pod.fold import fold
from panal.pod.gatekeeper import Gatekeeper
from panal.pod.tools.records import parse
from panal.runtimes import installed, runtime_for
from worlds import NOW, applied, fresh, job, manifests, pod, reason_of, run, running

TINY = Path(__file__).parent / "tiny"


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Installs the runtime as pip does: the module and its metadata in a folder of the path."""
    monkeypatch.syspath_prepend(TINY)
    runtime_for.cache_clear()
    yield
    runtime_for.cache_clear()


def trainer(**changes: Any) -> ContainerView:
    return ContainerView(**{"name": "trainer", "image": "example/app:1", "running": True} | changes)


def of_tiny(**changes: Any) -> World:
    return fresh(run=run(framework="tiny", **changes))


def going(**changes: Any) -> World:
    return running(**{"run": run(framework="tiny"), "job": job(pod(trainer())), "progress": None, "works": {}} | changes)


def aggregator(world: World) -> dict[str, Any]:
    [found] = applied(decide(world, NOW), "Job")
    spec: dict[str, Any] = found["spec"]["template"]["spec"]
    return spec


def named(containers: list[Object], name: str) -> Object:
    return next(each for each in containers if each["name"] == name)


def test_it_is_found_by_its_name_and_listed() -> None:
    assert installed() == ("flare", "flower", "openfl", "other", "tiny")
    assert unsupported("digits", run(framework="tiny").spec) is None
    trouble = unsupported("digits", run(framework="tinny").spec)
    assert trouble
    assert (
        "spec.framework: tinny is not installed on the hub; installed are: flare, flower, openfl, other, tiny. Create the run again"
        in trouble.message
    )


def test_its_aggregator_is_one_container_with_the_users_resources_and_panals_security() -> None:
    resources = {"limits": {"cpu": "2"}}
    spec = aggregator(of_tiny(server={"resources": resources}))
    assert [c["name"] for c in spec["initContainers"]] == ["tools", "reporter", "gateway"]
    [main] = spec["containers"]
    assert (main["name"], main["command"], main["resources"]) == ("trainer", ["tiny", "serve"], resources)
    assert {"name": "TINY_ROUNDS", "value": "3"} in main["env"]
    assert main["securityContext"]["readOnlyRootFilesystem"]


def test_collaborators_start_as_soon_as_the_aggregator_has_an_address() -> None:
    """Its app is in both images, so there is no app hash to wait for."""
    plan = decide(of_tiny(), NOW)
    assert not applied(plan, "ManifestWork")
    plan = decide(going(job=job(pod(trainer(running=False)))), NOW)
    assert [work["metadata"]["namespace"] for work in applied(plan, "ManifestWork")] == ["cluster1", "cluster2", "cluster3"]
    pod_spec = manifests(plan)["StatefulSet"]["spec"]["template"]["spec"]
    [site] = pod_spec["containers"]
    assert (site["name"], site["command"]) == ("site", ["tiny", "join"])
    assert {"name": "TINY_SITE", "value": "cluster1"} in site["env"]
    [work, *_] = applied(plan, "ManifestWork")
    [feedback] = work["spec"]["manifestConfigs"][0]["feedbackRules"]
    assert {"name": "ready", "path": '.status.containerStatuses[?(@.name=="site")].ready'} in feedback["jsonPaths"]


def test_the_gateway_forwards_only_its_requests(tmp_path: Path) -> None:
    containers = aggregator(of_tiny())["initContainers"]
    started = json.loads(named(containers, "gateway")["args"][-1])
    [upstream] = started["static_resources"]["clusters"]
    assert '"port_value": 9000' in json.dumps(upstream)
    assert "http2_protocol_options" in json.dumps(upstream)
    (tmp_path / "secret").write_text("Basic x\n")
    env = {each["name"]: each["value"] for each in named(containers, "reporter")["env"] if "value" in each}
    places = {"PANAL_GATEWAY_DIR": str(tmp_path), "PANAL_POD_DIR": str(tmp_path), "PANAL_RUN_DIR": str(tmp_path), "POD_IP": "10.0.0.9"}
    rules = Gatekeeper.of(env | places).rules
    assert (rules.paths, rules.methods, rules.largest_request) == (("/tiny.Rounds/",), ("GET", "POST"), None)


def test_its_main_container_decides_the_state_of_the_aggregator() -> None:
    working, starting = (decide(going(job=job(pod(trainer(running=each)))), NOW).status for each in (True, False))
    assert working
    assert starting
    ready = [next(c.status for c in each.conditions if c.type == "AggregatorReady") for each in (working, starting)]
    assert ready == ["True", "False"]


@pytest.mark.parametrize(
    ("code", "reason", "remedy"),
    [
        ("TinyTooLarge", "TinyTooLarge", "Train a smaller model."),
        ("ServerAppFailed", "ServerAppFailed", "Read the log of the container trainer."),
        ("QuorumLost", "QuorumLost", "or lower spec.server.minAvailableClients."),
        ("FlowerNotSupported", "AggregatorFailed", "Read the log of the aggregator."),
    ],
)
def test_its_reasons_end_a_run_with_its_remedies(code: str, reason: str, remedy: str) -> None:
    """Reasons of other runtimes are not accepted."""
    ended = trainer(running=False, exit_code=1, terminated="Error", message=json.dumps({"reason": code, "message": "words"}))
    status = decide(going(job=job(pod(ended), failed=True)), NOW).status
    assert status
    assert (status.phase, reason_of(status)) == (Phase.FAILED, reason)
    assert status.message.endswith(remedy)


def test_its_notices_are_conditions_and_events() -> None:
    plan = decide(going(progress=Progress(started=True, notices={"TinySlow": "2 of 3 were late", "TreesLost": "not its own"})), NOW)
    assert plan.status
    found = {c.type: c.message for c in plan.status.conditions}
    assert found["TinySlow"] == "2 of 3 were late. Give the clusters more time."
    assert "TreesLost" not in found
    assert [e.message for e in plan.events if e.reason == "TinySlow"] == [found["TinySlow"]]


def test_its_phases_have_its_own_names() -> None:
    progress = Progress()
    for phase, metrics in (("warm-up", {"loss": 2.0}), ("train", {"loss": 1.0}), ("end", None)):
        record = {"event": "round", "round": 1, "phase": phase, "replies": 3, "failures": 0, "metrics": metrics}
        progress = fold(progress, parse(json.dumps(record).encode()))
    assert (progress.rounds_completed, progress.replies, progress.metrics) == (1, 3, {"loss": 1.0})


def test_it_names_its_ignored_fields() -> None:
    assert ignored_fields(run(framework="tiny", server={"runConfig": {"a": 1}, "superlink": "x"}).spec) == ["spec.server.runConfig"]


def test_its_apps_run_from_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text('[project]\nname = "own"\n[tool.tiny.config]\nepochs = 4\nlr = 0.1\n')
    app = apps.read(tmp_path, values=["lr=0.2"])
    assert (app.framework, app.rounds, app.run_config) == ("tiny", 4, {"lr": 0.2})
    with pytest.raises(Problem) as unknown:
        apps.read(tmp_path, values=["momentum=1"])
    assert unknown.value.remedy == "[tool.tiny.config] in its pyproject.toml declares epochs, lr."
    file.write_text('[project]\nname = "own"\n')
    with pytest.raises(Problem, match=r"not a Flower app; .* not an app of tiny"):
        apps.read(tmp_path)


def test_its_logs_are_filtered_by_its_rules() -> None:
    runtime = runtime_for("tiny")
    assert runtime
    kept = LogFilter(runtime.logs)
    lines = [b"tiny: heartbeat 4", b"epoch 1", b"INFO :      [Fleet.GetRun] words of its own"]
    assert [out for line in lines for out in kept.feed(line)] == lines[1:]
