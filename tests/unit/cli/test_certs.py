"""`panal certs` at the embedded API server: what it shows, and what it asks the controller for."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from typing import Any

import pytest

from api import Api, api
from panal.api import names
from panal.cli import certs
from panal.cli.main import main
from panal.client.problem import Code
from panal.kube import kinds
from panal.kube.times import now_utc, to_time

SOON, PAST = now_utc() + timedelta(hours=20), now_utc() - timedelta(hours=1)
OLD, NEW = "0ld" + "0" * 61, "11e" + "1" * 61
ADDON = {"apiVersion": kinds.MANAGED_CLUSTER_ADDON.api_version, "kind": "ManagedClusterAddOn"}


@pytest.fixture
def hub(server) -> Api:
    """Three clusters: one whose certificate is valid, one whose is not any more and which has none, and one without the add-on."""
    found = api(server.kubeconfig)
    for name in ("cluster1", "cluster2", "cluster3"):
        found.make_namespace(name)
        found.apply({"apiVersion": kinds.MANAGED_CLUSTER.api_version, "kind": "ManagedCluster", "metadata": {"name": name}, "spec": {}})
    certificates = [certificate("a1", PAST), certificate("b2", SOON), certificate("c3", SOON, revoked=to_time(PAST))]
    install(found, "cluster1", certificates, "True", "CollaboratorReady", "")
    install(found, "cluster2", [certificate("d4", PAST)], "False", "CertificateMissing", "The cluster has no valid certificate.")
    found.make_namespace(names.SYSTEM_NAMESPACE)
    publish(found, authority("current", OLD))
    return found


def certificate(serial: str, ends: Any, **more: str) -> dict[str, str]:
    return {"serial": serial, "notBefore": to_time(PAST), "notAfter": to_time(ends), **more}


def authority(role: str, fingerprint: str) -> dict[str, str]:
    return {"role": role, "fingerprint": fingerprint, "notBefore": to_time(PAST), "notAfter": "2036-02-03T04:05:06+00:00"}


def install(hub: Api, cluster: str, certificates: list[Any], status: str, reason: str, message: str) -> None:
    annotations = {names.ANNOTATION_CERTIFICATES: json.dumps(certificates)}
    hub.apply({**ADDON, "metadata": {"name": names.ADDON, "namespace": cluster, "annotations": annotations}, "spec": {}})
    condition = {"type": "Available", "status": status, "reason": reason, "message": message, "lastTransitionTime": to_time(PAST)}
    hub.patch_status(kinds.MANAGED_CLUSTER_ADDON, cluster, names.ADDON, conditions=[condition])


def publish(hub: Api, *servers: dict[str, str], collaborators: list[Any] | None = None) -> None:
    data = {"servers": json.dumps(servers), "collaborators": json.dumps(servers if collaborators is None else collaborators)}
    config_map(hub, names.SYSTEM_NAMESPACE, names.AUTHORITIES, data)


def config_map(hub: Api, namespace: str, name: str, data: dict[str, str], **labels: str) -> None:
    metadata = {"name": name, "namespace": namespace, "labels": {names.LABEL_RUN: labels["run"]} if labels else {}}
    hub.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def run(hub: Api, name: str, phase: str) -> None:
    spec = {"server": {"image": "a:1"}, "client": {"image": "a:1", "dataClaim": "None"}}
    hub.apply({"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": {"name": name, "namespace": "mnist"}, "spec": spec})
    hub.patch_status(kinds.FEDERATED_LEARNING, "mnist", name, phase=phase)


@pytest.fixture
def panal(monkeypatch, capsys, server):
    """Runs `panal certs WORDS`: exit code, stdout, stderr."""

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["panal", "certs", *words, "--kubeconfig", str(server.kubeconfig)])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return run


def annotations(hub: Api, cluster: str) -> dict[str, str]:
    found = hub.get(kinds.MANAGED_CLUSTER_ADDON, cluster, names.ADDON)
    assert found
    return found["metadata"].get("annotations") or {}


def test_it_shows_whose_until_when_and_for_which_runs(hub, panal):
    hub.make_namespace("mnist")
    for name, phase in (("digits", "Running"), ("before", "Completed"), ("broken", "Failed")):
        config_map(hub, "mnist", names.gateway(name), {"participants": json.dumps(["cluster1", "cluster3"])}, run=name)
        run(hub, name, phase)
    config_map(hub, "mnist", names.gateway("deleted"), {"participants": json.dumps(["cluster1"])}, run="deleted")
    config_map(hub, "mnist", names.progress("digits"), {"participants": json.dumps(["cluster2"])}, run="digits")
    code, out, _ = panal()
    lines = [line.split() for line in out.splitlines()]
    assert code == Code.OK
    assert ["servers", "current", OLD[: certs.SHORT], "2036-02-03", "04:05Z"] in lines
    ends = to_time(SOON)[:16].split("T")
    assert ["cluster1", "Available", ends[0], f"{ends[1]}Z", "-", "mnist/digits"] in lines
    assert ["cluster2", "Unavailable", "-", "-", "-"] in lines
    assert "cluster2: The cluster has no valid certificate." in out
    assert "cluster3" not in out


def test_as_json(hub, panal):
    found = json.loads(panal("-o", "json")[1])
    assert [(a["authority"], a["role"], a["fingerprint"]) for a in found["authorities"]] == [
        ("servers", "current", OLD),
        ("collaborators", "current", OLD),
    ]
    one = next(c for c in found["clusters"] if c["cluster"] == "cluster1")
    assert (one["available"], one["revoked"]) == ("True", None)
    assert [(c["serial"], c["notAfter"], c["revoked"]) for c in one["certificates"]] == [
        ("a1", to_time(PAST), None),
        ("b2", to_time(SOON), None),
        ("c3", to_time(SOON), to_time(PAST)),
    ]


def test_a_cluster_is_shut_out_and_let_in_again(hub, panal, monkeypatch):
    monkeypatch.setattr(certs, "PATIENCE", 0.0)  # there is no controller here
    code, out, _ = panal("revoke", "cluster1")
    since = annotations(hub, "cluster1")[names.ANNOTATION_REVOKED]
    assert (code, "cluster1 is revoked" in out) == (Code.OK, True)
    assert since <= to_time(now_utc())
    assert "has been revoked since" in panal("revoke", "cluster1")[1]
    assert annotations(hub, "cluster1")[names.ANNOTATION_REVOKED] == since
    assert json.loads(panal("-o", "json")[1])["clusters"][0]["revoked"] == since
    code, _, err = panal("restore", "cluster1")
    assert (code, "has not revoked its certificates yet" in err) == (Code.TIMEOUT, True)
    assert annotations(hub, "cluster1")[names.ANNOTATION_REVOKED] == since
    revoked = json.dumps([certificate("b2", SOON, revoked=since)])  # as the controller does
    hub.patch(kinds.MANAGED_CLUSTER_ADDON, "cluster1", names.ADDON, metadata={"annotations": {names.ANNOTATION_CERTIFICATES: revoked}})
    assert "cluster1 is restored" in panal("restore", "cluster1")[1]
    assert names.ANNOTATION_REVOKED not in annotations(hub, "cluster1")
    assert "is not revoked" in panal("restore", "cluster1")[1]


@pytest.mark.parametrize("verb", ["revoke", "restore"])
@pytest.mark.parametrize(
    ("cluster", "said"),
    [("nowhere", "the managed cluster nowhere does not exist"), ("cluster3", "cluster3 does not have the add-on fl-collaborator")],
)
def test_a_cluster_that_has_no_certificate_is_named(hub, panal, verb, cluster, said):
    code, out, err = panal(verb, cluster)
    assert (code, out, said in err) == (Code.NOT_FOUND, "", True), err


@pytest.mark.parametrize(
    ("words", "wanted"),
    [((), "servers,collaborators"), (("servers",), "servers"), (("collaborators",), "collaborators")],
)
def test_new_authorities_are_asked_for(hub, panal, monkeypatch, words, wanted):
    monkeypatch.setattr(certs, "PATIENCE", 0.0)  # there is no controller here
    code, out, _ = panal("rotate", *words)
    which, _, when = hub.get(kinds.CONFIG_MAP, names.SYSTEM_NAMESPACE, names.AUTHORITIES)["metadata"]["annotations"][
        names.ANNOTATION_ROTATE
    ].partition("@")
    assert (code, which, when <= to_time(now_utc())) == (Code.OK, wanted, True)
    assert "has not started the rotation yet" in out


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ([("current", OLD)], [("next", NEW), ("current", OLD)], f"{NEW[: certs.SHORT]} is created and is distributed"),
        ([("next", NEW), ("current", OLD)], [("next", NEW), ("current", OLD)], f"{NEW[: certs.SHORT]} is already being distributed"),
        ([], [("current", NEW)], f"{NEW[: certs.SHORT]} signs now"),
        ([("current", OLD)], [("current", OLD)], "has not started the rotation yet"),
    ],
)
def test_how_far_a_rotation_is(before, after, said):
    assert said in certs._rotation([authority(*one) for one in before], [authority(*one) for one in after])


def test_a_hub_without_authorities_is_named(hub, panal):
    code, _, err = panal("-n", "elsewhere")
    assert (code, "the ConfigMap panal-authorities does not exist in the namespace elsewhere" in err, "-n" in err) == (
        Code.NOT_FOUND,
        True,
        True,
    )


def test_words_that_mean_nothing_are_refused(panal):
    assert panal("rotate", "nonsense")[0] == Code.USAGE
