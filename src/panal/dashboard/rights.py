"""What a viewer may list: the API server's answers to SelfSubjectAccessReviews that are sent with the viewer's own token.

Answers count for SECONDS. A review that fails is a no. On a laptop the process has the viewer's credentials and nothing to filter: what
the user may not list, the watch cache does not have (`OwnRights`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from panal.dashboard.index import Namespaces
from panal.kube.cache import Cache
from panal.kube.client import Client
from panal.kube.errors import KubeError, Unauthorized
from panal.kube.kinds import FEDERATED_LEARNING, Kind

SECONDS = 30.0
AT_ONCE = 16
REVIEW = Kind("authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", namespaced=False)


class Rights(Protocol):
    async def may_list(self, kind: Kind, namespace: str = "") -> bool:
        """Without `namespace`: of all namespaces."""

    async def namespaces(self, of_runs: Iterable[str]) -> Namespaces:
        """Those of `of_runs` whose runs the viewer may list; None: all."""


class OwnRights:
    """Of the process's own credentials: the watch cache has found out."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    async def may_list(self, kind: Kind, namespace: str = "") -> bool:
        return not self._cache.forbidden(kind)

    async def namespaces(self, of_runs: Iterable[str]) -> Namespaces:
        return None


class ReviewedRights:
    """Raises Unauthorized if the API server does not accept the token."""

    def __init__(self, client: Client, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._known: dict[tuple[Kind, str], tuple[float, asyncio.Task[bool]]] = {}
        self._room = asyncio.Semaphore(AT_ONCE)

    async def may_list(self, kind: Kind, namespace: str = "") -> bool:
        """Those who ask at the same time share one review."""
        now = self._clock()
        until, task = self._known.get((kind, namespace), (0.0, None))
        if task is None or until <= now:
            task = asyncio.create_task(self._review(kind, namespace))
            self._known[kind, namespace] = now + SECONDS, task
        try:
            return await asyncio.shield(task)
        except KubeError:
            self._known.pop((kind, namespace), None)
            raise

    async def namespaces(self, of_runs: Iterable[str]) -> Namespaces:
        if await self.may_list(FEDERATED_LEARNING):
            return None
        asked = sorted(of_runs)
        answers = await asyncio.gather(*(self.may_list(FEDERATED_LEARNING, each) for each in asked))
        return frozenset(name for name, allowed in zip(asked, answers, strict=True) if allowed)

    async def _review(self, kind: Kind, namespace: str) -> bool:
        attributes = {"verb": "list", "group": kind.group, "resource": kind.plural} | ({"namespace": namespace} if namespace else {})
        body = {"apiVersion": REVIEW.api_version, "kind": REVIEW.kind, "metadata": {}, "spec": {"resourceAttributes": attributes}}
        try:
            async with self._room:
                answer = await self._client.create(body, REVIEW)
        except Unauthorized:
            raise
        except KubeError:
            return False
        status = answer.get("status") or {}
        return status.get("allowed") is True and not status.get("denied")
