"""The log of processes that use an API server: lines on stdout, without a line for each request.

Many lines contain text from other programs. Each line is escaped by `panal.api.text`, so that such text cannot forge a log line.
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
        """Indents the lines of a traceback, so that none looks like another message."""
        return "  " + block(super().formatException(ei)).replace("\n", "\n  ")


def log_to_stdout(level: int | str = logging.INFO) -> None:
    """`level` applies to panal. Libraries log from WARNING: at DEBUG, the HTTP libraries write dozens of lines for each request."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(Plain(FORMAT))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("panal").setLevel(level)
