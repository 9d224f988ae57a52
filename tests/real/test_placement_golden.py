"""The real placement controller on the fleets of `placement_fleets`: does it still say what was recorded of it?

The recording is what `tests/unit/placement/test_golden.py` checks `panal.placement` against, without any program. To write it anew:
`PANAL_RECORD_PLACEMENTS=1 .venv/bin/pytest -n0 tests/real/test_placement_golden.py`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Awaitable, Iterable, Iterator
from pathlib import Path

import pytest

import placement_fleets
import placement_outcomes
from cluster import Cluster
from panal.kube import kinds
from panal.kube.client import Client
from panal.kube.kinds import Kind
from panal.kube.objects import Object
from placement_fleets import GROUP, PROBE, Fleet

pytestmark = pytest.mark.real
SCORE = Kind(GROUP, "v1alpha1", "AddOnPlacementScore", "addonplacementscores")
CRDS = ("cluster.*_addonplacementscores", "cluster.*_managedcluster*", "cluster.*_placement*")


@pytest.fixture
def hub() -> Iterator[Cluster]:
    """An API server and nothing else: what is created stays as it is."""
    if not (Path(os.environ.get("KUBEBUILDER_ASSETS", "/none")) / "ocm-placement").exists():
        pytest.skip("no ocm-placement: set KUBEBUILDER_ASSETS to the folder of the programs (docs/design/testing.md)")
    root = Path(tempfile.mkdtemp(prefix="panal-placement-"))
    cluster = Cluster(root, "hub")
    try:
        cluster.make_pki()
        cluster.start_etcd()
        cluster.start("kube-apiserver", *cluster.apiserver_flags())
        cluster.wait_for_api()
        cluster.crds(*CRDS)
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(root)


class Driver:
    """Creates and changes objects, a few at a time, and knows when the controller has dealt with them."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._turns = asyncio.Semaphore(8)
        self._probes = 0

    async def all(self, calls: Iterable[Awaitable[object]]) -> None:
        async def one(call: Awaitable[object]) -> None:
            async with self._turns:
                await call

        await asyncio.gather(*(one(call) for call in calls))

    async def create(self, objects: Iterable[Object]) -> None:
        """A status, if there is one, is written as well."""
        await self.all(self._create(obj) for obj in objects)

    async def _create(self, obj: Object) -> None:
        kind = SCORE if obj["kind"] == SCORE.kind else kinds.kind_of(obj)
        metadata = {name: value for name, value in obj["metadata"].items() if name != "deletionTimestamp"}
        namespace, name = metadata.get("namespace", ""), metadata["name"]
        await self._post(kind, namespace, {**obj, "metadata": metadata})
        if "status" in obj:
            await self.client.merge_patch(kind, namespace, name, {"status": obj["status"]}, "status")
        if "deletionTimestamp" in obj["metadata"]:
            await self.client.delete(kind, namespace, name)

    async def _post(self, kind: Kind, namespace: str, obj: Object) -> None:
        await self.client.post(kind, namespace, "", "", obj)

    async def done(self) -> None:
        """All that was in the controller's queue has been dealt with: so has a Placement that came behind it."""
        self._probes += 1
        await self.seen({"metadata": {"name": f"{PROBE}{self._probes}", "namespace": "ballast"}, "spec": {}}, selected=0)

    async def seen(self, placement: Object, selected: int) -> None:
        await self._create({"apiVersion": f"{GROUP}/v1beta1", "kind": "Placement", **placement})
        metadata = placement["metadata"]
        async with asyncio.timeout(600):
            while True:
                status = (await self.client.get(kinds.PLACEMENT, metadata["namespace"], metadata["name"])).get("status") or {}
                if status.get("conditions") and status.get("numberOfSelectedClusters", 0) >= selected:
                    return
                await asyncio.sleep(0.05)

    async def outcomes(self, placements: Iterable[Object]) -> dict[str, placement_outcomes.Outcome]:
        found: dict[str, list[Object]] = {}
        for each in (await self.client.list(kinds.PLACEMENT_DECISION)).items:
            name = (each["metadata"].get("labels") or {}).get(placement_outcomes.PLACEMENT)
            found.setdefault(f"{each['metadata']['namespace']}/{name}", []).append(each)
        statuses = {placement_outcomes.key(p): p.get("status") for p in (await self.client.list(kinds.PLACEMENT)).items}
        names = map(placement_outcomes.key, placements)
        return {name: placement_outcomes.compact(statuses[name], found.get(name, [])) for name in names}


