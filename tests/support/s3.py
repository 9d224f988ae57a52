"""A real S3 server, versitygw over a folder, and a proxy before it that refuses, delays or cuts requests."""

from __future__ import annotations

import asyncio
import io
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from panal.pod.service import connected
from panal.pod.storage_errors import Address
from processes import free_port
from waiting import eventually

ACCESS, SECRET, BUCKET = "AKIDEXAMPLE", "a-secret-of-the-test", "models"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET}
PIECE = 1 << 16
CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length"}


def program() -> Path:
    return Path(os.environ.get("KUBEBUILDER_ASSETS", ""), "versitygw")


@dataclass(frozen=True)
class Server:
    """The objects are files below `root`; the folders in it are buckets."""

    root: Path
    url: str
    authorities: str = ""  # a file

    def address(self, **other: Any) -> Address:
        given = {"bucket": BUCKET, "endpoint": self.url, "path_style": True, "secret": "models-s3", "authorities": self.authorities}
        return Address(**{**given, **other})

    def client(self, **other: Any) -> Any:
        return connected(self.address(**other), CREDENTIALS)

    def objects(self, below: str = "") -> list[str]:
        folder = self.root / BUCKET / below
        return sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file() and ".sgwtmp" not in f.parts)

    def uploads(self, below: str) -> list[str]:
        """The keys of those that are not finished."""
        return [each["Key"] for each in self.client().list_multipart_uploads(Bucket=BUCKET, Prefix=f"{below}/").get("Uploads", ())]


@contextmanager
def serving(folder: Path, *more: str, scheme: str = "http", host: str = "127.0.0.1", authorities: str = "") -> Iterator[Server]:
    """`more`: further arguments, such as those of TLS."""
    (folder / "objects" / BUCKET).mkdir(parents=True)
    port = free_port()
    words = ["--access", ACCESS, "--secret", SECRET, "--port", f"{host}:{port}", "--quiet", *more, "posix", str(folder / "objects")]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([program(), *words], stdout=log, stderr=log)
    try:
        eventually(lambda: _listens(host, port), "the S3 server listens", 20)
        yield Server(folder / "objects", f"{scheme}://{host}:{port}", authorities)
    finally:
        process.terminate()
        process.wait(20)


def _listens(host: str, port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex((host, port)) == 0


@dataclass(frozen=True)
class Fault:
    """`answer`: status and code instead of the server's. `cut`: bytes of the request's body after which the connection is closed.
    `cut_answer`: the same of the answer's. `lose`: the server does what is asked, and its answer is lost. `slow`: seconds until the request
    is sent on. `damage`: the first byte of the answer's body is another."""

    answer: tuple[int, str] | None = None
    cut: int | None = None
    cut_answer: int | None = None
    lose: bool = False
    slow: float = 0.0
    damage: bool = False


FINE = Fault()
Judge = Callable[[web.Request], Fault]


@dataclass
class Proxy:
    """`judge` chooses the fault of each request. `seen`: the requests, as method and path with its query."""

    server: Server
    judge: Judge = lambda _: FINE
    port: int = field(default_factory=free_port)
    seen: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def running(self) -> Iterator[Proxy]:
        begun, end = threading.Event(), threading.Event()

        async def run() -> None:
            async with aiohttp.ClientSession(auto_decompress=False) as self._session:
                runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=1)
                await runner.setup()
                await web.TCPSite(runner, "127.0.0.1", self.port).start()
                begun.set()
                await asyncio.to_thread(end.wait)
                await runner.cleanup()

        thread = threading.Thread(target=lambda: asyncio.run(run()))
        thread.start()
        try:
            assert begun.wait(20)
            yield self
        finally:
            end.set()
            thread.join(20)

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_route("*", "/{path:.*}", self._handle)
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(f"{request.method} {request.raw_path}")
        fault = self.judge(request)
        await asyncio.sleep(fault.slow)
        if fault.cut is not None:
            await request.content.readexactly(fault.cut)
            return self._abort(request)
        if fault.answer:
            await request.read()
            status, code = fault.answer
            body = f"<Error><Code>{code}</Code><Message>{code} for a test</Message></Error>"
            return web.Response(status=status, text="" if request.method == "HEAD" else body, content_type="application/xml")
        return await self._forward(request, fault)

    def _abort(self, request: web.Request) -> web.Response:
        assert request.transport
        request.transport.abort()
        return web.Response()

    async def _forward(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in CONNECTION}
        url = URL(f"{self.server.url}{request.raw_path}", encoded=True)
        body = await request.read()
        async with self._session.request(request.method, url, data=io.BytesIO(body) if body else None, headers=headers) as found:
            content = await found.read()
            if fault.lose:
                return self._abort(request)
            if fault.damage and content:
                content = bytes([content[0] ^ 1]) + content[1:]
            kept = {name: value for name, value in found.headers.items() if name.lower() not in CONNECTION - {"content-length"}}
            answer = web.StreamResponse(status=found.status, headers=kept)
            await answer.prepare(request)
            await answer.write(content[: fault.cut_answer])
            if fault.cut_answer is not None:
                await asyncio.sleep(0.2)  # what was written arrives
                return self._abort(request)
            await answer.write_eof()
            return answer


@dataclass
class Times:
    """The fault for the first requests that match, or for those between two numbers."""

    fault: Fault
    wanted: Callable[[web.Request], bool]
    numbers: Sequence[int] = (1,)
    count: int = 0

    def __call__(self, request: web.Request) -> Fault:
        if not self.wanted(request):
            return FINE
        self.count += 1
        return self.fault if self.count in self.numbers else FINE


def part(request: web.Request) -> bool:
    return request.method == "PUT" and "partNumber" in request.query


def completion(request: web.Request) -> bool:
    return request.method == "POST" and "uploadId" in request.query


def download(request: web.Request) -> bool:
    return request.method == "GET" and "list-type" not in request.query and "uploads" not in request.query


def anything(_: web.Request) -> bool:
    return True
