"""At a site with a policy: nothing of a request leaves before the site controller has said yes to exactly this request."""

from __future__ import annotations

import json
import ssl
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509

from certificates import SERVER_AUTH, Authority, Pair, authority
from gateways import LOOPBACK, POD_UID, RUN, SITES_SECRET, Background, Hub, Runtime, Spoke, post, wait_for
from panal.api import names
from panal.gateway import collaborator as gateway
from panal.gateway import envoy
from panal.gateway.site import LARGEST, SERVER_NAME, SiteController, address, cluster
from panal.pod import collaborator
from processes import free_port

TOKEN = "a-token-of-the-site"
TARGET = '{"address":["10.0.0.1",30123],"server_name":"digits.ns.fl.panal","sni":"digits.ns.fl.panal","protocol":"ab.c1","proxy":null}'
MIB = 1 << 20


@dataclass
class Controller:
    """A stand-in for the site controller: HTTPS, remembers each question, and answers what it is told to."""

    background: Background
    folder: Path
    authority: Authority = field(default_factory=lambda: authority("site"))
    name: str = SERVER_NAME
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    answer: tuple[int, str] = (200, "")
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    port: int = field(default_factory=free_port)

    def start(self, signer: Authority | None = None) -> None:
        """The folder is as the volume `site` of the Pod."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / "token").write_text(TOKEN)
        (self.folder / "ca.crt").write_bytes(self.authority.certificate)
        (self.folder / "address").write_text(f"{LOOPBACK}:{self.port}")
        pair = (signer or self.authority).issue("x", x509.DNSName(self.name), usages=[SERVER_AUTH])
        self.runner = self.background.run(self._start(self._context(pair)))

    def _context(self, pair: Pair) -> ssl.SSLContext:
        file = self.folder.with_name("controller.pem")
        file.write_bytes(pair.key + pair.certificate)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.maximum_version = self.newest
        context.load_cert_chain(file)
        return context

    async def _start(self, context: ssl.SSLContext) -> web.AppRunner:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._decide)
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, LOOPBACK, self.port, ssl_context=context).start()
        return runner

    async def _decide(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.asked.append((request.method, request.raw_path, {k.lower(): v for k, v in request.headers.items()}, body))
        status, text = self.answer
        return web.Response(status=status, text=text)

    def stop(self) -> None:
        self.background.run(self.runner.cleanup())

    def client(self, *, bodies: bool = True) -> SiteController:
        return SiteController(LOOPBACK, self.port, str(self.folder), "", bodies)


@pytest.fixture
def controller(background: Background, tmp_path: Path) -> Iterator[Controller]:
    found = Controller(background, tmp_path / "site")
    found.start()
    yield found
    found.stop()


def test_an_allowed_request_is_shown_first_and_then_leaves_whole(
    hub: Hub, runtime: Runtime, spoke: Callable[..., Spoke], controller: Controller
) -> None:
    one = spoke(hub, "c1", site=controller.client())
    runtime.reached.clear()
    body = bytes(range(256)) * (4 * MIB // 256)
    found = post(one.port, "/v1/fleet/x", body=body, content_type="application/protobuf")
    assert (found.status, found.body) == (200, b"c1")
    [(method, path, headers, shown)] = controller.asked
    assert (method, path, shown == body) == ("POST", "/v1/check/v1/fleet/x", True)
    assert (headers["authorization"], headers["x-panal-pod-uid"]) == (f"Bearer {TOKEN}", POD_UID)
    assert (headers["content-type"], headers["content-length"]) == ("application/protobuf", str(len(body)))
    assert "x-panal-pod" not in headers
    assert SITES_SECRET not in headers.values()
    [(path, headers, sent)] = runtime.reached
    assert (path, sent == body) == ("/v1/fleet/x", True)
    assert "x-panal-pod-uid" not in headers
    assert TOKEN not in str(headers)


def test_what_nobody_reads_does_not_leave(hub: Hub, runtime: Runtime, spoke: Callable[..., Spoke], controller: Controller) -> None:
    """A query, another host, and headers other than a SuperNode's."""
    one = spoke(hub, "c1", site=controller.client())
    runtime.reached.clear()
    more = {
        "x-data": "secret",
        "user-agent": "secret",
        "cookie": "secret",
        "x-panal-instance": "secret" * 70,
        "x-forwarded-proto": "secret",
    }
    connection = HTTPConnection(LOOPBACK, one.port)
    secret = (one.pod / names.POD_SECRET).read_text().strip()
    proof = {"flwr-public-key": "k" * 300, "flwr-signature": "s" * 140, "flwr-timestamp": "2026-03-01T12:00:00"}
    headers = {names.POD_HEADER: secret, "host": "secret", "content-type": "application/protobuf", "accept": "*/*", **proof}
    connection.request("POST", "/v1/fleet/x?secret", body=b"body", headers=headers | more)
    assert connection.getresponse().status == 200
    connection.close()
    [(path, headers, sent)] = runtime.reached
    assert (path, sent, headers["content-type"], headers["accept"]) == ("/v1/fleet/x", b"body", "application/protobuf", "*/*")
    assert proof.items() <= headers.items()
    assert "secret" not in str(headers).replace(names.POD_HEADER, "")
    assert "secret" not in str([(path, headers) for _, path, headers, _ in controller.asked])


