"""`panal doctor --cluster` on real nodes: what is broken at a site is named from the hub.

It runs before the how-to, which removes panal in its last step.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from command_line import *  # noqa: F403
from containers import Containers
from panal.cli import probe
from panal.client.problem import Code
from panal.kube import kinds
from panal.pod.probe import HOPS
from runs import APP_IMAGE, Run, apply
from waiting import eventually

pytestmark = [pytest.mark.real, pytest.mark.nodes]

SITE = "cluster1"
AT_THE_SITE = ["work", "scheduling", "image", "volumes"]
Doctor = Callable[[], tuple[int, dict[str, object]]]


@pytest.fixture(scope="module")
def run(engine: Containers) -> Iterator[Run]:
    found = apply(
        engine, "runs", "examined", clusters=[SITE], server={"rounds": 5}, client={"env": [{"name": "STEPS_SECONDS", "value": "2"}]}
    )
    found.until_running()
    with found.kept_going():
        yield found
    found.delete()


@pytest.fixture
def doctor(engine: Containers, run: Run, panal: Callable[..., tuple[int, str, str]]) -> Doctor:
    def ask() -> tuple[int, dict[str, object]]:
        code, out, err = panal("doctor", "--cluster", SITE, "--kubeconfig", str(engine.fleet.hub.kubeconfig), "-o", "json")
        assert out, err
        return code, json.loads(out)

    return ask


def test_all_is_well_and_nothing_is_left(doctor: Doctor, run: Run, engine: Containers) -> None:
    code, found = doctor()
    assert (code, found["failed"]) == (Code.OK, None), found
    assert found["passed"] == [*AT_THE_SITE, *HOPS]
    left = lambda: [w for w in engine.hub.list(kinds.MANIFEST_WORK, SITE) if w["metadata"]["name"].endswith("-probe")]  # noqa: E731
    eventually(lambda: not left(), "the work is gone", 30)
    assert not [pod for pod in run.collaborators(SITE) if pod.endswith("-probe")]
    assert run.status()["phase"] == "Running"


def test_the_hub_is_well_and_the_listener_answers(panal: Callable[..., tuple[int, str, str]], run: Run, engine: Containers) -> None:
    code, out, _ = panal("doctor", "--kubeconfig", str(engine.fleet.hub.kubeconfig), "-o", "json")
    found = json.loads(out)
    assert (code, [each for each in found if each["state"] != "ok"]) == (Code.OK, [])
    (listener,) = (each for each in found if each["check"] == "listeners")
    assert (listener["about"], "answers with its own certificate" in listener["message"]) == ("runs/examined", True)


def test_a_firewall_is_named(doctor: Doctor, run: Run, engine: Containers) -> None:
    (listener,) = run.status()["listeners"]
    rule = ("FORWARD", "-p", "tcp", "-d", listener["address"], "--dport", str(listener["port"]), "-j", "DROP")
    engine.fleet.enter(SITE, "iptables", "-I", *rule)
    try:
        code, found = doctor()
    finally:
        engine.fleet.enter(SITE, "iptables", "-D", *rule)
    assert (code, found["failed"]) == (Code.UNHEALTHY, "TCP"), found
    where = f"{listener['address']}:{listener['port']}"
    assert found["message"] == f"the aggregator at {where} does not accept connections: no answer. Check firewalls and NetworkPolicies."


def test_an_image_that_is_not_there_is_named(doctor: Doctor, engine: Containers) -> None:
    engine.tag(APP_IMAGE, "panal/kept:1", [SITE])
    engine.fleet.enter(SITE, "ctr", "-n", "k8s.io", "images", "rm", f"docker.io/{APP_IMAGE}")
    try:
        code, found = doctor()
    finally:
        engine.tag("panal/kept:1", APP_IMAGE, [SITE])
    assert (code, found["failed"]) == (Code.UNHEALTHY, "image"), found
    assert "the image of the app is not pulled: " in str(found["message"])


def test_a_site_without_a_free_node_is_named(doctor: Doctor, engine: Containers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "PATIENCE", 15.0)
    (node,) = engine.spoke(SITE).list(kinds.NODE)
    name = node["metadata"]["name"]
    engine.spoke(SITE).patch(kinds.NODE, "", name, spec={"unschedulable": True})
    try:
        code, found = doctor()
    finally:
        engine.spoke(SITE).patch(kinds.NODE, "", name, spec={"unschedulable": None})
    assert (code, found["failed"]) == (Code.UNHEALTHY, "scheduling"), found
    assert "unschedulable" in str(found["message"])
