"""The status of a ManagedClusterAddOn, the record of certificates, and the add-on's work."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from panal.addon import issued, manifests
from panal.addon.issued import Issued
from panal.addon.registration import differs, expiry, status
from panal.api import names

NOW = datetime(2030, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
GOOD = Issued(255, NOW - DAY / 2, NOW + DAY / 2, "csr")
ROTATED = {"type": "ClusterCertificateRotated", "status": "True", "reason": "ClientCertificateUpdated", "message": ""}


def condition(type_: str, value: str, **more: Any) -> dict[str, Any]:
    return {"type": type_, "status": value, "reason": "Because", "message": f"{type_} is {value}", "lastTransitionTime": "x"} | more


def addon(*conditions: dict[str, Any], certificates: tuple[Issued, ...] = (GOOD,), revoked: bool = False, **more: Any) -> dict[str, Any]:
    annotations = {names.ANNOTATION_CERTIFICATES: issued.text(certificates, NOW - 9 * DAY)}
    annotations |= {names.ANNOTATION_REVOKED: "2030-01-01T00:00:00Z"} if revoked else {}
    metadata = {"name": names.ADDON, "namespace": "c1", "uid": "u", "annotations": annotations}
    return {"metadata": metadata, "spec": {}, "status": {"conditions": list(conditions or (ROTATED,))} | more}


def work(generation: int = 2, **conditions: str) -> dict[str, Any]:
    found = [condition(type_, value, observedGeneration=2) for type_, value in conditions.items()]
    return {"metadata": {"generation": generation}, "status": {"conditions": found}}


def cluster(available: str = "True", **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": "c1"}, "status": {"conditions": [condition("ManagedClusterConditionAvailable", available, **more)]}}


WORKS = work(Applied="True", Available="True")


def conditions_of(found: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in found["conditions"]}


def test_the_agent_requests_a_certificate_for_its_own_cluster() -> None:
    found = status(addon(), WORKS, cluster(), NOW)
    subject = {"user": "c1", "groups": ["fl-collaborator"]}
    assert found["registrations"] == [{"signerName": "fl.panal/collaborator", "subject": subject}]
    assert found["namespace"] == "panal-collaborator"
    assert found["healthCheck"] == {"mode": "Customized"}
    assert found["supportedConfigs"] == [{"group": "addon.open-cluster-management.io", "resource": "addondeploymentconfigs"}]
    assert conditions_of(found) == {
        "RegistrationApplied": ("True", "SetPermissionApplied"),
        "ManifestApplied": ("True", "AddonManifestApplied"),
        "Available": ("True", "CollaboratorReady"),
    }


def test_the_agent_of_a_revoked_cluster_requests_nothing() -> None:
    found = status(addon(revoked=True), WORKS, cluster(), NOW)
    assert found["registrations"] == []
    assert conditions_of(found)["RegistrationApplied"] == ("False", "Revoked")
    assert conditions_of(found)["Available"] == ("False", "Revoked")


@pytest.mark.parametrize(
    ("installed", "applied_work", "managed", "available"),
    [
        (addon(), WORKS, None, ("Unknown", "ManagedClusterUnknown")),
        (addon(), WORKS, {"metadata": {}}, ("Unknown", "ManagedClusterUnknown")),
        (
            addon(),
            WORKS,
            cluster("Unknown", reason="ManagedClusterLeaseUpdateStopped"),
            ("Unknown", "ManagedClusterLeaseUpdateStopped"),
        ),
        (
            addon(),
            WORKS,
            cluster("False", reason="ManagedClusterKubeAPIServerUnavailable"),
            ("False", "ManagedClusterKubeAPIServerUnavailable"),
        ),
        (addon(), None, cluster(), ("Unknown", "WorkNotApplied")),
        (addon(), work(3, Applied="True", Available="True"), cluster(), ("Unknown", "WorkNotApplied")),
        (addon(), work(Applied="False"), cluster(), ("False", "WorkNotApplied")),
        (addon(), work(Applied="True"), cluster(), ("False", "WorkNotAvailable")),
        (addon(), work(Applied="True", Available="False"), cluster(), ("False", "WorkNotAvailable")),
        (addon(condition("ClusterCertificateRotated", "False")), WORKS, cluster(), ("False", "CertificateNotObtained")),
        (addon(condition("Other", "True")), WORKS, cluster(), ("Unknown", "CertificatePending")),
        (addon(certificates=()), WORKS, cluster(), ("False", "CertificateMissing")),
        (addon(certificates=(Issued(1, NOW - 2 * DAY, NOW),)), WORKS, cluster(), ("False", "CertificateMissing")),
        (addon(certificates=(Issued(1, NOW, NOW + DAY, revoked=NOW),)), WORKS, cluster(), ("False", "CertificateMissing")),
        (
            addon(revoked=True),
            WORKS,
            cluster("Unknown", reason="ManagedClusterLeaseUpdateStopped"),
            ("Unknown", "ManagedClusterLeaseUpdateStopped"),
        ),
    ],
)
def test_the_add_on_is_available_only_if_nothing_is_missing(
    installed: dict[str, Any], applied_work: dict[str, Any] | None, managed: dict[str, Any] | None, available: tuple[str, str]
) -> None:
    assert conditions_of(status(installed, applied_work, managed, NOW))["Available"] == available


def test_ten_requests_are_named_as_the_reason_for_a_missing_certificate() -> None:
    """OCM's agent counts requests of its add-on by label, and sends none while there are ten."""
    agent_says = condition("ClusterCertificateRotated", "False")  # it may, or may not
    for without in (addon(certificates=()), addon(agent_says, certificates=()), addon(agent_says)):
        found = status(without, WORKS, cluster(), NOW, requests=10)
        assert conditions_of(found)["Available"] == ("False", "TooManyCertificateRequests")
    assert "kubectl delete csr -l open-cluster-management.io/cluster-name=c1," in next(
        c["message"] for c in found["conditions"] if c["type"] == "Available"
    )
    assert conditions_of(status(addon(certificates=()), WORKS, cluster(), NOW, requests=9))["Available"][1] == "CertificateMissing"
    assert conditions_of(status(addon(), WORKS, cluster(), NOW, requests=12))["Available"][1] == "CollaboratorReady"


