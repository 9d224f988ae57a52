"""When a server that reports too little ends the run."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from .codes import END, Ending
from .files import RunError, number
from .records import Connected, Record, Round, Started

BETWEEN = 60.0  # seconds that are added to the time of a round, for what the server does between two rounds


@dataclass
class Watch:
    """`began` and all times are seconds of a monotonic clock; the limits are those of the spec, in seconds."""

    began: float
    min_clients: int
    quorum_timeout: float
    round_timeout: float
    connected: int | None = None  # unknown until the server says it
    started: bool = False
    last_round: Round | None = None  # the last that is complete
    heard: float = field(init=False)  # since when the server has reported no round
    enough: float = field(init=False)  # when enough collaborators were connected for the last time

    def __post_init__(self) -> None:
        self.heard = self.enough = self.began

    @classmethod
    def of_environment(cls) -> Watch:
        """Begins now, with the limits in the container's environment."""
        return cls(
            began=time.monotonic(),
            min_clients=number("PANAL_MIN_CLIENTS", 1),
            quorum_timeout=number("PANAL_QUORUM_TIMEOUT", 600),
            round_timeout=number("PANAL_ROUND_TIMEOUT", 3600),
        )

    def update(self, records: Iterable[Record], now: float) -> None:
        for record in records:
            match record:
                case Connected(count=count):
                    self.connected = count
                case Started():
                    self.started = True
                    self.heard = self.enough = now
                case Round(phase=phase):
                    self.heard = now
                    self.last_round = record if phase == END else self.last_round
        if self.connected is None or self.connected >= self.min_clients:
            self.enough = now

    def trouble(self, now: float) -> RunError | None:
        """Why the run must end."""
        if not self.started:
            if now - self.began <= self.quorum_timeout:
                return None
            found = "it did not report how many collaborators" if self.connected is None else f"{self.connected} collaborators"
            few = f"The server reported no start within {self.quorum_timeout:.0f} s; {found} were connected, {self.min_clients} are needed"
            return RunError(Ending.QUORUM_NOT_REACHED, f"{few} (spec.server.minAvailableClients)")
        if now - self.enough > self.quorum_timeout:
            few = f"Fewer than {self.min_clients} collaborators were connected for {self.quorum_timeout:.0f} s ({self.connected} now)"
            return RunError(Ending.QUORUM_LOST, few)
        silent = now - self.heard
        if silent > self.round_timeout + BETWEEN:
            return RunError(
                Ending.SERVER_APP_FAILED,
                f"The server reported no round for {silent:.0f} s; spec.server.roundTimeoutSeconds is {self.round_timeout:.0f}",
            )
        return None
