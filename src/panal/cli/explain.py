"""`panal explain`: for each cluster, why it is selected or not. `reading` reads the hub, `selection_report` evaluates what it has read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from panal.api.names import KIND
from panal.api.parse import ParseError, parse_spec
from panal.api.spec import Spec
from panal.cli import output
from panal.cli.explanation import Report
from panal.cli.reading import Reading
from panal.cli.run import done
from panal.cli.selection_report import report
from panal.client import platform
from panal.client.access import Access
from panal.client.apply import documents
from panal.client.finding import find
from panal.client.problem import Code, Problem
from panal.hub.addon import versions
from panal.kube.objects import Object
from panal.kube.times import now_utc


@dataclass(frozen=True, slots=True)
class Asked:
    """`name`: the run; or `file`: a run that need not exist. `cluster`: only this one."""

    name: str | None
    file: str | None
    namespace: str | None
    cluster: str | None
    as_json: bool


def explain(access: Access, asked: Asked) -> Code:
    planned = _planned(asked) if asked.file else None
    found = done(_explain(access, asked, planned), access)
    if asked.cluster:
        found = found.only(asked.cluster)
    if asked.as_json:
        output.as_json(found.as_json())
    else:
        for line in found.lines(detailed=asked.cluster is not None):
            output.line(line)
    return Code.OK


def _planned(asked: Asked) -> Object:
    """The run in the file. Raises Problem."""
    assert asked.file
    runs = [document for document in documents(asked.file) if document["kind"] == KIND]
    if len(runs) > 1:
        found = ", ".join(run["metadata"]["name"] for run in runs)
        raise Problem(Code.USAGE, f"{asked.file} contains the runs {found}; only one can be explained", "Give a file with one run.")
    own = runs[0]["metadata"].get("namespace")
    if own and asked.namespace and own != asked.namespace:
        message = f"{KIND} {runs[0]['metadata']['name']} has the namespace {own}, but -n is {asked.namespace}"
        raise Problem(Code.USAGE, message, "Omit one of them.")
    _spec(runs[0], asked.file)
    return runs[0]


def _spec(run: Object, where: str) -> Spec:
    try:
        return parse_spec(run)
    except ParseError as error:
        raise Problem(Code.USAGE, f"{where}: {error}", "Correct the field that the message names.") from error


async def _explain(access: Access, asked: Asked, planned: Object | None) -> Report:
    async with access.open() as client:
        client.speak(await versions.forms(client))
        if planned:
            namespace = planned["metadata"].get("namespace") or asked.namespace or client.namespace
            run = {**planned, "metadata": {**planned["metadata"], "namespace": namespace}}
        else:
            assert asked.name
            run = await find(client, asked.name, asked.namespace)
        spec = _spec(run, run["metadata"]["name"])
        seen = await Reading(client).all(run, spec, planned is not None)
    return report(run, spec, seen, planned is not None, now_utc(), cel)


def cel(expression: str, cluster: Mapping[str, Any]) -> bool | None:
    """Whether a cluster matches a CEL expression; None where the local platform, which can evaluate it, is not installed."""
    local = platform.installed()
    return local.cel(expression, dict(cluster)) if local else None
