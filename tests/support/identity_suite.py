"""Identity in a run, and changes of certificates during a run: the same tests on every engine.

| during a run                             | expected                                                                                 |
|------------------------------------------|------------------------------------------------------------------------------------------|
| both authorities are rotated             | every reply of every cluster counts, over new connections too                            |
| a cluster's certificate is deleted       | the same, with a new certificate                                                         |
| a cluster is revoked, and later restored | it is disconnected within 5 s, the others continue; its old certificate stays refused    |

A test module imports all of them with `from identity_suite import *` and has a fixture `engine`. Attacks are in `attack_suite`. The tests
are stories, which run concurrently: one of them revokes cluster4, so no other uses it.
"""

from __future__ import annotations

import json
import ssl
import time

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from dialling import Aggregator, refused, request, until_closed
from engine import Engine
from panal.api import names
from panal.kube import kinds
from runs import AHEAD, Run, Status, apply
from site_certificates import (
    certified,
    current,
    held,
    of,
    pem,
    public,
    reach_the_sites,
    renew,
    replace_authorities,
    restore,
    revoke,
    signed,
)
from stories import story
from waiting import eventually

NS = "runs"
LONG = {"rounds": 1 + AHEAD}
STEP = 4  # seconds of training in each round
SLOW = {"env": [{"name": "STEPS_SECONDS", "value": str(STEP)}]}
DISCONNECTED_WITHIN = 5.0  # seconds
SOON = 60.0


def reconnect(run: Run, clusters: list[str]) -> None:
    """Kills the gateways of these collaborators, so that the next ones start with the current files.

    Does so during training, when no message is in transit: Flower does not recover from the loss of a response.
    """
    run.next_rounds(1)
    time.sleep(STEP / 2)
    for cluster in clusters:
        (pod,) = run.collaborators(cluster)
        assert run.engine.kill(cluster, pod, "envoy"), f"{cluster}: no gateway is running"


def gateway_data(run: Run) -> dict[str, str]:
    """The data of the aggregator's gateway: participants, trust bundle and certificate."""
    return (run.hub.get(kinds.CONFIG_MAP, run.namespace, names.gateway(run.name)) or {}).get("data") or {}


