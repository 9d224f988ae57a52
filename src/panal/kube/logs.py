"""How processes log that talk to an API server: lines on stdout, none for each single request.

What others have said stands in many of them, so a line shows it as `panal.api.text` does: nobody else begins a line here.
"""

from __future__ import annotations

import logging
import sys
from types import TracebackType

from panal.api.text import block, shown

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
Raised = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class Plain(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return shown(super().formatMessage(record))

    def formatException(self, ei: Raised) -> str:  # noqa: N802
        """The lines of a traceback stay lines, each set in: so none looks like another message."""
        return "  " + block(super().formatException(ei)).replace("\n", "\n  ")


def log_to_stdout(level: int | str = logging.INFO) -> None:
    """`level` is panal's own. Libraries are not heard below WARNING: at DEBUG, those for HTTP write dozens of lines for each request."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(Plain(FORMAT))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("panal").setLevel(level)
