"""Brings the model with which a run begins (`initial_model`) before its first round. Part of the reporter."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from panal.pod.initial_model import InitialModelError, kept
from panal.pod.settings import Settings
from panal.pod.shelf import Shelf
from panal.pod.state import State
from panal.pod.tools.files import RESUMED

log = logging.getLogger("panal.reporter")


@dataclass(frozen=True, slots=True)
class Bringer:
    """Brings the model of `settings` once for this Pod. Part of the reporter."""

    settings: Settings
    state: State
    shelf: Shelf
    credentials: Mapping[str, str]
    touch: Callable[[], None]

    def bring(self) -> None:
        """A run that goes on after a checkpoint does not need it. Raises InitialModelError, OSError."""
        settings, folder = self.settings, self.settings.place.folder
        if settings.initial is None:
            return
        found = kept(folder)
        if not (settings.run_dir / RESUMED).exists():
            try:
                found = settings.initial.bring(settings.run_dir, folder, self.credentials, self.touch)
            except InitialModelError as error:
                if not any(self.shelf.rounds()):
                    raise
                log.warning("%s; the run goes on after its checkpoint", error)
        self.state.update(initial_model=found)
