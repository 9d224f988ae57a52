"""Who may read the metrics: whoever may `get` the path /metrics of the hub's API server, shown by a bearer token.

The API server says whose the token is (TokenReview), and what that user may do (SubjectAccessReview). Its answer counts for SECONDS. While
it does not answer, a yes counts for OUTAGE more, since metrics are needed most then; anything else that is not a yes is a no. Any Pod
can send tokens: reviews of those that were not accepted before are limited to RATE, of which one address gets EACH at most, and what is
remembered of them is bounded.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from panal.kube.errors import KubeError, TooManyRequests, Unavailable
from panal.kube.kinds import Kind
from panal.kube.objects import Object

log = logging.getLogger(__name__)

PATH = "/metrics"
SECONDS, OUTAGE = 30.0, 600.0
RATE, EACH = 10, 3  # reviews a second, and as many at once: of all, and of one address
MOST_ACCEPTED, MOST_REFUSED = 100, 1000  # tokens that are remembered
BEARER = re.compile(r"bearer +([!-~]{1,16384})", re.IGNORECASE)
TOKEN_REVIEW = Kind("authentication.k8s.io", "v1", "TokenReview", "tokenreviews", namespaced=False)
ACCESS_REVIEW = Kind("authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews", namespaced=False)


class Reviewer(Protocol):
    """What is used of `panal.kube.client.Client`."""

    async def create(self, obj: Object, kind: Kind | None = None) -> Object: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """`status`: of HTTP. 200: the metrics may be read; with any other, `text` says why not."""

    status: int
    text: str = ""


YES = Answer(200)
NO_TOKEN = Answer(401, "a bearer token of the hub's API server is needed\n")
WRONG_TOKEN = Answer(401, "the hub's API server does not accept the token\n")
NO_PERMISSION = Answer(403, f"the user of this token may not get the path {PATH}: bind the ClusterRole panal-metrics-reader\n")
BUSY = Answer(503, "too many unknown tokens are sent at the moment: try again\n")
NO_REVIEW = Answer(503, "the hub's API server did not review the token: the controller's log says why\n")


class _Known(NamedTuple):
    answer: Answer
    since: float


class _Bucket:
    """Of tokens that are reviewed: `rate` more a second, and as many at most."""

    def __init__(self, rate: int, now: float) -> None:
        self._rate, self._room, self._since = rate, float(rate), now

    def room(self, now: float) -> float:
        return min(float(self._rate), self._room + (now - self._since) * self._rate)

    def is_full(self, now: float) -> bool:
        return self.room(now) >= self._rate

    def take(self, now: float) -> None:
        self._room, self._since = self.room(now) - 1, now


class Readers:
    """`clock`: in seconds."""

    def __init__(self, client: Reviewer, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._accepted: dict[bytes, _Known] = {}  # by the token's digest
        self._refused: dict[bytes, _Known] = {}
        self._asking: dict[bytes, asyncio.Task[Answer]] = {}
        self._all = _Bucket(RATE, clock())
        self._each: dict[str, _Bucket] = {}  # by the address; those that are not full
        self._problem = ""

    async def answer(self, authorization: str, address: str) -> Answer:
        """For a request with this header, from this address. Requests with the same token share one review."""
        found = BEARER.fullmatch(authorization.strip())
        if found is None:
            return NO_TOKEN
        key, now = hashlib.sha256(found[1].encode()).digest(), self._clock()
        known = self._accepted.get(key) or self._refused.get(key)
        if known and now < known.since + SECONDS:
            return known.answer
        task = self._asking.get(key)
        if task is None:
            if key not in self._accepted and not self._has_room(address, now):
                return BUSY
            task = self._asking[key] = asyncio.create_task(self._ask(key, found[1]))
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(task)

    def _has_room(self, address: str, now: float) -> bool:
        """Both buckets are taken from or none is, so that RATE bounds how many addresses are remembered."""
        self._each = {each: bucket for each, bucket in self._each.items() if not bucket.is_full(now)}
        own = self._each.get(address) or _Bucket(EACH, now)
        if min(own.room(now), self._all.room(now)) < 1:
            return False
        own.take(now)
        self._all.take(now)
        self._each[address] = own
        return True

    async def _ask(self, key: bytes, token: str) -> Answer:
        try:
            found = await _review(self._client, token)
        except KubeError as error:
            return self._without_review(key, error)
        self._problem = ""
        self._accepted.pop(key, None)
        self._refused.pop(key, None)
        into, most = (self._accepted, MOST_ACCEPTED) if found is YES else (self._refused, MOST_REFUSED)
        while len(into) >= most:
            del into[next(iter(into))]  # the oldest makes room
        into[key] = _Known(found, self._clock())
        return found

    def _without_review(self, key: bytes, error: KubeError) -> Answer:
        if self._problem != str(error):
            self._problem = str(error)
            log.warning("cannot review who reads the metrics: %s", error)
        accepted = self._accepted.get(key)
        is_away = isinstance(error, Unavailable | TooManyRequests)
        return YES if is_away and accepted and self._clock() < accepted.since + SECONDS + OUTAGE else NO_REVIEW


async def _review(client: Reviewer, token: str) -> Answer:
    """Raises KubeError."""
    who = (await client.create(_body(TOKEN_REVIEW, token=token), TOKEN_REVIEW)).get("status") or {}
    user = who.get("user") or {}
    if who.get("authenticated") is not True or not user.get("username"):
        return WRONG_TOKEN
    of = {"user": user["username"]} | {name: user[name] for name in ("uid", "groups", "extra") if user.get(name)}
    asked = _body(ACCESS_REVIEW, nonResourceAttributes={"path": PATH, "verb": "get"}, **of)
    may = (await client.create(asked, ACCESS_REVIEW)).get("status") or {}
    return YES if may.get("allowed") is True and not may.get("denied") else NO_PERMISSION


def _body(kind: Kind, **spec: object) -> Object:
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {}, "spec": spec}
