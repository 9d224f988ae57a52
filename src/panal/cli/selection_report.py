"""What `panal explain` and the dashboard say of a run's clusters, from what `reading` has read of the hub. No input or output.

Without the clusters, the sets or the bindings there is nothing to evaluate: then only the decisions of Open Cluster Management are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from panal.api.names import ClusterName
from panal.api.spec import Spec
from panal.api.status import ENDED
from panal.cli.explanation import Report, leaving_out
from panal.cli.reading import Seen
from panal.hub import views
from panal.kube.objects import Object
from panal.lifecycle.placement import rendered
from panal.lifecycle.policies import required
from panal.lifecycle.world import ClusterView
from panal.placement.data import data_claim
from panal.placement.hub import Hub
from panal.placement.selection import Selection, Standing, Verdict, explained
from panal.placement.selectors import MisconfiguredError

Evaluator = Callable[[str, Mapping[str, Any]], bool | None]


def report(run: Object, spec: Spec, seen: Seen, planned: bool, now: datetime, cel: Evaluator) -> Report:
    """`planned`: the run need not exist. `cel` evaluates an expression over a cluster; None if it cannot."""
    metadata, wanted = run["metadata"], spec.client.placement
    view = views.placement(seen.placement, seen.decisions or ()) if seen.placement else None
    decided = view.selected if view and view.settled and seen.decisions is not None else None
    notes = list(seen.unread)
    if seen.whole:
        hub, assumed = _with_bindings(seen.hub, metadata["namespace"], wanted.get("clusterSets") or ()) if planned else (seen.hub, [])
        notes += assumed
        selection = _selection(run, wanted, replace(seen, hub=hub), now, decided, view.misconfigured if view else "", cel)
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
        left_out=leaving_out(
            _clusters(hub),
            seen.sites,
            data_claim(wanted, spec.client.data_claim),
            required(spec.client, metadata["namespace"]),
            seen.compliance,
        ),
        notes=(*notes, *selection.hints),
    )


def _selection(
    run: Object, wanted: dict[str, Any], seen: Seen, now: datetime, decided: Collection[str] | None, misconfigured: str, cel: Evaluator
) -> Selection:
    namespace, name = run["metadata"]["namespace"], run["metadata"]["name"]
    placement = seen.placement or {"metadata": {"name": name, "namespace": namespace}, "spec": _rendered(wanted, seen.hub, namespace)}
    return explained(placement, seen.hub, now, cel, decided, misconfigured)


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
    if (run.get("status") or {}).get("phase") in ENDED:
        return "the run has ended, and its Placement is deleted: this is what it would select now"
    if placement is None:
        return "the run has no Placement that can be read: this is what it would select now"
    return "Open Cluster Management has not scheduled the Placement, or is rewriting its decisions: this is what it would select now"