def test_a_body_of_five_mebibytes_arrives_whole(
    spoke: Callable[..., Spoke], controller: Controller, tmp_path: Path, runtime: Runtime
) -> None:
    hub = Hub(tmp_path / "hub", runtime.port, largest_request=32 * MIB)
    try:
        hub.start("c1")
        one = spoke(hub, "c1", site=controller.client())
        body = bytes(range(256)) * (5 * MIB // 256)
        runtime.reached.clear()
        assert post(one.port, body=body).status == 200
        assert [shown == body for *_, shown in controller.asked] == [True]
        assert [sent == body for *_, sent in runtime.reached] == [True]
        assert post(one.port, body=bytes(LARGEST)).status == 200
        controller.asked.clear()
        runtime.reached.clear()
        assert post(one.port, body=bytes(LARGEST + 1)).status == 413
        assert not controller.asked
        assert not runtime.reached
    finally:
        hub.envoy.stop()


@pytest.mark.parametrize(
    ("status", "text", "told"),
    [
        (503, "ImageNotAllowed", (503, b"ImageNotAllowed")),
        (500, "", (503, b"")),
        (403, "Refused", (403, b"Refused")),
        (429, "RoundsExhausted", (429, b"RoundsExhausted")),
        (204, "", (204, b"")),
    ],
)
def test_a_refusal_reaches_the_runtime_with_its_code(
    hub: Hub, runtime: Runtime, spoke: Callable[..., Spoke], controller: Controller, status: int, text: str, told: tuple[int, bytes]
) -> None:
    one = spoke(hub, "c1", site=controller.client())
    controller.answer = (status, text)
    runtime.reached.clear()
    found = post(one.port)
    assert (found.status, found.body) == told
    assert not runtime.reached
    if status >= 400:
        assert one.envoy.refusal(status=str(told[0]))["details"].startswith("ext_authz")
    controller.answer = (200, "")
    assert post(one.port).status == 200


def test_grpc_learns_it_as_unavailable(hub: Hub, spoke: Callable[..., Spoke], controller: Controller) -> None:
    one = spoke(hub, "c1", site=controller.client(bodies=False))
    controller.answer = (503, "SiteSuspended")
    connection = HTTPConnection(LOOPBACK, one.port, timeout=20)
    connection.request("POST", "/a.Service/Call", b"x", {names.POD_HEADER: SITES_SECRET, "content-type": "application/grpc"})
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("grpc-status"), answer.getheader("grpc-message")) == (200, "14", "SiteSuspended")
    connection.close()


def test_without_an_answer_nothing_leaves(hub: Hub, runtime: Runtime, spoke: Callable[..., Spoke], controller: Controller) -> None:
    one = spoke(hub, "c1", site=controller.client())
    assert post(one.port).status == 200
    controller.stop()
    runtime.reached.clear()
    assert post(one.port).status == 503
    assert not runtime.reached
    controller.start()
    wait_for("the site controller", lambda: post(one.port).status == 200)


