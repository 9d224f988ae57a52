"""`panal explain`: for each cluster, why it is selected or not, from what `reading` has read of the hub.

Without the clusters, the sets or the bindings there is nothing to evaluate: then only the decisions of Open Cluster Management are shown.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from panal.api.names import KIND, ClusterName
from panal.api.parse import ParseError, parse_spec
from panal.api.spec import Spec
from panal.cli import output, platform
from panal.cli.access import Access
from panal.cli.apply import documents
from panal.cli.explanation import Report, leaving_out
from panal.cli.problem import Code, Problem
from panal.cli.reading import Reading, Seen
from panal.cli.run import done, find
from panal.hub import views
from panal.hub.addon import versions
from panal.kube.objects import Object
from panal.kube.times import now_utc
from panal.lifecycle.placement import rendered
from panal.lifecycle.world import ClusterView
from panal.placement.data import data_claim
from panal.placement.hub import Hub
from panal.placement.selection import Selection, Standing, Verdict, explained
from panal.placement.selectors import MisconfiguredError


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
    report = done(_explain(access, asked, planned), access)
    if asked.cluster:
        report = report.only(asked.cluster)
    if asked.as_json:
        output.as_json(report.as_json())
    else:
        for line in report.lines(detailed=asked.cluster is not None):
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
    return _report(run, spec, seen, planned is not None, now_utc())


# --- the report ------------------------------------------------------------------------------------------------------
def _report(run: Object, spec: Spec, seen: Seen, planned: bool, now: datetime) -> Report:
    metadata, wanted = run["metadata"], spec.client.placement
    view = views.placement(seen.placement, seen.decisions or ()) if seen.placement else None
    decided = view.selected if view and view.settled and seen.decisions is not None else None
    notes = list(seen.unread)
    if seen.whole:
        hub, assumed = _with_bindings(seen.hub, metadata["namespace"], wanted.get("clusterSets") or ()) if planned else (seen.hub, [])
        notes += assumed
        selection = _selection(run, wanted, replace(seen, hub=hub), now, decided, view.misconfigured if view else "")
    else:
        hub, selection = seen.hub, Selection([Standing(c, Verdict.SELECTED, decided=True) for c in sorted(decided or ())])
        if message := (run.get("status") or {}).get("message"):
            notes.append(f"the run's status says: {message}")
    if not planned and decided is None:
        notes.append(_undecided(run, seen.placement))
    return Report(
        run=metadata["name"],
        namespace=metadata["namespace"],
        planned=planned,
        needed=spec.server.min_available_clients,
        number=wanted.get("numberOfClusters"),
        selection=selection,
        left_out=leaving_out(_clusters(hub), seen.sites, data_claim(wanted, spec.client.data_claim)),
        notes=(*notes, *selection.hints),
    )


def _selection(
    run: Object, wanted: dict[str, Any], seen: Seen, now: datetime, decided: Collection[str] | None, misconfigured: str
) -> Selection:
    namespace, name = run["metadata"]["namespace"], run["metadata"]["name"]
    placement = seen.placement or {"metadata": {"name": name, "namespace": namespace}, "spec": _rendered(wanted, seen.hub, namespace)}
    return explained(placement, seen.hub, now, _cel, decided, misconfigured)


def _clusters(hub: Hub) -> dict[ClusterName, ClusterView]:
    return {view.name: view for view in (views.cluster(dict(each)) for each in hub.clusters)}


def _rendered(wanted: dict[str, Any], hub: Hub, namespace: str) -> dict[str, Any]:
    """The spec of the Placement that the controller would create."""
    clusters = _clusters(hub)
    try:
        return rendered(wanted, clusters, views.members(map(dict, hub.sets), clusters), hub.bound_sets(namespace), frozenset())
    except MisconfiguredError:
        return wanted  # the explanation says what is wrong


def _with_bindings(hub: Hub, namespace: str, wanted: Collection[str]) -> tuple[Hub, list[str]]:
    """With the bindings that a run needs: panal creates them for a run whose author may bind the sets."""
    missing = [n for n in wanted if n not in hub.bound_sets(namespace) and hub.set_named(n)]
    bindings = [{"metadata": {"name": n, "namespace": namespace}} for n in missing]
    notes = [f"the cluster set {n} is not bound to namespace {namespace} yet; panal binds it if you may bind it" for n in missing]
    return replace(hub, bindings=[*hub.bindings, *bindings]), notes


def _undecided(run: Object, placement: Object | None) -> str:
    if (run.get("status") or {}).get("phase") in ("Completed", "Failed"):
        return "the run has ended, and its Placement is deleted: this is what it would select now"
    if placement is None:
        return "the run has no Placement that can be read: this is what it would select now"
    return "Open Cluster Management has not scheduled the Placement, or is rewriting its decisions: this is what it would select now"


def _cel(expression: str, cluster: Mapping[str, Any]) -> bool | None:
    local = platform.installed()
    return local.cel(expression, dict(cluster)) if local else None
