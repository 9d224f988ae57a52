"""`panal top`: the hub, its clusters and its runs on one screen, which follows every change."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text
from rich.tree import Tree

from panal.api import figures
from panal.api.names import ADDON
from panal.api.text import shown
from panal.cli import freshness, output
from panal.cli.fitting import Line, line
from panal.cli.run import done
from panal.client import controller_lease, story
from panal.client.access import Access
from panal.client.problem import Code, Problem
from panal.kube.cache import Cache, Watched
from panal.kube.client import Client
from panal.kube.kinds import FEDERATED_LEARNING, MANAGED_CLUSTER, MANAGED_CLUSTER_ADDON
from panal.kube.objects import Object, holds

RUNS, ENDED, SITES, OTHERS = 12, 5, 8, 12  # of each at most so many are shown
EVERY = 0.25  # seconds between two pictures at least
STYLES = {
    "Running": "green",
    "Completed": "blue",
    "Failed": "red",
    "Training": "green",
    "Replied": "green",
    "Ready": "green",
    "Done": "blue",
}
WIDTH = 2000  # characters of a line where there is no terminal: none is that long
SYNCED = 20.0  # seconds until everything must have been read


def top(access: Access, namespace: str | None, once: bool) -> Code:
    return done(_top(access, namespace, once), access)


async def _top(access: Access, namespace: str | None, once: bool) -> Code:
    logging.getLogger("panal.kube").addHandler(logging.NullHandler())
    async with access.open() as client:
        cache = Cache(client, _watched(namespace))
        watching = asyncio.create_task(cache.run())
        try:
            await _read(cache)
            if once or not output.out.is_terminal:
                show(await _picture(client, cache, str(access)))
                return Code.OK
            await _follow(client, cache, str(access))
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    return Code.OK


def _watched(namespace: str | None) -> list[Watched]:
    return [
        Watched(FEDERATED_LEARNING, namespace=namespace or ""),
        Watched(MANAGED_CLUSTER),
        Watched(MANAGED_CLUSTER_ADDON, field_selector=f"metadata.name={ADDON}", optional=True),
    ]


async def _read(cache: Cache) -> None:
    """Waits for what may be read. Raises Problem if nothing can be."""
    with suppress(TimeoutError):
        async with asyncio.timeout(SYNCED):
            while not cache.problems():
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.2):
                        await cache.wait_synced()
                        return
    if why := cache.problems().get(FEDERATED_LEARNING):
        raise Problem(Code.REFUSED, f"the runs cannot be read: {why}", "Give a namespace with -n if you may only read one.")


async def _follow(client: Client, cache: Cache, where: str) -> None:
    changed = asyncio.Event()
    cache.subscribe(lambda *_: changed.set())
    paces: dict[str, Pace] = {}
    with Live(console=output.out, auto_refresh=False, screen=True) as live:
        while True:
            changed.clear()
            live.update(await _picture(client, cache, where, paces), refresh=True)
            await asyncio.sleep(EVERY)
            with suppress(TimeoutError):  # ages change without an event
                async with asyncio.timeout(controller_lease.CHECK_EVERY):
                    await changed.wait()


async def _picture(client: Client, cache: Cache, where: str, paces: dict[str, Pace] | None = None) -> RenderableType:
    """`paces` are kept from picture to picture, because a status has the duration of its last round only."""
    since = await controller_lease.silent_since(client)
    runs, paces = cache.list(FEDERATED_LEARNING), {} if paces is None else paces
    found = {run["metadata"]["uid"]: pace(paces.get(run["metadata"]["uid"]), run.get("status") or {}) for run in runs}
    paces.clear()
    paces.update(found)
    clusters = cache.list(MANAGED_CLUSTER) if MANAGED_CLUSTER not in cache.problems() else None
    addons = {each["metadata"]["namespace"]: each for each in cache.list(MANAGED_CLUSTER_ADDON)}
    return picture(where, runs, clusters, addons, paces, since)


def show(found: RenderableType) -> None:
    """Prints a picture: as wide as the terminal, and without one as wide as its lines."""
    to = output.out if output.out.is_terminal else Console(file=sys.stdout, width=WIDTH, highlight=False)
    to.print(found)


# --- the picture; pure ------------------------------------------------------------------------------------------
class Pace(NamedTuple):
    """The durations of the last rounds of a run, as far as they were seen."""

    completed: int
    seconds: tuple[float, ...]


def pace(before: Pace | None, status: Mapping[str, Any]) -> Pace:
    rounds = status.get("rounds") or {}
    completed, seconds = int(rounds.get("completed") or 0), rounds.get("seconds")
    known = before.seconds if before and before.completed <= completed else ()
    if seconds is None or (before and before.completed == completed):
        return Pace(completed, known)
    return Pace(completed, (*known, float(seconds))[-figures.LAST :])


def picture(
    where: str,
    runs: Iterable[Object],
    clusters: list[Object] | None,
    addons: Mapping[str, Object],
    paces: Mapping[str, Pace],
    silent_since: datetime | None = None,
) -> RenderableType:
    """`clusters` are None if they may not be read. `paces` are by the uid of the run."""
    ordered = sorted(runs, key=lambda run: str(run["metadata"]["creationTimestamp"]), reverse=True)
    going = [run for run in ordered if not story.ended(run)]
    ended = [run for run in ordered if story.ended(run)]
    tree = Tree(line(f"hub ({shown(where, 200)}): {_cluster_count(clusters)}; runs: {len(going)} in progress, {len(ended)} ended", "bold"))
    for run in going[:RUNS]:
        _add_run(tree, run, paces)
    if len(going) > RUNS:
        tree.add(line(f"and {len(going) - RUNS} more in progress; `panal get` lists all", "dim"))
    if ended:
        branch = tree.add(line("ended", "bold"))
        for run in ended[:ENDED]:
            branch.add(_run_line(run, paces))
        if len(ended) > ENDED:
            branch.add(line(f"and {len(ended) - ENDED} more", "dim"))
    _add_others(tree, going, clusters, addons)
    warning = [line(freshness.warning(silent_since), "yellow")] if silent_since else []
    return Group(*warning, tree)


def _cluster_count(clusters: list[Object] | None) -> str:
    if clusters is None:
        return "you may not list clusters"
    available = sum(holds(each, "ManagedClusterConditionAvailable") for each in clusters)
    return f"{available} of {len(clusters)} clusters available"


def _add_run(tree: Tree, run: Object, paces: Mapping[str, Pace]) -> None:
    branch = tree.add(_run_line(run, paces))
    status = run.get("status") or {}
    if message := status.get("message"):
        branch.add(line(shown(message, 300), "dim"))
    sites = status.get("collaborators") or []
    for each in sites[:SITES]:
        branch.add(_site_line(each))
    selected = (status.get("clients") or {}).get("selected", len(sites))
    if selected > min(len(sites), SITES):
        branch.add(line(f"and {selected - min(len(sites), SITES)} more clusters", "dim"))


def _run_line(run: Object, paces: Mapping[str, Pace]) -> Line:
    return Line(lambda bar: _run_text(run, paces, bar))


def _run_text(run: Object, paces: Mapping[str, Pace], bar: int) -> Text:
    metadata, status = run["metadata"], run.get("status") or {}
    rounds, phase = status.get("rounds") or {}, status.get("phase") or "Waiting"
    done_, total = int(rounds.get("completed") or 0), int(rounds.get("total") or 0)
    found = Text(f"{shown(metadata['namespace'], 63)}/{shown(metadata['name'], 63)}  ")
    found.append(phase, STYLES.get(phase, "yellow"))
    if total:
        full = min(bar, bar * done_ // total)
        found.append(f"  {'█' * full}{'░' * (bar - full)}{' ' if bar else ''}{done_}/{total}")
    seconds = paces[metadata["uid"]].seconds if metadata["uid"] in paces else ()
    if phase == "Running" and (left := figures.left(seconds, done_, total)):
        found.append(f"  {figures.about(left)}")
    if metric := status.get("headlineMetric"):
        found.append(f"  {shown(metric, 80)}")
    return found


def _site_line(each: Mapping[str, Any]) -> Line:
    return Line(lambda _: _site_text(each))


def _site_text(each: Mapping[str, Any]) -> Text:
    state = str(each.get("state") or "")
    found = Text(f"{shown(each['cluster'], 63)}  ")
    found.append(state, STYLES.get(state, "red" if state == "Failed" else "yellow"))
    if each.get("round"):
        found.append(f"  round {each['round']}")
    if each.get("seconds") is not None:
        found.append(f"  {each['seconds']:.1f} s")
    if metrics := story.numbers(each):
        found.append(f"  {shown(metrics, 120)}")
    if why := f"{each.get('reason', '')} {each.get('message', '')}".strip():
        found.append(f"  {shown(why, 160)}", "red" if state == "Failed" else "yellow")
    return found


def _add_others(tree: Tree, going: Iterable[Object], clusters: list[Object] | None, addons: Mapping[str, Object]) -> None:
    """The clusters in no run: those with a problem first."""
    busy = {each["cluster"] for run in going for each in (run.get("status") or {}).get("collaborators") or ()}
    others = [(_trouble(each, addons), each["metadata"]["name"]) for each in clusters or () if each["metadata"]["name"] not in busy]
    if not others:
        return
    others.sort(key=lambda found: (not found[0], found[1]))
    branch = tree.add(line("other clusters", "bold"))
    for trouble, name in others[:OTHERS]:
        branch.add(_other_line(name, trouble))
    if len(others) > OTHERS:
        branch.add(line(f"and {len(others) - OTHERS} more", "dim"))


def _other_line(name: str, trouble: str) -> Line:
    return Line(lambda _: Text.assemble(f"{shown(name, 63)}  ", (trouble or "free", "yellow" if trouble else "green")))


def _trouble(cluster: Object, addons: Mapping[str, Object]) -> str:
    if not holds(cluster, "ManagedClusterConditionAvailable"):
        return "not available"
    addon = addons.get(cluster["metadata"]["name"])
    if addon is None:
        return f"no add-on {ADDON}"
    return "" if holds(addon, "Available") else f"the add-on {ADDON} is not available"
