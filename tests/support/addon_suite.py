"""The add-on and its certificates, from registration to removal: the same tests for Open Cluster Management and for its stand-in.

A module with a fixture `site` that returns an AddOnSite runs them as a subclass of AddOnSuite. The tests run in order; the last one removes
the add-on. The controller is the real process. Its trust bundles have SPREAD seconds to spread instead of ten minutes.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from api import Api, api
from fleet import Fleet
from panal.addon import install, manifests
from panal.addon.config import ADDRESS, GROUP, RESOURCE
from panal.addon.requests import DNS_NAME, MAX_CERTIFICATES, requester
from panal.api import names
from panal.api.crd import crd
from panal.kube import kinds
from panal.kube.errors import NotFound
from panal.kube.objects import Object, condition
from processes import free_port
from requests_of_certificates import SAN, USAGES, name, pem, request, subject
from waiting import eventually

SYSTEM, SPOKE_NS = names.SYSTEM_NAMESPACE, names.COLLABORATOR_NAMESPACE
SPREAD = 4
LOG = "controller.log"
SOON = 90
CSR = kinds.CERTIFICATE_SIGNING_REQUEST


@dataclass
class AddOnSite:
    """`kubeconfigs`: those of administrators, by cluster, including the hub. `agents`: those of the clusters' agents for the hub.
    `grpc_server`: the user of OCM's gRPC server, if one is configured."""

    folder: Path
    kubeconfigs: dict[str, Path]
    agents: dict[str, Path]
    grpc_server: str = ""
    _controller: subprocess.Popen[bytes] | None = field(default=None)
    _port: int = 0

    @property
    def hub(self) -> Api:
        return self["hub"]

    def __getitem__(self, cluster: str) -> Api:
        return api(self.kubeconfigs[cluster])

    def agent(self, cluster: str) -> Api:
        """The hub's API with the credentials of a cluster's agent."""
        return api(self.agents[cluster])

    def up(self) -> None:
        self.hub.apply(crd())
        self.hub.make_namespace(SYSTEM)
        for obj in (*install.everywhere(SYSTEM), install.addon([install.placed_everywhere(SYSTEM)])):
            eventually(lambda obj=obj: self._applied(obj), "the hub serves the kind", SOON)
        self.start()

    def _applied(self, obj: Object) -> bool:
        try:
            return bool(self.hub.apply(obj))
        except NotFound:
            return False

    def start(self) -> None:
        self._port = free_port()
        self._controller = self.controller(LOG, port=self._port)

    def controller(self, log_file: str, namespace: str = SYSTEM, port: int = 0) -> subprocess.Popen[bytes]:
        env = os.environ | {
            "KUBECONFIG": str(self.kubeconfigs["hub"]),
            "POD_NAMESPACE": namespace,
            "POD_NAME": "tests",
            "PANAL_POD_TOOLS_IMAGE": "tools:1",
            "PANAL_GATEWAY_IMAGE": "gateway:1",
            "PANAL_ADDRESS": "127.0.0.1",
            "PANAL_PORT": str(port or free_port()),
            "PANAL_AUTHORITY_SPREAD_SECONDS": str(SPREAD),
            "PANAL_CERTIFICATE_LIFE_SECONDS": "7200",
            "PANAL_METRICS_AUTHENTICATION": "false",
            "PANAL_GRPC_SERVER_ACCOUNT": self.grpc_server,
        }
        with (self.folder / log_file).open("ab") as log:
            command = [sys.executable, "-c", "from panal.hub.main import main; main()"]
            return subprocess.Popen(command, env=env, stdout=log, stderr=log)

    def stop(self) -> None:
        if self._controller:
            self._controller.terminate()
            self._controller.wait(20)

    @property
    def log(self) -> str:
        path = self.folder / LOG
        return path.read_text() if path.exists() else ""

    def scraped(self) -> dict[str, float]:
        """The controller's metrics, by series."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return {series: float(value) for series, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))}

    # --- readers and requests ----------------------------------------------------------------------------------
    def addon(self, cluster: str) -> Object:
        return self.hub.get(kinds.MANAGED_CLUSTER_ADDON, cluster, names.ADDON) or {"metadata": {}}

    def certificate(self, cluster: str) -> x509.Certificate | None:
        """The certificate in the Secret on the cluster."""
        secret = self[cluster].get(kinds.SECRET, SPOKE_NS, names.IDENTITY_SECRET)
        return x509.load_pem_x509_certificate(base64.b64decode(secret["data"]["tls.crt"])) if secret else None

    def certified(self, cluster: str, after: int = 0) -> x509.Certificate:
        """Waits for a certificate with another serial number than `after`."""

        def found() -> x509.Certificate | None:
            certificate = self.certificate(cluster)
            return certificate if certificate and certificate.serial_number != after else None

        return eventually(found, f"{cluster} has its certificate", SOON)

    def authorities(self) -> dict[str, Any]:
        return (self.hub.get(kinds.CONFIG_MAP, SYSTEM, names.AUTHORITIES) or {}).get("data") or {}

    def roles(self, authority: str) -> list[str]:
        return [one["role"] for one in json.loads(self.authorities().get(authority, "[]"))]

    def signer(self) -> x509.Certificate:
        secret = self.hub.get(kinds.SECRET, SYSTEM, names.COLLABORATOR_AUTHORITY)
        assert secret
        return x509.load_pem_x509_certificate(base64.b64decode(secret["data"]["current.crt"]))

    def annotate(self, cluster: str, value: str | None) -> None:
        self.hub.patch(kinds.MANAGED_CLUSTER_ADDON, cluster, names.ADDON, metadata={"annotations": {names.ANNOTATION_REVOKED: value}})

    def send(self, client: Api, csr: Object, name: str) -> None:
        """Creates a request that `request` has returned, as a client does."""
        spec = dict(csr["spec"])  # the API server overwrites the username in it
        client.create({**csr, "metadata": {"name": name, "labels": csr["metadata"]["labels"]}, "spec": spec, "status": {}})

    def answer(self, name: str) -> Object:
        """Waits until the request is signed, denied or failed."""

        def answered() -> Object | None:
            found = self.hub.get(CSR, "", name)
            status = (found or {}).get("status") or {}
            return found if status.get("certificate") or status.get("conditions") else None

        return eventually(answered, f"{name} is answered", SOON)


Site = TypeVar("Site", bound=AddOnSite)


@contextmanager
def on_fleet(kind: type[Site], fleet: Fleet, folder: Path, agent: str = "hub-kubeconfig/kubeconfig") -> Iterator[Site]:
    """The add-on on real clusters. `agent`: the file below a cluster's folder by which its agent is known to the hub."""
    kubeconfigs = {c.name: c.kubeconfig for c in (fleet.hub, *fleet.spokes)}
    found = kind(folder, kubeconfigs, {c.name: c.dir / agent for c in fleet.spokes})
    try:
        found.up()
        yield found
    finally:
        found.stop()
        print(found.log[-6000:])


