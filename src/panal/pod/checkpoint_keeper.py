"""Stores the checkpoints of a run (`checkpointing`) while it continues, and removes them when it has its result. Part of the reporter.

It also checks the storage and brings the initial model before the run begins: a run that cannot store anything, or begin with it, ends.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from panal.api.text import shown
from panal.pod.bringer import Bringer
from panal.pod.checkpointing import Checkpoints
from panal.pod.initial_model import InitialModelError
from panal.pod.pausing import pause
from panal.pod.progress_map import ProgressMap
from panal.pod.publishing import Storage
from panal.pod.shelf import DamagedError
from panal.pod.state import State
from panal.pod.storage_errors import StorageError
from panal.pod.tools.codes import MAX_TEXT, Doubt, Ending

log = logging.getLogger("panal.reporter")

POLL = 0.2  # seconds between two reads of the files


@dataclass(slots=True)
class CheckpointKeeper:
    checkpoints: Checkpoints
    state: State
    progress_map: ProgressMap
    storage: Storage
    initial: Bringer

    async def run(self, stop: asyncio.Event) -> None:
        """Finds the checkpoint from which the run goes on, then stores each that is handed over. A run with a result needs none."""
        if not await self._found(stop):
            return
        while not stop.is_set():
            try:
                round_ = await asyncio.to_thread(self.checkpoints.store_newest)
            except (OSError, DamagedError, StorageError) as error:
                self._doubt(f"the checkpoint could not be stored: {error}")
            else:
                if round_ is not None:
                    log.info("stored the checkpoint of round %d", round_)
                    self.state.update(checkpoint=round_)
            await self.remove_if_done()
            await pause(stop, POLL)

    async def _found(self, stop: asyncio.Event) -> bool:
        """Checks the storage, and looks in it for the checkpoint from which the run goes on. A run that cannot store anything ends."""
        try:
            wrong = await asyncio.to_thread(self._restored)
        except (StorageError, InitialModelError) as error:
            log.error("the run cannot begin: %s", error)
            if not stop.is_set():
                self.state.trouble = ""
                reason = str(Ending.INITIAL_MODEL_UNUSABLE) if isinstance(error, InitialModelError) else ""
                self.state.update(unusable=shown(str(error), MAX_TEXT), unusable_reason=reason)
            return False
        self._doubt(wrong)
        return True

    def _restored(self) -> str:
        with self.storage.beginning():
            self.storage.check()
            self.initial.bring()
            return self.checkpoints.restore()

    async def remove_if_done(self) -> None:
        """Once the ConfigMap has the run's result, nothing will go on from a checkpoint."""
        if self.state.progress.result and self.progress_map.current:
            await asyncio.to_thread(self.checkpoints.remove)

    def _doubt(self, message: str) -> None:
        if message:
            log.warning("%s", message)
            self.state.doubt(Doubt.CHECKPOINT_FAILED, message)
