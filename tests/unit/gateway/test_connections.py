"""Who gets a connection to the runtime: the clusters of the run. Everyone else is refused, and a line of the log says who and why."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from cryptography import x509

from certificates import CLIENT_AUTH, SERVER_AUTH, Authority, Pair, authority
from gateways import RUN, SERVER, Hub, Runtime, wait_for
from panal.api import names
from raw_http2 import message, opening, request_fields, talk, tls_context

REQUEST = opening() + message(request_fields(), b"x")
C1 = names.protocol(RUN, "c1")
HOUR = timedelta(hours=1)


def uri(cluster: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(names.cluster_uri(cluster))


def by_a_collaborator(trusted: Authority) -> Pair:
    """A collaborator that signs on its own for another."""
    own = trusted.collaborator("c2")
    return Authority(own.x509, own.private).collaborator("c1")


def revoked(hub: Hub) -> Pair:
    pair, before = hub.collaborators.collaborator("c1"), hub.renewals()
    hub.revoke(pair)
    wait_for("the list in force", lambda: hub.renewals() > before)
    return pair


@dataclass(frozen=True)
class Attack:
    name: str
    says: dict[str, str]  # in the log
    pair: Callable[[Hub], Pair | None] = lambda hub: hub.collaborators.collaborator("c1")
    protocols: list[str] = field(default_factory=lambda: [C1, "h2"])
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    sends: bytes = REQUEST


ATTACKS = [
    Attack("no certificate", {"chain": "c1", "reason": "PEER_DID_NOT_RETURN_A_CERTIFICATE"}, lambda _: None),
    Attack("another authority", {"chain": "c1", "reason": "unable_to_get_local_issuer"}, lambda _: authority("x").collaborator("c1")),
    Attack(
        "another authority of the same name",
        {"chain": "c1", "reason": "CERTIFICATE_VERIFY_FAILED"},
        lambda _: authority("collaborators").collaborator("c1"),
    ),
    Attack("the authority of servers", {"chain": "c1", "reason": "unable_to_get_local_issuer"}, lambda h: h.servers.collaborator("c1")),
    Attack("the aggregator's own certificate", {"chain": "c1", "reason": "VERIFY_FAILED"}, lambda h: h.servers.server(SERVER)),
    Attack("signed by a collaborator", {"chain": "c1", "reason": "VERIFY_FAILED"}, lambda h: by_a_collaborator(h.collaborators)),
    Attack("expired", {"chain": "c1", "reason": "has_expired"}, lambda h: h.collaborators.collaborator("c1", begins=-2 * HOUR, ends=-HOUR)),
    Attack(
        "not yet valid",
        {"chain": "c1", "reason": "not_yet_valid"},
        lambda h: h.collaborators.collaborator("c1", begins=HOUR, ends=2 * HOUR),
    ),
    Attack("revoked", {"chain": "c1", "reason": "revoked"}, revoked),
    Attack(
        "another cluster's",
        {"chain": "c1", "reason": "SAN_matcher", "certificate": names.cluster_uri("c2")},
        lambda h: h.collaborators.collaborator("c2"),
    ),
    Attack(
        "a cluster whose name begins so",
        {"chain": "c1", "reason": "SAN_matcher", "certificate": names.cluster_uri("c10")},
        lambda h: h.collaborators.collaborator("c10"),
    ),
    Attack(
        "the cluster's name as subject alone",
        {"chain": "c1", "reason": "SAN_matcher"},
        lambda h: h.collaborators.issue("c1", organization=names.ADDON),
    ),
    Attack(
        "the cluster's name of another kind",
        {"chain": "c1", "reason": "SAN_matcher"},
        lambda h: h.collaborators.issue("c1", x509.DNSName("c1"), x509.DNSName(names.cluster_uri("c1"))),
    ),
    Attack(
        "for servers alone",
        {"chain": "c1", "reason": "purpose"},
        lambda h: h.collaborators.issue("c1", uri("c1"), usages=[SERVER_AUTH]),
    ),
    Attack(
        "not in this run",
        {"chain": "strangers", "certificate": names.cluster_uri("c9"), "details": "rbac_access_denied"},
        lambda h: h.collaborators.collaborator("c9"),
        [names.protocol(RUN, "c9"), "h2"],
    ),
    Attack(
        "in another run",
        {"chain": "strangers", "certificate": names.cluster_uri("c1"), "details": "rbac_access_denied"},
        protocols=[names.protocol(names.run_id("team", "other", "2"), "c1"), "h2"],
    ),
    Attack(
        "no protocol offered", {"chain": "strangers", "certificate": names.cluster_uri("c1"), "details": "rbac_access_denied"}, protocols=[]
    ),
    Attack("TLS 1.2", {"chain": "c1", "reason": "UNSUPPORTED_PROTOCOL"}, newest=ssl.TLSVersion.TLSv1_2),
    Attack(
        "HTTP/1.1 in TLS",
        {"chain": "c1", "certificate": names.cluster_uri("c1"), "flags": "DPE"},
        protocols=[C1, "http/1.1"],
        sends=b"POST /v1/fleet/x HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    ),
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: a.name)
def test_an_attacker_is_refused_and_named(hub: Hub, runtime: Runtime, attack: Attack) -> None:
    runtime.reached.clear()
    before = len(hub.envoy.refusals)
    context = tls_context(attack.pair(hub), attack.protocols, newest=attack.newest)
    came = talk(hub.port, attack.sends, context)
    assert came == "closed" or came.startswith("tls: "), came
    said = hub.envoy.refusal(before, refused="connection", **attack.says)
    assert said["from"] == "127.0.0.1"
    assert len(hub.envoy.refusals) == before + 1
    assert not runtime.reached


@pytest.mark.parametrize(
    "sends", [b"POST /v1/fleet/x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", REQUEST], ids=["HTTP/1.1", "HTTP/2"]
)
def test_plain_text_is_refused(hub: Hub, runtime: Runtime, sends: bytes) -> None:
    runtime.reached.clear()
    before = len(hub.envoy.refusals)
    assert talk(hub.port, sends) == "closed"
    hub.envoy.refusal(before, refused="connection", chain="strangers", reason="SSL_routines")
    assert not runtime.reached


def test_the_clusters_of_the_run_get_through(hub: Hub, runtime: Runtime) -> None:
    """The same client, so that none of the above was refused for a fault of its own."""
    for cluster in ("c1", "c2"):
        runtime.reached.clear()
        context = tls_context(hub.collaborators.collaborator(cluster), [names.protocol(RUN, cluster), "h2"])
        assert talk(hub.port, REQUEST, context) == "200"
        assert [(path, headers[names.CLUSTER_HEADER]) for path, headers, _ in runtime.reached] == [("/v1/fleet/x", cluster)]


def test_a_certificate_for_both_usages_is_one_for_clients(hub: Hub) -> None:
    pair = hub.collaborators.issue("c1", uri("c1"), usages=[CLIENT_AUTH, SERVER_AUTH])
    assert talk(hub.port, REQUEST, tls_context(pair, [C1, "h2"])) == "200"


def test_no_session_is_resumed(hub: Hub) -> None:
    context = tls_context(hub.collaborators.collaborator("c1"), [C1, "h2"])
    assert talk(hub.port, REQUEST, context) == "200"
    assert context.session_stats()["hits"] == 0
    status, text = hub.admin("GET", "/stats?filter=session_reused")
    assert status == 200
    assert all(line.endswith(" 0") for line in text.splitlines())


def test_only_statistics_are_served_at_the_admin_socket(hub: Hub) -> None:
    for method, path in [
        ("GET", "/config_dump"),
        ("POST", "/quitquitquit"),
        ("POST", "/logging?level=trace"),
        ("GET", "/certs"),
        ("GET", "/"),
    ]:
        assert hub.admin(method, path)[0] == 403
