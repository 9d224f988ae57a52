"""The views of one run. Everything is read with the viewer's own rights (`feed`); `run`, `curves` and `selection` say what it means."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from markupsafe import Markup

from panal.api.history import History, Round
from panal.api.status import Phase
from panal.api.text import shown
from panal.dashboard import compared, run
from panal.dashboard.bell import Bell
from panal.dashboard.chart import Chart
from panal.dashboard.compared import Comparison, Other
from panal.dashboard.curves import charts, table
from panal.dashboard.feed import Ended, Feed
from panal.dashboard.logs import Tail, aggregator_pod, rules_of
from panal.dashboard.run import Head, Seen
from panal.dashboard.run_clusters import progress_of, run_clusters
from panal.dashboard.selection import Selection, selection_of
from panal.dashboard.timeline import Bar, timeline, with_current
from panal.dashboard.view import NAME, Facts, Site, View, named_run
from panal.dashboard.viewer import Viewer
from panal.kube import kinds
from panal.kube.errors import ApiError, NotFound
from panal.kube.times import now_utc

ROUNDS = 30  # of the timeline
ROWS = 20  # of the table beside a chart; all values are in the CSV file
CLUSTERS = 500
TABS = {"": "Progress", "clusters": "Clusters", "placement": "Why these clusters", "events": "Events", "logs": "Log"}


class RunView(View):
    section = "runs"
    tab = ""
    _feed: Feed

    def __init__(self, site: Site, viewer: Viewer, request: web.Request) -> None:
        super().__init__(site, viewer, request)
        self.namespace, self.name = named_run(request)

    @property
    def title(self) -> str:
        return f"{shown(self.name, 60)}: {TABS[self.tab]}"

    @property
    def bells(self) -> Sequence[Bell]:
        return (self._feed.bell,)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """The API server decides whether the viewer may get the run."""
        await self.viewer.client.get(kinds.FEDERATED_LEARNING, self.namespace, self.name)
        async with self.site.feeds.of(self.viewer.client, self.viewer.key, self.namespace, self.name) as self._feed:
            yield

    def seen(self) -> Seen:
        """Raises NotFound if the run is deleted, or the viewer may not see it any more."""
        try:
            found = self._feed.seen()
        except Ended as error:
            raise web.HTTPGone(text="the run is not watched any more, so what this page showed is out of date; load it again") from error
        if found is None:
            raise NotFound(404, "NotFound", f"there is no run {shown(self.name, 60)} in the namespace {shown(self.namespace, 63)} any more")
        return found

    async def facts(self) -> Facts:
        seen = self.seen()
        history, problem = await run.history_of(seen)
        head = run.head(seen, history, now_utc())
        notes = [*seen.unread, *([f"the history cannot be read: {problem}"] if problem else [])]
        base = {"head": head, "tabs": TABS, "tab": self.tab, "notes": notes, "csrf": self.viewer.csrf}
        return base | await self.more(seen, head, history)

    async def more(self, seen: Seen, head: Head, history: History | None) -> Facts:
        raise NotImplementedError


HEAD = {"head": "parts/head.html", "actions": "parts/actions.html", "notes": "parts/notes.html"}


class RunProgress(RunView):
    """`?with=NAME`: the run to compare with. `?show=CLUSTER`: the cluster whose curves are emphasised."""

    template = "run_progress.html"
    parts = {
        **HEAD,
        "timeline": "parts/timeline.html",
        "compare_with": "parts/compare_with.html",
        "compared": "parts/compared.html",
        "charts": "parts/charts.html",
        "evaluation": "parts/evaluation.html",
        "model": "parts/model.html",
        "state": "parts/state.html",
    }
    _other: tuple[str, Other | None, str] = ("", None, "")  # the name that was read, what was read, and why nothing was

    async def more(self, seen: Seen, head: Head, history: History | None) -> Facts:
        rounds = history.rounds if history else []
        return {
            **await self._curves(seen, head, () if head.evaluates else rounds),
            "bars": self._bars(seen, head, rounds),
            "rounds": len(rounds),
            "config": run.run_config(seen.run.get("spec") or {}),
            "conditions": run.conditions(head.status),
            "certificate": run.aggregator_certificate(seen),
            "downloads": self.site.download is not None,
            "silence": None,
        }

    async def _curves(self, seen: Seen, head: Head, rounds: Sequence[Round]) -> Facts:
        """An evaluation has none: its values are in one table."""
        named = self.request.query.getall("show", ())
        offered, chosen, found, problem = ((), "", None, "") if head.evaluates else await self._comparison(seen, head)
        other = (found.other.name, found.other.rounds) if found else ("", ())
        return {
            "charts": await asyncio.to_thread(_drawn, rounds, named, other),
            "named": [shown(each, 253) for each in named],
            "offered": offered,
            "chosen": chosen,
            "comparison": found,
            "problem": problem,
        }

    def _bars(self, seen: Seen, head: Head, rounds: Sequence[Round]) -> list[Bar]:
        bars = timeline(rounds, ROUNDS)
        going = head.phase == Phase.RUNNING and not head.suspended
        return with_current(bars, rounds, progress_of(seen), head.total, now_utc()) if going else bars

    async def _comparison(self, seen: Seen, head: Head) -> tuple[Sequence[str], str, Comparison | None, str]:
        """The runs to choose from, the chosen one, the comparison with it, and why there is none."""
        visible = self.site.index.visible(await self.viewer.rights.namespaces([head.namespace]))
        asked = self.request.query.get("with", "").strip()
        name = asked or compared.usual(seen.run, head.created, visible)
        offered = compared.offered(seen.run, visible)
        other, problem = await self._read(name) if name else (None, "")
        found = compared.comparison(seen.run, head.status, other) if other else None
        return offered, shown(name, 253), found, problem

    async def _read(self, name: str) -> tuple[Other | None, str]:
        """Once for each stream: a run that has ended does not change."""
        if self._other[0] != name:
            self._other = name, *await self._read_now(name)
        return self._other[1:]

    async def _read_now(self, name: str) -> tuple[Other | None, str]:
        if not NAME.fullmatch(name):
            return None, "there is no such run"
        try:
            other = await compared.read(self.viewer.client, self.namespace, name)
        except ApiError as error:
            return None, f"the run {shown(name, 63)} cannot be read: {shown(error.message, 300)}"
        if not other.status.completion_time:
            return None, f"the run {shown(name, 63)} has not ended yet: only runs that have ended can be compared with"
        return other, ""

    async def rounds(self) -> Sequence[Round]:
        history, _ = await run.history_of(self.seen())
        return history.rounds if history else []


def _drawn(
    rounds: Sequence[Round], named: Collection[str], other: tuple[str, Sequence[Round]]
) -> list[tuple[str, Chart, Markup, Sequence[Any]]]:
    """For each chart its name, the chart, its picture and its values. Takes 10 ms for each metric of 500 rounds and 20 clusters."""
    names = ((f"chart-{number}", each) for number, each in enumerate(charts(rounds, named, other)))
    return [(name, each, each.svg(name), table(each, ROWS)) for name, each in names]


class RunClusters(RunView):
    template = "run_clusters.html"
    tab = "clusters"
    parts = {**HEAD, "run_clusters": "parts/run_clusters.html"}

    async def more(self, seen: Seen, head: Head, history: History | None) -> Facts:
        seeing = await self.seeing()
        rows = {name: seeing.row(row) for name, row in self.site.index.cluster_rows().items()} if seeing.clusters else {}
        found = run_clusters(seen, head.status, history.rounds if history else [], rows)
        return {"run_clusters": found[:CLUSTERS], "all": len(found), "may": seeing, "silence": None}


class RunEvents(RunView):
    template = "run_events.html"
    tab = "events"
    parts = {**HEAD, "events": "parts/events.html"}

    async def more(self, seen: Seen, head: Head, history: History | None) -> Facts:
        return {"events": run.events(seen), "silence": None}


class RunPlacement(RunView):
    """Evaluated once, when the page is asked for: it reads all clusters."""

    template = "run_placement.html"
    tab = "placement"
    parts = HEAD
    selection: Selection | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        async with super().opened():
            if not self.request.path.startswith("/live/"):
                self.selection = await selection_of(
                    self.viewer.client, self.seen().run, self.site.cel, self.request.query.get("cluster", "")
                )
            yield

    async def more(self, seen: Seen, head: Head, history: History | None) -> Facts:
        return {"selection": self.selection, "silence": None}


class RunLogs(RunView):
    template = "run_logs.html"
    tab = "logs"
    parts = {**HEAD, "log": "parts/log.html"}
    every = 0.5
    _tail: Tail | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        async with super().opened():
            seen = self.seen()
            pod = aggregator_pod(seen.pods)
            follow = self.request.path.startswith("/live/")
            if pod is None:
                yield
                return
            container = self.request.query.get("container", "")
            async with Tail(self.viewer.client, pod, container, rules_of(seen.run), follow) as self._tail:
                yield

    @property
    def bells(self) -> Sequence[Bell]:
        return (*super().bells, self._tail.bell) if self._tail else super().bells

    async def more(self, seen: Seen, head: Head, history: History | None) -> Facts:
        tail: Any = self._tail
        return {
            "lines": list(tail.lines) if tail else deque(),
            "containers": tail.containers if tail else (),
            "container": tail.container if tail else "",
            "problem": tail.problem if tail else "",
            "pod": tail.pod if tail else "",
            "silence": None,
        }
