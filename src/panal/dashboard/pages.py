"""The views of the hub: an overview, the runs, the clusters, and one cluster."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from aiohttp import web

from panal.addon.authority import AUTHORITIES, published
from panal.addon.scores import MOST
from panal.api import names
from panal.api.figures import moment
from panal.api.status import ENDED
from panal.api.text import shown
from panal.client.controller_lease import silent_since
from panal.dashboard import index
from panal.dashboard.bell import Bell
from panal.dashboard.listing import STATES, Page, Query
from panal.dashboard.rows import PHASES, ClusterRow, RunRow
from panal.dashboard.view import Facts, Seeing, View
from panal.kube import kinds
from panal.kube.errors import ApiError
from panal.kube.objects import Object
from panal.kube.times import now_utc

NEWEST = 10  # runs on the overview
MOST_OVERDUE = 10  # clusters that the overview names
SLOWLY = 10.0  # seconds between two requests for what changes seldom


class HubView(View):
    """`silence`: since when the controller has not been heard."""

    _heard: tuple[float, datetime | None] = (0.0, None)

    async def silence(self) -> datetime | None:
        at, since = self._heard
        if time.monotonic() - at > SLOWLY or not at:
            since = await silent_since(self.viewer.client)
            self._heard = time.monotonic(), since
        return since

    @property
    def bells(self) -> Sequence[Bell]:
        return self.site.index.runs_changed, self.site.index.clusters_changed

    async def namespaces(self) -> index.Namespaces:
        return await self.viewer.rights.namespaces(self.site.index.namespaces())


class Overview(HubView):
    template = "overview.html"
    section = "hub"
    parts = {"overview": "parts/overview.html"}
    title = "Hub"
    _read: tuple[float, Facts] = (0.0, {})

    async def facts(self) -> Facts:
        namespaces, seeing = await self.namespaces(), await self.seeing()
        runs = self.site.index.visible(namespaces)
        clusters = list(self.site.index.cluster_rows().values()) if seeing.clusters else []
        newest = sorted(runs, key=lambda row: (row.phase in ENDED, -(row.created.timestamp() if row.created else 0)))[:NEWEST]
        return {
            "phases": {phase: index.by_phase(runs)[phase] for phase in PHASES},
            "states": {state: index.by_state(clusters)[state] for state in STATES},
            "ready": sum(row.addon == "Ready" for row in clusters) if seeing.addons else None,
            "totals": _totals(clusters),
            "newest": newest,
            **_certificates(clusters if seeing.addons else []),
            "silence": await self.silence(),
            "notes": await self.notes(kinds.FEDERATED_LEARNING, kinds.MANAGED_CLUSTER, kinds.MANAGED_CLUSTER_ADDON),
            "may": seeing,
            **await self._hub(),
        }

    async def _hub(self) -> Facts:
        at, found = self._read
        if not at or time.monotonic() - at > SLOWLY:
            found = {"version": await self._version(), "authorities": await self._authorities(), "api": self.site.name}
            self._read = time.monotonic(), found
        return found

    async def _version(self) -> str:
        try:
            return shown(await self.viewer.client.server_version(), 60)
        except (ApiError, KeyError):
            return ""

    async def _authorities(self) -> list[dict[str, Any]]:
        """Empty if the viewer may not read them."""
        try:
            return authorities(await self.viewer.client.get(kinds.CONFIG_MAP, names.SYSTEM_NAMESPACE, names.AUTHORITIES))
        except ApiError:
            return []


def authorities(public: Object) -> list[dict[str, Any]]:
    """The certificate authorities that the controller has published."""
    return [
        {
            "authority": which,
            "role": shown(str(one.get("role", "")), 40),
            "fingerprint": shown(str(one.get("fingerprint", "")), 80),
            "until": moment(one.get("notAfter")),
        }
        for which in AUTHORITIES
        for one in published(public.get("data") or {}, which)
    ]


def _certificates(clusters: Sequence[ClusterRow]) -> Facts:
    now = now_utc()
    overdue, (valid, first) = index.overdue(clusters, now), index.first_to_end(clusters, now)
    return {"overdue": overdue[:MOST_OVERDUE], "more_overdue": max(0, len(overdue) - MOST_OVERDUE), "valid": valid, "first_end": first}


def _totals(clusters: Sequence[ClusterRow]) -> dict[str, float]:
    """What all available clusters offer."""
    there = [row for row in clusters if row.available and row.accepted]
    return {"cpu": sum(row.cpu for row in there), "memory": sum(row.memory for row in there), "gpus": sum(row.gpus for row in there)}


class Runs(HubView):
    template = "runs.html"
    section = "runs"
    parts = {"notes": "parts/notes.html", "table": "parts/runs.html"}
    title = "Runs"

    @property
    def bells(self) -> Sequence[Bell]:
        return (self.site.index.runs_changed,)

    async def facts(self) -> Facts:
        namespaces, query = await self.namespaces(), Query.of(self.request.query, PHASES)
        known = [each for each in self.site.index.namespaces() if namespaces is None or each in namespaces]
        if query.cluster and not await self.viewer.rights.may_list(kinds.MANAGED_CLUSTER):
            query = replace(query, cluster="")
        page: Page[RunRow] = self.site.index.runs(query, namespaces)
        return {
            "page": page,
            "query": query,
            "here": "/runs",
            "namespaces": known,
            "phases": PHASES,
            "notes": await self._notes(namespaces),
            "silence": await self.silence(),
        }

    async def _notes(self, namespaces: index.Namespaces) -> list[str]:
        found = await self.notes(kinds.FEDERATED_LEARNING)
        if namespaces is not None and not namespaces:
            found.append(f"you may not list {kinds.FEDERATED_LEARNING} in any namespace that has some")
        return found


class Clusters(HubView):
    template = "clusters.html"
    section = "clusters"
    parts = {"notes": "parts/notes.html", "table": "parts/clusters.html"}
    title = "Clusters"

    async def facts(self) -> Facts:
        seeing, query = await self.seeing(), Query.of(self.request.query, STATES)
        if query.order in ("addon", "certificate") and not seeing.addons:
            query = replace(query, order="")
        page = self._page(query, seeing)
        return {
            "page": page,
            "query": query,
            "here": "/clusters",
            "states": STATES,
            "sets": self.site.index.cluster_sets() if seeing.clusters else [],
            "active": self.site.index.active_on_clusters(await self.namespaces()),
            "notes": await self.notes(kinds.MANAGED_CLUSTER, kinds.MANAGED_CLUSTER_ADDON, kinds.ADDON_PLACEMENT_SCORE),
            "silence": None,
            "may": seeing,
            "full_score": MOST,
        }

    def _page(self, query: Query, seeing: Seeing) -> Page[ClusterRow]:
        if not seeing.clusters:
            return Page([], 1, 1, 0, 0)
        page = self.site.index.clusters(query)
        return replace(page, rows=[seeing.row(row) for row in page.rows])


class OneCluster(HubView):
    template = "cluster.html"
    section = "clusters"
    parts = {"cluster": "parts/cluster.html"}

    @property
    def name(self) -> str:
        return self.request.match_info["cluster"]

    @property
    def title(self) -> str:
        return shown(self.name, 100)

    async def facts(self) -> Facts:
        seeing = await self.seeing()
        row = self.site.index.cluster(self.name) if seeing.clusters else None
        if row is None:
            why = f"there is no cluster {self.title}" if seeing.clusters else f"you may not list {kinds.MANAGED_CLUSTER}"
            raise (web.HTTPNotFound if seeing.clusters else web.HTTPForbidden)(text=why)
        runs = self.site.index.visible(await self.namespaces(), self.name)
        newest = sorted(runs, key=lambda run: (run.phase in ENDED, -(run.created.timestamp() if run.created else 0)))
        return {
            "row": seeing.row(row),
            "runs": newest[:50],
            "more": max(0, len(newest) - 50),
            "notes": await self.notes(kinds.MANAGED_CLUSTER_ADDON, kinds.ADDON_PLACEMENT_SCORE),
            "may": seeing,
            "full_score": MOST,
        }
