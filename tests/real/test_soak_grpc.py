"""A hub that sites reach at two ports: that of OCM's gRPC server, and one for all runs (`make soak`).

The hub and two clusters have real nodes. A firewall on the hub's machine lets nothing else in from the clusters, neither to its API server
nor to node ports. The clusters joined through the gRPC server; the runs are behind one Gateway, that of Contour with its Envoy.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
import yaml

import ocm_grpc
from containers import Containers
from fleet import Fleet
from gateway_api import DEMANDED, NAME, crd_files, gateway, has_address
from on_nodes import Network
from panal.api import names
from panal.kube import kinds
from panal.kube.objects import condition, holds
from processes import free_port
from real_servers import is_guarded
from requests_of_certificates import PREFIX
from rights import MANIFEST, entries
from routers import SHIFT, Contour
from runs import Run, apply, label_clusters
from waiting import eventually

pytestmark = [pytest.mark.real, pytest.mark.nodes, pytest.mark.soak]

NS, GATEWAYS, SITES = "runs", "gateways", ["cluster1", "cluster2"]
PATIENCE = 600
LISTENER = {"name": "main", "type": "Gateway", "gateway": {"name": NAME, "namespace": GATEWAYS}}


@pytest.fixture(scope="module")
def port(grpc_nodes: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port that all runs share."""
    hub, inside = grpc_nodes.hub, free_port()
    shared, network = inside - SHIFT, Network.of_machine(grpc_nodes, "hub")
    hub.kubectl("apply", "--server-side", *(word for path in crd_files() for word in ("-f", str(path))))
    hub.apply(*DEMANDED)
    hub.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    hub.namespaces(NS, GATEWAYS)
    hub.apply(*gateway(GATEWAYS, shared))
    has_address(hub, GATEWAYS, hub.ip)
    found = Contour(tmp_path_factory.mktemp("contour"), hub.kubeconfig, (GATEWAYS, NAME), network)
    try:
        found.start()
        guard(grpc_nodes, shared, inside)
        yield shared
    finally:
        found.stop()
        print((found.folder / "contour.log").read_text()[-3000:])


def guard(fleet: Fleet, shared: int, inside: int) -> None:
    """The firewall; and what a load balancer does: leads from the Gateway's port to Envoy's."""
    machine = fleet.machine("hub")
    machine.shell(f"""set -e
iptables -t nat -I PREROUTING -i eth0 -p tcp --dport {shared} -j REDIRECT --to-ports {inside}
iptables -I FORWARD -i eth0 ! -s {machine.bridge.prefix}.1 -m conntrack --ctstate NEW -j DROP
iptables -I INPUT -i eth0 ! -s {machine.bridge.prefix}.1 -m conntrack --ctstate NEW -j DROP
iptables -I INPUT -i eth0 -p tcp --dport {fleet.hub.port["ocm4"]} -j ACCEPT
iptables -I INPUT -i eth0 -p tcp --dport {inside} -j ACCEPT""")


@pytest.fixture(scope="module")
def engine(grpc_nodes: Fleet, port: int) -> Containers:
    """With panal, and with clusters that can take part."""
    found, hub, controller = Containers(grpc_nodes), grpc_nodes.hub, ("-n", names.SYSTEM_NAMESPACE, "deployment/panal-controller")
    hub.kubectl("apply", "-f", "-", stdin=panal())
    hub.kubectl("rollout", "status", *controller, "--timeout=120s")
    hub.kubectl("apply", "--server-side", "--field-manager=panal-placements", "-f", str(MANIFEST.with_name("all-clusters.yaml")))
    label_clusters(found, clusters=SITES)
    eventually(lambda: is_guarded(found.hub), "the admission policy is at work", PATIENCE)
    for cluster in SITES:
        eventually(lambda c=cluster: available(found, c), lambda c=cluster: f"{c}: {addon(found, c)}", PATIENCE)
    return found


