"""`panal run ./myapp`: runs an app's folder on the local platform. Builds the image if the folder changed, creates a run, follows it.

The name and the rounds of the run come from the app's pyproject.toml. All managed clusters are selected, or with data those that have a
folder there.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from typing import Any

from panal.api import names
from panal.cli import flower, output
from panal.cli.access import Access
from panal.cli.apps import App
from panal.cli.problem import Code
from panal.cli.run import Following, done, until_end
from panal.kube import kinds
from panal.kube.client import Client, Selector
from panal.kube.objects import Object
from panal_local.commands import data
from panal_local.commands.errors import explained
from panal_local.commands.images import build
from panal_local.commands.install import CLUSTERS, bring_up
from panal_local.commands.platform import access, is_up
from panal_local.supervisor.folder import Folder
from panal_local.supervisor.state import load

NAMESPACE = "default"


def manifest(app: App, name: str, image: str, clusters: int) -> Object:
    placement: dict[str, Any] = {"clusterSets": ["default"]}
    if app.data is not None:
        selector = {"matchExpressions": [{"key": data.claim_name(app.name, app.data), "operator": "Exists"}]}
        placement["predicates"] = [{"requiredClusterSelector": {"claimSelector": selector}}]
    server: dict[str, Any] = {
        "image": image,
        **app.server,
        "rounds": app.rounds,
        "minAvailableClients": clusters,
        "storage": {"name": "models"},
    }
    if app.run_config:
        server["runConfig"] = dict(app.run_config)
    client = {"image": image, **app.client, "placement": placement} | ({"dataClaim": names.NO_DATA} if app.data is None else {})
    spec = {"framework": app.framework, "server": server, "client": client}
    return {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


def next_name(app: App, taken: set[str]) -> str:
    numbers = [int(name.removeprefix(f"{app.name}-")) for name in taken if re.fullmatch(rf"{app.name}-[0-9]+", name)]
    return f"{app.name}-{max(numbers, default=0) + 1}"


def run_folder(home: Folder, app: App, following: Following) -> Code:
    began = time.monotonic()
    with explained():
        pins = flower.pins(app.folder)
        before = load(home)
        count = len(before.spokes) if before else CLUSTERS
        clusters = [f"cluster{n}" for n in range(1, count + 1)]
        claims = data.found(app.data, clusters) if app.data else {}
        tell = (lambda _: None) if is_up(home) else output.note
        state = asyncio.run(bring_up(home, count, {}, tell))
        output.note(f"the platform is up ({time.monotonic() - began:.1f} s)")
        began = time.monotonic()
        with output.steps(f"image app/{app.name}:latest: installing the app's dependencies; later runs use them from the image") as step:
            image = build(app.folder, f"app/{app.name}:latest", home.images, pins, tell=output.note, step=step)
        output.note(f"image {image.name} {image.digest[:19]} ({time.monotonic() - began:.1f} s)")
    at = access(home)
    return done(_run(at, home, app, image.name, claims, state.spokes, following), at)


async def _run(at: Access, home: Folder, app: App, image: str, claims: data.Claims, spokes: Sequence[str], following: Following) -> Code:
    clusters = len(claims) or len(spokes)
    async with at.open() as client:
        with home.one_at_a_time():
            if app.data:
                await data.announce(at, client, data.claim_name(app.name, app.data), claims, spokes)
            name = next_name(app, await _names(client))
            run = await client.create(manifest(app, name, image, clusters))
        output.note(f"run {name}: {app.rounds} rounds on {clusters} clusters")
        return await until_end(client, [run], following)


async def _names(client: Client) -> set[str]:
    return {run["metadata"]["name"] for run in (await client.list(kinds.FEDERATED_LEARNING, Selector(NAMESPACE))).items}
