"""`panal history`: the rounds of a run, or what one cluster did in them."""

from __future__ import annotations

from collections.abc import Mapping

from panal.api import figures
from panal.api.history import ClusterRound, History, Round
from panal.api.progress import Metric
from panal.api.text import shown
from panal.cli import evaluated, output
from panal.cli.run import done
from panal.client.access import Access
from panal.client.finding import find
from panal.client.history import read
from panal.client.problem import Code

TEXT = 60  # characters of a failure's text in the row of a round; `--cluster` has all of it


def show(access: Access, name: str, namespace: str | None, cluster: str | None, as_json: bool) -> Code:
    async def work() -> Code:
        async with access.open() as client:
            run = await find(client, name, namespace)
            found = await read(client, run)
        if as_json:
            output.as_json(found.model_dump(mode="json", by_alias=True, exclude_none=True))
        elif cluster:
            _print_cluster(found, cluster)
        else:
            output.columns(("ROUND", "SECONDS", "CLUSTERS", "FAILED", "METRICS"), [_row(each) for each in found.rounds])
            evaluated.show(run.get("status") or {})
        if found.unreadable:
            output.warn(f"{found.unreadable} rows of the history cannot be read")
        return Code.OK

    return done(work(), access)


def _row(each: Round) -> tuple[str, ...]:
    failed = ", ".join(_failure(each, cluster, reason) for cluster, reason in each.failed.items())
    more = each.failures - len(each.failed)
    failed += f" and {more} more" if more > 0 else ""
    return _number(each), _seconds(each.seconds), str(each.replies), failed or "-", numbers(each.metrics)


def _failure(each: Round, cluster: str, reason: str) -> str:
    """With the beginning of the text, if the site shares it."""
    own = (each.clusters or {}).get(cluster)
    return f"{cluster} {reason}: {shown(own.message, TEXT)}" if own and own.message else f"{cluster} {reason}"


def _number(each: Round) -> str:
    return f"{each.round}{'' if each.complete else ' (not complete)'}{', resumed' if each.resumed else ''}"


def _print_cluster(found: History, cluster: str) -> None:
    rows = [_row_of(each, each.clusters[cluster]) for each in found.rounds if each.clusters and cluster in each.clusters]
    if not rows:
        output.note(f"{cluster} has taken part in no round that the history names")
        return
    output.columns(("ROUND", "SECONDS", "RECEIVED", "SENT", "REPORTED", "REASON"), rows)
    if left := sum(each.clusters is None for each in found.rounds):
        output.note(f"{left} of {len(found.rounds)} rounds are left out here; history.jsonl beside the model has all of them")


def _row_of(each: Round, own: ClusterRound) -> tuple[str, ...]:
    traffic = (figures.amount(count) if count is not None else "-" for count in (own.received, own.sent))
    return _number(each), _seconds(own.seconds), *traffic, numbers(own.metrics), f"{own.reason} {own.message}".strip()


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def numbers(metrics: Mapping[str, Metric]) -> str:
    return ", ".join(f"{name} {figures.number(value)}" for name, value in metrics.items())
