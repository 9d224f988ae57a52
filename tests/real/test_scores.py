"""The three sites with the most free memory: the scores that the controller publishes, with its own permissions, and the decisions of the
real placement controller by them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from api import Api, api
from cluster import Cluster
from command_line import *  # noqa: F403
from explain_suite import create, place, settled
from panal.hub.addon.scores import Scores
from panal.hub.controller import utc_now
from panal.hub.watched import watched
from panal.kube import kinds
from panal.kube.cache import Cache
from panal.kube.client import Client
from panal.kube.loop import together
from panal.lifecycle.placement import rendered
from random_fleets import GROUP, binding, decisions
from waiting import eventually

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
EXAMPLE = yaml.safe_load((ROOT / "examples/mnist/hub/most-memory.yaml").read_text())
SITES = {f"site{number}": f"{4 * 2**number}Gi" for number in range(6)}  # site5 has the most, and no data


@pytest.fixture(scope="module")
def controller(placement_api: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kubeconfig with the permissions of the controller."""
    wanted = ("Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding")
    manifest = yaml.safe_load_all((ROOT / "deploy/panal.yaml").read_text())
    placement_api.apply(*(each for each in manifest if each and each["kind"] in wanted))
    config = yaml.safe_load(placement_api.kubeconfig.read_text())
    token = placement_api.kubectl("-n", "panal-system", "create", "token", "panal-controller").strip()
    config["users"][0]["user"] = {"token": token}
    path = tmp_path_factory.mktemp("controller") / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(scope="module")
def published(placement_api: Cluster, controller: Path) -> Iterator[Api]:
    """The sites, and the loop that publishes their scores."""
    hub = api(placement_api.kubeconfig)
    prepare(hub)
    stop = threading.Event()
    thread = threading.Thread(target=asyncio.run, args=(until(stop, publish(controller)),))
    thread.start()
    try:
        yield hub
    finally:
        stop.set()
        thread.join(20)


async def until(stop: threading.Event, work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(work)
    await asyncio.to_thread(stop.wait)
    task.cancel()


async def publish(kubeconfig: Path) -> None:
    async with Client.from_kubeconfig(kubeconfig) as client:
        cache = Cache(client, [each for each in watched() if each.kind in (*kinds_read(), kinds.FEDERATED_LEARNING)])
        await together(cache.run(), Scores(client, cache, utc_now).run())


def kinds_read() -> tuple[kinds.Kind, ...]:
    return kinds.MANAGED_CLUSTER, kinds.MANAGED_CLUSTER_ADDON, kinds.MANIFEST_WORK, kinds.ADDON_PLACEMENT_SCORE


def prepare(hub: Api) -> None:
    for name in (*SITES, "mnist"):
        hub.make_namespace(name)
    create(hub, {"apiVersion": f"{GROUP}/v1beta2", "kind": "ManagedClusterSet", "metadata": {"name": "default"}, "spec": {}})
    hub.create(binding("mnist", "default"))
    for number in range(4):  # Balance alone would avoid the sites with much memory
        create(hub, decisions("mnist", number, ["site2", "site3", "site4", "site5"]))
    for name, memory in SITES.items():
        create(hub, site(name, memory))
        metadata = {"name": "fl-collaborator", "namespace": name}
        hub.create({"apiVersion": kinds.MANAGED_CLUSTER_ADDON.api_version, "kind": "ManagedClusterAddOn", "metadata": metadata, "spec": {}})


def site(name: str, memory: str) -> dict[str, Any]:
    now = utc_now().isoformat()
    types = ("HubAcceptedManagedCluster", "ManagedClusterConditionAvailable")
    conditions = [{"type": each, "status": "True", "reason": "x", "message": "", "lastTransitionTime": now} for each in types]
    claims = [] if name == "site5" else [{"name": "digits.example.com", "value": "pvc://digits"}]
    amounts = {"cpu": "16", "memory": memory}
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "ManagedCluster",
        "metadata": {"name": name, "labels": {f"{GROUP}/clusterset": "default"}},
        "spec": {"hubAcceptsClient": True},
        "status": {"conditions": conditions, "clusterClaims": claims, "version": {}, "capacity": amounts, "allocatable": amounts},
    }


def memory(hub: Api, name: str) -> int | None:
    found = hub.get(kinds.ADDON_PLACEMENT_SCORE, name, "fl-collaborator") or {}
    return next((each["value"] for each in (found.get("status") or {}).get("scores") or () if each["name"] == "memory"), None)


def test_the_three_sites_with_the_most_free_memory(published: Api, placement_api: Cluster, panal: Any) -> None:
    hub, wanted = published, EXAMPLE["spec"]["client"]["placement"]
    eventually(lambda: all(memory(hub, name) is not None for name in SITES), "all sites have scores", 60)
    assert [memory(hub, name) for name in SITES] == [16, 25, 33, 41, 50, 58]
    run = hub.create(EXAMPLE)
    spec = rendered(wanted, {}, {}, ["default"], frozenset())
    place(hub, "mnist", "digits", spec, {"fl.panal/run-uid": run["metadata"]["uid"]})
    assert settled(hub, "mnist", "digits") == {"site2", "site3", "site4"}
    code, out, _ = panal("explain", "digits", "-n", "mnist", "--kubeconfig", str(placement_api.kubeconfig))
    assert code == 0
    assert "  site4: score 1050 (Steady 100 x 10, fl-collaborator/memory 50)" in out
    assert "decided otherwise" not in out
    # Memory becomes free elsewhere: a run keeps its sites, another Placement finds the new one.
    hub.patch_status(kinds.MANAGED_CLUSTER, "", "site0", allocatable={"cpu": "16", "memory": "512Gi"}, capacity={"memory": "512Gi"})
    eventually(lambda: memory(hub, "site0") == 75, "the new score is published", 60)
    place(hub, "mnist", "fresh", spec, {})
    assert settled(hub, "mnist", "fresh") == {"site0", "site3", "site4"}
    assert settled(hub, "mnist", "digits") == {"site2", "site3", "site4"}


def test_the_scores_go_when_the_site_is_away_and_with_the_add_on(published: Api) -> None:
    hub = published
    eventually(lambda: memory(hub, "site1") == 25, "the site has a score", 60)
    unknown = {"type": "ManagedClusterConditionAvailable", "status": "Unknown", "reason": "x", "message": ""}
    hub.patch_status(kinds.MANAGED_CLUSTER, "", "site1", conditions=[unknown | {"lastTransitionTime": utc_now().isoformat()}])
    eventually(lambda: memory(hub, "site1") is None, "the scores are empty", 60)
    # CEL does not look at validUntil: scores that are not true any more must be gone, not only expired.
    enough = 'managedCluster.scores("fl-collaborator").exists(s, s.name == "memory" && s.value >= 20)'
    place(hub, "mnist", "cel", {"predicates": [{"requiredClusterSelector": {"celSelector": {"celExpressions": [enough]}}}]}, {})
    assert settled(hub, "mnist", "cel") == {"site0", "site2", "site3", "site4", "site5"}
    hub.delete(kinds.MANAGED_CLUSTER_ADDON, "site1", "fl-collaborator")
    eventually(lambda: hub.get(kinds.ADDON_PLACEMENT_SCORE, "site1", "fl-collaborator") is None, "it is collected", 60)
