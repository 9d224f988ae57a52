"""Whoever dials a run's aggregator and is not in the run, or asks for more than a collaborator may: refused, on every engine, and the
gateway's log tells who and why.

A module of tests takes it with `from attack_suite import *` and has a fixture `engine`.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass

from certificates import Pair, authority
from dialling import Aggregator, protocols, refused, request
from engine import Engine
from panal.api import names
from raw_http2 import tls_context
from runs import AHEAD, Run, apply
from site_certificates import certified
from stories import story

NS = "runs"
LONG = {"rounds": 1 + AHEAD}
SLOW = {"env": [{"name": "STEPS_SECONDS", "value": "4"}]}
AT_FLOWER = "415"  # what comes of a request that got through to Flower, which finds no protobuf in it


@dataclass(frozen=True)
class Scene:
    """`run` has cluster1, `other` cluster2; cluster3 is in neither."""

    run: Run
    other: Run
    holds: dict[str, Pair]


@dataclass(frozen=True)
class Attack:
    """Somebody with cluster `whose`'s certificate dials the aggregator of `run`; `says` is what the log must tell."""

    says: dict[str, str]
    whose: str | None
    offers: Callable[[Scene], list[str]] = lambda scene: protocols(scene.run, "cluster1")
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    pair: Callable[[Scene], Pair] | None = None


def stranger(cluster: str) -> dict[str, str]:
    return {"chain": "strangers", "certificate": names.cluster_uri(cluster), "details": "rbac_access_denied"}


ATTACKS = {
    "a cluster that is in no run": Attack(stranger("cluster3"), "cluster3", lambda s: protocols(s.run, "cluster3")),
    "a cluster in another run, as itself": Attack(stranger("cluster2"), "cluster2", lambda s: protocols(s.run, "cluster2")),
    "a cluster in another run, by that run's protocol": Attack(stranger("cluster2"), "cluster2", lambda s: protocols(s.other, "cluster2")),
    "a cluster that says it is another": Attack(
        {"chain": "cluster1", "certificate": names.cluster_uri("cluster2"), "reason": "SAN_matcher"}, "cluster2"
    ),
    "the right cluster, without the protocol": Attack(stranger("cluster1"), "cluster1", lambda _: ["h2"]),
    "no certificate": Attack({"chain": "cluster1", "reason": "PEER_DID_NOT_RETURN_A_CERTIFICATE"}, None),
    "another authority": Attack(
        {"chain": "cluster1", "reason": "VERIFY_FAILED"}, None, pair=lambda _: authority("collaborators").collaborator("cluster1")
    ),
    "TLS 1.2": Attack({"chain": "cluster1", "reason": "UNSUPPORTED_PROTOCOL"}, "cluster1", newest=ssl.TLSVersion.TLSv1_2),
}
PLAIN = {
    "HTTP/1.1": b"POST /v1/fleet/pull-messages HTTP/1.1\r\nHost: aggregator\r\nContent-Length: 0\r\n\r\n",
    "HTTP/2": request(),
}
PATHS = {  # as it is asked for, and as the log has it
    "/v1/control/list-runs": "/v1/control/list-runs",
    "/v1/runtime/pull-app-inputs": "/v1/runtime/pull-app-inputs",
    "/v1/fleet/../control/list-runs": "/v1/control/list-runs",
    "/v1/fleet/%2e%2e/control/list-runs": "/v1/control/list-runs",
    "/v1/fleet/..%2fruntime/pull-app-inputs": "/v1/fleet/../runtime/pull-app-inputs",
    "/": "/",
}


@story()
def test_nobody_else_gets_through_and_the_log_names_everyone(engine: Engine) -> None:
    run = apply(engine, NS, "attacked", clusters=["cluster1"], server=LONG, client=SLOW)
    other = apply(engine, NS, "elsewhere", clusters=["cluster2"], server=LONG, client=SLOW)
    for one in (run, other):
        one.until_running()
    aggregator = Aggregator.of(run)
    scene = Scene(run, other, {c: certified(engine, c) for c in ("cluster1", "cluster2", "cluster3")})
    right = aggregator.context(scene.holds["cluster1"], "cluster1")
    with run.kept_going(), other.kept_going():
        assert aggregator.ask(right) == AT_FLOWER
        at_home = Aggregator.of(other)
        assert at_home.ask(at_home.context(scene.holds["cluster2"], "cluster2")) == AT_FLOWER
        for name, attack in ATTACKS.items():
            dial(name, attack, scene, aggregator)
        for name, sent in PLAIN.items():
            before = aggregator.refusals()
            assert refused(aggregator.ask(None, sent=sent)), name
            aggregator.refusal(before, refused="connection", chain="strangers", reason="SSL_routines")
        for path, told in PATHS.items():
            before = aggregator.refusals()
            assert aggregator.ask(right, path) in ("400", "404"), path
            said = aggregator.refusal(before, refused="request", chain="cluster1", certificate=names.cluster_uri("cluster1"), path=told)
            assert said["reason"] != "via_upstream", f"{path}: Flower was asked"
        assert aggregator.ask(right) == AT_FLOWER
    run.until_every_round_counted(["cluster1"])
    other.until_every_round_counted(["cluster2"])
    run.delete()
    other.delete()


def dial(name: str, attack: Attack, scene: Scene, aggregator: Aggregator) -> None:
    pair = scene.holds[attack.whose] if attack.whose else attack.pair(scene) if attack.pair else None
    before = aggregator.refusals()
    came = aggregator.ask(tls_context(pair, attack.offers(scene), newest=attack.newest))
    assert refused(came), f"{name}: {came}"
    aggregator.refusal(before, refused="connection", **attack.says)
