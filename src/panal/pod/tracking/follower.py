"""What those have in common that tell a server of the run: MLflow and an OTLP endpoint.

Nothing here ends a run or holds it up for long: what fails is tried again, `say` reports it, and each wait has an end.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from panal.api.text import shown
from panal.pod.tracking.server import Server, ServerError

log = logging.getLogger("panal.reporter")

LOOK, LONGEST_PAUSE = 0.5, 30.0  # seconds between two attempts


@dataclass(slots=True)
class Follower(Server, ABC):
    """`say` gets what is wrong; an empty text when it is over."""

    say: Callable[[str], None]

    @abstractmethod
    async def send(self) -> None:
        """What has not been sent yet. Raises ServerError. May be cancelled at any moment."""

    @abstractmethod
    async def end(self, result: str, history: Path) -> None:
        """The run has ended. `result` is empty if another aggregator may go on."""

    async def model(self, folder: Path, names: Sequence[str], tags: Mapping[str, str], touch: Callable[[], None]) -> None:
        """These files of `folder` are a model."""

    async def follow(self) -> None:
        """Sends what is new, until it is cancelled."""
        pause = LOOK
        while True:
            pause = LOOK if await self.attempt(self.send()) else min(2 * pause, LONGEST_PAUSE)
            await asyncio.sleep(pause)

    async def attempt(self, work: Awaitable[None]) -> bool:
        """Whether it succeeded."""
        try:
            await work
        except ServerError as error:
            self.tell(str(error))
        except Exception as error:
            log.exception("a defect of panal")
            self.tell(f"{self.where}: panal cannot send this: {error!r}")
        else:
            return True
        return False

    def tell(self, what: str) -> None:
        log.warning("%s", shown(what, 400))
        self.say(shown(what, 400))
