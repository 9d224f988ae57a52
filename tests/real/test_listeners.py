"""Listeners that share an address, at a real API server with the real CRDs, with the permissions of the controller; and through Contour.

What OpenShift's router and an Ingress controller write into a status is written as they do. Contour is a real controller of Gateways, with
its own Envoy, between both real gateways of panal.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from cluster import Cluster
from gateway_api import DEMANDED, crd_files, gateway, has_address
from gateways import Background, Hub, Runtime, Spoke, post, wait_for
from panal.api import names
from panal.api.crd import crd
from panal.api.names import API_VERSION, KIND
from panal.api.parse import parse
from panal.api.types import ListenerStatus
from panal.hub.apply import Applier
from panal.hub.bound_sets import BoundSets
from panal.hub.difference import needs_apply, stamped
from panal.hub.observe import Observer
from panal.hub.records import Records
from panal.hub.settings import Settings
from panal.hub.watched import ENTRANCES, NETWORKS, watched
from panal.kube import cache as caches
from panal.kube import kinds
from panal.kube.cache import Cache
from panal.kube.client import Client
from panal.kube.events import EventRecorder
from panal.kube.objects import Object
from panal.lifecycle import exposure
from panal.lifecycle.plan import Plan, Ref
from panal.lifecycle.world import Images, World
from processes import free_port
from rights import MANIFEST
from routers import SHIFT, Contour, address_of_this_machine

pytestmark = pytest.mark.real

T = TypeVar("T")
NS, GATEWAYS, SYSTEM = "reach", "gateways", "panal-system"
ADDRESS = "198.51.100.77"  # of this machine, for a test
SETTINGS = Settings(Images("tools:1", "gateway:1"), SYSTEM, "me", None, "INFO", timedelta(minutes=5))
GROUPS = ("route.openshift.io", "gateway.networking.k8s.io")


@pytest.fixture(scope="module")
def bare(hub_api: Cluster) -> Iterator[Cluster]:
    """A hub with panal's CRD and permissions, and a namespace for runs."""
    hub_api.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump(crd()))
    hub_api.kubectl("wait", f"crd/{crd()['metadata']['name']}", "--for=condition=Established", "--timeout=30s")
    hub_api.namespaces(NS, GATEWAYS, SYSTEM)
    wanted = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding")
    of_manifest = [d for d in yaml.safe_load_all(MANIFEST.read_text()) if d and d["metadata"]["name"] == "panal-controller"]
    documents = [d for d in of_manifest if d["kind"] in wanted]
    assert len(documents) == len(wanted)
    permissions = json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})
    hub_api.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=permissions)
    yield hub_api
    hub_api.kubectl("delete", "namespace", NS, GATEWAYS, "--timeout=60s")
    hub_api.kubectl("delete", "-f", "-", stdin=permissions)


