"""Decides which certificate requests are approved. Pure.

The API server sets `spec.username` and `spec.groups`, whatever the client wrote; everything else in a request is an unproven claim. A
request is approved only if it is exactly what OCM's agent of the requesting cluster creates. Every request for panal's signer is
judged, whatever its labels.

The agent of a cluster that joined by gRPC does not reach the API server: OCM's gRPC server creates the request, as its own user, and writes
the name of the agent, which it has authenticated, in the annotation CSR_USER. The annotation is believed only if `spec.username` is exactly
`grpc_server`, the configured user of that server; if that is empty, it is never believed.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cryptography import x509
from cryptography.x509.oid import ExtensionOID, NameOID

from panal.addon.leaf import BadRequest, WrongKey, parsed
from panal.api import names
from panal.api.text import shown

Object = Mapping[str, Any]
PREFIX = "system:open-cluster-management"
AGENT = re.compile(rf"{PREFIX}:([a-z0-9](?:[-a-z0-9]*[a-z0-9])?):[^:\s]+")
CSR_USER = "open-cluster-management.io/csr-user"
DNS_NAME = f"{names.ADDON}.addon.open-cluster-management.io"
USAGES = {"digital signature", "key encipherment", "client auth"}
MAX_CERTIFICATES = 20
EXTENSIONS_WANTED = "1.2.840.113549.1.9.14"  # the attribute of a request that contains its extensions
SHOWN = 60  # characters of a value from a request that a message contains
SHOWN_OF_USERS = 120
SHOWN_OF_ERRORS = 300


class Reason(StrEnum):
    """The reason of a denial, in the condition of the request and in the Event."""

    FOREIGN_REQUESTER = "ForeignRequester"
    FORGED_LABELS = "ForgedLabels"
    MALFORMED_REQUEST = "MalformedRequest"
    WRONG_KEY = "WrongKey"
    WRONG_SUBJECT = "WrongSubject"
    WRONG_NAMES = "WrongNames"
    WRONG_EXTENSIONS = "WrongExtensions"
    WRONG_USAGES = "WrongUsages"
    CLUSTER_NOT_ACCEPTED = "ClusterNotAccepted"
    ADD_ON_NOT_INSTALLED = "AddOnNotInstalled"
    REVOKED = "Revoked"
    TOO_MANY_CERTIFICATES = "TooManyCertificates"


@dataclass(frozen=True, slots=True)
class ClusterState:
    """The state of a cluster on the hub. `certificates`: the number of its valid certificates."""

    accepted: bool
    installed: bool
    revoked: bool
    certificates: int


@dataclass(frozen=True, slots=True)
class Approve:
    """`request`: the PEM request whose key gets a certificate of `cluster`."""

    cluster: str
    request: str


@dataclass(frozen=True, slots=True)
class Deny:
    """`cluster`: the requesting cluster, as `requester` returns it; empty if the requester is not a cluster's agent."""

    reason: Reason
    message: str
    cluster: str


@dataclass(frozen=True, slots=True)
class Wait:
    """The state of the cluster is not known yet."""


@dataclass(frozen=True, slots=True)
class Ignore:
    """The request is for another signer, or has been answered."""


Verdict = Approve | Deny | Wait | Ignore


def requester(csr: Object, grpc_server: str = "") -> str:
    """The cluster whose agent requests the certificate; empty if the requester is not a cluster's agent."""
    return claimed_requester(csr) if _is_relayed(csr, grpc_server) else _cluster_of(_username(csr))


def claimed_requester(csr: Object) -> str:
    """The cluster whose agent the annotation names, which anyone may have written; empty if it names no cluster's agent."""
    return _cluster_of(_annotated(csr))


def judge(csr: Object, known: Callable[[str], ClusterState | None], grpc_server: str = "") -> Verdict:
    """`known` returns the state of the requesting cluster, or None while it is not known."""
    if not is_pending(csr):
        return Ignore()
    cluster = requester(csr, grpc_server)
    if foreign := _foreign_relayed(csr, cluster) if _is_relayed(csr, grpc_server) else _foreign(csr, cluster):
        return Deny(Reason.FOREIGN_REQUESTER, foreign, "")
    found = known(cluster)
    if found is None:
        return Wait()
    try:
        pem = base64.b64decode(csr["spec"]["request"], validate=True).decode()
        request = parsed(pem)
        problem = next(_problems(csr, request, cluster), None) or _ineligible(cluster, found)
    except WrongKey as error:
        return Deny(Reason.WRONG_KEY, _message(cluster, f"sent an unsupported request: {error}"), cluster)
    except (BadRequest, binascii.Error, ValueError) as error:
        return Deny(Reason.MALFORMED_REQUEST, _message(cluster, f"sent an invalid request: {shown(str(error), SHOWN_OF_ERRORS)}"), cluster)
    return Deny(problem[0], _message(cluster, problem[1]), cluster) if problem else Approve(cluster, pem)