async def test_the_real_controller_says_what_was_recorded_of_it(hub: Cluster) -> None:
    async with Client.from_kubeconfig(hub.kubeconfig) as client:
        real = await run(hub, Driver(client), placement_fleets.fleets())
    if os.environ.get("PANAL_RECORD_PLACEMENTS"):
        placement_outcomes.write(real)
    different = placement_outcomes.differences(placement_outcomes.read(), real)
    assert not different, f'{len(different)} outcomes are not as recorded ("ours"):\n' + "\n".join(different[:5])


async def run(hub: Cluster, driver: Driver, fleets: list[Fleet]) -> placement_outcomes.Outcomes:
    await prepare(driver, fleets)
    flags = (f"--kubeconfig={hub.kubeconfig}", "--namespace=ballast", "--disable-leader-election", f"--listen=127.0.0.1:{hub.port['ocm0']}")
    hub.start("ocm-placement.controller", "controller", *flags, "--kube-api-qps=1000", "--kube-api-burst=1000")
    placements = [placement for fleet in fleets for placement in fleet.placements]
    await driver.create(placement for fleet in fleets for placement in fleet.plain)
    await driver.done()
    for wave in zip(*(fleet.waves for fleet in fleets), strict=True):
        await driver.create(wave)
        await driver.done()
    await driver.create(placement_outcomes.everything())
    await driver.done()
    outcomes = {"1": await driver.outcomes([*placements, *placement_outcomes.everything()])}
    await driver.all(disable(driver.client, placement) for fleet in fleets for placement in fleet.waves)
    for state in placement_outcomes.STATES[1:]:
        await change(driver, fleets, int(state))
        outcomes[state] = await driver.outcomes(placements)
    return outcomes


async def prepare(driver: Driver, fleets: list[Fleet]) -> None:
    """Everything but Placements, before the controller starts."""
    sets, bindings = placement_outcomes.everywhere()
    clusters = [cluster for fleet in fleets for cluster in fleet.clusters]
    namespaces = {"ballast", "everything", *(cluster["metadata"]["name"] for cluster in clusters)}
    namespaces |= {f"{fleet.name}-{name}" for fleet in fleets for name in placement_fleets.NAMESPACES}
    await driver.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in sorted(namespaces))
    await driver.create([placement_fleets.ballast(), *sets, *bindings, *clusters])
    await driver.create(obj for fleet in fleets for obj in (*fleet.sets, *fleet.bindings, *fleet.scores))


async def disable(client: Client, placement: Object) -> None:
    metadata = placement["metadata"]
    annotations = placement_outcomes.disabled(placement)["metadata"]["annotations"]
    await client.merge_patch(kinds.PLACEMENT, metadata["namespace"], metadata["name"], {"metadata": {"annotations": annotations}})


async def change(driver: Driver, fleets: list[Fleet], state: int) -> None:
    """One change in every fleet; a Placement that selects what has changed tells when the controller knows of it."""
    made = {fleet.name: placement_fleets.changes(fleet, state) for fleet in fleets}
    patches = (driver.client.merge_patch(kinds.MANAGED_CLUSTER, "", c.cluster, c.patch, c.subresource) for c in made.values())
    await driver.all(patches)
    await asyncio.gather(*(driver.seen(probe(name, state), selected=1) for name in made))
    await driver.done()


def probe(fleet: str, state: int) -> Object:
    wanted = [{"key": PROBE, "operator": "In", "values": [f"{fleet}-{state}"]}]
    selector = {"labelSelector" if state == 2 else "claimSelector": {"matchExpressions": wanted}}
    spec = {"predicates": [{"requiredClusterSelector": selector}], "tolerations": [{"operator": "Exists"}]}
    return {"metadata": {"name": f"{PROBE}-{state}", "namespace": f"{fleet}-all"}, "spec": spec}
