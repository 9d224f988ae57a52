"""Certificates: their content, whatever the request, and when a server certificate is current."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from panal.addon.authority import SKEW, create
from panal.addon.leaf import BadRequest, is_current, sign_collaborator, sign_server
from panal.api.names import cluster_uri
from requests_of_certificates import key, name, pem, subject

NOW = datetime(2030, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
AUTHORITY = create("test", NOW, 10 * DAY)
GREEDY = pem(
    name((NameOID.COMMON_NAME, "c2"), (NameOID.ORGANIZATION_NAME, "system:masters")),
    [
        x509.SubjectAlternativeName([x509.DNSName("digits.ns.fl.panal")]),
        x509.BasicConstraints(ca=True, path_length=None),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
    ],
)


def parsed(text: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(text.encode())


def extensions(certificate: x509.Certificate) -> dict[str, tuple[bool, object]]:
    return {type(e.value).__name__: (e.critical, e.value) for e in certificate.extensions}


def common(certificate: x509.Certificate, request: str) -> None:
    found = extensions(certificate)
    assert found["BasicConstraints"] == (True, x509.BasicConstraints(ca=False, path_length=None))
    critical, usage = found["KeyUsage"]
    assert critical
    assert isinstance(usage, x509.KeyUsage)
    assert usage.digital_signature
    assert not any((usage.key_cert_sign, usage.crl_sign, usage.key_encipherment, usage.key_agreement, usage.content_commitment))
    assert certificate.public_key() == x509.load_pem_x509_csr(request.encode()).public_key()
    assert certificate.not_valid_before_utc == AUTHORITY.parsed.not_valid_before_utc == NOW - SKEW
    certificate.verify_directly_issued_by(AUTHORITY.parsed)
    assert set(found) == {
        "BasicConstraints",
        "KeyUsage",
        "ExtendedKeyUsage",
        "SubjectAlternativeName",
        "SubjectKeyIdentifier",
        "AuthorityKeyIdentifier",
    }


def test_a_collaborators_certificate_has_only_the_key_of_the_request() -> None:
    found = parsed(sign_collaborator(AUTHORITY, GREEDY, "c1", NOW, DAY))
    common(found, GREEDY)
    assert found.subject == subject("c1")
    uri = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(cluster_uri("c1"))])
    assert extensions(found)["SubjectAlternativeName"] == (False, uri)
    assert extensions(found)["ExtendedKeyUsage"][1] == x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    assert found.not_valid_after_utc == NOW + DAY


def test_a_server_certificate_has_only_the_key_of_the_request() -> None:
    found = parsed(sign_server(AUTHORITY, GREEDY, "run.ns.fl.panal", NOW, DAY))
    common(found, GREEDY)
    assert found.subject == x509.Name([])
    assert extensions(found)["SubjectAlternativeName"] == (True, x509.SubjectAlternativeName([x509.DNSName("run.ns.fl.panal")]))
    assert extensions(found)["ExtendedKeyUsage"][1] == x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])


def test_a_serial_number_is_random_or_the_recorded_one() -> None:
    found = {parsed(sign_collaborator(AUTHORITY, GREEDY, "c1", NOW, DAY)).serial_number for _ in range(3)}
    assert len(found) == 3
    assert parsed(sign_collaborator(AUTHORITY, GREEDY, "c1", NOW, DAY, 77)).serial_number == 77


def test_a_certificate_does_not_outlive_its_authority() -> None:
    assert parsed(sign_server(AUTHORITY, GREEDY, "s", NOW + 9 * DAY, 5 * DAY)).not_valid_after_utc == AUTHORITY.ends


@pytest.mark.parametrize("sign", [sign_collaborator, sign_server])
def test_an_invalid_request_is_not_signed(sign: object) -> None:
    assert callable(sign)
    with pytest.raises(BadRequest):
        sign(AUTHORITY, "nonsense", "c1", NOW, DAY)


KEY, OTHER_KEY = key(), key()
REQUEST = pem(subject("x"), private=KEY)
SERVER = "run.ns.fl.panal"


@pytest.mark.parametrize(
    ("certificate", "after", "current"),
    [
        (sign_server(AUTHORITY, REQUEST, SERVER, NOW, DAY), 0 * DAY, True),
        (sign_server(AUTHORITY, REQUEST, SERVER, NOW, DAY), DAY / 2, True),
        (sign_server(AUTHORITY, REQUEST, SERVER, NOW, DAY), DAY * 0.7, False),
        (sign_server(AUTHORITY, REQUEST, SERVER, NOW, DAY), 2 * DAY, False),
        (sign_server(AUTHORITY, REQUEST, "other.ns.fl.panal", NOW, DAY), 0 * DAY, False),
        (sign_server(AUTHORITY, pem(subject("x"), private=OTHER_KEY), SERVER, NOW, DAY), 0 * DAY, False),
        (sign_server(create("other", NOW, 10 * DAY), REQUEST, SERVER, NOW, DAY), 0 * DAY, False),
        (AUTHORITY.certificate, 0 * DAY, False),
        ("nonsense", 0 * DAY, False),
    ],
    ids=[
        "new",
        "half of its lifetime left",
        "a third left",
        "expired",
        "other name",
        "other key",
        "other authority",
        "no server certificate",
        "nonsense",
    ],
)
def test_a_server_certificate_is_current_until_a_third_of_its_lifetime_is_left(certificate: str, after: timedelta, current: bool) -> None:
    assert is_current(AUTHORITY, certificate, REQUEST, SERVER, NOW + after) is current