def panal() -> str:
    """The manifest, as the chart renders it with the account of the gRPC server. Without it the first requests would be denied."""
    documents = [d for d in yaml.safe_load_all(MANIFEST.read_text()) if d]
    (deployment,) = (d for d in documents if d["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    container["env"].append({"name": "PANAL_GRPC_SERVER_ACCOUNT", "value": ocm_grpc.USER})
    return yaml.safe_dump_all(documents)


def addon(engine: Containers, cluster: str) -> dict[str, object]:
    return condition(engine.hub.get(kinds.MANAGED_CLUSTER_ADDON, cluster, names.ADDON) or {"metadata": {}}, "Available")


def available(engine: Containers, cluster: str) -> bool:
    return holds(engine.hub.get(kinds.MANAGED_CLUSTER_ADDON, cluster, names.ADDON) or {"metadata": {}}, "Available")


def start(engine: Containers, name: str, rounds: int = 3, seconds: int = 0) -> Run:
    server = {"rounds": rounds, "listeners": [LISTENER]}
    return apply(engine, NS, name, clusters=SITES, server=server, client={"env": [{"name": "STEPS_SECONDS", "value": str(seconds)}]})


def complete(run: Run) -> None:
    run.until_no_round_is_lost(SITES, PATIENCE)
    run.until_cleaned(PATIENCE)  # after the third loss of its connection an agent is away for one to two minutes
    run.delete()


def reachable(engine: Containers, *ports: int) -> list[int]:
    """Those of the hub that every site reaches."""
    hub, sites = engine.fleet.hub, [Network.of_machine(engine.fleet, cluster) for cluster in SITES]
    return [each for each in ports if all(site.connects(hub.ip, each, 2) for site in sites)]


def test_two_runs_at_a_time_are_complete_though_sites_reach_only_two_ports(engine: Containers, port: int) -> None:
    runs = [start(engine, name, seconds=2) for name in ("one", "two")]
    for run in runs:
        status = run.until(lambda s: all(one.get("ready") for one in s.get("listeners") or [{}]), "the listener is ready", PATIENCE)
        (listener,) = status["listeners"]
        assert (listener["type"], listener["address"], listener["port"]) == ("Gateway", engine.fleet.hub.ip, port)
    hub = engine.fleet.hub
    assert reachable(engine, hub.port["ocm4"], port, hub.port["api"], 10250) == [hub.port["ocm4"], port]
    for run in runs:
        complete(run)


def test_no_agent_has_asked_the_hubs_api_server(engine: Containers) -> None:
    users = {entry["user"].get("username", "") for entry in entries(engine.fleet.root / "hub/log/audit.log")}
    assert ocm_grpc.USER in users
    assert not {user for user in users if user.startswith(PREFIX)}


@pytest.mark.parametrize("seconds", [2, 20, 120])
def test_a_run_goes_on_while_the_server_is_away(engine: Containers, seconds: int) -> None:
    fleet, run = engine.fleet, start(engine, f"away-{seconds}", rounds=5, seconds=1)
    with run.kept_going():
        run.until_round(1, PATIENCE)
        fleet.kill("hub", ocm_grpc.PROCESS)
        away, before = time.monotonic(), run.status()["rounds"]["completed"]
        note(fleet, f"away-{seconds}")
        run.until_round(before + max(2, seconds // 4), PATIENCE)
        time.sleep(max(0.0, away + seconds - time.monotonic()))
        told = tell(engine, run)
        assert run.status()["phase"] == "Running"
        ocm_grpc.start_server(fleet.hub)
        back = time.monotonic()
        eventually(lambda: noted(fleet, f"away-{seconds}"), "what was written meanwhile arrives", PATIENCE)
        print(f"away for {back - away:.0f} s, {seconds} wanted: {told}; the next change arrived {time.monotonic() - back:.0f} s later")
    complete(run)


def tell(engine: Containers, run: Run) -> dict[str, object]:
    """What the hub says."""
    status = run.status()
    alive = {c: condition(engine.hub.get(kinds.MANAGED_CLUSTER, "", c) or {}, "ManagedClusterConditionAvailable")["status"] for c in SITES}
    addons = {c: addon(engine, c)["reason"] for c in SITES}
    states = {c["cluster"]: c["state"] for c in status["collaborators"]}
    return {"message": status["message"], "round": status["rounds"]["completed"], "clusters": alive, "addons": addons, "states": states}


def note(fleet: Fleet, name: str) -> None:
    """A change for each cluster, by a ManifestWork with a ConfigMap."""
    content = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}}
    about = {"apiVersion": "work.open-cluster-management.io/v1", "kind": "ManifestWork"}
    spec = {"workload": {"manifests": [content]}}
    fleet.hub.apply(*(about | {"metadata": {"name": name, "namespace": cluster}, "spec": spec} for cluster in SITES))


def noted(fleet: Fleet, name: str) -> bool:
    """On the clusters, and on the hub that it is."""
    there = [fleet[c].kubectl("get", "configmap", name, "-n", "default", "-o", "name", check=False) for c in SITES]
    works = [json.loads(fleet.hub.kubectl("get", "manifestwork", name, "-n", c, "-o", "json")) for c in SITES]
    return all(there) and all(holds(work, "Applied") for work in works)
