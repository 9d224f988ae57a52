"""Chromium without a window, driven through its DevTools protocol: what a page shows, and what it does that it must not.

Chromium is a Debian package (`apt install chromium`). Nothing is downloaded. Everything that a page logs, throws or requests is kept:
`Tab.complaints` must stay empty, and `Tab.origins` must have the dashboard's origin alone.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
WIDE, PHONE = (1280, 900), (360, 740)
PATIENCE = 15.0  # seconds


def program() -> str:
    """Skips the test on a machine without Chromium; where CI is set, that fails."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium: install it with `apt install chromium`")
    return found


class Tab:
    """One page. `evaluate` runs an expression in a world of its own, so that the page's policy is not in its way."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, session: str) -> None:
        self._socket, self._session = socket, session
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future] = {}
        self.complaints: list[str] = []
        self.addresses: list[str] = []
        self._loaded = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @property
    def origins(self) -> set[str]:
        return {
            f"{parts.scheme}://{parts.netloc}"
            for each in self.addresses
            if (parts := urlsplit(each)).scheme in ("http", "https", "ws", "wss")
        }

    async def _read(self) -> None:
        async for message in self._socket:
            found = json.loads(message.data)
            if (answer := self._answers.pop(found.get("id"), None)) is not None:
                if not answer.done():
                    answer.set_result(found)
            else:
                self._hear(found.get("method", ""), found.get("params", {}))

    def _hear(self, method: str, said: dict) -> None:
        if method == "Runtime.exceptionThrown":
            self.complaints.append(str(said["exceptionDetails"].get("exception", said["exceptionDetails"]).get("description", said)))
        elif method == "Runtime.consoleAPICalled" and said["type"] in ("error", "warning", "assert"):
            self.complaints.append(" ".join(str(each.get("value", each.get("description"))) for each in said["args"]))
        elif method == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{said['entry']['text']} {said['entry'].get('url', '')}")
        elif method == "Network.requestWillBeSent":
            self.addresses.append(said["request"]["url"])
        elif method == "Page.javascriptDialogOpening":
            self.complaints.append(f"a dialog: {said['message']}")
        elif method == "Page.loadEventFired":
            self._loaded.set()

    async def send(self, method: str, **params: object) -> dict:
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params, "sessionId": self._session})
        found = await asyncio.wait_for(answer, PATIENCE)
        assert "error" not in found, f"{method}: {found['error']}"
        return found["result"]

    async def start(self) -> None:
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.send(f"{domain}.enable")

    async def stop(self) -> None:
        """Nobody reads any more, so that the connection can be closed."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def open(self, address: str) -> float:
        """Returns the milliseconds until the first contentful paint."""
        self._loaded.clear()
        await self.send("Page.navigate", url=address)
        await asyncio.wait_for(self._loaded.wait(), PATIENCE)
        paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1"
        await self.until(f"({paint}) >= 0", "the page is painted")
        return float(await self.evaluate(paint))

    async def evaluate(self, expression: str) -> object:
        found = await self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    async def until(self, expression: str, what: str, seconds: float = PATIENCE) -> float:
        """Waits until the expression holds; returns the seconds that it took."""
        began = time.monotonic()
        while True:
            with contextlib.suppress(AssertionError):  # between two pages there is nothing to ask
                if await self.evaluate(expression):
                    return time.monotonic() - began
            assert time.monotonic() - began < seconds, f"it does not happen that {what}; the page says: {await self.text()}"
            await asyncio.sleep(0.01)

    async def text(self) -> str:
        return str(await self.evaluate("document.body.innerText"))

    async def click(self, selector: str) -> None:
        assert await self.evaluate(f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e?.click(); return !!e }})()"), (
            selector
        )

    async def press(self, key: str, text: str = "") -> None:
        await self.send("Input.dispatchKeyEvent", type="keyDown", key=key, **({"text": text} if text else {}))
        await self.send("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def write(self, text: str) -> None:
        await self.send("Input.insertText", text=text)

    async def look(self, size: tuple[int, int] = WIDE, dark: bool = False) -> None:
        width, height = size
        await self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=size == PHONE)
        scheme = "dark" if dark else "light"
        await self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    async def picture(self, file: Path, whole: bool = False) -> None:
        shot = await self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(shot["data"]))

    async def overflows(self) -> bool:
        """Whether the page is wider than the window."""
        return bool(await self.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


@asynccontextmanager
async def browser() -> AsyncIterator[Tab]:
    """A new Chromium with one empty page."""
    command = program()
    with tempfile.TemporaryDirectory(prefix="panal-browser-", ignore_cleanup_errors=True) as folder:
        words = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--no-first-run",
        ]
        words += [
            "--disable-component-update",
            "--disable-extensions",
            "--remote-debugging-port=0",
            f"--user-data-dir={folder}",
            "about:blank",
        ]
        process = await asyncio.create_subprocess_exec(
            command, *words, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, env={**os.environ, "HOME": folder}
        )
        try:
            async with aiohttp.ClientSession() as http, http.ws_connect(await _address(Path(folder), process), max_msg_size=0) as socket:
                tab = Tab(socket, await _session(socket))
                try:
                    await tab.start()
                    yield tab
                finally:
                    await tab.stop()
        finally:
            if process.returncode is None:
                process.terminate()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), 10)
            if process.returncode is None:
                process.kill()
                await process.wait()


async def _address(folder: Path, process: asyncio.subprocess.Process) -> str:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        assert process.returncode is None, f"Chromium ended with {process.returncode}"
        with contextlib.suppress(OSError, ValueError):
            port, path = (folder / "DevToolsActivePort").read_text().split()
            return f"ws://127.0.0.1:{port}{path}"
        await asyncio.sleep(0.05)
    raise AssertionError("Chromium does not start")


async def _session(socket: aiohttp.ClientWebSocketResponse) -> str:
    """Of the first page."""

    async def ask(number: int, method: str, **params: object) -> dict:
        await socket.send_json({"id": number, "method": method, "params": params})
        while (found := json.loads((await socket.receive()).data)).get("id") != number:
            pass
        return found["result"]

    pages = [each for each in (await ask(1, "Target.getTargets"))["targetInfos"] if each["type"] == "page"]
    return (await ask(2, "Target.attachToTarget", targetId=pages[0]["targetId"], flatten=True))["sessionId"]
