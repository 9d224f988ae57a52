"""The form of an error in a reply: `exception=CLASS`, followed by ` message=TEXT` if the site's owner shares texts, or if the text names a
missing config key (`context`).

Any other text comes from user code. A site does not send it, and the hub does not read it.
"""

from __future__ import annotations

import re

from ..codes import MAX_CODE, MAX_TEXT, Unanswered
from .context import MISSING, SENTENCE

# Reason codes for Flower's error codes (flwr.common.constant.ErrorCode). For errors of user code, the exception's class is used instead.
CODES = {
    0: "Unknown",
    1: "LoadClientAppError",
    2: "ClientAppError",
    3: Unanswered.MESSAGE_UNAVAILABLE.value,
    4: Unanswered.REPLY_UNAVAILABLE.value,
    5: Unanswered.NODE_UNAVAILABLE.value,
    6: "ModFailedPrecondition",
    7: "InvalidApp",
    8: "ClientAppCrashed",
}
WITHHELD = 0  # what panal writes: the one for unknown errors, since no code of the app has failed
USER_CODES = frozenset({1, 2, 6, 7, 8})

_RAISED = re.compile(r"<class '([^']{1,300})'>(?::<'(.*)'>)?", re.DOTALL)  # as Flower writes an exception
_WRITTEN = re.compile(rf"exception=(\w{{1,{MAX_CODE}}})(?: message=(.{{0,{MAX_TEXT}}}))?")


def outgoing_error(code: int, reason: str | None, share: bool) -> str:
    """The part of an error's reason that may leave the site. `share`: the site's owner shares texts."""
    found, own = _RAISED.fullmatch(reason or ""), _WRITTEN.fullmatch(reason or "")
    if own is not None:  # one of ours
        name, text = own[1], own[2] or ""
    elif found is not None:
        name, text = re.sub(r"\W", "", found[1].rpartition(".")[2])[:MAX_CODE] or "Exception", found[2] or ""
    else:
        name, text = CODES.get(code, "Unknown"), reason or ""
    ours = name in MISSING and SENTENCE.fullmatch(text)
    return written(name, text if share or ours else "")


def printable(text: str) -> str:
    """`text` as one line of at most MAX_TEXT characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:MAX_TEXT]


def written(name: str, text: str = "") -> str:
    line = printable(text)
    return f"exception={name} message={line}" if line else f"exception={name}"


def incoming_error(code: int, reason: str | None) -> tuple[str, str]:
    """Reason code and shared text (may be empty) of an error in a reply."""
    found = _WRITTEN.fullmatch(reason or "")
    return (found[1], found[2] or "") if found else (CODES.get(code, "Unknown"), "")


def is_written(reason: str | None) -> bool:
    """Whether a site has written this error, and not the SuperLink, which may have lost a reply."""
    return _WRITTEN.fullmatch(reason or "") is not None
