"""The authorities of the site controller and its server certificate, by which gateways of the site know it.

A gateway reads the authorities when its Pod starts. So a new authority is published long before it signs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from panal.api import names

AUTHORITY_LIFE = timedelta(days=1095)
NEXT_AT = timedelta(days=550)  # before its authority ends, there is another one
SIGNS_UNTIL = timedelta(days=180)  # before its end, an authority signs no more: no Pod runs that long
LEAF_LIFE = timedelta(days=90)
RENEWED_AT = timedelta(days=30)  # before the end
SKEW = timedelta(hours=1)
SERVER_NAME = f"{names.SITE_CONTROLLER}.{names.SITE_CONTROLLER}.svc"
PEM = serialization.Encoding.PEM
USAGES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign")


@dataclass(frozen=True, slots=True)
class Pair:
    """PEM."""

    certificate: str
    key: str

    @property
    def parsed(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.certificate.encode())

    @property
    def ends(self) -> datetime:
        return self.parsed.not_valid_after_utc


@dataclass(frozen=True, slots=True)
class Certificates:
    """`authorities`: the oldest first."""

    authorities: tuple[Pair, ...] = ()
    leaf: Pair | None = None

    @property
    def bundle(self) -> str:
        return "".join(each.certificate for each in self.authorities)

    @property
    def chain(self) -> bytes:
        """Key and certificate of the server."""
        return (self.leaf.key + self.leaf.certificate).encode() if self.leaf else b""


def renewed(found: Certificates, now: datetime) -> Certificates:
    """The same object if nothing is due."""
    authorities = tuple(each for each in found.authorities if each.ends > now)
    if not any(each.ends - now > NEXT_AT for each in authorities):
        authorities = (*authorities, _authority(now))
    signer = next(each for each in authorities if each.ends - now > SIGNS_UNTIL)
    leaf = found.leaf
    if leaf is None or leaf.ends - now <= RENEWED_AT or not _signed_by(leaf, signer):
        leaf = _leaf(signer, now)
    return found if (authorities, leaf) == (found.authorities, found.leaf) else Certificates(authorities, leaf)


def _signed_by(leaf: Pair, signer: Pair) -> bool:
    return leaf.parsed.issuer == signer.parsed.subject


def _authority(now: datetime) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    number = x509.random_serial_number()
    name = _name(f"panal site {number:x}"[:40])
    builder = _builder(name, name, key.public_key(), number, now, AUTHORITY_LIFE)
    usage = x509.KeyUsage(**dict.fromkeys(USAGES, False) | {"key_cert_sign": True}, encipher_only=False, decipher_only=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).add_extension(usage, critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return _pair(builder.sign(key, hashes.SHA256()), key)


def _leaf(signer: Pair, now: datetime) -> Pair:
    key, authority = ec.generate_private_key(ec.SECP256R1()), serialization.load_pem_private_key(signer.key.encode(), None)
    if not isinstance(authority, ec.EllipticCurvePrivateKey):
        raise ValueError("the key of the authority is of another kind")
    builder = _builder(signer.parsed.subject, _name(SERVER_NAME), key.public_key(), x509.random_serial_number(), now, LEAF_LIFE)
    usage = x509.KeyUsage(**dict.fromkeys(USAGES, False) | {"digital_signature": True}, encipher_only=False, decipher_only=False)
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(SERVER_NAME)]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False)
    )
    return _pair(builder.sign(authority, hashes.SHA256()), key)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    issuer: x509.Name, subject: x509.Name, key: ec.EllipticCurvePublicKey, number: int, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(issuer, subject, key, number, now - SKEW, now + life)


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    private = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Pair(certificate.public_bytes(PEM).decode(), private.decode())


# --- the Secret -------------------------------------------------------------------------------------------------------
def to_data(found: Certificates) -> dict[str, str]:
    """Not encoded."""
    data: dict[str, str] = {}
    for number, each in enumerate(found.authorities, start=1):
        data |= {f"authority-{number}.crt": each.certificate, f"authority-{number}.key": each.key}
    return data | ({"tls.crt": found.leaf.certificate, "tls.key": found.leaf.key} if found.leaf else {})


def from_data(data: Mapping[str, str]) -> Certificates:
    """Empty if the data is not that of `to_data`."""
    numbers = sorted(int(name[10:-4]) for name in data if name.startswith("authority-") and name.endswith(".crt") and name[10:-4].isdigit())
    try:
        authorities = tuple(Pair(data[f"authority-{number}.crt"], data[f"authority-{number}.key"]) for number in numbers)
        leaf = Pair(data["tls.crt"], data["tls.key"]) if "tls.crt" in data else None
        for each in (*authorities, *([leaf] if leaf else [])):
            if each.parsed.public_key() != serialization.load_pem_private_key(each.key.encode(), None).public_key():
                return Certificates()
    except (KeyError, ValueError, TypeError):
        return Certificates()
    return Certificates(authorities, leaf)
