"""The dashboard of a hub on a real API server with RBAC: its account as the chart makes it, viewers with tokens of ServiceAccounts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path

import aiohttp
import pytest
import yaml

from cluster import Cluster
from dashboards import run
from panal.dashboard.main import on_hub
from panal.dashboard.settings import Settings
from panal.kube.client import Client
from waiting import eventually

pytestmark = pytest.mark.real

NAMESPACES = ("dash-ours", "dash-theirs")
CRD, CHART = Path(__file__).parents[2] / "charts/panal/files/crd.yaml", Path(__file__).parents[2] / "charts/panal/templates/dashboard.yaml"
CLUSTER = {"apiVersion": "cluster.open-cluster-management.io/v1", "kind": "ManagedCluster", "metadata": {"name": "dash-site"}}
FL = "federatedlearnings.federation-ai.open-cluster-management.io"


@pytest.fixture(scope="module")
def prepared(hub_api: Cluster) -> Cluster:
    hub_api.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRD))
    hub_api.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    hub_api.namespaces(*NAMESPACES)
    hub_api.apply({**CLUSTER, "spec": {"hubAcceptsClient": True}})
    for namespace in NAMESPACES:
        made = run(f"run-of-{namespace}", namespace)
        del made["status"], made["metadata"]["uid"], made["metadata"]["creationTimestamp"]
        made["spec"]["server"]["storage"] = {"type": "PersistentVolumeClaim", "name": "models", "size": "1Gi"}
        made["spec"]["server"]["minAvailableClients"] = 1
        made["spec"]["server"]["listeners"] = [{"name": "main", "type": "NodePort", "port": 8080}]
        made["spec"]["client"] = {"image": "app:1", "placement": {"clusterSets": ["default"]}}
        eventually(lambda made=made: hub_api.apply(made) is None, "the run is accepted", 30)
    role = next(each for each in CHART.read_text().split("---") if "kind: ClusterRole\n" in each)
    rules = yaml.safe_load("rules:" + role.split("rules:")[1])["rules"]
    kind = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"}
    hub_api.apply({**kind, "metadata": {"name": "dash-account"}, "rules": rules})
    for account, right in (("account", None), ("viewer", "get,list,watch"), ("editor", "get,list,watch,patch"), ("nobody", None)):
        hub_api.kubectl("-n", NAMESPACES[0], "create", "serviceaccount", account)
        if right:
            hub_api.kubectl("-n", NAMESPACES[0], "create", "role", account, f"--verb={right}", f"--resource={FL},configmaps,events,pods")
            hub_api.kubectl(
                "-n", NAMESPACES[0], "create", "rolebinding", account, f"--role={account}", f"--serviceaccount={NAMESPACES[0]}:{account}"
            )
    hub_api.kubectl(
        "create", "clusterrolebinding", "dash-account", "--clusterrole=dash-account", f"--serviceaccount={NAMESPACES[0]}:account"
    )
    hub_api.kubectl(
        "create", "clusterrole", "dash-clusters", "--verb=list", "--resource=managedclusters.cluster.open-cluster-management.io"
    )
    hub_api.kubectl(
        "create", "clusterrolebinding", "dash-clusters", "--clusterrole=dash-clusters", f"--serviceaccount={NAMESPACES[0]}:editor"
    )
    return hub_api


@cache
def token(hub: Cluster, account: str) -> str:
    return hub.kubectl("-n", NAMESPACES[0], "create", "token", account).strip()


@pytest.fixture
async def ask(prepared: Cluster, tmp_path: Path) -> AsyncIterator:
    """Asks a dashboard that runs with its own account, as a viewer."""
    config = yaml.safe_load(prepared.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token(prepared, "account")}
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    client = Client.from_kubeconfig(tmp_path / "config")
    async with client, on_hub(client, Settings("127.0.0.1", 0)) as port, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:

        async def ask(account: str, path: str, form: dict[str, str] | None = None) -> tuple[int, str]:
            headers = {"Authorization": f"Bearer {token(prepared, account)}", "Sec-Fetch-Site": "same-origin"}
            async with http.request("POST" if form else "GET", path, data=form, headers=headers, allow_redirects=False) as answer:
                return answer.status, await answer.text()

        while True:
            async with http.get("/readyz") as ready:
                if ready.status == 200:
                    break
        yield ask


@pytest.mark.parametrize(
    ("account", "ours", "theirs", "clusters"),
    [("viewer", True, False, False), ("editor", True, False, True), ("nobody", False, False, False), ("account", True, True, True)],
)
async def test_lists_have_what_rbac_allows(ask, account: str, ours: bool, theirs: bool, clusters: bool) -> None:
    _, runs = await ask(account, "/runs")
    assert [f"run-of-{each}" in runs for each in NAMESPACES] == [ours, theirs]
    assert ("dash-site" in (await ask(account, "/clusters"))[1]) is clusters
    _, hub = await ask(account, "/")
    assert ("run-of-dash-theirs" in hub) is theirs


async def test_a_run_is_got_with_the_viewers_rights(ask) -> None:
    ours, theirs = (f"/runs/{each}/run-of-{each}" for each in NAMESPACES)
    assert (await ask("viewer", ours))[0] == 200
    assert (await ask("viewer", theirs))[0] == 403
    assert (await ask("nobody", ours))[0] == 403
    assert (await ask("account", ours))[0] == 403  # it may list, and not get: the dashboard lends nobody its rights


async def test_changes_are_the_viewers_own(ask, prepared: Cluster) -> None:
    path = f"/runs/{NAMESPACES[0]}/run-of-{NAMESPACES[0]}"

    async def suspend(account: str) -> tuple[int, str]:
        _, page = await ask(account, path)
        return await ask(account, f"{path}/suspend", {"csrf": page.split('name="csrf" value="')[1].split('"')[0]})

    def suspended() -> str:
        return prepared.kubectl("get", FL, "-n", NAMESPACES[0], f"run-of-{NAMESPACES[0]}", "-o", "jsonpath={.spec.suspend}")

    status, page = await suspend("viewer")
    assert status == 403
    assert "cannot patch resource" in page
    assert suspended() != "true"
    assert (await suspend("editor"))[0] == 303
    assert suspended() == "true"