@pytest.mark.parametrize(
    "impostor",
    [
        {"signer": "another authority"},
        {"name": "panal-site.other.svc"},
        {"name": "other.panal-site.svc"},
        {"newest": ssl.TLSVersion.TLSv1_2},
    ],
    ids=lambda it: "-".join(map(str, it.values())),
)
def test_nobody_else_decides(
    hub: Hub, runtime: Runtime, spoke: Callable[..., Spoke], background: Background, tmp_path: Path, impostor: dict[str, Any]
) -> None:
    signer = authority("site") if impostor.get("signer") else None
    found = Controller(background, tmp_path / "site", **{k: v for k, v in impostor.items() if k != "signer"})
    found.start(signer)
    try:
        one = spoke(hub, "c1", site=found.client())
        runtime.reached.clear()
        assert post(one.port).status == 503
        assert not found.asked
        assert not runtime.reached
    finally:
        found.stop()


class ForgingSpoke(Spoke):
    """Whose hub names another site controller in the file that it writes, and one that the gateway would have to trust."""

    forged: SiteController

    def files(self) -> dict[str, Any]:
        found = super().files()
        found["cds.json"]["resources"].append(envoy.typed("config.cluster.v3.Cluster", **cluster(self.forged)))
        return found


def test_the_hub_cannot_replace_the_site_controller(
    hub: Hub, runtime: Runtime, background: Background, tmp_path: Path, controller: Controller
) -> None:
    other = Controller(background, tmp_path / "other")
    other.start()
    pair, protocol = hub.collaborators.collaborator("c1"), names.protocol(RUN, "c1")
    one = ForgingSpoke(tmp_path / "spoke", (LOOPBACK, hub.port), pair, (hub.servers,), protocol, site=controller.client())
    one.forged = other.client()
    controller.answer = (503, "Refused")
    runtime.reached.clear()
    try:
        one.start()
        assert (post(one.port).status, post(one.port).body) == (503, b"Refused")
        controller.answer = (200, "")
        wait_for("the aggregator", lambda: post(one.port).status == 200)  # so the file is in effect
        assert not other.asked
    finally:
        one.envoy.stop()
        other.stop()


def test_what_does_not_know_the_pods_secret_is_not_shown(hub: Hub, spoke: Callable[..., Spoke], controller: Controller) -> None:
    one = spoke(hub, "c1", site=controller.client())
    assert post(one.port, x_panal_pod="").status == 401
    assert not controller.asked


def test_a_process_of_the_pod_cannot_speak_for_another(hub: Hub, spoke: Callable[..., Spoke], controller: Controller) -> None:
    one = spoke(hub, "c1", site=controller.client())
    assert post(one.port, authorization="Bearer forged", x_panal_pod_uid="another", x_envoy_original_path="/other").status == 200
    [(_, path, headers, _)] = controller.asked
    assert (path, headers["authorization"], headers["x-panal-pod-uid"]) == ("/v1/check/v1/fleet/x", f"Bearer {TOKEN}", POD_UID)


def test_a_new_token_counts_at_once(hub: Hub, spoke: Callable[..., Spoke], controller: Controller) -> None:
    one = spoke(hub, "c1", site=controller.client())
    assert post(one.port).status == 200
    (controller.folder / "token").write_text("renewed\n")
    assert post(one.port).status == 200
    (controller.folder / "token").unlink()
    assert post(one.port, authorization="Bearer forged").status == 200
    assert [headers["authorization"] for _, _, headers, _ in controller.asked] == [f"Bearer {TOKEN}", "Bearer renewed", "Bearer"]


def test_streams_are_asked_about_before_their_body(hub: Hub, runtime: Runtime, spoke: Callable[..., Spoke], controller: Controller) -> None:
    """Of runtimes whose requests do not declare their length: a body may have no end."""
    one = spoke(hub, "c1", site=controller.client(bodies=False))
    runtime.reached.clear()
    assert post(one.port, body=b"x" * 1000).status == 200
    [(_, _, headers, shown)] = controller.asked
    assert (shown, headers["x-panal-pod-uid"]) == (b"", POD_UID)
    assert [len(sent) for *_, sent in runtime.reached] == [1000]
    connection = HTTPConnection(LOOPBACK, one.port, timeout=20)
    connection.putrequest("POST", "/v1/fleet/x")
    connection.putheader(names.POD_HEADER, SITES_SECRET)
    connection.putheader("transfer-encoding", "chunked")
    connection.endheaders()
    connection.send(b"1\r\nx\r\n")  # and no end yet
    wait_for("the question", lambda: len(controller.asked) == 2)
    connection.close()


