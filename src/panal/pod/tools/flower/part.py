"""The messages of one kind in a round of an app with its own main loop, and what has become of them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from .late import Late
from .replies import Clusters, MessageResult, Phase


@dataclass
class Part:
    """`results` has the last result of each node; None while there is none."""

    kind: str
    began: float = field(default_factory=time.monotonic)
    results: dict[int, MessageResult | None] = field(default_factory=dict)
    polled: set[int] = field(default_factory=set)  # nodes whose replies the app has polled for
    late: Late | None = None

    def note_late(self, clusters: Clusters) -> None:
        """After a poll of the app."""
        self.late = self.late or Late(clusters)
        missing = [node for node in self.polled if self.results.get(node) is None]
        known = {node: result for node, result in self.results.items() if result is not None}
        failed = {node: (result.reason, result.text) for node, result in known.items() if result.reply is None}
        self.late.note(missing, [node for node in known if node not in failed], failed)

    def phase(self, clusters: Clusters) -> Phase:
        phase = Phase(sent=len(self.results))
        for node, result in self.results.items():
            if result is not None:
                phase.take(clusters.of(node), result)
        return phase

    def give_up(self) -> None:
        """Counts missing replies as failures, except those for which the app never polled."""
        self.results = {node: result or MessageResult() for node, result in self.results.items() if result or node in self.polled}
