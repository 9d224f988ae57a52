"""The probe of `panal doctor --cluster`: each hop on the way to an aggregator is broken once, and the right one is named."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from certificates import Authority, Pair, authority
from panal.gateway import collaborator as gateway
from panal.pod import probe as probing
from panal.pod.probe import HOPS, OPENING, SETTINGS, Probe, run
from processes import free_port

SERVER, SNI, PROTOCOL = "digits.mnist.fl.panal", "fl.example.com", "0123456789.cluster1"
LOOPBACK = "127.0.0.1"
HOUR = timedelta(hours=1)


@dataclass
class Server:
    """An aggregator's gateway: TLS 1.3 with a certificate for `name`, for clients whose certificate `clients` has signed. It answers
    the opening of HTTP/2 with `answer`, and ends the connection if that is empty."""

    pair: Pair
    clients: Authority
    folder: Path
    answer: bytes = SETTINGS
    asked: list[tuple[str | None, str | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._socket = socket.create_server((LOOPBACK, 0))
        self.port = self._socket.getsockname()[1]
        Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        for name, content in (("key", self.pair.key), ("crt", self.pair.certificate), ("ca", self.clients.certificate)):
            (self.folder / name).write_bytes(content)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "crt", self.folder / "key")
        context.load_verify_locations(self.folder / "ca")
        context.verify_mode = ssl.CERT_REQUIRED
        context.set_alpn_protocols([PROTOCOL, "h2"])
        names: list[str | None] = []
        context.sni_callback = lambda _, name, __: names.append(name)
        try:
            with self._socket, self._socket.accept()[0] as accepted, context.wrap_socket(accepted, server_side=True) as connection:
                self.asked.append((names[-1], connection.selected_alpn_protocol()))
                if connection.recv(len(OPENING)) == OPENING:
                    connection.sendall(self.answer)
        except OSError:
            pass


class Proxy:
    """Answers the first bytes with `status`, and forwards if that is 200."""

    def __init__(self, status: str = "200 OK") -> None:
        self._socket = socket.create_server((LOOPBACK, 0))
        self.port = self._socket.getsockname()[1]
        self.status, self.asked = status, b""
        Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with self._socket, self._socket.accept()[0] as accepted:
            self.asked = accepted.recv(4096)
            accepted.sendall(f"HTTP/1.1 {self.status}\r\nProxy-Agent: x\r\n\r\n".encode())
            if self.status.startswith("200"):
                host, _, port = self.asked.split()[1].decode().rpartition(":")
                with socket.create_connection((host, int(port))) as beyond:
                    back = Thread(target=pump, args=(beyond, accepted), daemon=True)
                    back.start()
                    pump(accepted, beyond)
                    back.join()


def pump(source: socket.socket, to: socket.socket) -> None:
    try:
        while piece := source.recv(4096):
            to.sendall(piece)
        to.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@dataclass
class Site:
    """The folder of the collaborator's gateway, and the aggregator."""

    folder: Path
    servers: Authority
    collaborators: Authority
    server: Server | None = None

    def write(self, port: int, *, host: str = LOOPBACK, proxy: tuple[str, int] | None = None, pair: Pair | None = None) -> None:
        own = pair or self.collaborators.collaborator("cluster1")
        for name, content in (("tls.key", own.key), ("tls.crt", own.certificate), ("ca.crt", self.servers.certificate)):
            (self.folder / name).write_bytes(content)
        files = gateway.files(address=(host, port), server_name=SERVER, sni=SNI, protocol=PROTOCOL, proxy=proxy)
        (self.folder / "cds.json").write_text(json.dumps(files["cds.json"]))

    def start(self, folder: Path, pair: Pair | None = None, answer: bytes = SETTINGS, clients: Authority | None = None) -> Server:
        folder.mkdir()
        self.server = Server(pair or self.servers.server(SERVER), clients or self.collaborators, folder, answer)
        return self.server


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(probing, "CONNECT", 10.0)
    (tmp_path / "gateway").mkdir()
    found = Site(tmp_path / "gateway", authority("servers"), authority("collaborators"))
    yield found
    if found.server:
        found.server.close()


def tried(site: Site, data: Path | None = None, endpoint: str = "") -> dict[str, Any]:
    probe = Probe(site.folder, data, endpoint)
    try:
        return run(probe)
    finally:
        if probe.connection:
            probe.connection.close()


def test_all_hops_are_passed_and_the_handshake_is_a_collaborators(site: Site, tmp_path: Path) -> None:
    server = site.start(tmp_path / "server")
    site.write(server.port)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/train.npz").write_text("x")
    assert tried(site, tmp_path / "data") == {"passed": list(HOPS)}
    assert server.asked == [(SNI, PROTOCOL)]


def test_a_proxy_is_on_the_way_with_its_credentials(site: Site, tmp_path: Path) -> None:
    server, proxy = site.start(tmp_path / "server"), Proxy()
    site.write(server.port, proxy=("localhost", proxy.port))
    (site.folder / "proxy-authorization").write_text("Basic dXNlcjpwYXNz\n")
    assert tried(site) == {"passed": list(HOPS)}
    assert proxy.asked.startswith(f"CONNECT {LOOPBACK}:{server.port} HTTP/1.1\r\n".encode())
    assert b"\r\nProxy-Authorization: Basic dXNlcjpwYXNz\r\n" in proxy.asked


