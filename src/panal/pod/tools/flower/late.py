"""The clusters whose replies a phase still waits for: how long it waits (`Grace`), and how they are reported (`Late`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from ..files import append
from ..records import Waiting
from .replies import Clusters

QUIET = 10.0  # seconds without a reply until the missing clusters count as late
NAMED = 3  # clusters in one message
LISTED = 50  # clusters that have replied, and that have failed: as many as the progress has


class Late:
    """Of one wait. A round in which no cluster has replied yet has no late ones: they may all train for long."""

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters
        self._replies = 0
        self._since = time.monotonic()
        self._message = ""

    def note(self, missing: Iterable[int], counted: Sequence[int], failed: Mapping[int, tuple[str, str]] | None = None) -> None:
        """`missing` are the nodes without a reply, `counted` those whose reply may count, `failed` reason and text of those that sent an
        error. Once reported, the message stays up to date."""
        now, failed = time.monotonic(), failed or {}
        if (replies := len(counted) + len(failed)) != self._replies:
            self._replies, self._since = replies, now
        if self._message or (replies and now - self._since >= QUIET):
            self.report(missing, counted, failed)

    def report(self, missing: Iterable[int], counted: Iterable[int] = (), failed: Mapping[int, tuple[str, str]] | None = None) -> None:
        message = waits_for([self._clusters.of(node) for node in missing])
        if message == self._message:
            return
        self._message = message
        if not message:
            append(Waiting(message=""))
            return
        replied = sorted(filter(None, map(self._clusters.of, counted)))[:LISTED]
        why = {cluster: each for node, each in (failed or {}).items() if (cluster := self._clusters.of(node))}
        why = dict(sorted(why.items())[:LISTED])
        texts = {cluster: text for cluster, (_, text) in why.items() if text}
        reasons = {cluster: reason for cluster, (reason, _) in why.items()}
        append(Waiting(message=message, replied=replied or None, failed=reasons or None, messages=texts or None))

    def over(self) -> None:
        self.report(())


class Grace:
    """How long a phase waits for the others once `needed` nodes have sent a reply that counts; with None it waits for all."""

    def __init__(self, needed: int, seconds: float | None) -> None:
        self._seconds = seconds
        self._needed = self._enough = needed
        self._since: float | None = None

    def is_over(self, replies: int, accepted: Callable[[], int]) -> bool:
        """`replies` are those that are not errors. `accepted` judges them, which may take long. If too few count, the phase waits for
        another one first."""
        if self._seconds is None or replies < self._enough:
            return False
        self._since = time.monotonic() if self._since is None else self._since
        if self.left() > 0:
            return False
        if accepted() >= self._needed:
            return True
        self._enough, self._since = replies + 1, None
        return False

    def left(self) -> float:
        """Seconds until the phase ends, as far as is known."""
        if self._seconds is None or self._since is None:
            return float("inf")
        return max(0.0, self._since + self._seconds - time.monotonic())


def waits_for(clusters: Iterable[str]) -> str:
    """Names the first NAMED clusters and counts the others. The name of an unknown cluster is empty."""
    found = sorted(clusters, key=lambda cluster: (not cluster, cluster))
    named = [cluster for cluster in found[:NAMED] if cluster]
    more = len(found) - len(named)
    if not named:
        return f"waits for {more} cluster{'s' if more != 1 else ''}" if more else ""
    if more:
        return f"waits for {', '.join(named)} and {more} more"
    return f"waits for {' and '.join(filter(None, (', '.join(named[:-1]), named[-1])))}"