def labels(cluster: str) -> dict[str, str]:
    return {names.CLUSTER_LABEL: cluster, names.ADDON_LABEL: names.ADDON}


def server_names() -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.DNSName(DNS_NAME), x509.DNSName("digits.runs.fl.panal")])


FORGED = {
    "other-name": (request("cluster1", pem(subject("cluster2"))), "WrongSubject"),
    "other-name-and-labels": (request("cluster1", pem(subject("cluster2")), labels=labels("cluster2")), "ForgedLabels"),
    "prefix": (request("cluster1", pem(subject("cluster"))), "WrongSubject"),
    "longer": (request("cluster1", pem(subject("cluster10"))), "WrongSubject"),
    "server": (request("cluster1", pem(name((NameOID.COMMON_NAME, "digits.runs.fl.panal")))), "WrongSubject"),
    "extra-sans": (request("cluster1", pem(subject("cluster1"), [server_names()])), "WrongNames"),
    "server-usage": (request("cluster1", usages=[*USAGES, "server auth"]), "WrongUsages"),
    "authority": (
        request("cluster1", pem(subject("cluster1"), [SAN, x509.BasicConstraints(ca=True, path_length=None)])),
        "WrongExtensions",
    ),
    "labels": (request("cluster1", labels=labels("cluster2")), "ForgedLabels"),
    "no-labels": (request("cluster1", labels={}), "ForgedLabels"),
}


