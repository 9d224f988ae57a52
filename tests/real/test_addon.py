"""The add-on and its certificates with real API servers and real Open Cluster Management."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from addon_suite import SOON, SYSTEM, AddOnSite, AddOnSuite, on_fleet
from command_line import *  # noqa: F403
from fleet import Fleet
from panal.addon import install
from panal.api import names
from panal.client.problem import Code
from panal.kube import kinds
from panal.kube.objects import condition
from panal.kube.times import now_utc, to_micro_time
from waiting import eventually

pytestmark = pytest.mark.real

Panal = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def site(ocm: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AddOnSite]:
    with on_fleet(AddOnSite, ocm, tmp_path_factory.mktemp("addon")) as found:
        yield found


class TestAddOn(AddOnSuite):
    pass


def quiet(site: AddOnSite, seconds: float) -> bool:
    before = site.addon("cluster2")["metadata"]["resourceVersion"]
    time.sleep(seconds)
    return site.addon("cluster2")["metadata"]["resourceVersion"] == before


def test_hub_and_controller_agree_on_an_unreachable_cluster(site: AddOnSite, ocm: Fleet) -> None:
    """Both write the condition. If they did not agree, they would overwrite each other forever."""
    site.hub.apply(install.addon([install.placed_everywhere(SYSTEM)]))
    site.certified("cluster2")
    site.hub.patch(kinds.MANAGED_CLUSTER, "", "cluster2", spec={"leaseDurationSeconds": 1})
    eventually(lambda: condition(site.addon("cluster2"), "Available").get("status") == "True", "it is available", SOON)
    ocm.kill("cluster2", "ocm-registration.agent")
    try:
        eventually(lambda: condition(site.addon("cluster2"), "Available").get("status") == "Unknown", "it is unknown", SOON)
        eventually(lambda: quiet(site, seconds=4), "the add-on does not change any more", SOON)
    finally:
        ocm.start("cluster2", "ocm-registration.agent")
    eventually(lambda: condition(site.addon("cluster2"), "Available").get("status") == "True", "it is available again", SOON)
    site.hub.patch(kinds.MANAGED_CLUSTER, "", "cluster2", spec={"leaseDurationSeconds": 60})


def examined(site: AddOnSite, panal: Panal) -> tuple[int, list[dict[str, str]]]:
    code, out, err = panal("doctor", "--kubeconfig", str(site.kubeconfigs["hub"]), "-o", "json")
    assert out, err
    return code, [each for each in json.loads(out) if each["state"] != "ok"]


def test_doctor_finds_nothing_wrong_but_what_is_not_there(site: AddOnSite, panal: Panal) -> None:
    code, found = examined(site, panal)
    assert (code, [each["check"] for each in found]) == (0, ["storage"]), found  # no StorageClass


def test_doctor_compares_the_clocks(site: AddOnSite, panal: Panal) -> None:
    wrong = to_micro_time(now_utc() + timedelta(minutes=2))
    site.hub.patch(kinds.LEASE, "cluster1", "managed-cluster-lease", spec={"renewTime": wrong})
    code, found = examined(site, panal)
    (clock,) = (each for each in found if each["check"] == "clocks")
    assert (code, clock["about"]) == (Code.UNHEALTHY, "cluster1")
    assert re.search(r"its clock is 1[12]\d s ahead of the hub's", clock["message"])
    site.hub.patch(kinds.LEASE, "cluster1", "managed-cluster-lease", spec={"renewTime": to_micro_time(now_utc())})


def test_a_second_controller_does_not_start(site: AddOnSite, panal: Panal) -> None:
    second = site.controller("second.log", namespace="elsewhere")
    assert second.wait(SOON) == 1
    last = (site.folder / "second.log").read_text().splitlines()[-1]
    assert last.startswith(
        f"panal-controller: another controller of panal (tests) runs in the namespace {SYSTEM} and handles the same runs"
    )
    assert site.hub.get(kinds.LEASE, "elsewhere", names.CONTROLLER_LEASE) is None


def test_doctor_names_the_former_controller_and_one_that_has_ended(site: AddOnSite, panal: Panal) -> None:
    spec = {"holderIdentity": "controller-manager-1", "leaseDurationSeconds": 15, "renewTime": to_micro_time(now_utc())}
    lease = {"apiVersion": kinds.LEASE.api_version, "kind": "Lease", "metadata": {"name": names.FORMER_LEASE, "namespace": "default"}}
    site.hub.apply({**lease, "spec": spec})
    site.stop()
    code, found = examined(site, panal)
    told = {each["check"]: each["message"] for each in found if each["state"] == "problem"}
    assert code == Code.UNHEALTHY
    assert told["controller"] == "no controller is the leader: the Lease has no holder"
    assert "federated-learning-controller (controller-manager-1) runs in the namespace default" in told["second controller"]
    site.hub.delete(kinds.LEASE, "default", names.FORMER_LEASE)
    site.start()
