"""Certificates for tests: authorities, what they sign, good and bad, and their revocation lists. P-256, quick to make."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from panal.api import names

SERVER_AUTH, CLIENT_AUTH = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    x509: x509.Certificate
    private: ec.EllipticCurvePrivateKey

    @property
    def certificate(self) -> bytes:
        """PEM."""
        return self.x509.public_bytes(serialization.Encoding.PEM)

    @property
    def key(self) -> bytes:
        """PEM."""
        form = serialization.PrivateFormat.PKCS8
        return self.private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


@dataclass(frozen=True)
class Authority(Pair):
    def issue(
        self,
        name: str,
        *sans: x509.GeneralName,
        usages: Iterable[ObjectIdentifier] = (CLIENT_AUTH,),
        begins: timedelta = -HOUR,
        ends: timedelta = HOUR,
        organization: str = "",
        key: ec.EllipticCurvePrivateKey | None = None,
    ) -> Pair:
        """A certificate valid from `begins` to `ends`, counted from now, for a new key or for `key`."""
        private = key or new_key()
        builder = (
            _builder(_name(name, organization), self.x509.subject, private, begins, ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.private.public_key()), critical=False)
        )
        if found := list(usages):
            builder = builder.add_extension(x509.ExtendedKeyUsage(found), critical=False)
        if sans:
            builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
        return Pair(builder.sign(self.private, hashes.SHA256()), private)

    def collaborator(self, cluster: str, *, begins: timedelta = -HOUR, ends: timedelta = HOUR) -> Pair:
        """What a cluster's collaborators have."""
        uri = x509.UniformResourceIdentifier(names.cluster_uri(cluster))
        return self.issue(cluster, uri, begins=begins, ends=ends, organization=names.ADDON)

    def server(self, name: str, *, begins: timedelta = -HOUR, ends: timedelta = HOUR) -> Pair:
        """What the aggregator of a run has; `name` is the run's `names.server_name`."""
        return self.issue(name[:64], x509.DNSName(name), usages=[SERVER_AUTH], begins=begins, ends=ends)

    def crl(self, revoked: Iterable[Pair] = (), *, begins: timedelta = -HOUR, ends: timedelta = HOUR) -> bytes:
        """The list of those revoked, in PEM."""
        now = datetime.now(UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.x509.subject)
            .last_update(now + begins)
            .next_update(now + ends)
            # By it the list of an authority is told from one of its successor, which has the same name.
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.private.public_key()), critical=False)
            .add_extension(x509.CRLNumber(1), critical=False)
        )
        for pair in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(pair.x509.serial_number).revocation_date(now - HOUR).build()
            builder = builder.add_revoked_certificate(entry)
        return builder.sign(self.private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def authority(name: str = "authority", *, begins: timedelta = -HOUR, ends: timedelta = 24 * HOUR) -> Authority:
    """One that signs itself. Two of the same name have different keys."""
    private = new_key()
    builder = (
        _builder(_name(name), _name(name), private, begins, ends)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
    )
    return Authority(builder.sign(private, hashes.SHA256()), private)


def _name(common: str, organization: str = "") -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)] if organization else []
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, begins: timedelta, ends: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
