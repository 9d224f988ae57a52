"""A run from an app's folder on the local platform: starts it, builds the image if the folder changed, and applies the run.

All managed clusters are selected, or with data those that have a folder there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from panal.cli import flower
from panal.client.access import Access
from panal.client.apply import apply
from panal.client.apps import App
from panal.client.manifest import named
from panal.client.platform import Target
from panal.client.telling import Tell
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


def target(home: Folder, app: App) -> Target:
    clusters = _clusters(home)
    count = len(data.found(app.data, clusters)) if app.data else len(clusters)
    return Target(f"app/{app.name}:latest", count, data.claim_name(app.name, app.data) if app.data else "")


def _clusters(home: Folder) -> list[str]:
    """Those of the platform, or that it will have."""
    with explained():
        before = load(home)
    return [f"cluster{n}" for n in range(1, (len(before.spokes) if before else CLUSTERS) + 1)]


def start(home: Folder, app: App, run: Object, tell: Tell) -> tuple[Access, Object]:
    image_name = target(home, app).image
    began = time.monotonic()
    with explained():
        pins = flower.pins(app.folder, tell.note)
        clusters = _clusters(home)
        claims = data.found(app.data, clusters) if app.data else {}
        silent = is_up(home)
        state = asyncio.run(bring_up(home, len(clusters), {}, (lambda _: None) if silent else tell.note))
        tell.note(f"the platform is up ({time.monotonic() - began:.1f} s)")
        began = time.monotonic()
        with tell.steps(f"image {image_name}: installing the app's dependencies; later runs use them from the image") as step:
            image = build(app.folder, image_name, home.images, pins, tell=tell.note, step=step)
        tell.note(f"image {image.name} {image.digest[:19]} ({time.monotonic() - began:.1f} s)")
        at = access(home)
        return at, asyncio.run(_apply(at, home, app, run, claims, state.spokes))


async def _apply(at: Access, home: Folder, app: App, run: Object, claims: data.Claims, spokes: Sequence[str]) -> Object:
    async with at.open() as client:
        with home.one_at_a_time():
            if app.data:
                await data.announce(at, client, data.claim_name(app.name, app.data), claims, spokes)
            if run["metadata"].get("name"):
                (made,) = await apply(client, [run], None, create_namespace=True)
                return made
            placed = run | {"metadata": {"namespace": NAMESPACE, **run["metadata"]}}
            return await client.create(named(placed, await _names(client, placed["metadata"]["namespace"])))


async def _names(client: Client, namespace: str) -> set[str]:
    return {run["metadata"]["name"] for run in (await client.list(kinds.FEDERATED_LEARNING, Selector(namespace))).items}
