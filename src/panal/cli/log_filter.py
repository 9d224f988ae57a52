"""The filter of `panal logs`: keeps the app's output, Flower's lines about rounds, warnings, and the app's frames of a traceback.

It removes colors, and lines about the start and stop of Flower's servers, their requests and heartbeats, and the transfer of messages. It
removes the frames of Flower and of panal's hooks from a traceback that has frames of the app. No input or output.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

COLORS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
LEVEL = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL) :(?: {2,}(.*))?")  # as Flower writes it
NOISE = re.compile(
    "|".join(
        (
            r"panal: \S+ \S+/run\.py flower start flower-super(link|node) .*",
            r"\S+Z [A-Z]+ \[(uvicorn|httpx|httpcore)[\w.]*\] .*",
            r"INFO: +(Started|Finished) server process .*",
            r"INFO: +(Waiting for (application|connections|background)|Application (startup|shutdown)|Uvicorn running|Shutting down).*",
            r'INFO: +[\w.:\[\]]+ - "[A-Z]+ /.*" \d+.*',
            r"Successfully installed \S+ to \S*/flwr/apps/\S+",
            r"An unhandled exception occurred in (the ServerApp|a task process)\.",
            r"For more information, visit: <https://flower\.ai/docs/framework/\S*/ref-exit-codes/\S*",
        )
    )
)
FLOWER_NOISE = re.compile(  # after a level
    "|".join(
        (
            r"",
            r"Option `--insecure` was set\..*",
            r"SuperNode authentication is disabled\..*",
            r"Starting (Flower Super(Link|Node|Exec)|the SuperLink \w+ HTTP API on .*)",
            r"(FastAPI lifespan|SuperLinkLifespan): \w+",
            r"\[(Fleet|Control|Runtime|AppIo)\.\w+\] .*",
            r"ControlServicer\.\w+.*",
            r"Created run \d+ in federation .*",
            r"Start `flwr-\w+` process",
            r"(Started|Finished) task \d+ of run \d+",
            r"SuperNode ID: \d+",
            r"SuperNode terminated gracefully\.",
            r"\[RUN \d+(, ROUND .*)?\]",
            r"(Receiving|Sending): .* message \(ID: \w+\)",
            r"(Received|Sent) successfully",
            r"Connection attempt failed, retrying in [\d.]+ seconds",
            r"HTTP Request: [A-Z]+ .*",
            r"Exit Code: (201|800)",  # an exception of the app, which is printed before
        )
    )
)
THREAD = re.compile(r"Exception in thread .*:")
TRACEBACK = "Traceback (most recent call last):"
FRAME = re.compile(r'  File "([^"]*)", line \d+.*')
FRAMEWORK = re.compile(r".*/(site-packages/(flwr|httpx|httpcore|uvicorn|starlette|anyio)|panal_tools)/.*")
HEARTBEAT = re.compile(r".*/site-packages/flwr/.*heartbeat\.py")
BUNDLED = re.compile(r'"[^"]*/flwr/apps/[^/"]+/')  # where Flower unpacks an app
LONGEST = 2000  # lines of one traceback


async def filtered(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    kept = LogFilter()
    async for line in lines:
        for each in kept.feed(line):
            yield each
    for each in kept.end():
        yield each


class LogFilter:
    """`feed` returns the lines to print; it holds back a traceback until it is complete."""

    def __init__(self) -> None:
        self._traceback: list[str] = []
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
        found = _plain(text)
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
        if thread and any(HEARTBEAT.fullmatch(file) for file in _files(lines)):
            return []
        return [*([thread] if thread else []), *of_app(lines)]


def of_app(traceback: list[str]) -> list[str]:
    """The traceback without the framework's frames, if it has frames of the app."""
    if all(map(FRAMEWORK.fullmatch, _files(traceback))):
        return traceback
    kept, keeping = [], True
    for line in traceback:
        if frame := FRAME.fullmatch(line):
            keeping = not FRAMEWORK.fullmatch(frame[1])
        elif not line.startswith(" "):
            keeping = True
        if keeping:
            kept.append(BUNDLED.sub('"', line) if frame else line)
    return kept


def _files(traceback: list[str]) -> list[str]:
    return [frame[1] for line in traceback if (frame := FRAME.fullmatch(line))]


def _plain(text: str) -> list[str]:
    if found := LEVEL.fullmatch(text.rstrip()):
        level, message = found[1], found[2] or ""
        if FLOWER_NOISE.fullmatch(message.strip()):
            return []
        return [message if level == "INFO" else f"{level}: {message}"]
    return [] if NOISE.fullmatch(text) else [text]


def _encoded(lines: list[str]) -> list[bytes]:
    return [line.encode(errors="surrogateescape") for line in lines]