Break = Callable[[Site, Path], Path | None]


def no_data(site: Site, folder: Path) -> Path:
    return folder / "nowhere"


def empty_data(site: Site, folder: Path) -> Path:
    (folder / "data").mkdir()
    return folder / "data"


def no_certificate(site: Site, folder: Path) -> None:
    site.write(1)
    (site.folder / "tls.crt").unlink()


def no_authorities(site: Site, folder: Path) -> None:
    site.write(1)
    (site.folder / "ca.crt").unlink()


def expired(site: Site, folder: Path) -> None:
    site.write(1, pair=site.collaborators.collaborator("cluster1", begins=-2 * HOUR, ends=-HOUR))


def not_yet(site: Site, folder: Path) -> None:
    site.write(1, pair=site.collaborators.collaborator("cluster1", begins=HOUR, ends=2 * HOUR))


def closed(site: Site, folder: Path) -> None:
    site.write(free_port())


def no_proxy(site: Site, folder: Path) -> None:
    site.write(443, host="10.0.0.1", proxy=(LOOPBACK, free_port()))


def proxy_answers(status: str) -> Break:
    def broken(site: Site, folder: Path) -> None:
        site.write(443, host="10.0.0.1", proxy=(LOOPBACK, Proxy(status).port))

    return broken


def other_authority(site: Site, folder: Path) -> None:
    site.write(site.start(folder / "server", pair=authority("router").server(SERVER)).port)


def other_run(site: Site, folder: Path) -> None:
    site.write(site.start(folder / "server", pair=site.servers.server("other.mnist.fl.panal")).port)


def plain(site: Site, folder: Path) -> None:
    site.write(Proxy("404 Not Found").port)


def not_a_participant(site: Site, folder: Path) -> None:
    site.write(site.start(folder / "server", answer=b"").port)


def another_signer(site: Site, folder: Path) -> None:
    site.write(site.start(folder / "server", clients=authority("others")).port)


FAULTS: dict[str, tuple[Break, str, str]] = {
    "data is missing": (no_data, "data", "the data cannot be read: No such file or directory"),
    "data is empty": (empty_data, "data", "the data's folder is empty"),
    "no certificate": (no_certificate, "certificate", "there is no Secret fl-collaborator-fl.panal-collaborator-client-cert with"),
    "no authorities": (no_authorities, "certificate", "the ConfigMap fl-collaborator-trust is not there"),
    "expired": (expired, "certificate", "the certificate expired at"),
    "clock": (not_yet, "certificate", "and this node's clock says"),
    "closed": (closed, "TCP", "does not accept connections: Connection refused"),
    "proxy is gone": (no_proxy, "TCP", "the proxy at 127.0.0.1:"),
    "proxy forbids": (proxy_answers("403 Forbidden"), "proxy", "CONNECT 10.0.0.1:443 with HTTP/1.1 403 Forbidden. It does not allow"),
    "proxy asks": (proxy_answers("407 Proxy Authentication Required"), "proxy", "It asks for credentials"),
    "another authority": (other_authority, "TLS", "has a certificate that no authority of the hub signed"),
    "another run": (other_run, "TLS", "is other.mnist.fl.panal, not digits.mnist.fl.panal. The name in the handshake is fl.ex"),
    "no TLS": (plain, "TLS", "what answers does not speak TLS 1.3"),
    "not admitted": (not_a_participant, "authorization", f"Its gateway does not admit {PROTOCOL}"),
    "certificate refused": (another_signer, "authorization", "the aggregator refuses this cluster's certificate"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_the_hop_that_is_broken_is_named(site: Site, tmp_path: Path, fault: str) -> None:
    plant, hop, message = FAULTS[fault]
    found = tried(site, plant(site, tmp_path))
    assert (found.get("failed"), message in str(found.get("message"))) == (hop, True), found
    assert found["passed"] == list(HOPS)[: list(HOPS).index(hop)]


@pytest.mark.parametrize("proxy", [None, ("proxy.example.com", 3128)])
@pytest.mark.parametrize("host", ["10.0.0.1", "fd00::1", "hub.example.com"])
def test_what_the_gateway_was_told_is_read_back(host: str, proxy: tuple[str, int] | None) -> None:
    told = {"address": (host, 30001), "server_name": SERVER, "sni": SNI, "protocol": PROTOCOL, "proxy": proxy}
    files = gateway.files(**told)  # type: ignore[arg-type]
    assert gateway.target(json.loads(json.dumps(files["cds.json"]))) == gateway.Target(**told)  # type: ignore[arg-type]


def test_the_endpoint_of_a_bucket_is_tried(site: Site, tmp_path: Path) -> None:
    server = site.start(tmp_path / "server")
    site.write(server.port)
    with socket.create_server((LOOPBACK, 0)) as bucket:
        assert tried(site, endpoint=f"http://{LOOPBACK}:{bucket.getsockname()[1]}") == {"passed": list(HOPS)}
    found = tried(site, endpoint=f"https://{LOOPBACK}:{free_port()}")
    assert (found["failed"], "does not accept connections: Connection refused" in found["message"]) == ("data", True)
