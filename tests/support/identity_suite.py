"""Who may speak in a run, and what becomes of a run whose certificates change: the same tests on every engine.

| what happens in the middle of a run                   | what comes of it                                                    |
|-------------------------------------------------------|---------------------------------------------------------------------|
| both authorities are replaced                         | every round of every cluster counts                                 |
| a cluster's certificate is deleted                    | the same, with a new one                                            |
| a cluster is shut out, later let in again             | it is cut off within 5 s, the others go on; its old certificate stays refused |
| others dial the aggregator, or a cluster asks for more | refused, and the gateway's log tells who and why                    |

A module of tests takes them all with `from identity_suite import *` and has a fixture `engine`. They are stories: told side by side.
cluster4 is shut out by one of them, so no other uses it.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID

from certificates import Pair, authority
from dialling import Aggregator, certified, held, protocols, request
from engine import Engine
from panal.addon.authority import fingerprint
from panal.api import names
from panal.kube import kinds
from panal.kube.times import now_utc, to_time
from raw_http2 import tls_context
from runs import Run, apply
from stories import story
from waiting import eventually

NS = "runs"
SLOW = {"env": [{"name": "STEPS_SECONDS", "value": "4"}]}
AHEAD = 3  # rounds that a run which is kept going has to do still
CUT_OFF_WITHIN = 5.0  # seconds
SOON = 60.0
AT_FLOWER = "415"  # what comes of a request that got through to Flower, which finds no protobuf in it


@contextmanager
def kept_going(run: Run) -> Iterator[None]:
    """Until the end of the block the run has rounds to do, however long that takes."""
    over = threading.Event()

    def keep() -> None:
        while not over.wait(0.5):
            rounds = run.status().get("rounds") or {}
            if rounds and rounds["total"] - rounds["completed"] < AHEAD:
                run.patch(server={"rounds": rounds["completed"] + AHEAD})

    keeper = threading.Thread(target=keep)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()


def every_round_counts(run: Run, clusters: list[str]) -> None:
    """The run ends well, and each of the clusters took part in each round, at the first try."""
    status = run.until_ended("Completed")
    rounds = status["rounds"]
    assert (rounds["failures"], rounds["completed"]) == (0, rounds["total"])
    path = str(status["model"]["uri"]).removeprefix("pvc://models/").replace("model.safetensors", "metadata.json")
    metadata = json.loads(run.engine.read(run.namespace, "models", path))
    assert metadata["clusters"] == {c: list(range(1, rounds["total"] + 1)) for c in clusters}
    assert not [e for e in run.events() if e[0] == "Warning"], run.story()


def dial_anew(run: Run, cluster: str) -> None:
    """The gateway of that collaborator is killed: the next has nothing but what is there now."""
    eventually(lambda: any(run.engine.kill(cluster, pod, "envoy") for pod in run.collaborators(cluster)), "its gateway is killed", 20)


def lets_in(run: Run) -> dict[str, str]:
    """What the aggregator's gateway is told."""
    return (run.hub.get(kinds.CONFIG_MAP, run.namespace, names.gateway(run.name)) or {}).get("data") or {}


