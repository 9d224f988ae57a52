"""The filter of `panal logs`: keeps the app's output, the framework's lines about rounds, warnings, and the app's frames of a traceback.

It removes colors, and the lines that the framework's runtime counts as noise (`panal.runtimes.logs`). It removes the frames of the
framework and of panal's hooks from a traceback that has frames of the app. No input or output.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from panal.runtimes.logs import Logs

COLORS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
THREAD = re.compile(r"Exception in thread .*:")
TRACEBACK = "Traceback (most recent call last):"
FRAME = re.compile(r'  File "([^"]*)", line \d+.*')
TOOLS = re.compile(r".*/panal_tools/.*")
LONGEST = 2000  # lines of one traceback


async def filtered(lines: AsyncIterator[bytes], rules: Logs) -> AsyncIterator[bytes]:
    kept = LogFilter(rules)
    async for line in lines:
        for each in kept.feed(line):
            yield each
    for each in kept.end():
        yield each


class LogFilter:
    """`feed` returns the lines to print; it holds back a traceback until it is complete."""

    def __init__(self, rules: Logs) -> None:
        self._rules = rules
        self._traceback: list[str] = []
        self._raised = False  # a traceback was shown, and no consequence of it yet
        self._thread = ""  # the line that names the thread of the traceback that follows

    def feed(self, line: bytes) -> list[bytes]:
        return _encoded(self._feed(COLORS.sub("", line.decode(errors="surrogateescape"))))

    def end(self) -> list[bytes]:
        return _encoded([*self._held(), *self._ended()])

    def _feed(self, text: str) -> list[str]:
        if text == TRACEBACK:
            before = self._ended()
            self._traceback = [text]
            return before
        found = self._without_consequences(_plain(text, self._rules))
        if not self._traceback:
            held = self._held()
            if THREAD.fullmatch(text):
                self._thread = text
                return held
            return held + found
        if found != [text]:
            return found  # a line of another process within the traceback
        self._traceback.append(text)
        if text.startswith(" ") and len(self._traceback) < LONGEST:
            return []
        return self._ended()

    def _without_consequences(self, lines: list[str]) -> list[str]:
        if lines and (self._raised or self._traceback) and self._rules.consequence.fullmatch(lines[0]):
            self._raised = False
            return []
        return lines

    def _held(self) -> list[str]:
        """The thread's line, if no traceback follows it."""
        if self._traceback or not self._thread:
            return []
        held, self._thread = [self._thread], ""
        return held

    def _ended(self) -> list[str]:
        if not self._traceback:
            return []
        thread, lines = self._thread, self._traceback
        self._thread, self._traceback = "", []
        if thread and any(map(self._rules.background.fullmatch, _files(lines))):
            return []
        self._raised = True
        return [*([thread] if thread else []), *of_app(lines, self._rules)]


def of_app(traceback: list[str], rules: Logs) -> list[str]:
    """The traceback without the framework's frames, if it has frames of the app."""
    if all(_framework(file, rules) for file in _files(traceback)):
        return traceback
    kept, keeping = [], True
    for line in traceback:
        if frame := FRAME.fullmatch(line):
            keeping = not _framework(frame[1], rules)
        elif not line.startswith(" "):
            keeping = True
        if keeping:
            kept.append(rules.unpacked.sub('"', line) if frame else line)
    return kept


def _files(traceback: list[str]) -> list[str]:
    return [frame[1] for line in traceback if (frame := FRAME.fullmatch(line))]


def _framework(file: str, rules: Logs) -> bool:
    return bool(TOOLS.fullmatch(file) or rules.framework.fullmatch(file))


def _plain(text: str, rules: Logs) -> list[str]:
    if found := rules.level.fullmatch(text.rstrip()):
        level, message = found["level"], found["message"] or ""
        if rules.level_noise.fullmatch(message.strip()):
            return []
        return [message if level == "INFO" else f"{level}: {message}"]
    return [] if rules.noise.fullmatch(text) else [text]


def _encoded(lines: list[str]) -> list[bytes]:
    return [line.encode(errors="surrogateescape") for line in lines]
