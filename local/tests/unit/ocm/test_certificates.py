"""Keys, requests and Secrets of add-ons."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from panal_local.ocm import certificates
from panal_local.ocm.certificates import ADDON_LABEL, CREDENTIALS, Registration

NOW = datetime.now(UTC).replace(microsecond=0)
REGISTERED = Registration("fed", "c1", "example.com/fed", "user", ("g1", "g2"), (), "ns")


def addon(*registrations: dict[str, Any], **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "fed", "namespace": "c1"}, "status": {"registrations": list(registrations), **status}}


def registered(signer: str) -> dict[str, Any]:
    return {"signerName": signer, "subject": {"user": "user", "groups": ["g1", "g2"]}}


def issue(csr: dict[str, Any], life: timedelta = timedelta(hours=10)) -> bytes:
    """A certificate as a signer issues it."""
    pending = x509.load_pem_x509_csr(base64.b64decode(csr["spec"]["request"]))
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")])
    builder = x509.CertificateBuilder().subject_name(pending.subject).issuer_name(issuer).public_key(pending.public_key())
    builder = builder.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + life)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def test_registrations_of_an_add_on() -> None:
    found = certificates.registrations(addon(registered("example.com/fed"), registered(CREDENTIALS), namespace="ns"))
    assert found == [REGISTERED]
    assert found[0].secret == "fed-example.com-fed-client-cert"
    assert certificates.registrations(addon(registered("example.com/fed")))[0].namespace == "open-cluster-management-agent-addon"


def test_a_request_has_the_registered_subject_and_the_name_of_the_add_on() -> None:
    csr = certificates.request(REGISTERED, certificates.new_key())
    pending = x509.load_pem_x509_csr(base64.b64decode(csr["spec"]["request"]))
    assert [a.value for a in pending.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == ["g1", "g2"]
    assert [a.value for a in pending.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["user"]
    names = pending.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["fed.addon.open-cluster-management.io"]
    assert csr["metadata"]["generateName"] == "addon-c1-fed-"
    assert csr["metadata"]["labels"] == {ADDON_LABEL: "fed", "open-cluster-management.io/cluster-name": "c1"}
    assert csr["spec"]["usages"] == ["digital signature", "key encipherment", "client auth"]


def test_a_certificate_is_renewed_in_the_last_fifth_of_its_validity() -> None:
    key = certificates.new_key()
    secret = certificates.secret(REGISTERED, key, issue(certificates.request(REGISTERED, key)))
    assert certificates.renewal(secret, REGISTERED) == NOW + timedelta(hours=8)
    assert secret["data"].keys() == {"tls.key", "tls.crt", "cluster-name"}


def test_a_secret_with_another_subject_or_key_or_invalid_data_is_renewed() -> None:
    key = certificates.new_key()
    certificate = issue(certificates.request(REGISTERED, key))
    other = Registration("fed", "c1", "example.com/fed", "user2", ("g1", "g2"), (), "ns")
    assert certificates.renewal(certificates.secret(REGISTERED, key, certificate), other) is None
    assert certificates.renewal(certificates.secret(REGISTERED, certificates.new_key(), certificate), REGISTERED) is None
    assert certificates.renewal({"data": {"tls.crt": "AAAA", "tls.key": "AAAA"}}, REGISTERED) is None
    assert certificates.renewal(None, REGISTERED) is None


@pytest.mark.parametrize(
    ("status", "issued", "denial"),
    [
        ({}, None, ""),
        ({"certificate": "eA=="}, b"x", ""),
        ({"conditions": [{"type": "Approved"}]}, None, ""),
        ({"conditions": [{"type": "Denied", "message": "never"}]}, None, "x is denied: never"),
        ({"conditions": [{"type": "Failed", "reason": "Bad"}]}, None, "x is failed: Bad"),
    ],
)
def test_requests_are_pending_until_they_are_issued_or_denied(status: Any, issued: bytes | None, denial: str) -> None:
    csr = {"metadata": {"name": "x"}, "status": status}
    assert certificates.issued(csr) == issued
    assert certificates.denial(csr) == denial
