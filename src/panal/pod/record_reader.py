"""Reads the records of progress.jsonl, and hands each to the parts of the reporter that follow the run: its state, the history and the
checkpoints.

The records come from the user's image and are not trusted; malformed ones are ignored.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

from panal.pod.checkpointing import Checkpoints
from panal.pod.gatekeeper import Gateway
from panal.pod.historian import Historian
from panal.pod.state import State
from panal.pod.tools.codes import END
from panal.pod.tools.records import Checkpoint, InvalidRecordError, Record, Resumed, Round, parse
from panal.pod.tools.tail import Tail

log = logging.getLogger("panal.reporter")


@dataclass(slots=True)
class RecordReader:
    tail: Tail
    state: State
    gateway: Gateway
    historian: Historian
    checkpoints: Checkpoints
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def read(self) -> None:
        """All records that are new."""
        async with self._reading:
            found = [record for line in self.tail.poll() if (record := _parsed(line)) is not None]
            if any(isinstance(each, Round) and each.phase == END for each in found):
                await self.gateway.measure()
            for record in found:
                self._note(record)

    def _note(self, record: Record) -> None:
        self.state.note(record)
        self.historian.history.note(self.state.progress, record)
        match record:
            case Checkpoint(round=round_):
                self.checkpoints.take(round_, self.state.snapshot(round_, self.historian.history.packed()))
            case Resumed(round=round_) if (before := self.checkpoints.restored(round_)) is not None:
                self.state.resume(before, round_)
                self.historian.restore(before.history, round_)
        if (head := self.historian.history.head()) != self.state.progress.history:
            self.state.update(history=head)


def _parsed(line: bytes) -> Record | None:
    try:
        return parse(line)
    except InvalidRecordError as error:
        log.warning("ignored a record of progress.jsonl: %s", error)
        return None