@pytest.fixture(scope="module")
def controller(bare: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Controller:
    """The controller's reads and writes, with its account."""
    config = yaml.safe_load(bare.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": bare.kubectl("create", "token", "panal-controller", "-n", SYSTEM).strip()}
    path = tmp_path_factory.mktemp("controller") / "kubeconfig"
    path.write_text(json.dumps(config))
    return Controller(path)


def applier(client: Client, cache: Cache) -> Applier:
    return Applier(client, cache, EventRecorder(client), Records(client, SYSTEM))


class Controller:
    """One pass at a time, each with a new cache."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig

    def look(self, name: str) -> World:
        async def read(client: Client, cache: Cache) -> World:
            return self._world(client, cache, name)

        return self._with_cache(read)

    def expose(self, name: str) -> World:
        """Applies what leads to the run."""

        async def write(client: Client, cache: Cache) -> World:
            world = self._world(client, cache, name)
            resource = cache.get(kinds.FEDERATED_LEARNING, NS, name)
            assert resource
            applied = await applier(client, cache).apply(Plan(apply=tuple(exposure.objects(world))), resource)
            assert applied.refused == ()
            return world

        self._with_cache(write)
        return self.look(name)

    def clean(self, name: str) -> list[str]:
        """Deletes what an ended run does not need; returns the kinds."""

        async def delete(client: Client, cache: Cache) -> list[str]:
            left = self._world(client, cache, name).leftovers
            await applier(client, cache).delete([Ref(api, kind, NS, name) for api, kind, name in left])
            return sorted(kind for _, kind, _ in left)

        return self._with_cache(delete)

    def _world(self, client: Client, cache: Cache, name: str) -> World:
        resource = cache.get(kinds.FEDERATED_LEARNING, NS, name)
        assert resource
        return Observer(cache, SETTINGS, False, BoundSets(client, cache, SYSTEM), Records(client, SYSTEM)).world(parse(resource))

    def _with_cache(self, use: Callable[[Client, Cache], Awaitable[T]]) -> T:
        async def used() -> T:
            async with Client.from_kubeconfig(self.kubeconfig) as client:
                cache = Cache(client, watched())
                running = asyncio.create_task(cache.run())
                try:
                    async with asyncio.timeout(30):
                        await cache.wait_synced()
                    return await use(client, cache)
                finally:
                    running.cancel()
                    await asyncio.gather(running, return_exceptions=True)

        return asyncio.run(used())


@contextmanager
def networks(api: Cluster) -> Iterator[None]:
    """The hub has Routes and the Gateway API meanwhile."""
    files = [word for path in crd_files() for word in ("-f", str(path))]
    more = json.dumps({"apiVersion": "v1", "kind": "List", "items": DEMANDED})
    api.kubectl("apply", "--server-side", *files)
    api.kubectl("apply", "--server-side", "-f", "-", stdin=more)
    api.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    try:
        yield
    finally:
        api.kubectl("delete", "--wait=true", *files)
        api.kubectl("delete", "-f", "-", stdin=more)


@pytest.fixture(scope="module")
def api(bare: Cluster) -> Iterator[Cluster]:
    with networks(bare):
        yield bare


def start(api: Cluster, name: str, *listeners: Object) -> None:
    server = {"image": "a:1", "listeners": list(listeners)}
    spec = {"framework": "flower", "server": server, "client": {"image": "a:1", "placement": {}, "dataClaim": "None"}}
    run = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name, "namespace": NS}, "spec": spec}
    api.kubectl("create", "--validate=strict", "-f", "-", stdin=json.dumps(run))


def up_to_date(world: World) -> bool:
    """Whether another pass would write nothing."""
    live = {(o["kind"], o["metadata"]["name"]): o for o in world.exposed}
    wanted = [stamped(obj) for obj in exposure.objects(world)]
    assert wanted
    return not any(needs_apply(obj, live.get((obj["kind"], obj["metadata"]["name"]))) for obj in wanted)


def told(world: World) -> ListenerStatus:
    return exposure.status(world)[0]


# --- a hub without these kinds ------------------------------------------------------------------------------------
def test_kinds_that_the_hub_lacks_are_no_problem_and_are_noticed_when_they_come(
    bare: Cluster, controller: Controller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(caches, "ABSENT", 0.5)
    of_these = [kind for kind in (*ENTRANCES, *NETWORKS) if kind.group in GROUPS]

    async def served(cache: Cache, expected: set[str]) -> None:
        async with asyncio.timeout(60):
            while {f"{k.version} {k.kind}" for k in of_these if cache.served(k)} != expected:
                await asyncio.sleep(0.1)

    async def watch(client: Client, cache: Cache) -> None:
        await served(cache, set())
        assert cache.served(kinds.INGRESS)
        assert not any(group in caplog.text for group in GROUPS)
        found = {"v1 Route", "v1alpha3 TLSRoute", "v1alpha2 TLSRoute", "v1 Gateway", "v1 GatewayClass"}
        installed = networks(bare)
        await asyncio.to_thread(installed.__enter__)
        try:
            await served(cache, found)
        finally:
            await asyncio.to_thread(installed.__exit__, None, None, None)
        await served(cache, set())

    controller._with_cache(watch)


def test_a_run_waits_for_them_with_the_remedy(bare: Cluster, controller: Controller) -> None:
    start(bare, "early", {"type": "Route"}, {"type": "Gateway", "gateway": {"name": "fl"}})
    why = exposure.problem(controller.look("early"))
    assert why.startswith("spec.server.listeners[0].type: the hub does not serve Routes")
    assert "spec.server.listeners[1].type: the hub does not serve TLSRoutes" in why


PAGE = Path(__file__).parents[2] / "docs/how-to/reach-the-aggregator.md"


def test_the_examples_of_the_guide_are_accepted(api: Cluster) -> None:
    """Those of listeners as the listeners of a run."""
    blocks = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)]
    listeners = [block["listeners"] for block in blocks if "listeners" in block]
    assert {one["type"] for some in listeners for one in some} == {"NodePort", "LoadBalancer", "ClusterIP", "Route", "Gateway", "Ingress"}
    for number, some in enumerate(listeners):
        start(api, f"guide-{number}", *some)
    others = [block for block in blocks if "kind" in block]
    api.namespaces(*{block["metadata"]["namespace"] for block in others})
    for block in others:
        api.kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=json.dumps(block))
    assert [block["kind"] for block in others] == ["Gateway", "AddOnDeploymentConfig"]


# --- Route and Ingress --------------------------------------------------------------------------------------------
def test_a_route_is_accepted_and_its_admission_is_read(api: Cluster, controller: Controller) -> None:
    start(api, "routed", {"name": "main", "type": "Route"}, {"name": "named", "type": "Route", "host": "routed.hub.example"})
    world = controller.expose("routed")
    assert up_to_date(world)
    assert "no router has admitted the Route routed-aggregator yet" in told(world).message
    by_router = {
        "host": "routed-aggregator-reach.apps.hub.example",
        "routerName": "default",
        "routerCanonicalHostname": "router-default.apps.hub.example",
        "wildcardPolicy": "None",
        "conditions": [{"type": "Admitted", "status": "True", "lastTransitionTime": "2026-03-01T12:00:00Z"}],
    }
    patch = json.dumps({"status": {"ingress": [by_router]}})
    api.kubectl("patch", "route.route.openshift.io", "routed-aggregator", "-n", NS, "--type=merge", "--subresource=status", "-p", patch)
    world = controller.look("routed")
    assert up_to_date(world)
    status = told(world)
    assert (status.address, status.port, status.host) == (by_router["routerCanonicalHostname"], 443, by_router["host"])
    spec = json.loads(api.kubectl("get", "route.route.openshift.io", "routed-aggregator-2", "-n", NS, "-o", "json"))["spec"]
    assert (spec["host"], spec["tls"]["termination"], spec["to"]["name"]) == ("routed.hub.example", "passthrough", "routed-aggregator-2")
    assert controller.clean("routed") == ["Route", "Route", "Service", "Service"]
    assert controller.look("routed").exposed == ()


def test_an_ingress_is_accepted_and_its_address_is_read(api: Cluster, controller: Controller) -> None:
    for name, of in (("nginx", "k8s.io/ingress-nginx"), ("contour", "projectcontour.io/contour")):
        api.apply({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": name}, "spec": {"controller": of}})
    start(api, "classless", {"type": "Ingress", "ingressClassName": "contour"})
    assert "the controller of the IngressClass contour (projectcontour.io/contour) is not" in exposure.problem(controller.look("classless"))
    start(api, "web", {"name": "main", "type": "Ingress", "ingressClassName": "nginx"})
    world = controller.expose("web")
    assert up_to_date(world)
    assert not told(world).ready
    patch = json.dumps({"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}]}}})
    api.kubectl("patch", "ingress", "web-aggregator", "-n", NS, "--type=merge", "--subresource=status", "-p", patch)
    world = controller.look("web")
    assert up_to_date(world)
    status = told(world)
    assert (status.address, status.port, status.host, status.ready) == ("203.0.113.9", 443, f"web.{NS}.fl.panal", True)
    assert controller.clean("web") == ["Ingress", "Service"]


# --- Gateway, by Contour ------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def contour(api: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Contour with a Gateway on this machine; the port on which its Envoy listens."""
    if os.geteuid():
        pytest.skip("a further address of this machine needs root: run the tests as root")
    port = free_port()
    api.apply(*gateway(GATEWAYS, port - SHIFT))
    found = Contour(tmp_path_factory.mktemp("contour"), api.kubeconfig, (GATEWAYS, "fl"))
    with address_of_this_machine(ADDRESS):
        try:
            has_address(api, GATEWAYS, ADDRESS)
            found.start()
            yield port
        finally:
            found.stop()
            print((found.folder / "contour.log").read_text()[-5000:])


def with_pod(api: Cluster, run: str, hub: Hub) -> None:
    """The aggregator's gateway as an endpoint of the run's Service, in place of a Pod's."""
    labels = {"kubernetes.io/service-name": names.aggregator(run)}
    api.apply(
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": f"{run}-by-hand", "namespace": NS, "labels": labels},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [ADDRESS], "conditions": {"ready": True}}],
            "ports": [{"name": "fleet", "port": hub.port, "protocol": "TCP"}],
        }
    )


def through(*gateways: str, **more: Any) -> Object:
    return {"name": "main", "type": "Gateway", "gateway": {"name": "fl", "namespace": GATEWAYS}} | more


def test_two_runs_share_the_gateway_until_it_is_gone(api: Cluster, controller: Controller, contour: int, tmp_path: Path) -> None:
    background = Background()
    runtimes, hubs, spokes = [], {}, {}
    try:
        for run in ("one", "two"):
            start(api, run, through())
            world = controller.expose(run)
            runtime = Runtime(background)
            runtime.start()
            runtimes.append(runtime)
            identity = names.run_id(NS, run, world.run.uid)
            hubs[run] = Hub(tmp_path / run, runtime.port, run_id=identity, server_name=names.server_name(run, NS), listen="0.0.0.0")
            hubs[run].start(f"cluster-of-{run}")
            with_pod(api, run, hubs[run])

            def ready(run: str = run) -> World | None:
                world = controller.look(run)
                return world if told(world).ready else None

            world = wait_for("the Gateway's controller", ready, 60)
            assert up_to_date(world)
            status = told(world)
            assert (status.address, status.port, status.host) == (ADDRESS, contour - SHIFT, f"{run}.{NS}.fl.example")
            (route,) = [o for o in world.exposed if o["kind"] == "TLSRoute"]
            assert route["apiVersion"] == "gateway.networking.k8s.io/v1alpha3"
            spokes[run] = Spoke(
                tmp_path / f"site-of-{run}",
                (status.address, status.port + SHIFT),  # the hub's load balancer would lead from one port to the other
                hubs[run].collaborators.collaborator(f"cluster-of-{run}"),
                (hubs[run].servers,),
                protocol=names.protocol(identity, f"cluster-of-{run}"),
                server_name=names.server_name(run, NS),
                sni=status.host,
            )
            spokes[run].start()
        for run in ("one", "two", "one"):
            wait_for("Contour's Envoy", lambda run=run: post(spokes[run].port).status == 200, 30)
            answer = post(spokes[run].port, body=bytes(3_000_000))
            assert (answer.status, answer.body.decode()) == (200, f"cluster-of-{run}")
        start(api, "three", through(host="three.elsewhere.example"))
        controller.expose("three")
        words = "Accepted is False: NoMatchingListenerHostname"
        wait_for("the Gateway's controller", lambda: words in told(controller.look("three")).message, 60)
        assert "The name three.elsewhere.example is not below" in told(controller.look("three")).message
        api.kubectl("delete", "gateway", "fl", "-n", GATEWAYS)
        world = controller.look("one")
        (route,) = [o for o in world.exposed if o["kind"] == "TLSRoute"]
        conditions = {c["type"]: c["status"] for c in route["status"]["parents"][0]["conditions"]}
        assert conditions["Accepted"] == "True"  # it outlives the Gateway
        assert not told(world).ready
        assert f"the Gateway {GATEWAYS}/fl does not exist" in told(world).message
        assert controller.clean("one") == ["Service", "TLSRoute"]
    finally:
        for envoy in (*(h.envoy for h in hubs.values()), *(s.envoy for s in spokes.values())):
            envoy.stop()
        for runtime in runtimes:
            runtime.stop()
        background.stop()
