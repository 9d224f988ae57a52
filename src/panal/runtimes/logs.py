"""How `panal logs` filters the lines of the framework from the output of an app."""

from __future__ import annotations

import re
from dataclasses import dataclass

NOTHING = re.compile(r"(?!)")


@dataclass(frozen=True, slots=True)
class Logs:
    """`aggregator` and `collaborator` are the containers that run the app; empty: the Pod's main container. All patterns except `unpacked`
    must match the whole text:

    - `noise`: a line to leave out.
    - `level`: a line with a level, as the groups `level` and `message`. For level INFO only the message is shown.
    - `level_noise`: a message of such a line to leave out.
    - `consequence`: a line, as it is shown, to leave out once after each traceback, whose consequence it is.
    - `framework`: a file of the framework. Its frames are left out of a traceback that has frames of the app.
    - `background`: a file of the framework's background threads, whose tracebacks are left out.
    - `unpacked`: the part of a file's path in a frame to remove, such as a temporary folder.
    """

    aggregator: str = ""
    collaborator: str = ""
    noise: re.Pattern[str] = NOTHING
    level: re.Pattern[str] = NOTHING
    level_noise: re.Pattern[str] = NOTHING
    consequence: re.Pattern[str] = NOTHING
    framework: re.Pattern[str] = NOTHING
    background: re.Pattern[str] = NOTHING
    unpacked: re.Pattern[str] = NOTHING