@pytest.mark.parametrize(
    ("applied_work", "applied"),
    [
        (None, ("False", "ManifestWorkPending")),
        (work(Applied="False"), ("False", "AddonManifestAppliedFailed")),
        (work(3, Applied="True"), ("False", "ManifestWorkPending")),
    ],
)
def test_manifests_are_applied_when_the_agent_has_reported_the_current_generation(
    applied_work: dict[str, Any] | None, applied: tuple[str, str]
) -> None:
    assert conditions_of(status(addon(), applied_work, cluster(), NOW))["ManifestApplied"] == applied


def test_an_up_to_date_status_does_not_differ() -> None:
    first = status(addon(), WORKS, cluster(), NOW)
    assert differs(addon(), first)
    installed = addon(
        ROTATED, condition("Configured", "True"), *first["conditions"], **{k: v for k, v in first.items() if k != "conditions"}
    )
    later = status(installed, WORKS, cluster(), NOW + DAY / 4)
    assert not differs(installed, later), "an unchanged condition keeps its transition time"
    assert differs(installed, status(installed, WORKS, cluster("False"), NOW))
    installed["status"]["registrations"] = []
    assert differs(installed, later)


def test_an_empty_list_of_registrations_equals_none() -> None:
    installed = addon(revoked=True)
    wanted = status(installed, WORKS, cluster(), NOW)
    installed["status"] = {k: v for k, v in wanted.items() if k != "registrations"}
    assert not differs(installed, wanted), "the API server may omit an empty list"


def test_the_status_expires_with_the_last_certificate() -> None:
    assert expiry(addon(), NOW) == GOOD.ends
    assert expiry(addon(certificates=()), NOW) is None


# --- certificates in the annotation -------------------------------------------------------------------------------------
def test_recorded_certificates_are_read_again() -> None:
    both = (GOOD, Issued(1 << 158, NOW, NOW + DAY, "other", revoked=NOW))
    assert issued.issued(addon(certificates=both)) == both
    assert issued.valid(both, NOW) == [GOOD]
    assert issued.as_revoked(both, NOW + DAY)[0].revoked == NOW + DAY
    assert issued.as_revoked(both, NOW + DAY)[1] == both[1], "the time of revocation stays"
    assert json.loads(issued.text(both, NOW + 2 * DAY)) == []


@pytest.mark.parametrize("text", ["", "nonsense", "{}", "[1]", '[{"serial": "x"}]'])
def test_an_invalid_annotation_counts_as_empty(text: str) -> None:
    assert issued.issued({"metadata": {"annotations": {names.ANNOTATION_CERTIFICATES: text}}}) == ()


# --- the work -----------------------------------------------------------------------------------------------------------
def test_the_work_contains_the_objects_of_every_site() -> None:
    reference = {
        "group": "addon.open-cluster-management.io",
        "resource": "addondeploymentconfigs",
        "desiredConfig": {"namespace": "panal-system", "name": "all", "specHash": "abc"},
    }
    found = manifests.work(addon(configReferences=[reference]), "BUNDLE")
    by_kind = {m["kind"]: m for m in found["spec"]["workload"]["manifests"]}
    assert list(by_kind) == ["Namespace", "ServiceAccount", "ConfigMap", "NetworkPolicy"], "in the order of their dependencies"
    assert by_kind["ServiceAccount"]["automountServiceAccountToken"] is False
    assert by_kind["ConfigMap"]["data"] == {"ca.crt": "BUNDLE"}
    pods = {"key": "fl.panal/component", "operator": "In", "values": ["collaborator", "probe"]}
    spec = {"podSelector": {"matchExpressions": [pods]}, "policyTypes": ["Ingress", "Egress"]}
    assert by_kind["NetworkPolicy"]["spec"] == spec
    assert all(m["metadata"]["namespace"] == "panal-collaborator" for kind, m in by_kind.items() if kind != "Namespace")
    assert found["metadata"]["name"] == "addon-fl-collaborator-deploy-0"
    assert found["metadata"]["namespace"] == "c1"
    assert found["metadata"]["labels"]["open-cluster-management.io/addon-name"] == "fl-collaborator"
    owner = found["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("ManagedClusterAddOn", "fl-collaborator", "u")
    hashes = json.loads(found["metadata"]["annotations"]["open-cluster-management.io/config-spec-hash"])
    assert hashes == {"addondeploymentconfigs.addon.open-cluster-management.io/panal-system/all": "abc"}


def test_the_work_never_updates_or_deletes_the_namespace() -> None:
    spec = manifests.work(addon(), "")["spec"]
    rules = spec["deleteOption"]["selectivelyOrphans"]["orphaningRules"]
    assert spec["deleteOption"]["propagationPolicy"] == "SelectivelyOrphan"
    assert [(r["resource"], r["name"]) for r in rules] == [("namespaces", "panal-collaborator")]
    assert [c["updateStrategy"]["type"] for c in spec["manifestConfigs"] if c["resourceIdentifier"]["resource"] == "namespaces"] == [
        "CreateOnly"
    ]
