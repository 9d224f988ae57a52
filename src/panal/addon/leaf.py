"""Certificates that the authorities sign, for collaborators and for aggregators. Only the public key is copied from a request."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from panal.addon.authority import NO_USAGE, PEM, SKEW, Signer
from panal.api import names

CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
REMEDY = "Use an ECDSA key on P-256 (as Open Cluster Management's agent creates it), P-384 or P-521"


class BadRequest(ValueError):  # noqa: N818
    """A certificate request that cannot be parsed, or is not signed with its own key."""


class WrongKey(BadRequest):
    """A certificate request with an unsupported key. The message contains the remedy."""


def parsed(csr_pem: str) -> x509.CertificateSigningRequest:
    """Parses a request and checks its signature and key. Raises BadRequest."""
    try:
        csr = x509.load_pem_x509_csr(csr_pem.encode())
        signed = csr.is_signature_valid
        key_of(csr)
        _ = csr.subject, csr.attributes, csr.extensions  # the library parses them when they are read
    except BadRequest:
        raise
    except (ValueError, TypeError, InvalidSignature, x509.UnsupportedGeneralNameType, x509.DuplicateExtension) as error:
        raise BadRequest(f"the request cannot be parsed: {error}") from error
    except Exception as error:  # the library raises other exceptions for unknown algorithms
        raise BadRequest(f"the request cannot be parsed: {type(error).__name__}") from error
    if not signed:
        raise BadRequest("the request is not signed with its own key")
    return csr


def key_of(csr: x509.CertificateSigningRequest) -> ec.EllipticCurvePublicKey:
    """The key of the request. Its curve must be a named one, as in requests of agents: explicit parameters are not checked."""
    key = csr.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, CURVES):
        raise WrongKey(f"its key is {_kind(key)}. {REMEDY}")
    if _encoded(key) not in csr.tbs_certrequest_bytes:
        raise WrongKey(f"its key has a curve with explicit parameters, or a compressed point. {REMEDY}")
    return key


def _kind(key: object) -> str:
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"on the curve {key.curve.name}"
    size = getattr(key, "key_size", None)
    return type(key).__name__.strip("_").removesuffix("PublicKey") + (f" of {size} bits" if size else "")


def sign_collaborator(signer: Signer, csr_pem: str, cluster: str, now: datetime, life: timedelta, serial: int | None = None) -> str:
    """The certificate of a cluster's collaborators for the key of the request, PEM. Raises BadRequest."""
    subject = [(NameOID.ORGANIZATION_NAME, names.ADDON), (NameOID.COMMON_NAME, cluster)]
    uri = x509.UniformResourceIdentifier(names.cluster_uri(cluster))
    usage = ExtendedKeyUsageOID.CLIENT_AUTH
    return _sign(signer, parsed(csr_pem), subject, uri, usage, (now, life, serial or x509.random_serial_number()))


def sign_server(signer: Signer, csr_pem: str, server_name: str, now: datetime, life: timedelta) -> str:
    """The certificate of a run's aggregator for the key of the request, PEM. Raises BadRequest."""
    usage = ExtendedKeyUsageOID.SERVER_AUTH
    return _sign(signer, parsed(csr_pem), (), x509.DNSName(server_name), usage, (now, life, x509.random_serial_number()))


def _sign(
    signer: Signer,
    csr: x509.CertificateSigningRequest,
    subject: Iterable[tuple[x509.ObjectIdentifier, str]],
    name: x509.GeneralName,
    usage: x509.ObjectIdentifier,
    terms: tuple[datetime, timedelta, int],
) -> str:
    """A certificate does not outlive its authority. Without a subject, the alternative name is critical (RFC 5280, 4.2.1.6)."""
    authority, key, (now, life, serial) = signer.parsed, key_of(csr), terms
    whose = x509.Name([x509.NameAttribute(oid, value) for oid, value in subject])
    builder = (
        x509.CertificateBuilder()
        .subject_name(whose)
        .issuer_name(authority.subject)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(max(now - SKEW, authority.not_valid_before_utc))
        .not_valid_after(min(now + life, signer.ends))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**NO_USAGE | {"digital_signature": True}), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.SubjectAlternativeName([name]), critical=not list(whose))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.private.public_key()), critical=False)
    )
    return builder.sign(signer.private, hashes.SHA256()).public_bytes(PEM).decode()


def is_current(signer: Signer, certificate_pem: str, csr_pem: str, server_name: str, now: datetime) -> bool:
    """Whether a server certificate has this signer, key and name, and more than a third of its lifetime left."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
        certificate.verify_directly_issued_by(signer.parsed)
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    same_key = _encoded(key_of(parsed(csr_pem))) == _encoded(certificate.public_key())
    same_name = list(found) == [x509.DNSName(server_name)]
    return same_key and same_name and ends - now > (ends - begins) / 3


def _encoded(key: CertificatePublicKeyTypes) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