def test_no_log_has_the_token(hub: Hub, spoke: Callable[..., Spoke], controller: Controller) -> None:
    one = spoke(hub, "c1", site=controller.client())
    controller.answer = (503, "Refused")
    post(one.port)
    one.envoy.refusal(status="503")
    assert TOKEN not in one.envoy.said
    assert "deprecated" not in one.envoy.said.lower()


# --- what the init container writes -----------------------------------------------------------------------------
@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The Pod's folder, as the user's container mounts it."""
    found = tmp_path / "pod"
    found.mkdir()
    monkeypatch.setenv("PANAL_POD_DIR", str(found))
    monkeypatch.setenv("PANAL_LOOPBACK", LOOPBACK)
    monkeypatch.setenv("PANAL_SITE_POLICY", "Required")
    monkeypatch.setenv("PANAL_SITE_TARGET", TARGET)
    monkeypatch.setattr(sys, "argv", ["collaborator", str(tmp_path / "tools")])
    return found


def test_the_token_is_in_no_file_that_the_users_container_mounts(
    pod: Path, tmp_path: Path, controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PANAL_SITE_BODIES", "Whole")
    collaborator.main()
    files = [each for folder in (pod, tmp_path / "tools") for each in folder.rglob("*") if each.is_file()]
    assert {names.POD_GATEWAY, names.POD_SECRET} < {each.name for each in files}
    assert not [each for each in files if TOKEN.encode() in each.read_bytes()]
    assert stat.S_IMODE((pod / names.POD_GATEWAY).stat().st_mode) == 0o440
    text = (pod / names.POD_GATEWAY).read_text()
    assert f"{controller.folder}/token" in text
    assert "with_request_body" in text


def test_bodies_are_not_shown_unless_the_runtime_says_so(pod: Path, controller: Controller) -> None:
    collaborator.main()
    text = (pod / names.POD_GATEWAY).read_text()
    assert "ext_authz" in text
    assert "with_request_body" not in text


@pytest.mark.parametrize("told", [None, "", "panal-site.panal-site.svc:8443", "10.0.0.1", "10.0.0.1:0", "10.0.0.1:70000", "[::1:8443"])
def test_a_pod_that_cannot_ask_does_not_start(pod: Path, tmp_path: Path, told: str | None) -> None:
    if told is not None:
        (tmp_path / "site").mkdir()
        (tmp_path / "site/address").write_text(told)
    with pytest.raises(SystemExit, match="does not say where the site controller is"):
        collaborator.main()
    assert not (pod / names.POD_GATEWAY).exists()


def test_where_the_aggregator_is_comes_from_the_pod(pod: Path, controller: Controller) -> None:
    """Not from a file that the hub can change later."""
    collaborator.main()
    found = gateway.target(json.loads((pod / "cds.json").read_text()))
    assert (found.address, found.protocol, found.proxy) == (("10.0.0.1", 30123), "ab.c1", None)
    keys = str(pod.with_name("gateway"))
    for name, files in (("identity.json", ("tls.crt", "tls.key")), ("trust.json", ("ca.crt",))):
        assert all(f"{keys}/{file}" in (pod / name).read_text() for file in files)


@pytest.mark.parametrize(
    "told",
    [
        "",
        "{}",
        TARGET.replace("30123", "0"),
        TARGET.replace("ab.c1", "ab c1"),
        TARGET.replace("10.0.0.1", "10.0.0.1/32"),
        TARGET.replace(":null", ":[1]"),
    ],
)
def test_a_pod_that_does_not_say_where_the_aggregator_is_does_not_start(
    pod: Path, controller: Controller, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    monkeypatch.setenv("PANAL_SITE_TARGET", told)
    with pytest.raises(SystemExit, match="does not say where the aggregator is"):
        collaborator.main()
    assert not (pod / names.POD_GATEWAY).exists()


def test_without_a_policy_nothing_is_asked(pod: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PANAL_SITE_POLICY")
    collaborator.main()
    assert "site" not in json.loads((pod / names.POD_GATEWAY).read_text())["static_resources"]["clusters"][-1]["name"]
    assert "ext_authz" not in (pod / names.POD_GATEWAY).read_text()


@pytest.mark.parametrize(("text", "expected"), [("10.0.0.1:8443\n", ("10.0.0.1", 8443)), ("[fd00::1]:8443", ("fd00::1", 8443))])
def test_an_address(text: str, expected: tuple[str, int]) -> None:
    assert address(text) == expected
