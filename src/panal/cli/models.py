"""`panal models`: the stored models of runs, listed, shown, downloaded and compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from panal.api import figures
from panal.api.comparison import compared, differences
from panal.api.history import History
from panal.cli import output
from panal.cli.run import done
from panal.client import history, story
from panal.client.access import Access
from panal.client.download import opened, save
from panal.client.finding import find, split, with_model
from panal.client.problem import Code, Problem
from panal.kube import kinds
from panal.kube.client import Client, Selector
from panal.kube.errors import ApiError
from panal.kube.objects import Object, condition

HEADER = ("NAMESPACE", "RUN", "ROUND", "SIZE", "METRIC", "DIGEST", "AGE")
DIGITS = 19  # characters of a digest in a list, with `sha256:`


def listed(access: Access, namespace: str | None, as_json: bool) -> Code:
    async def work() -> Code:
        async with access.open() as client:
            runs = (await client.list(kinds.FEDERATED_LEARNING, Selector(namespace or ""))).items
        found = [run for run in runs if (run.get("status") or {}).get("model")]
        found.sort(key=lambda run: str(run["status"].get("completionTime") or "~"))
        if as_json:
            output.as_json([_described(run) for run in found])
        elif found:
            output.columns(HEADER, [_row(run) for run in found])
        else:
            output.note("no run has stored a model")
        return Code.OK

    return done(work(), access)


def _row(run: Object) -> tuple[str, ...]:
    metadata, status = run["metadata"], run["status"]
    model, ended = status["model"], status.get("completionTime")
    metric = status.get("headlineMetric", "")
    return (
        metadata["namespace"], metadata["name"], str(model["round"]), figures.amount(model["size"]), metric, model["digest"][:DIGITS],
        output.age(ended) if ended else "in progress",
    )  # fmt: skip


def _described(run: Object) -> dict[str, Any]:
    metadata, status = run["metadata"], run["status"]
    metrics = {**(status.get("metrics") or {}), **(status.get("nonFiniteMetrics") or {})}
    about = {"namespace": metadata["namespace"], "run": metadata["name"], "phase": status.get("phase", "")}
    return (
        about
        | {"completionTime": status.get("completionTime"), "model": status["model"], "metrics": metrics}
        | {key: status[key] for key in ("export", "validation", "publish") if status.get(key)}
    )


def show(access: Access, name: str, namespace: str | None, as_json: bool) -> Code:
    async def work() -> Code:
        async with access.open() as client:
            run = await with_model(client, name, namespace)
            rounds = await _rounds(client, run)
        if as_json:
            output.as_json(_described(run))
            return Code.OK
        model = run["status"]["model"]
        for title, value in _facts(run, model, rounds):
            output.line(f"{title:<10}{value}")
        return Code.OK

    return done(work(), access)


def _facts(run: Object, model: Object, rounds: History | None) -> list[tuple[str, str]]:
    metadata, status = run["metadata"], run["status"]
    clusters = sorted({cluster for each in (rounds.rounds if rounds else ()) for cluster in each.clusters or ()})
    found = [
        ("run", f"{metadata['namespace']}/{metadata['name']}, {status.get('phase', '')}"),
        ("model", model["uri"]),
        ("digest", model["digest"]),
        ("size", f"{model['size']} bytes"),
        ("round", str(model["round"])),
        ("metrics", story.numbers(status) or "none"),
    ]
    found += [("clusters", ", ".join(clusters))] if clusters else []
    for title in ("Exported", "Validated", "Published"):
        if known := condition(run, title):
            found.append((title.lower(), f"{known['status']}, {known.get('message') or known['reason']}"))
            found += [("", text) for text in _details(title, status)]
    return found


def _details(title: str, status: dict[str, Any]) -> list[str]:
    if title == "Exported":
        export = status.get("export") or {}
        files = [f"{each['name']}  {figures.amount(each['size'])}  {each['check']}" for each in export.get("files") or ()]
        more = int(export.get("count") or 0) - len(files)
        return [*files, *([f"and {more} more, in export/export.json"] if more > 0 else [])]
    numbers = story.numbers(status.get("validation") or {}) if title == "Validated" else ""
    return [numbers] if numbers else []


def download(access: Access, name: str, namespace: str | None, file: str | None, target: Path | None) -> Code:
    """Downloads the model, or another file of the run's folder. Raises Problem; then there is no file."""

    async def work() -> Code:
        async with access.open() as client:
            run = await find(client, name, namespace) if file else await with_model(client, name, namespace)
            model = (run.get("status") or {}).get("model") or {}
            wanted = file or str(model["uri"]).rpartition("/")[2]
            to = target or Path(f"{name}{Path(wanted).suffix}" if file is None else Path(wanted).name)
            if to.is_dir():
                to = to / (f"{name}{Path(wanted).suffix}" if file is None else Path(wanted).name)
            expected = str(model["digest"]) if file is None else None
            with output.steps(f"downloading {wanted} of {name}") as say:
                async with opened(access, client, run, say) as read:
                    size, digest = await save(read(wanted), to, expected, lambda done: say(f"{figures.amount(done)} of {wanted}"))
        output.line(f"{to}: {size} bytes, {digest}{', as in status.model' if expected else ''}")
        return Code.OK

    return done(work(), access)


def compare(access: Access, names: tuple[str, str], namespace: str | None, as_json: bool) -> Code:
    """Compares the last metrics of two models. NAME may be NAMESPACE/NAME."""

    async def work() -> Code:
        async with access.open() as client:
            runs = [await with_model(client, *split(name, namespace)) for name in names]
        found = [_described(run) for run in runs]
        if as_json:
            output.as_json({"models": found, "differences": differences(found[0]["metrics"], found[1]["metrics"])})
            return Code.OK
        rows = [("model", *(each["model"]["digest"][:DIGITS] for each in found), "same" if _same(found) else "")]
        rows += [(key, *(str(each["model"][key]) for each in found), "") for key in ("round", "size")]
        for each in compared(found[0]["metrics"], found[1]["metrics"]):
            rows.append(
                (each.metric, figures.number(each.first), figures.number(each.second), figures.signed(each.difference, each.change))
            )
        output.columns(("", *names, "DIFFERENCE"), rows)
        return Code.OK

    return done(work(), access)


def _same(found: list[dict[str, Any]]) -> bool:
    return bool(found[0]["model"]["digest"] == found[1]["model"]["digest"])


async def _rounds(client: Client, run: Object) -> History | None:
    """None if there is no history of the run, or it cannot be read."""
    try:
        return await history.read(client, run)
    except (ApiError, Problem):
        return None