# --- without changes -------------------------------------------------------------------------------------------------
@story()
def test_a_run_goes_through_both_gateways(engine: Engine) -> None:
    sites = ["cluster1", "cluster2"]
    run = apply(engine, NS, "guarded", clusters=sites, server={"rounds": 3}, client=SLOW)
    run.until_running()
    assert json.loads(gateway_data(run)["participants"]) == sites
    authorities = public(engine)["ca.crt"]
    presented = Aggregator.of(run).certificate(certified(engine, "cluster1"), "cluster1", authorities)
    assert presented == x509.load_pem_x509_certificate(gateway_data(run)["certificate"].encode())
    sans = presented.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(sans) == [x509.DNSName(f"guarded.{NS}.fl.panal")]
    assert list(presented.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    run.until_every_round_counted(sites)
    passed = json.loads((engine.hub.get(kinds.CONFIG_MAP, NS, names.progress("guarded")) or {})["data"]["traffic"])
    assert set(passed) - {""} == set(sites), "no other cluster"
    for site in sites:
        requests, refused, received, sent = passed[site]
        assert requests > 0
        assert refused == 0
        assert min(received, sent) > 1000
    run.delete()


# --- certificates that change ----------------------------------------------------------------------------------------
@story()
def test_authorities_are_rotated_during_a_run(engine: Engine) -> None:
    sites = ["cluster1", "cluster2"]
    run = apply(engine, NS, "authorities", clusters=sites, server=LONG, client=SLOW)
    run.until_round(1)
    aggregator, old = Aggregator.of(run), current(engine, "collaborators")
    with run.kept_going():
        replace_authorities(engine)
        servers = of(public(engine)["ca.crt"], current(engine, "servers"))
        collaborators = of(gateway_data(run)["trust"], current(engine, "collaborators"))
        assert of(gateway_data(run)["trust"], old), "trusted while a certificate of it is valid"
        eventually(lambda: shows(aggregator, servers), "the aggregator has a certificate of the new signer", SOON)
        for site in sites:
            renew(engine, site)
            assert signed(certified(engine, site).x509, collaborators)
        reach_the_sites(engine)
        reconnect(run, sites)
        run.next_rounds(2)
    run.until_every_round_counted(sites)
    run.delete()


def shows(aggregator: Aggregator, by: x509.Certificate) -> bool:
    """Whether a client of cluster1 that trusts only this authority accepts the aggregator's certificate."""
    try:
        return bool(aggregator.certificate(certified(aggregator.run.engine, "cluster1"), "cluster1", pem(by)))
    except ssl.SSLCertVerificationError:
        return False


@story()
def test_a_certificate_is_replaced_during_a_run(engine: Engine) -> None:
    run = apply(engine, NS, "renewed", clusters=["cluster3"], server=LONG, client=SLOW)
    run.until_round(1)
    with run.kept_going():
        renew(engine, "cluster3")
        reach_the_sites(engine)
        reconnect(run, ["cluster3"])
        run.next_rounds(2)
    run.until_every_round_counted(["cluster3"])
    run.delete()


# --- revocation ------------------------------------------------------------------------------------------------------
@story()
def test_a_cluster_is_revoked_and_restored(engine: Engine) -> None:
    run = apply(engine, NS, "revoked", clusters=["cluster3", "cluster4"], minimum=1, server=LONG, client=SLOW)
    run.until(lambda s: s.get("clients", {}).get("ready") == 2, "both take part")
    run.until_round(1)
    aggregator, old = Aggregator.of(run), certified(engine, "cluster4")
    context = aggregator.context(old, "cluster4")
    try:
        with run.kept_going():
            with aggregator.connection(context) as connection:
                connection.sendall(request())
                assert connection.recv(1 << 16), "the connection is open"
                revoke(engine, "cluster4")
                started = time.monotonic()
                until_closed(connection, DISCONNECTED_WITHIN)
            assert refused(aggregator.ask(context))
            assert time.monotonic() - started < DISCONNECTED_WITHIN
            status = run.until(lambda s: "cluster4: its certificates were revoked" in s.get("message", ""), "the run reports it", SOON)
            assert (status["collaborators"][0]["cluster"], status["collaborators"][0]["reason"]) == ("cluster4", "CertificateRevoked")
            assert json.loads(gateway_data(run)["participants"]) == ["cluster3"]
            eventually(lambda: run.works() == ["cluster3"], "its work is deleted", SOON)
            assert ("Warning", "CertificateRevoked") in [e[:2] for e in run.events()]
            eventually(lambda: held(engine, "cluster4") is None, "its certificate is deleted on the cluster", SOON)
            run.next_rounds(2)
            restore(engine, "cluster4")
            certified(engine, "cluster4", old)
            run.until(lambda s: has_replied(s, "cluster4"), "it takes part again")
            before = aggregator.refusals()
            assert refused(aggregator.ask(context)), "the old certificate stays refused"
            aggregator.refusal(before, chain="cluster4", certificate=names.cluster_uri("cluster4"), reason="revoked")
    finally:
        restore(engine, "cluster4")
    run.until_ended("Completed")
    run.delete()


def has_replied(status: Status, cluster: str) -> bool:
    """Whether a cluster has replied in the last round."""
    found = next((c for c in status["collaborators"] if c["cluster"] == cluster), {})
    return found.get("state") == "Training" and found["round"] >= status["rounds"]["completed"]


# --- texts of exceptions ---------------------------------------------------------------------------------------------
@story()
def test_the_text_of_an_exception_leaves_a_site_only_if_its_owner_allows_it(engine: Engine) -> None:
    """The owner of cluster3 shares it, that of cluster2 has not configured it."""
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": names.SITE, "namespace": names.COLLABORATOR_NAMESPACE}}
    engine.spoke("cluster3").apply(config | {"data": {"share-errors": "true"}})
    try:
        raising = {"env": [{"name": "STEPS_RAISES_ON", "value": "everywhere"}]}
        run = apply(engine, NS, "shared", clusters=["cluster2", "cluster3"], client=raising)
        run.until_ended("Failed")
    finally:
        engine.spoke("cluster3").delete(kinds.CONFIG_MAP, names.COLLABORATOR_NAMESPACE, names.SITE)
    messages = {c["cluster"]: c["message"] for c in run.status()["collaborators"]}
    assert "ValueError: patient 4711 has a secret" in messages["cluster3"], run.story()
    assert "ValueError" in messages["cluster2"]
    assert "patient 4711" not in messages["cluster2"]
    progress = json.loads((engine.hub.get(kinds.CONFIG_MAP, NS, names.progress("shared")) or {})["data"]["progress"])
    assert "patient 4711" not in json.dumps(progress["collaborators"]["cluster2"])
    run.delete()
