"""`panal run ./myapp`: runs an app's folder on the local platform. Builds the image if the folder changed, creates a run, follows it.

The name and the rounds of the run come from the app's pyproject.toml. All managed clusters are selected, or with data those that have a
folder there.
"""

from __future__ import annotations

import asyncio
import re
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from panal.api import names
from panal.api.names import MAX_RUN_NAME
from panal.cli import data, flower, output, run_config
from panal.cli.access import Access, is_up
from panal.cli.platform import CLUSTERS, bring_up
from panal.cli.problem import Code, Problem, explained
from panal.cli.run import Following, done, until_end
from panal.kube import kinds
from panal.kube.client import Client, Selector
from panal.kube.objects import Object
from panal_local.node.recipes import build
from panal_local.supervisor.folder import Folder
from panal_local.supervisor.state import load

ROUNDS = 3
ROUND_KEYS = ("num-server-rounds", "num-rounds", "server-rounds", "rounds")
NAMESPACE = "default"


@dataclass(frozen=True, slots=True)
class App:
    """`name` is valid in names of runs and images."""

    folder: Path
    name: str
    rounds: int
    data: Path | None
    run_config: Mapping[str, Any] = field(default_factory=dict)


def read(folder: Path, rounds: int | None = None, data: Path | None = None, values: Sequence[str] = ()) -> App:
    """Raises Problem if the folder is not a valid Flower app."""
    file = folder / "pyproject.toml"
    try:
        content = tomllib.loads(file.read_text())
    except OSError as error:
        raise Problem(Code.USAGE, f"{file} cannot be read: {error.strerror}", "`panal new myapp` creates an app.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Problem(Code.USAGE, f"{file}: {error}", "Correct the file.") from error
    components, config = (_table(file, content, "tool", "flwr", "app", name) for name in ("components", "config"))
    if not {"serverapp", "clientapp"} <= components.keys():
        message = f"{file}: [tool.flwr.app.components] has no serverapp and clientapp, so it is not a Flower app"
        raise Problem(Code.USAGE, message, "`panal new myapp` creates an app.")
    own = _table(file, content, "tool", "panal", "run")
    if unknown := sorted(own.keys() - {"data"}):
        raise Problem(Code.USAGE, f"{file}: [tool.panal.run] has the unknown key {', '.join(unknown)}; the only key is data", "Remove it.")
    if not isinstance(own.get("data", ""), str):
        raise Problem(Code.USAGE, f"{file}: [tool.panal.run] data is not a string", "Give the path of a folder, in quotes.")
    place = data or (folder / own["data"] if "data" in own else None)
    name = fit(str(_table(file, content, "project").get("name") or folder.resolve().name))
    chosen = run_config.read(values, config)
    if rounds and _rounds(chosen, rounds) != rounds:
        raise Problem(Code.USAGE, f"--rounds is {rounds}, but --run-config has {_rounds(chosen)} rounds", "Omit one of them.")
    return App(folder, name, rounds or _rounds({**config, **chosen}), place, chosen)


def _table(file: Path, content: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """The table at `path`; empty if it does not exist."""
    found: Any = content
    for number, key in enumerate(path, 1):
        found = found.get(key, {})
        if not isinstance(found, dict):
            raise Problem(Code.USAGE, f"{file}: {'.'.join(path[:number])} is not a table", f"Write it as [{'.'.join(path[:number])}].")
    return dict(found)


def fit(name: str) -> str:
    """`name` with only lowercase letters, digits and single dashes, starting with a letter, and short enough to append a number."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return (plain if plain[:1].isalpha() else f"app-{plain}")[: MAX_RUN_NAME - 6].strip("-")


def _rounds(config: Mapping[str, Any], default: int = ROUNDS) -> int:
    found = (config.get(key, config.get(key.replace("-", "_"))) for key in ROUND_KEYS)
    return next((value for value in found if isinstance(value, int) and not isinstance(value, bool) and value > 0), default)


def manifest(app: App, name: str, image: str, clusters: int) -> Object:
    placement: dict[str, Any] = {"clusterSets": ["default"]}
    if app.data is not None:
        selector = {"matchExpressions": [{"key": data.claim_name(app.name, app.data), "operator": "Exists"}]}
        placement["predicates"] = [{"requiredClusterSelector": {"claimSelector": selector}}]
    server: dict[str, Any] = {"image": image, "rounds": app.rounds, "minAvailableClients": clusters, "storage": {"name": "models"}}
    if app.run_config:
        server["runConfig"] = dict(app.run_config)
    client = {"image": image, "placement": placement} | ({"dataClaim": names.NO_DATA} if app.data is None else {})
    spec = {"framework": "flower", "server": server, "client": client}
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
    access = Access(home.kubeconfig, None, f"the local platform in {home.root}", local=True)
    return done(_run(access, home, app, image.name, claims, state.spokes, following), access)


async def _run(
    access: Access, home: Folder, app: App, image: str, claims: data.Claims, spokes: Sequence[str], following: Following
) -> Code:
    clusters = len(claims) or len(spokes)
    async with access.open() as client:
        with home.one_at_a_time():
            if app.data:
                await data.announce(access, client, data.claim_name(app.name, app.data), claims, spokes)
            name = next_name(app, await _names(client))
            run = await client.create(manifest(app, name, image, clusters))
        output.note(f"run {name}: {app.rounds} rounds on {clusters} clusters")
        return await until_end(client, [run], following)


async def _names(client: Client) -> set[str]:
    return {run["metadata"]["name"] for run in (await client.list(kinds.FEDERATED_LEARNING, Selector(NAMESPACE))).items}