def is_pending(csr: Object) -> bool:
    """Whether a request is for panal's signer and has no answer. One that another client has approved still counts as pending."""
    status = csr.get("status") or {}
    answered = any(c.get("type") in ("Denied", "Failed") for c in status.get("conditions") or ())
    return (csr.get("spec") or {}).get("signerName") == names.SIGNER and not answered and not status.get("certificate")


def _is_relayed(csr: Object, grpc_server: str) -> bool:
    return grpc_server != "" and _username(csr) == grpc_server


def _username(csr: Object) -> str:
    return (csr.get("spec") or {}).get("username") or ""


def _annotated(csr: Object) -> str:
    return ((csr.get("metadata") or {}).get("annotations") or {}).get(CSR_USER) or ""


def _cluster_of(user: str) -> str:
    found = AGENT.fullmatch(user)
    return found[1] if found else ""


def _message(cluster: str, what: str) -> str:
    return f"cluster {cluster} {what}"


def _shown(text: object, length: int = SHOWN) -> str:
    return f"'{shown(str(text), length)}'"


def _foreign(csr: Object, cluster: str) -> str:
    user, groups = _shown(_username(csr), SHOWN_OF_USERS), set(csr["spec"].get("groups") or ())
    if not cluster and _annotated(csr):
        remedy = "If this is OCM's gRPC server, set registration.grpcServerAccount of panal's chart to this name"
        return f"{user} is not the agent of a managed cluster, and its annotation {CSR_USER} is not believed. {remedy}"
    if not cluster:
        return f"{user} is not the agent of a managed cluster. Only such agents can request certificates of signer {names.SIGNER}"
    if not {f"{PREFIX}:{cluster}", f"{PREFIX}:managed-clusters"} <= groups:
        return f"{user} is not in the groups of the agent of cluster {cluster}. Let the cluster join the hub again"
    return ""


def _foreign_relayed(csr: Object, cluster: str) -> str:
    if cluster:
        return ""
    if not _annotated(csr):
        return f"OCM's gRPC server has not said whose request this is: it has no annotation {CSR_USER}"
    return f"OCM's gRPC server requests it for {_shown(_annotated(csr), SHOWN_OF_USERS)}, which is not the agent of a managed cluster"


def _problems(csr: Object, request: x509.CertificateSigningRequest, cluster: str) -> Iterator[tuple[Reason, str]]:
    labels = (csr.get("metadata") or {}).get("labels") or {}
    claimed = labels.get(names.CLUSTER_LABEL), labels.get(names.ADDON_LABEL)
    if claimed != (cluster, names.ADDON):
        yield Reason.FORGED_LABELS, f"sent a request with the labels of cluster {_shown(claimed[0])}, add-on {_shown(claimed[1])}"
    subject = [(attribute.oid, attribute.value) for rdn in request.subject.rdns for attribute in rdn]
    if sorted(subject, key=str) != sorted([(NameOID.ORGANIZATION_NAME, names.ADDON), (NameOID.COMMON_NAME, cluster)], key=str):
        wanted = f"O={names.ADDON}, CN={cluster}"
        yield Reason.WRONG_SUBJECT, f"requested the subject {_shown(request.subject.rfc4514_string())}; only {wanted} is allowed"
    if _sans(request) not in ([], [x509.DNSName(DNS_NAME)]):
        yield Reason.WRONG_NAMES, f"requested subject alternative names other than {DNS_NAME}"
    others = {e.oid for e in request.extensions} - {ExtensionOID.SUBJECT_ALTERNATIVE_NAME}
    if others or any(a.oid.dotted_string != EXTENSIONS_WANTED for a in request.attributes):
        yield Reason.WRONG_EXTENSIONS, "requested extensions or attributes other than its alternative name; none are allowed"
    usages = csr["spec"].get("usages") or []
    if set(usages) != USAGES:
        yield Reason.WRONG_USAGES, f"requested the usages {_shown(', '.join(usages))}; only {', '.join(sorted(USAGES))} are allowed"


def _sans(request: x509.CertificateSigningRequest) -> list[x509.GeneralName]:
    try:
        return list(request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []


def _ineligible(cluster: str, known: ClusterState) -> tuple[Reason, str] | None:
    if not known.accepted:
        return (
            Reason.CLUSTER_NOT_ACCEPTED,
            f"is not accepted by the hub. To accept it, set spec.hubAcceptsClient of ManagedCluster {cluster}",
        )
    if not known.installed:
        where = f"ManagedClusterAddOn {names.ADDON} in the namespace {cluster}"
        return Reason.ADD_ON_NOT_INSTALLED, f"does not have the add-on: {where} does not exist, or is being deleted"
    if known.revoked:
        return Reason.REVOKED, f"is revoked. To restore it: `panal certs restore {cluster}`"
    if known.certificates >= MAX_CERTIFICATES:
        return (
            Reason.TOO_MANY_CERTIFICATES,
            f"has {known.certificates} valid certificates. Find out what requests them; to revoke them: `panal certs revoke {cluster}`",
        )
    return None