# --- a run as it should be -------------------------------------------------------------------------------------------
@story()
def test_a_run_goes_through_both_gateways(engine: Engine) -> None:
    sites = ["cluster1", "cluster2"]
    run = apply(engine, NS, "guarded", clusters=sites, server={"rounds": 3}, client=SLOW)
    run.until_running()
    assert json.loads(lets_in(run)["participants"]) == sites
    authorities = public(engine)["ca.crt"]
    shown = Aggregator.of(run).certificate(certified(engine, "cluster1"), "cluster1", authorities)
    assert shown == x509.load_pem_x509_certificate(lets_in(run)["certificate"].encode())
    sans = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(sans) == [x509.DNSName(f"guarded.{NS}.fl.panal")]
    assert list(shown.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    every_round_counts(run, sites)
    passed = json.loads((engine.hub.get(kinds.CONFIG_MAP, NS, names.progress("guarded")) or {})["data"]["traffic"])
    assert set(passed) - {""} == set(sites), "nobody else"
    for site in sites:
        requests, refused, received, sent = passed[site]
        assert requests > 0
        assert refused == 0
        assert min(received, sent) > 1000
    run.delete()


# --- certificates that change ----------------------------------------------------------------------------------------
def public(engine: Engine) -> dict[str, str]:
    """What anyone may know of the authorities."""
    return (engine.hub.get(kinds.CONFIG_MAP, names.SYSTEM_NAMESPACE, names.AUTHORITIES) or {}).get("data") or {}


def current(engine: Engine, whose: str) -> str:
    """The fingerprint of the one that signs."""
    return next(one["fingerprint"] for one in json.loads(public(engine)[whose]) if one["role"] == "current")


def of(bundle: str, wanted: str) -> x509.Certificate:
    """The authority of that fingerprint in a bundle."""
    found = [c for c in x509.load_pem_x509_certificates(bundle.encode()) if fingerprint(pem(c)) == wanted]
    assert len(found) == 1, f"{wanted} is not in the bundle"
    return found[0]


def pem(certificate: x509.Certificate) -> str:
    return Pair(certificate, None).certificate.decode()  # type: ignore[arg-type]


@story()
def test_authorities_are_replaced_in_the_middle_of_a_run(engine: Engine) -> None:
    sites = ["cluster1", "cluster2"]
    run = apply(engine, NS, "authorities", clusters=sites, client=SLOW)
    run.until_round(1)
    aggregator, old = Aggregator.of(run), current(engine, "collaborators")
    with kept_going(run):
        replace_authorities(engine)
        servers = of(public(engine)["ca.crt"], current(engine, "servers"))
        collaborators = of(lets_in(run)["trust"], current(engine, "collaborators"))
        assert of(lets_in(run)["trust"], old), "trusted as long as anything of it is valid"
        eventually(lambda: shows(aggregator, servers), "the aggregator has a certificate of the new one", SOON)
        for site in sites:
            renew(engine, site)
            assert signed(certified(engine, site).x509, collaborators)
        reach_the_sites(engine)
        for site in sites:
            dial_anew(run, site)
        run.until_round(run.status()["rounds"]["completed"] + 2)
    every_round_counts(run, sites)
    run.delete()


def replace_authorities(engine: Engine) -> None:
    """Both, as `panal certs rotate` does; returns when the new ones sign."""
    old = {whose: current(engine, whose) for whose in ("servers", "collaborators")}
    wish = {names.ANNOTATION_ROTATE: f"{','.join(old)}@{to_time(now_utc())}"}
    engine.hub.patch(kinds.CONFIG_MAP, names.SYSTEM_NAMESPACE, names.AUTHORITIES, metadata={"annotations": wish})
    for whose, before in old.items():
        eventually(lambda w=whose, b=before: current(engine, w) != b, f"the new one of {whose} signs", SOON + engine.spread)


def renew(engine: Engine, cluster: str) -> None:
    """The cluster's certificate is deleted; returns when there is a new one."""
    old = certified(engine, cluster)
    engine.spoke(cluster).delete(kinds.SECRET, names.COLLABORATOR_NAMESPACE, names.IDENTITY_SECRET)
    new = certified(engine, cluster, old)
    assert new.x509.public_key() != old.x509.public_key()


def reach_the_sites(engine: Engine) -> None:
    """What is written now is in the Pods when this returns. No API tells."""
    time.sleep(engine.spread)


def signed(certificate: x509.Certificate, by: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, InvalidSignature):
        return False
    return True


def shows(aggregator: Aggregator, by: x509.Certificate) -> bool:
    """Whether a client of cluster1 that trusts this authority alone believes the aggregator."""
    try:
        return bool(aggregator.certificate(certified(aggregator.run.engine, "cluster1"), "cluster1", pem(by)))
    except ssl.SSLCertVerificationError:
        return False


@story()
def test_a_certificate_is_replaced_in_the_middle_of_a_run(engine: Engine) -> None:
    run = apply(engine, NS, "renewed", clusters=["cluster3"], client=SLOW)
    run.until_round(1)
    with kept_going(run):
        renew(engine, "cluster3")
        reach_the_sites(engine)
        dial_anew(run, "cluster3")
        run.until_round(run.status()["rounds"]["completed"] + 2)
    every_round_counts(run, ["cluster3"])
    run.delete()


# --- a cluster that is shut out --------------------------------------------------------------------------------------
def shut_out(engine: Engine, cluster: str, since: str | None) -> None:
    """As `panal certs revoke` and, without a time, `panal certs restore` do."""
    engine.hub.patch(kinds.MANAGED_CLUSTER_ADDON, cluster, names.ADDON, metadata={"annotations": {names.ANNOTATION_REVOKED: since}})


@story()
def test_a_cluster_is_shut_out_and_let_in_again(engine: Engine) -> None:
    run = apply(engine, NS, "revoked", clusters=["cluster3", "cluster4"], minimum=1, client=SLOW)
    run.until(lambda s: s.get("clients", {}).get("ready") == 2, "both take part")
    run.until_round(1)
    aggregator, old = Aggregator.of(run), certified(engine, "cluster4")
    context = aggregator.context(old, "cluster4")
    try:
        with kept_going(run):
            with aggregator.connection(context) as connection:
                connection.sendall(request())
                assert connection.recv(1 << 16), "it is open"
                shut_out(engine, "cluster4", to_time(now_utc()))
                began = time.monotonic()
                connection.settimeout(CUT_OFF_WITHIN)
                while connection.recv(1 << 16):
                    assert time.monotonic() - began < CUT_OFF_WITHIN, "its connection is still open"
            assert refused(aggregator.ask(context))
            assert time.monotonic() - began < CUT_OFF_WITHIN
            status = run.until(lambda s: "cluster4: its certificates were revoked" in s.get("message", ""), "the run says so", SOON)
            assert (status["collaborators"][0]["cluster"], status["collaborators"][0]["reason"]) == ("cluster4", "CertificateRevoked")
            assert json.loads(lets_in(run)["participants"]) == ["cluster3"]
            eventually(lambda: run.works() == ["cluster3"], "its work goes", SOON)
            assert ("Warning", "CertificateRevoked") in [e[:2] for e in run.events()]
            eventually(lambda: held(engine, "cluster4") is None, "its certificate goes from the cluster", SOON)
            run.until_round(run.status()["rounds"]["completed"] + 2)
            shut_out(engine, "cluster4", None)
            certified(engine, "cluster4", old)
            run.until(lambda s: came_back(s, "cluster4"), "it takes part again")
            before = aggregator.refusals()
            assert refused(aggregator.ask(context)), "the old certificate stays refused"
            aggregator.refusal(before, chain="cluster4", certificate=names.cluster_uri("cluster4"), reason="revoked")
    finally:
        shut_out(engine, "cluster4", None)
    run.until_ended("Completed")
    run.delete()


def came_back(status: dict[str, object], cluster: str) -> bool:
    """Whether a cluster has sent an update in one of the last rounds."""
    collaborators = {c["cluster"]: c for c in status.get("collaborators", [])}  # type: ignore[attr-defined]
    found = collaborators.get(cluster, {})
    return found.get("state") == "Training" and found.get("round", 0) >= status["rounds"]["completed"]  # type: ignore[index]


def refused(came: str) -> bool:
    return came == "closed" or came.startswith("tls: ")


# --- attacks ---------------------------------------------------------------------------------------------------------
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
    run = apply(engine, NS, "attacked", clusters=["cluster1"], client=SLOW)
    other = apply(engine, NS, "elsewhere", clusters=["cluster2"], client=SLOW)
    for one in (run, other):
        one.until_running()
    aggregator = Aggregator.of(run)
    scene = Scene(run, other, {c: certified(engine, c) for c in ("cluster1", "cluster2", "cluster3")})
    right = aggregator.context(scene.holds["cluster1"], "cluster1")
    with kept_going(run), kept_going(other):
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
    every_round_counts(run, ["cluster1"])
    every_round_counts(other, ["cluster2"])
    run.delete()
    other.delete()


def dial(name: str, attack: Attack, scene: Scene, aggregator: Aggregator) -> None:
    pair = scene.holds[attack.whose] if attack.whose else attack.pair(scene) if attack.pair else None
    before = aggregator.refusals()
    came = aggregator.ask(tls_context(pair, attack.offers(scene), newest=attack.newest))
    assert refused(came), f"{name}: {came}"
    aggregator.refusal(before, refused="connection", **attack.says)


# --- the site's word -------------------------------------------------------------------------------------------------
@story()
def test_the_text_of_an_exception_leaves_a_site_only_by_its_owners_word(engine: Engine) -> None:
    """cluster3's owner shares it, cluster2's has said nothing."""
    word = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": names.SITE, "namespace": names.COLLABORATOR_NAMESPACE}}
    engine.spoke("cluster3").apply(word | {"data": {"share-errors": "true"}})
    try:
        raising = {"env": [{"name": "STEPS_RAISES_ON", "value": "everywhere"}]}
        run = apply(engine, NS, "shared", clusters=["cluster2", "cluster3"], client=raising)
        run.until_ended("Failed")
    finally:
        engine.spoke("cluster3").delete(kinds.CONFIG_MAP, names.COLLABORATOR_NAMESPACE, names.SITE)
    said = {c["cluster"]: c["message"] for c in run.status()["collaborators"]}
    assert "ValueError: patient 4711 has a secret" in said["cluster3"], run.story()
    assert "ValueError" in said["cluster2"]
    assert "4711" not in said["cluster2"]
    progress = json.loads((engine.hub.get(kinds.CONFIG_MAP, NS, names.progress("shared")) or {})["data"]["progress"])
    assert "4711" not in json.dumps(progress["collaborators"]["cluster2"])
    run.delete()
