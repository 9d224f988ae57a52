"""The engine with real API servers, controllers, scheduler and Open Cluster Management, and panal's own nodes: no root, no containers.

Each cluster has a local node (`panal_local.node`), whose Pods are processes; panal's controller is a process with the rights of its
ServiceAccount, from deploy/panal.yaml without the Deployment. Volumes are a few folders of the hub's node, as a real API server knows no
provisioner. A cluster that is cut off is stopped: its agents, its node and all its Pods.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from threading import Event, Thread
from typing import Any

import yaml

from cluster import Cluster
from fleet import Fleet
from local_pods import ROOT, LocalPods, begin_store, make_app, processes, share_image
from node import local_volumes
from panal_local.commands.images import build_own
from panal_local.node.drain import drain
from panal_local.supervisor import address
from part import command
from processes import free_port, wait
from real_servers import RealServers, is_guarded
from waiting import eventually

NODE, CONTROLLER = "panal.node", "panal-controller"  # the names of their processes
VOLUMES = 12
IMAGES = [f"panal/pod-tools:{version('panal')}", f"panal/gateway:{version('panal')}", "panal/test-app:1"]
READY = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"


@dataclass(frozen=True)
class Kubernetes(RealServers, LocalPods):
    fleet: Fleet
    loopback: int
    at_once: int = 3
    spread: int = 5
    over: Event = field(default_factory=Event)
    port: int = field(default_factory=free_port)  # of the controller's probes
    metrics_port: int = field(default_factory=free_port)

    @classmethod
    @contextmanager
    def on(cls, fleet: Fleet) -> Iterator[Kubernetes]:
        """On clusters that are up already."""
        network, reserved = address.choose()
        engine = cls(fleet, network)
        keeper = Thread(target=engine._keep_controller)
        with reserved:
            try:
                engine.start()
                keeper.start()
                yield engine
            finally:
                engine.over.set()
                if keeper.ident:
                    keeper.join()
                engine.stop()

    def start(self) -> None:
        begin_store(self._images)
        build_own(self._images)
        make_app(self._images, self.fleet.root)
        deployment = self._install()
        for number, cluster in enumerate((self.fleet.hub, *self.fleet.spokes)):
            self._start_node(cluster, number)
        self._start_controller(deployment)
        eventually(lambda: is_guarded(self.hub), "the admission policy is at work", 30)

    def stop(self) -> None:
        """Nodes and Pods; whatever was stopped goes on first."""
        for cluster in (self.fleet.hub, *self.fleet.spokes):
            self.restore(cluster.name)
            cluster.processes.end(NODE)
            assert asyncio.run(drain(self.node(cluster.name), 2)) == []
            assert processes(self.node(cluster.name)) == []

    # --- what it is made of ---------------------------------------------------------------------------------------
    @property
    def _images(self) -> Path:
        return self.fleet.root / "images"

    def _store(self, name: str) -> Path:
        return self.fleet[name].dir / "images"

    def _start_node(self, cluster: Cluster, number: int) -> None:
        for image in IMAGES:
            share_image(self._images, image, self._store(cluster.name), image)
        where = {"address": f"127.{self.loopback}.{number}.1", "pod_range": f"127.{self.loopback}.{100 + number}.0/24"}
        folders = {"folder": self.node(cluster.name), "images": self._store(cluster.name)}
        words = command("node", kubeconfig=cluster.kubeconfig, name=f"{cluster.name}-node", **where, **folders)
        cluster.processes.start(NODE, words, {})
        asked = ("get", "node", f"{cluster.name}-node", "-o", READY)
        wait(f"{cluster.name}: the node is ready", lambda: cluster.kubectl(*asked, check=False) == "True", 60)

    def _install(self) -> dict[str, Any]:
        """Panal, as its manifest says but for the Deployment, which is returned; and volumes."""
        hub = self.fleet.hub
        documents = [d for d in yaml.safe_load_all((ROOT / "deploy/panal.yaml").read_text()) if d]
        (deployment,) = (d for d in documents if d["kind"] == "Deployment")
        documents.remove(deployment)
        hub.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(sorted(documents, key=lambda d: d["kind"] != "Namespace")))
        for number in range(1, VOLUMES + 1):
            (hub.dir / f"disk/volume{number}").mkdir(parents=True)
        hub.apply(*local_volumes("hub-node", str(hub.dir / "disk"), VOLUMES))
        hub.namespaces("runs")
        hub.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        hub.kubectl("apply", "--server-side", "--field-manager=panal-placements", "-f", str(ROOT / "deploy/all-clusters.yaml"))
        return deployment

    def _start_controller(self, deployment: dict[str, Any]) -> None:
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        env = {e["name"]: e["value"].removeprefix("docker.io/") for e in container["env"] if "value" in e}
        env |= {"KUBECONFIG": str(self._kubeconfig()), "POD_NAMESPACE": "panal-system", "POD_NAME": "panal-controller-0"}
        env |= {"PANAL_PORT": str(self.port), "PANAL_METRICS_PORT": str(self.metrics_port)}
        env |= {"PANAL_CLEANUP_LIMIT_SECONDS": "20", "PANAL_AUTHORITY_SPREAD_SECONDS": str(self.spread)}
        program = Path(sys.executable).with_name("panal-controller")
        self.fleet.hub.processes.start(CONTROLLER, [str(program)], env)
        eventually(lambda: self._times_led() == 1, "the controller leads", 60)

    def _kubeconfig(self) -> Path:
        """With the rights of its ServiceAccount."""
        hub = self.fleet.hub
        config = json.loads(hub.kubeconfig.read_text())
        token = hub.kubectl("-n", "panal-system", "create", "token", "panal-controller", "--duration=24h").strip()
        config["users"][0]["user"] = {"token": token}
        path = hub.dir / "panal.kubeconfig"
        path.write_text(json.dumps(config))
        return path

    def _times_led(self) -> int:
        return (self.fleet.hub.processes.logs / f"{CONTROLLER}.log").read_text().count(" is the leader ")

    # --- as tests see it ------------------------------------------------------------------------------------------
    def node(self, cluster: str) -> Path:
        return self.fleet[cluster].dir / "local-node"

    def parts_of(self, cluster: str) -> list[int]:
        own = self.fleet[cluster].processes
        return [int((own.pids / each).read_text()) for each in (NODE, "ocm-registration.agent", "ocm-work.agent") if own.running(each)]

    def tag(self, image: str, name: str, clusters: list[str]) -> None:
        for cluster in clusters:
            share_image(self._images, image, self._store(cluster), name)

    def aggregator_address(self) -> str:
        return f"127.{self.loopback}.0.1"

    def _keep_controller(self) -> None:
        """As its Deployment would: a controller that has ended is started again."""
        while not self.over.wait(0.5):
            self.fleet.start("hub", CONTROLLER)

    def kill_controller(self) -> None:
        self.fleet.kill("hub", CONTROLLER)

    def restart_controller(self) -> None:
        before = self._times_led()
        self.fleet.hub.processes.end(CONTROLLER)
        eventually(lambda: self._times_led() > before, "the new controller leads", 60)