class AddOnSuite:
    def test_01_the_agent_gets_its_certificate(self, site: AddOnSite) -> None:
        found = site.certified("cluster1")
        sans = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(sans) == [x509.UniformResourceIdentifier("spiffe://fl.panal/cluster/cluster1")]
        assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
        assert found.subject == subject("cluster1")
        assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        found.verify_directly_issued_by(site.signer())

    def test_02_the_add_on_is_available_and_completed(self, site: AddOnSite) -> None:
        def conditions() -> dict[str, str]:
            return {c["type"]: f"{c['status']} {c['reason']}" for c in (site.addon("cluster1").get("status") or {}).get("conditions") or ()}

        wanted = {
            "RegistrationApplied": "True SetPermissionApplied",
            "ManifestApplied": "True AddonManifestApplied",
            "Available": "True CollaboratorReady",
            "ClusterCertificateRotated": "True ClientCertificateUpdated",
            "Progressing": "False Completed",
            "Configured": "True ConfigurationsConfigured",
        }
        eventually(lambda: wanted.items() <= conditions().items(), f"all conditions are as expected: {conditions()}", SOON)

    def test_02_a_clusters_own_configuration_is_rolled_out(self, site: AddOnSite) -> None:
        config = {"apiVersion": manifests.ADDON_API, "kind": "AddOnDeploymentConfig", "metadata": {"name": "own", "namespace": "cluster1"}}
        variable = {"name": ADDRESS, "value": "10.1.2.3"}
        site.hub.apply(config | {"spec": {"customizedVariables": [variable], "agentInstallNamespace": ""}})
        wanted = {"group": GROUP, "resource": RESOURCE, "name": "own", "namespace": "cluster1"}
        site.hub.patch(kinds.MANAGED_CLUSTER_ADDON, "cluster1", names.ADDON, spec={"configs": [wanted]})

        def rolled_out() -> bool:
            status = site.addon("cluster1").get("status") or {}
            references = [r for r in status.get("configReferences") or () if r["name"] == "own"]
            applied = all(r.get("lastAppliedConfig") == r["desiredConfig"] for r in references)
            return bool(references) and applied and condition(site.addon("cluster1"), "Progressing").get("reason") == "Completed"

        eventually(rolled_out, "the add-on manager reports the configuration as applied", SOON)
        assert site.certified("cluster1"), "the certificate stays"

    def test_02_the_controllers_metrics_say_when_certificates_end(self, site: AddOnSite) -> None:
        def ends() -> bool:
            found = site.scraped().get('panal_cluster_certificate_expiry_timestamp_seconds{managed_cluster="cluster1"}')
            return found == site.certified("cluster1").not_valid_after_utc.timestamp()

        eventually(ends, "the controller's metrics have the certificate of cluster1", SOON)
        found = site.scraped()
        assert found['panal_authority_expiry_timestamp_seconds{authority="collaborators"}'] == site.signer().not_valid_after_utc.timestamp()
        assert found['panal_certificate_lifetime_seconds{certificate="cluster"}'] == 7200
        assert found['panal_certificate_requests_total{answer="signed"}'] >= 1
        assert found["panal_leader"] == 1
        assert found["panal_problems"] == 0
        assert found['panal_addon_reconciles_total{result="ok"}'] > 0
        assert found['panal_addon_reconciles_total{result="defect"}'] == 0
        assert found['panal_queue_oldest_age_seconds{queue="addon"}'] < 60
        assert found['panal_runs{phase="Running"}'] == 0

    def test_03_the_site_has_the_objects_of_the_work(self, site: AddOnSite) -> None:
        trust = site["cluster1"].get(kinds.CONFIG_MAP, SPOKE_NS, names.TRUST)
        account = site["cluster1"].get(kinds.SERVICE_ACCOUNT, SPOKE_NS, manifests.ACCOUNT)
        namespace = site["cluster1"].get(kinds.NAMESPACE, "", SPOKE_NS)
        assert trust
        assert account
        assert namespace
        assert trust["data"]["ca.crt"] == site.authorities()["ca.crt"]
        assert account["automountServiceAccountToken"] is False
        assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
        assert site["cluster1"].get(kinds.NETWORK_POLICY, SPOKE_NS, manifests.DENY_ALL)

    def test_04_no_private_key_is_in_readable_objects_or_the_log(self, site: AddOnSite) -> None:
        works = [site.hub.get(kinds.MANIFEST_WORK, c, manifests.WORK) for c in ("cluster1", "cluster2")]
        readable = json.dumps([site.authorities(), *works, site.addon("cluster1")]) + site.log
        assert "PRIVATE KEY" not in readable
        secret = site.hub.get(kinds.SECRET, SYSTEM, names.COLLABORATOR_AUTHORITY)
        assert secret
        assert secret["metadata"]["labels"]["cluster.open-cluster-management.io/backup"] == ""
        key = base64.b64decode(secret["data"]["current.key"]).decode().splitlines()[1]
        assert key not in readable

    @pytest.mark.parametrize("case", FORGED)
    def test_05_any_other_request_of_a_cluster_is_denied(self, site: AddOnSite, case: str) -> None:
        csr, reason = FORGED[case]
        site.send(site.agent("cluster1"), csr, f"forged-{case}")
        found = site.answer(f"forged-{case}")
        denied = condition(found, "Denied")
        assert (denied.get("status"), denied.get("reason")) == ("True", reason)
        assert "cluster1" in denied["message"]
        assert "certificate" not in found["status"]
        eventually(
            lambda: f"forged-{case} denied: {reason}: cluster cluster1 " in site.log, "a log line has the reason and the cluster", SOON
        )

        def reported() -> bool:
            events = site.hub.list(kinds.EVENT, "cluster1")
            return any(e["reason"] == "CertificateDenied" and e["message"].startswith(f"{reason}: cluster cluster1") for e in events)

        eventually(reported, "an Event on the add-on has the reason", SOON)

    def test_05_requests_with_the_labels_of_another_cluster_lose_them(self, site: AddOnSite) -> None:
        """OCM's agents count requests by label, and send none while there are ten."""
        selector = ",".join(f"{key}={value}" for key, value in labels("cluster2").items())

        def others() -> list[Object]:
            return [csr for csr in site.hub.list(CSR, labels=selector) if requester(csr, site.grpc_server) == "cluster1"]

        eventually(lambda: not others(), "no request of cluster1 has the labels of cluster2", SOON)
        for case in FORGED:
            site.hub.delete(CSR, "", f"forged-{case}")  # so that the agent of cluster1 may send requests in the tests that follow

    def test_06_a_requester_that_is_not_an_agent_is_denied(self, site: AddOnSite) -> None:
        site.send(site.hub, request("cluster1"), "foreign")
        assert condition(site.answer("foreign"), "Denied")["reason"] == "ForeignRequester"
        assert "certificate" not in site.answer("foreign")["status"]

    def test_07_a_flood_from_one_cluster_does_not_delay_another(self, site: AddOnSite) -> None:
        flood = [f"flood-{number}" for number in range(30)]
        for csr_name in flood:
            site.send(site.agent("cluster1"), request("cluster1", usages=[*USAGES, "server auth"]), csr_name)
        site.send(site.agent("cluster2"), request("cluster2"), "honest")
        found = site.answer("honest")
        eventually(lambda: (site.hub.get(CSR, "", "honest") or found)["status"].get("certificate"), "cluster2 gets its certificate", SOON)
        pending = sum(not (site.hub.get(CSR, "", csr_name) or {}).get("status") for csr_name in flood)
        assert pending, "the flood is not fully answered yet"
        for csr_name in flood:
            assert condition(site.answer(csr_name), "Denied")["reason"] == "WrongUsages"
            site.hub.delete(CSR, "", csr_name)  # an agent sends no request while ten have its labels

    def test_08_the_number_of_certificates_is_limited(self, site: AddOnSite) -> None:
        for number in range(MAX_CERTIFICATES):
            site.send(site.agent("cluster2"), request("cluster2"), f"many-{number}")
        answers = [site.answer(f"many-{number}") for number in range(MAX_CERTIFICATES)]
        denied = [condition(a, "Denied")["reason"] for a in answers if condition(a, "Denied")]
        assert set(denied) == {"TooManyCertificates"}
        recorded = json.loads(site.addon("cluster2")["metadata"]["annotations"][names.ANNOTATION_CERTIFICATES])
        assert len(recorded) == MAX_CERTIFICATES
        for number in range(MAX_CERTIFICATES):
            site.hub.delete(CSR, "", f"many-{number}")

    def test_09_authorities_are_rotated_with_overlap(self, site: AddOnSite) -> None:
        before, old = site.authorities()["ca.crt"], site.certified("cluster1")
        requested = f"servers,collaborators@{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        site.hub.patch(kinds.CONFIG_MAP, SYSTEM, names.AUTHORITIES, metadata={"annotations": {names.ANNOTATION_ROTATE: requested}})
        eventually(lambda: site.roles("servers") == ["next", "current"], "the next signer exists", SOON)
        assert site.roles("collaborators") == ["next", "current"]
        started = time.monotonic()
        eventually(lambda: site.roles("servers") == ["current", "previous"], "the next signer is current", SOON)
        assert time.monotonic() - started > SPREAD / 2, "not before the bundles have spread"
        bundle = site.authorities()["ca.crt"]
        assert before in bundle
        assert bundle.count("BEGIN CERTIFICATE") == 2

        def trusted() -> str:
            return (site["cluster1"].get(kinds.CONFIG_MAP, SPOKE_NS, names.TRUST) or {"data": {}})["data"]["ca.crt"]

        eventually(lambda: trusted() == bundle, "the site trusts both signers", SOON)
        published = site.hub.get(kinds.CONFIG_MAP, SYSTEM, names.AUTHORITIES) or {}
        assert names.ANNOTATION_ROTATE not in published["metadata"]["annotations"], "the request is removed"
        assert site.certificate("cluster1") == old, "certificates of the previous signer stay in use"

    def test_10_a_revoked_cluster_loses_its_certificate_and_gets_no_other(self, site: AddOnSite) -> None:
        old = site.certified("cluster2")
        site.annotate("cluster2", "2030-01-01T00:00:00Z")
        eventually(lambda: site.certificate("cluster2") is None, "its Secret is deleted", SOON)
        site.send(site.agent("cluster2"), request("cluster2"), "revoked")
        assert condition(site.answer("revoked"), "Denied")["reason"] == "Revoked"
        secret = site.hub.get(kinds.SECRET, SYSTEM, names.COLLABORATOR_AUTHORITY)
        assert secret
        assert f"{old.serial_number:x}" in json.loads(base64.b64decode(secret["data"]["revoked.json"]))
        eventually(lambda: condition(site.addon("cluster2"), "Available").get("reason") == "Revoked", "the status shows it", SOON)
        assert site.certificate("cluster1"), "other clusters are not affected"

    def test_11_a_restored_cluster_gets_another_certificate(self, site: AddOnSite) -> None:
        site.annotate("cluster2", None)
        found = site.certified("cluster2")
        recorded = json.loads(site.addon("cluster2")["metadata"]["annotations"][names.ANNOTATION_CERTIFICATES])
        assert [e["serial"] for e in recorded if "revoked" not in e] == [f"{found.serial_number:x}"]
        found.verify_directly_issued_by(site.signer())
        eventually(lambda: condition(site.addon("cluster2"), "Available").get("status") == "True", "it is available again", SOON)

    def test_12_a_restart_of_the_controller_changes_nothing(self, site: AddOnSite) -> None:
        before = self._versions(site)
        site.stop()
        site.start()
        site.send(site.hub, request("cluster1"), "after-restart")
        site.answer("after-restart")
        time.sleep(2)  # time for unexpected writes
        assert self._versions(site) == before

    @staticmethod
    def _versions(site: AddOnSite) -> dict[str, str]:
        """Versions of the objects that only the controller writes."""
        objects = {c: site.hub.get(kinds.MANIFEST_WORK, c, manifests.WORK) for c in ("cluster1", "cluster2")}
        found = {name: str((obj or {"metadata": {}})["metadata"].get("generation")) for name, obj in objects.items()}
        kept = [(kinds.SECRET, names.SERVER_AUTHORITY), (kinds.SECRET, names.COLLABORATOR_AUTHORITY), (kinds.CONFIG_MAP, names.AUTHORITIES)]
        return found | {name: (site.hub.get(kind, SYSTEM, name) or {})["metadata"]["resourceVersion"] for kind, name in kept}

    def test_13_removal_deletes_the_certificate_and_keeps_the_namespace(self, site: AddOnSite) -> None:
        data = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "of-the-site", "namespace": SPOKE_NS}}
        site["cluster1"].apply(data)
        old = site.certified("cluster1")
        site.hub.delete(kinds.CLUSTER_MANAGEMENT_ADDON, "", names.ADDON)
        eventually(lambda: site.hub.get(kinds.MANAGED_CLUSTER_ADDON, "cluster1", names.ADDON) is None, "the add-on is deleted", SOON)
        eventually(lambda: site.certificate("cluster1") is None, "its certificate is deleted", SOON)
        eventually(
            lambda: site["cluster1"].get(kinds.NETWORK_POLICY, SPOKE_NS, manifests.DENY_ALL) is None, "its objects are deleted", SOON
        )
        namespace = site["cluster1"].get(kinds.NAMESPACE, "", SPOKE_NS)
        assert namespace
        assert not namespace["metadata"].get("deletionTimestamp")
        assert site["cluster1"].get(kinds.CONFIG_MAP, SPOKE_NS, "of-the-site")

        def listed() -> bool:
            secret = site.hub.get(kinds.SECRET, SYSTEM, names.COLLABORATOR_AUTHORITY) or {"data": {"revoked.json": ""}}
            return f"{old.serial_number:x}" in base64.b64decode(secret["data"]["revoked.json"]).decode()

        eventually(listed, "its certificates are revoked", SOON)
