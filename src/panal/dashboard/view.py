"""A view: what a page shows, in parts that are rendered again when something changes while somebody looks at it.

`pages` and `run_pages` have the views. `app` answers a request for a page with the page template around the parts, and `live` sends the
parts that have changed. Each makes the view from the request, so no state of a viewer is kept between requests.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web
from markupsafe import Markup

from panal.cli.selection_report import Evaluator
from panal.dashboard.bell import Bell
from panal.dashboard.feed import Feeds
from panal.dashboard.index import Index
from panal.dashboard.rows import ClusterRow
from panal.dashboard.template import render
from panal.dashboard.viewer import Viewer
from panal.kube import kinds
from panal.kube.cache import Cache
from panal.kube.client import Client
from panal.kube.errors import NotFound
from panal.kube.kinds import Kind
from panal.kube.objects import Object

Facts = dict[str, Any]
Download = Callable[[Client, Object], AbstractAsyncContextManager[AsyncIterator[bytes]]]  # the content of a run's model
NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


def _no_cel(expression: str, cluster: Mapping[str, Any]) -> bool | None:
    """Only the local platform evaluates CEL."""
    return None


@dataclass(frozen=True, slots=True)
class Site:
    """What all views read. `own`: the process has the viewer's credentials. `namespace`: the only one whose runs are listed; or empty.
    `name`: of the API server. `download`: where the process can read the models of runs."""

    client: Client
    cache: Cache
    index: Index
    feeds: Feeds
    own: bool
    namespace: str = ""
    name: str = ""
    cel: Evaluator = _no_cel
    download: Download | None = None


@dataclass(frozen=True, slots=True)
class Seeing:
    """Which kinds of the hub a viewer may list."""

    clusters: bool
    addons: bool
    scores: bool

    def row(self, row: ClusterRow) -> ClusterRow:
        """Without what the viewer may not see."""
        if not self.addons:
            row = replace(row, addon="", why="", until=None, overdue=None, revoked="")
        return row if self.scores else replace(row, scores={})


class View:
    """`template` is the page's, `parts` the templates of its parts by name. `every`: seconds between two updates, at least."""

    template = ""
    section = ""
    parts: Mapping[str, str] = {}
    every = 0.2

    def __init__(self, site: Site, viewer: Viewer, request: web.Request) -> None:
        self.site, self.viewer, self.request = site, viewer, request

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """What the view needs while it is looked at. Raises ApiError if the viewer may not see it."""
        yield

    @property
    def title(self) -> str:
        raise NotImplementedError

    @property
    def bells(self) -> Sequence[Bell]:
        """They ring when something may have changed."""
        raise NotImplementedError

    async def facts(self) -> Facts:
        """What the templates need."""
        raise NotImplementedError

    def rendered(self, facts: Facts) -> dict[str, Markup]:
        return {name: render(template, facts) for name, template in self.parts.items()}

    # --- for several views ------------------------------------------------------------------------------------------
    async def seeing(self) -> Seeing:
        rights = self.viewer.rights
        return Seeing(
            await rights.may_list(kinds.MANAGED_CLUSTER),
            await rights.may_list(kinds.MANAGED_CLUSTER_ADDON),
            await rights.may_list(kinds.ADDON_PLACEMENT_SCORE),
        )

    async def notes(self, *listed: Kind) -> list[str]:
        """What the viewer does not see, and why."""
        problems, found = self.site.cache.problems(), []
        for kind in listed:
            if not await self.viewer.rights.may_list(kind) and kind != kinds.FEDERATED_LEARNING:
                found.append(f"you may not list {kind}")
            elif self.site.cache.forbidden(kind):
                found.append(f"you may not list {kind}{self._hint(kind)}" if self.site.own else f"the dashboard may not list {kind}")
            elif kind in problems:
                found.append(f"{kind} cannot be read at the moment, so what is shown may be out of date: {problems[kind]}")
        return found

    def _hint(self, kind: Kind) -> str:
        if kind != kinds.FEDERATED_LEARNING:
            return ""
        return (
            f" in the namespace {self.site.namespace}" if self.site.namespace else " of all namespaces: use `panal dashboard -n NAMESPACE`"
        )


def digest(parts: Mapping[str, Markup]) -> str:
    """Changes with the content of any part."""
    return hashlib.sha256("\0".join(f"{name}\0{content}" for name, content in parts.items()).encode()).hexdigest()[:16]


def named_run(request: web.Request) -> tuple[str, str]:
    """Namespace and name of the run in an address. Raises NotFound for what cannot be a name, and must not reach a path or a selector."""
    namespace, name = request.match_info["namespace"], request.match_info["name"]
    if not (NAME.fullmatch(namespace) and NAME.fullmatch(name)):
        raise NotFound(404, "NotFound", "there is no such run")
    return namespace, name
