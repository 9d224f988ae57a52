"""The server's certificate authority and certificate, and the administrator's kubeconfig. They are created at the first start."""

from __future__ import annotations

import base64
import json
import secrets
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from panal_local.files import write

LASTS = timedelta(days=3650)
NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")


def prepare(folder: Path, host: str) -> None:
    """Creates ca.crt, tls.crt, tls.key, admin.token and sa.key in `folder` if they do not exist."""
    if not all((folder / name).exists() for name in ("ca.crt", "tls.crt", "tls.key")):
        _certificates(folder, host)
    for name in ("admin.token", "sa.key"):
        if not (folder / name).exists():
            write(folder / name, secrets.token_urlsafe(32))


def _certificates(folder: Path, host: str) -> None:
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"panal local {secrets.token_hex(4)}")])
    ca = _builder(root, root, authority.public_key()).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    ca = ca.add_extension(_usage(sign=True), critical=True)
    ca = ca.add_extension(x509.SubjectKeyIdentifier.from_public_key(authority.public_key()), critical=False)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")])
    others = [x509.IPAddress(ip_address(a)) for a in dict.fromkeys((host, "127.0.0.1", "::1"))]
    own = _builder(name, root, key.public_key()).add_extension(
        x509.SubjectAlternativeName([*map(x509.DNSName, NAMES), *others]), critical=False
    )
    own = own.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True).add_extension(
        _usage(sign=False), critical=True
    )
    own = own.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    own = own.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False)
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write(folder / "tls.key", private.decode())
    write(folder / "tls.crt", _pem(own.sign(authority, hashes.SHA256())), mode=0o644)
    write(folder / "ca.crt", _pem(ca.sign(authority, hashes.SHA256())), mode=0o644)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    found = x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number())
    return found.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + LASTS)


def _usage(sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(not sign, False, False, False, False, sign, sign, False, False)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def context(folder: Path) -> ssl.SSLContext:
    found = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    found.minimum_version = ssl.TLSVersion.TLSv1_2
    found.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    return found


def write_kubeconfig(folder: Path, url: str) -> None:
    cluster = {"server": url, "certificate-authority-data": base64.b64encode((folder / "ca.crt").read_bytes()).decode()}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "panal",
        "clusters": [{"name": "panal", "cluster": cluster}],
        "contexts": [{"name": "panal", "context": {"cluster": "panal", "user": "admin"}}],
        "users": [{"name": "admin", "user": {"token": (folder / "admin.token").read_text().strip()}}],
    }
    write(folder / "admin.kubeconfig", json.dumps(config, indent=1) + "\n")
