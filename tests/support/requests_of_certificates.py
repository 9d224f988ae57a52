"""Certificate requests as OCM's agents create them, and forged ones."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.x509.oid import NameOID

from panal.addon.requests import CSR_USER, DNS_NAME
from panal.api import names
from panal.kube.objects import Object

PREFIX = "system:open-cluster-management"
USAGES = ("digital signature", "key encipherment", "client auth")
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey | dsa.DSAPrivateKey
GRPC_SERVER = "system:serviceaccount:open-cluster-management-hub:grpc-server-sa"
SAN = x509.SubjectAlternativeName([x509.DNSName(DNS_NAME)])


def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def name(*values: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in values])


def subject(cluster: str, organization: str = names.ADDON) -> x509.Name:
    return name((NameOID.ORGANIZATION_NAME, organization), (NameOID.COMMON_NAME, cluster))


def pem(
    subject_name: x509.Name,
    extensions: Sequence[x509.ExtensionType] = (SAN,),
    private: Key | None = None,
    attributes: Sequence[tuple[x509.ObjectIdentifier, bytes]] = (),
) -> str:
    private = private or key()
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject_name)
    for each in extensions:
        builder = builder.add_extension(each, critical=False)
    for oid, value in attributes:
        builder = builder.add_attribute(oid, value)
    digest = None if isinstance(private, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else hashes.SHA256()
    return builder.sign(private, digest).public_bytes(serialization.Encoding.PEM).decode()


def request(cluster: str, text: str = "", **changes: Any) -> Object:
    """A request of the agent of `cluster`, as the API server returns it. `changes`: fields of its spec, `labels`, `signer`, `status`."""
    labels = changes.pop("labels", {names.CLUSTER_LABEL: cluster, names.ADDON_LABEL: names.ADDON})
    status = changes.pop("status", {})
    spec = {
        "request": base64.b64encode((text or pem(subject(cluster))).encode()).decode(),
        "signerName": changes.pop("signer", names.SIGNER),
        "usages": list(USAGES),
        "username": f"{PREFIX}:{cluster}:agent1",
        "groups": [f"{PREFIX}:{cluster}", f"{PREFIX}:managed-clusters", "system:authenticated"],
    }
    metadata = {"name": "csr-1", "uid": "csr-uid", "labels": labels, "creationTimestamp": "2030-01-01T00:00:00Z", "resourceVersion": "1"}
    kind = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest"}
    return kind | {"metadata": metadata, "spec": spec | changes, "status": status}


def relayed(csr: Object, server: str = GRPC_SERVER) -> Object:
    """The same request of the same user, as OCM's gRPC server creates it."""
    groups = ["system:serviceaccounts", "system:serviceaccounts:open-cluster-management-hub", "system:authenticated"]
    metadata = csr["metadata"] | {"annotations": {CSR_USER: csr["spec"]["username"]}}
    return {**csr, "metadata": metadata, "spec": csr["spec"] | {"username": server, "groups": groups}}


def der(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content)
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag]) + (bytes([size]) if size < 128 else bytes([128 + len(digits)]) + digits) + content


def extensions_attribute(*extensions: bytes) -> bytes:
    """The attribute of a request that has its extensions."""
    return der(0x30, der(6, bytes.fromhex("2a864886f70d01090e")), der(0x31, der(0x30, *extensions)))


def signed(attributes: bytes, subject_der: bytes) -> str:
    """A request with these attributes and this subject, signed with its key. They may be invalid, which the library's builder refuses."""
    private = key()
    public = private.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    about = der(0x30, der(2, b"\0"), subject_der, public, der(0xA0, attributes))
    signature = private.sign(about, ec.ECDSA(hashes.SHA256()))
    algorithm = der(0x30, der(6, bytes.fromhex("2a8648ce3d040302")))  # ECDSA with SHA-256
    text = base64.encodebytes(der(0x30, about, algorithm, der(3, b"\0", signature))).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{text}-----END CERTIFICATE REQUEST-----\n"
