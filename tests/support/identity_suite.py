"""Who may speak in a run, and what becomes of a run whose certificates change: the same tests on every engine.

| what happens in the middle of a run       | what comes of it                                                              |
|-------------------------------------------|-------------------------------------------------------------------------------|
| both authorities are replaced             | every round of every cluster counts, over new connections too                 |
| a cluster's certificate is deleted        | the same, with a new one                                                      |
| a cluster is shut out, later let in again | it is cut off within 5 s, the others go on; its old certificate stays refused |

A module of tests takes them all with `from identity_suite import *` and has a fixture `engine`; attacks are in `attack_suite`. They are
stories, told side by side: cluster4 is shut out by one of them, so no other uses it.
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
STEP = 4  # seconds that a round's training takes
SLOW = {"env": [{"name": "STEPS_SECONDS", "value": str(STEP)}]}
CUT_OFF_WITHIN = 5.0  # seconds
SOON = 60.0


def dial_anew(run: Run, clusters: list[str]) -> None:
    """The gateways of these collaborators are killed: the next ones have nothing but what is there now.

    In the middle of the training, when no message is on its way: Flower does not bear it that the answer to one is lost.
    """
    run.next_rounds(1)
    time.sleep(STEP / 2)
    for cluster in clusters:
        (pod,) = run.collaborators(cluster)
        assert run.engine.kill(cluster, pod, "envoy"), f"{cluster}: there is no gateway"


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
    run.until_every_round_counted(sites)
    passed = json.loads((engine.hub.get(kinds.CONFIG_MAP, NS, names.progress("guarded")) or {})["data"]["traffic"])
    assert set(passed) - {""} == set(sites), "nobody else"
    for site in sites:
        requests, refused, received, sent = passed[site]
        assert requests > 0
        assert refused == 0
        assert min(received, sent) > 1000
    run.delete()


# --- certificates that change ----------------------------------------------------------------------------------------
@story()
def test_authorities_are_replaced_in_the_middle_of_a_run(engine: Engine) -> None:
    sites = ["cluster1", "cluster2"]
    run = apply(engine, NS, "authorities", clusters=sites, server=LONG, client=SLOW)
    run.until_round(1)
    aggregator, old = Aggregator.of(run), current(engine, "collaborators")
    with run.kept_going():
        replace_authorities(engine)
        servers = of(public(engine)["ca.crt"], current(engine, "servers"))
        collaborators = of(lets_in(run)["trust"], current(engine, "collaborators"))
        assert of(lets_in(run)["trust"], old), "trusted as long as anything of it is valid"
        eventually(lambda: shows(aggregator, servers), "the aggregator has a certificate of the new one", SOON)
        for site in sites:
            renew(engine, site)
            assert signed(certified(engine, site).x509, collaborators)
        reach_the_sites(engine)
        dial_anew(run, sites)
        run.next_rounds(2)
    run.until_every_round_counted(sites)
    run.delete()


def shows(aggregator: Aggregator, by: x509.Certificate) -> bool:
    """Whether a client of cluster1 that trusts this authority alone believes the aggregator."""
    try:
        return bool(aggregator.certificate(certified(aggregator.run.engine, "cluster1"), "cluster1", pem(by)))
    except ssl.SSLCertVerificationError:
        return False


@story()
def test_a_certificate_is_replaced_in_the_middle_of_a_run(engine: Engine) -> None:
    run = apply(engine, NS, "renewed", clusters=["cluster3"], server=LONG, client=SLOW)
    run.until_round(1)
    with run.kept_going():
        renew(engine, "cluster3")
        reach_the_sites(engine)
        dial_anew(run, ["cluster3"])
        run.next_rounds(2)
    run.until_every_round_counted(["cluster3"])
    run.delete()


# --- a cluster that is shut out --------------------------------------------------------------------------------------
@story()
def test_a_cluster_is_shut_out_and_let_in_again(engine: Engine) -> None:
    run = apply(engine, NS, "revoked", clusters=["cluster3", "cluster4"], minimum=1, server=LONG, client=SLOW)
    run.until(lambda s: s.get("clients", {}).get("ready") == 2, "both take part")
    run.until_round(1)
    aggregator, old = Aggregator.of(run), certified(engine, "cluster4")
    context = aggregator.context(old, "cluster4")
    try:
        with run.kept_going():
            with aggregator.connection(context) as connection:
                connection.sendall(request())
                assert connection.recv(1 << 16), "it is open"
                revoke(engine, "cluster4")
                began = time.monotonic()
                until_closed(connection, CUT_OFF_WITHIN)
            assert refused(aggregator.ask(context))
            assert time.monotonic() - began < CUT_OFF_WITHIN
            status = run.until(lambda s: "cluster4: its certificates were revoked" in s.get("message", ""), "the run says so", SOON)
            assert (status["collaborators"][0]["cluster"], status["collaborators"][0]["reason"]) == ("cluster4", "CertificateRevoked")
            assert json.loads(lets_in(run)["participants"]) == ["cluster3"]
            eventually(lambda: run.works() == ["cluster3"], "its work goes", SOON)
            assert ("Warning", "CertificateRevoked") in [e[:2] for e in run.events()]
            eventually(lambda: held(engine, "cluster4") is None, "its certificate goes from the cluster", SOON)
            run.next_rounds(2)
            restore(engine, "cluster4")
            certified(engine, "cluster4", old)
            run.until(lambda s: came_back(s, "cluster4"), "it takes part again")
            before = aggregator.refusals()
            assert refused(aggregator.ask(context)), "the old certificate stays refused"
            aggregator.refusal(before, chain="cluster4", certificate=names.cluster_uri("cluster4"), reason="revoked")
    finally:
        restore(engine, "cluster4")
    run.until_ended("Completed")
    run.delete()


def came_back(status: Status, cluster: str) -> bool:
    """Whether a cluster has sent an update in the last round."""
    found = next((c for c in status["collaborators"] if c["cluster"] == cluster), {})
    return found.get("state") == "Training" and found["round"] >= status["rounds"]["completed"]


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
    assert "patient 4711" not in said["cluster2"]
    progress = json.loads((engine.hub.get(kinds.CONFIG_MAP, NS, names.progress("shared")) or {})["data"]["progress"])
    assert "patient 4711" not in json.dumps(progress["collaborators"]["cluster2"])
    run.delete()
