"""Stores the table of an evaluation (`evaluation`) as evaluation.json, where the run's model would be. Part of the reporter.

The launcher waits for the answer in `evaluated.json`, which is written when the ConfigMap has the table. A reporter that was restarted
stores the same again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from panal.api.text import shown
from panal.api.types import EvaluationStatus
from panal.pod import evaluation
from panal.pod.pausing import pause
from panal.pod.progress_map import ProgressMap
from panal.pod.settings import Settings
from panal.pod.state import State
from panal.pod.storage_errors import StorageError
from panal.pod.tools.files import EVALUATED, EVALUATION, replace

log = logging.getLogger("panal.reporter")

POLL = 0.2  # seconds between two looks
LARGEST = 64 << 20  # bytes of what the hook has written
MAX_ANSWER = 1000  # characters


@dataclass(frozen=True, slots=True)
class Evaluator:
    """`publish` stores what has changed in the folder of the run. `touch` shows the launcher that the reporter makes progress."""

    settings: Settings
    state: State
    progress_map: ProgressMap
    publish: Callable[[], None]
    touch: Callable[[], None]

    async def run(self, stop: asyncio.Event) -> None:
        """Waits for the evaluation of a run that has one, and stores it."""
        if self.settings.evaluation is None:
            return
        while not (self.settings.run_dir / EVALUATION).exists():
            if stop.is_set():
                return
            await pause(stop, POLL)
        try:
            status = await asyncio.to_thread(self.store)
        except (OSError, StorageError, ValueError, RecursionError) as error:
            log.error("the evaluation is not stored: %s", error)
            if not (isinstance(error, StorageError) and stop.is_set()):
                self.state.trouble = ""
                self._answer({"error": shown(f"The evaluation could not be written to {self.settings.place.uri}: {error}", MAX_ANSWER)})
            return
        log.info("stored %s", status.uri)
        self.state.update(evaluation=status)
        await self.progress_map.until(lambda: self.progress_map.current, stop, self.touch)
        self._answer({"uri": status.uri})

    def store(self) -> EvaluationStatus:
        """Raises OSError, StorageError, ValueError."""
        wanted, place, model = self.settings.evaluation, self.settings.place, self.state.progress.initial_model
        assert wanted is not None
        with (self.settings.run_dir / EVALUATION).open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise ValueError(f"the evaluation is larger than {LARGEST >> 20} MiB")
        sites = evaluation.read(json.loads(content))
        status = evaluation.summary(sites, wanted)
        about: dict[str, Any] = {
            "run": dict(self.settings.run),
            "model": model.model_dump() if model else {},
            "localRounds": wanted.local_rounds,
        }
        text = json.dumps(evaluation.document(sites, about, status), indent=1) + "\n"
        place.folder.mkdir(parents=True, exist_ok=True)
        replace(place.folder / EVALUATION, text, durable=True)
        self.publish()
        digest = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
        return status.model_copy(update={"uri": f"{place.uri}/{EVALUATION}", "digest": digest})

    def _answer(self, content: Mapping[str, Any]) -> None:
        replace(self.settings.run_dir / EVALUATED, json.dumps(dict(content)))
