"""Whether a certificate request gets its certificate. Pure.

The API server says who asks (`spec.username` and `spec.groups` are its own words, whatever the client wrote); everything else in a
request is a claim. A request is approved only if all of it is what OCM's agent of that very cluster asks for, to the letter.
Whatever its labels say, a request for our signer is judged: nobody else signs for it.
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

from panal.addon.leaf import BadRequest, WrongKey, requested
from panal.api import names
from panal.api.text import shown

Object = Mapping[str, Any]
PREFIX = "system:open-cluster-management"
AGENT = re.compile(rf"{PREFIX}:([a-z0-9](?:[-a-z0-9]*[a-z0-9])?):[^:\s]+")
DNS_NAME = f"{names.ADDON}.addon.open-cluster-management.io"
USAGES = {"digital signature", "key encipherment", "client auth"}
MAX_CERTIFICATES = 20
EXTENSIONS_WANTED = "1.2.840.113549.1.9.14"  # the attribute of a request that holds its extensions
SHOWN = 60  # characters of what a request says that are repeated in messages
SHOWN_OF_ERRORS = 300


class Reason(StrEnum):
    """Why a request is denied."""

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
class Known:
    """What the hub knows of a cluster. `certificates` are its certificates that have neither expired nor been revoked."""

    accepted: bool
    installed: bool
    revoked: bool
    certificates: int


@dataclass(frozen=True, slots=True)
class Approve:
    """`request` is the PEM whose key gets a certificate in the name of `cluster`."""

    cluster: str
    request: str


@dataclass(frozen=True, slots=True)
class Deny:
    """`cluster` is the one that asked, as the API server knows it; empty if it was none."""

    reason: Reason
    message: str
    cluster: str


@dataclass(frozen=True, slots=True)
class Wait:
    """The hub does not know enough yet."""


@dataclass(frozen=True, slots=True)
class NotOurs:
    """Another signer's, or one that has its answer."""


Verdict = Approve | Deny | Wait | NotOurs


def requester(csr: Object) -> str:
    """The cluster whose agent asks; empty if it is no cluster's agent."""
    found = AGENT.fullmatch((csr.get("spec") or {}).get("username") or "")
    return found[1] if found else ""


def judge(csr: Object, known: Callable[[str], Known | None]) -> Verdict:
    """`known` is asked about the cluster that the API server names, and gives None while it cannot say."""
    if not open_for_us(csr):
        return NotOurs()
    cluster = requester(csr)
    if foreign := _foreign(csr, cluster):
        return Deny(Reason.FOREIGN_REQUESTER, foreign, "")
    found = known(cluster)
    if found is None:
        return Wait()
    try:
        pem = base64.b64decode(csr["spec"]["request"], validate=True).decode()
        request = requested(pem)
        problem = next(_problems(csr, request, cluster), None) or _unwelcome(cluster, found)
    except WrongKey as error:
        return Deny(Reason.WRONG_KEY, _said(cluster, f"asked with a key that does not do: {error}"), cluster)
    except (BadRequest, binascii.Error, ValueError) as error:
        return Deny(
            Reason.MALFORMED_REQUEST, _said(cluster, f"sent a request that is not usable: {shown(str(error), SHOWN_OF_ERRORS)}"), cluster
        )
    return Deny(problem[0], _said(cluster, problem[1]), cluster) if problem else Approve(cluster, pem)


def open_for_us(csr: Object) -> bool:
    """Whether it is for our signer and has no answer yet. One that somebody else has approved is judged all the same."""
    status = csr.get("status") or {}
    answered = any(c.get("type") in ("Denied", "Failed") for c in status.get("conditions") or ())
    return (csr.get("spec") or {}).get("signerName") == names.SIGNER and not answered and not status.get("certificate")


def _said(cluster: str, what: str) -> str:
    return f"cluster {cluster} {what}"


def _shown(text: object) -> str:
    return f"'{shown(str(text), SHOWN)}'"


def _foreign(csr: Object, cluster: str) -> str:
    spec = csr["spec"]
    who, groups = _shown(spec.get("username") or ""), set(spec.get("groups") or ())
    if not cluster:
        return f"{who} is not the agent of a managed cluster: certificates for {names.SIGNER} are for clusters' agents alone"
    if not {f"{PREFIX}:{cluster}", f"{PREFIX}:managed-clusters"} <= groups:
        return f"{who} is not in the groups of the agent of cluster {cluster}: let the cluster join the hub again"
    return ""


def _problems(csr: Object, request: x509.CertificateSigningRequest, cluster: str) -> Iterator[tuple[Reason, str]]:
    labels = (csr.get("metadata") or {}).get("labels") or {}
    claimed = labels.get(names.CLUSTER_LABEL), labels.get(names.ADDON_LABEL)
    if claimed != (cluster, names.ADDON):
        yield Reason.FORGED_LABELS, f"labelled its request as of cluster {_shown(claimed[0])}, add-on {_shown(claimed[1])}"
    subject = [(attribute.oid, attribute.value) for rdn in request.subject.rdns for attribute in rdn]
    if sorted(subject, key=str) != sorted([(NameOID.ORGANIZATION_NAME, names.ADDON), (NameOID.COMMON_NAME, cluster)], key=str):
        wanted = f"O={names.ADDON}, CN={cluster}"
        yield Reason.WRONG_SUBJECT, f"asked for the subject {_shown(request.subject.rfc4514_string())}, and may have {wanted} only"
    if _sans(request) not in ([], [x509.DNSName(DNS_NAME)]):
        yield Reason.WRONG_NAMES, f"asked for other alternative names than {DNS_NAME}"
    others = {e.oid for e in request.extensions} - {ExtensionOID.SUBJECT_ALTERNATIVE_NAME}
    if others or any(a.oid.dotted_string != EXTENSIONS_WANTED for a in request.attributes):
        yield Reason.WRONG_EXTENSIONS, "asked for extensions or attributes beside its alternative name, and may have none"
    usages = csr["spec"].get("usages") or []
    if set(usages) != USAGES:
        yield Reason.WRONG_USAGES, f"asked for the usages {_shown(', '.join(usages))}, and may have {', '.join(sorted(USAGES))} only"


def _sans(request: x509.CertificateSigningRequest) -> list[x509.GeneralName]:
    try:
        return list(request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []


def _unwelcome(cluster: str, known: Known) -> tuple[Reason, str] | None:
    if not known.accepted:
        return Reason.CLUSTER_NOT_ACCEPTED, f"is not accepted by the hub: set spec.hubAcceptsClient of ManagedCluster {cluster}"
    if not known.installed:
        where = f"ManagedClusterAddOn {names.ADDON} in the namespace {cluster}"
        return Reason.ADD_ON_NOT_INSTALLED, f"does not have the add-on (or it is being removed): there is no {where}"
    if known.revoked:
        return Reason.REVOKED, f"has been shut out: `panal certs restore {cluster}` lets it take part again"
    if known.certificates >= MAX_CERTIFICATES:
        return (
            Reason.TOO_MANY_CERTIFICATES,
            f"has {known.certificates} certificates that have not expired: find out who asks there, and `panal certs revoke {cluster}`",
        )
    return None
