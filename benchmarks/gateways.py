"""What the two gateways cost: the throughput of a 200 MB model through both, with mutual TLS, and of plain HTTP, in turns. The third way
is that of a site with a policy: each request is first shown whole to a site controller, which here says yes to all.

    make venv
    .venv/bin/python benchmarks/gateways.py [REPEATS]

A model travels as Flower sends it: POSTs of 5 MiB, one after the other, from a client to a server on loopback, both on aiohttp. It goes up
(a collaborator's update) and down (the aggregator's model). Reported are MB/s and, from medians, the ratio to plain: on a link of
1 Gbit/s, which the kernel's pacing of each sender stands for, and on bare loopback, which no link between clusters is as fast as. There
only the processor counts, and all of it is this machine's: both ends, both gateways and TLS twice. Hence the last column, each gateway's
seconds of processor time for a GB, which a busy machine does not falsify.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientTimeout, TCPConnector, web
from cryptography import x509

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests/support"), str(ROOT / "tests/testenv")]

from certificates import SERVER_AUTH, authority  # noqa: E402
from gateways import LOOPBACK, SITES_SECRET, Envoy, Hub, Spoke, listens, wait_for  # noqa: E402
from panal.api.names import POD_HEADER  # noqa: E402
from panal.gateway.site import SERVER_NAME, SiteController  # noqa: E402
from processes import free_port  # noqa: E402

PIECE, MODEL = 5 << 20, 200 << 20
LINK = 125_000_000  # bytes a second
SO_MAX_PACING_RATE = 47
WAYS = ("plain", "gateways", "asked")
PACED = {"description": "link", "level": socket.SOL_SOCKET, "name": SO_MAX_PACING_RATE, "int_value": LINK}
TICKS = os.sysconf("SC_CLK_TCK")


class PacedHub(Hub):
    def files(self, *clusters: str) -> dict[str, Any]:
        found = super().files(*clusters)
        found["lds.json"]["resources"][0]["socket_options"].append(PACED)
        return found


class PacedSpoke(Spoke):
    def files(self) -> dict[str, Any]:
        found = super().files()
        found["cds.json"]["resources"][0]["upstream_bind_config"]["socket_options"].append(PACED)
        return found


def serve(port: int, paced: bool) -> None:
    piece = b"m" * PIECE

    async def answer(request: web.Request) -> web.Response:
        body = await request.read()
        return web.Response(body=b"" if len(body) > 1 else piece)

    app = web.Application(client_max_size=2 * PIECE)
    app.router.add_post("/v1/fleet/{name}", answer)
    listener = socket.create_server((LOOPBACK, port))
    if paced:
        listener.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, LINK)
    web.run_app(app, sock=listener, print=None)


def serve_site(port: int, certificate: str) -> None:
    async def allow(request: web.Request) -> web.Response:
        await request.read()
        return web.Response()

    app = web.Application(client_max_size=2 * PIECE)
    app.router.add_post("/{path:.*}", allow)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    web.run_app(app, host=LOOPBACK, port=port, ssl_context=context, print=None)


def paced_socket(address: Any) -> socket.socket:
    made = socket.socket(address[0], address[1], address[2])
    made.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, LINK)
    made.setblocking(False)
    return made


async def transfer(url: str, body: bytes, paced: bool) -> float:
    """MB/s of one model: `body` is a piece (up) or one byte (down)."""
    connector = TCPConnector(socket_factory=paced_socket if paced else None)
    async with ClientSession(connector=connector, timeout=ClientTimeout(total=300)) as session:
        began = time.perf_counter()
        for _ in range(MODEL // PIECE):
            async with session.post(f"{url}/v1/fleet/x", data=body, headers={POD_HEADER: SITES_SECRET}) as response:
                got = await response.read()
                assert response.status == 200, response.status
                assert PIECE in (len(got), len(body))
        return MODEL / 1e6 / (time.perf_counter() - began)


@contextmanager
def server(paced: bool) -> Iterator[int]:
    with serving("serve", str(int(paced))) as port:
        yield port


@contextmanager
def site_controller(folder: Path) -> Iterator[SiteController]:
    folder.mkdir()
    signer = authority("site")
    pair = signer.issue("site", x509.DNSName(SERVER_NAME), usages=[SERVER_AUTH])
    for name, content in (("ca.crt", signer.certificate), ("token", b"token"), ("pair.pem", pair.key + pair.certificate)):
        (folder / name).write_bytes(content)
    with serving("site", str(folder / "pair.pem")) as port:
        yield SiteController(LOOPBACK, port, str(folder), bodies=True)


@contextmanager
def serving(what: str, argument: str) -> Iterator[int]:
    port = free_port()
    process = subprocess.Popen([sys.executable, __file__, what, str(port), argument])
    try:
        wait_for("the server", lambda: listens(port))
        yield port
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def running(gateway: Envoy) -> Iterator[Envoy]:
    try:
        yield gateway
    finally:
        gateway.stop()


def processor_seconds(gateway: Envoy) -> float:
    assert gateway.process
    fields = Path(f"/proc/{gateway.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measure(link: bool, repeats: int) -> None:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        plain, behind = stack.enter_context(server(paced=link)), stack.enter_context(server(paced=False))
        hub = (PacedHub if link else Hub)(Path(folder) / "hub", behind, largest_request=2 * PIECE)
        stack.enter_context(running(hub.envoy))
        hub.start("c1")
        pair = hub.collaborators.collaborator("c1")
        site = stack.enter_context(site_controller(Path(folder) / "site"))
        kind = PacedSpoke if link else Spoke
        spoke, asked = (
            kind(Path(folder) / n, (LOOPBACK, hub.port), pair, (hub.servers,), site=s) for n, s in (("spoke", None), ("asked", site))
        )
        for each in (spoke, asked):
            stack.enter_context(running(each.envoy))
            each.start()
        urls = {"plain": f"http://{LOOPBACK}:{plain}", "gateways": spoke.url, "asked": asked.url}
        for direction, body in (("up", b"m" * PIECE), ("down", b"m")):
            found: dict[str, list[float]] = {way: [] for way in WAYS}
            gateways = (hub, spoke, asked)
            before = [processor_seconds(gateway.envoy) for gateway in gateways]
            for _ in range(repeats + 1):  # the first warms up
                for way in WAYS:
                    found[way].append(asyncio.run(transfer(urls[way], body, paced=link and way == "plain")))
            used = [processor_seconds(gateway.envoy) - was for gateway, was in zip(gateways, before)]
            used[0] /= 2  # the hub's has had both ways
            report(link, direction, found, [seconds / (MODEL / 1e9 * (repeats + 1)) for seconds in used])


def report(link: bool, direction: str, found: dict[str, list[float]], used: list[float]) -> None:
    plain, gateways, asked = (statistics.median(found[way][1:]) for way in WAYS)
    print(
        f"{'1 Gbit/s' if link else 'loopback'} {direction:4}: plain {plain:4.0f} MB/s, gateways {gateways:4.0f} MB/s, "
        f"ratio {gateways / plain:.2f}; {used[0]:.2f} s a GB on the hub, {used[1]:.2f} at the site; "
        f"each request shown: {asked:4.0f} MB/s, {asked / gateways:.2f} of that, {used[2]:.2f} s a GB at the site",
        flush=True,
    )


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for link in (True, False):
        measure(link, repeats)


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(int(sys.argv[2]), bool(int(sys.argv[3])))
    elif sys.argv[1:2] == ["site"]:
        serve_site(int(sys.argv[2]), sys.argv[3])
    else:
        main()
