"""How `panal logs` finds and filters the output of an app among the lines of its framework."""

from __future__ import annotations

import re
from dataclasses import dataclass

NOTHING = re.compile(r"(?!)")


@dataclass(frozen=True, slots=True)
class Logs:
    """`aggregator` and `collaborator` are the containers that run the app; empty: the Pod's main container. The patterns match as a whole:

    - `noise`: a line that is left out.
    - `level`: a line that begins with a level, as the groups `level` and `message`; one of level INFO is shown as its message.
    - `level_noise`: a message of such a line that is left out.
    - `framework`: a file of the framework, whose frames are left out of a traceback that has frames of the app.
    - `background`: a file of a thread of the framework's own, whose traceback is left out.
    - `unpacked`: in a frame, the beginning of a path of the app that says nothing to a person; it is removed. It need not match as a whole.
    """

    aggregator: str = ""
    collaborator: str = ""
    noise: re.Pattern[str] = NOTHING
    level: re.Pattern[str] = NOTHING
    level_noise: re.Pattern[str] = NOTHING
    framework: re.Pattern[str] = NOTHING
    background: re.Pattern[str] = NOTHING
    unpacked: re.Pattern[str] = NOTHING
