"""Which certificate requests are approved: exactly those that the cluster's own agent creates.

All tests with `verdict` judge the request as the agent creates it, and as OCM's gRPC server creates it for the agent.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AttributeOID, ExtendedKeyUsageOID, NameOID

from panal.addon.requests import (
    CSR_USER,
    DNS_NAME,
    MAX_CERTIFICATES,
    Approve,
    ClusterState,
    Deny,
    Ignore,
    Reason,
    Verdict,
    Wait,
    claimed_requester,
    judge,
    requester,
)
from panal.api import names
from requests_of_certificates import GRPC_SERVER, PREFIX, SAN, USAGES, Key, key, name, pem, relayed, request, subject

ELIGIBLE = ClusterState(accepted=True, installed=True, revoked=False, certificates=1)
CA = x509.BasicConstraints(ca=True, path_length=None)
EXPLICIT_CURVE = """-----BEGIN CERTIFICATE REQUEST-----
MIIB2DCCAX0CAQAwJzEYMBYGA1UECgwPZmwtY29sbGFib3JhdG9yMQswCQYDVQQD
DAJjMTCCAUswggEDBgcqhkjOPQIBMIH3AgEBMCwGByqGSM49AQECIQD/////AAAA
AQAAAAAAAAAAAAAAAP///////////////zBbBCD/////AAAAAQAAAAAAAAAAAAAA
AP///////////////AQgWsY12Ko6k+ez671VdpiGvGUdBrDMU7D2O848PifSYEsD
FQDEnTYIhucEk2pmeOETnSa3gZ9+kARBBGsX0fLhLEJH+Lzm5WOkQPJ3A32BLesz
oPShOUXYmMKWT+NC4v4af5uO5+tKfA+eFivOM1drMV7Oy7ZAaDe/UfUCIQD/////
AAAAAP//////////vOb6racXnoTzucrC/GMlUQIBAQNCAARdJ0JDc98x0ibzXwBG
n+a0jEoKGGy5IUoGdta5RqMwS8p7lYMvtPOqTYgsF86iAXldKCpMyLn5rZSOoH7L
Dv1ToAAwCgYIKoZIzj0EAwIDSQAwRgIhAKTeHaNb/8KaVJNffSUBC/DuV0fcNSWW
Mous8Xx9m/yQAiEApeuI1vnYVxQyMh/e1j/riEuu/7gTcySH5DxfS8GXtfo=
-----END CERTIFICATE REQUEST-----
"""
SERVER = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])


def sans(*values: x509.GeneralName) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName(list(values))


def labels(cluster: str, addon: str = names.ADDON) -> dict[str, str]:
    return {names.CLUSTER_LABEL: cluster, names.ADDON_LABEL: addon}


Csr = dict[str, Any]
Judge = Callable[..., Verdict]


def judged(csr: Csr, known: ClusterState | None = ELIGIBLE, grpc_server: str = GRPC_SERVER) -> Verdict:
    return judge(csr, lambda _: known, grpc_server)


def directly(csr: Csr, known: ClusterState | None = ELIGIBLE) -> Verdict:
    """Whether a gRPC server is configured does not matter."""
    found = judged(csr, known)
    assert judged(csr, known, "") == found
    return found


def by_grpc(csr: Csr, known: ClusterState | None = ELIGIBLE) -> Verdict:
    return judged(relayed(csr), known)


@pytest.fixture(params=[directly, by_grpc])
def verdict(request: pytest.FixtureRequest) -> Judge:
    found: Judge = request.param
    return found


@pytest.mark.parametrize(
    "text",
    [
        pem(subject("c1")),
        pem(subject("c1"), extensions=()),
        pem(name((NameOID.COMMON_NAME, "c1"), (NameOID.ORGANIZATION_NAME, names.ADDON))),
        pem(subject("c1"), private=ec.generate_private_key(ec.SECP384R1())),
        pem(subject("c1"), private=ec.generate_private_key(ec.SECP521R1())),
    ],
    ids=["as the agent", "without the DNS name", "other order", "P-384", "P-521"],
)
def test_the_agent_of_a_cluster_gets_its_own_certificate(verdict: Judge, text: str) -> None:
    assert verdict(request("c1", text)) == Approve("c1", text)


@pytest.mark.parametrize(
    ("csr", "reason"),
    [
        # another subject
        (request("c1", pem(subject("c2"))), Reason.WRONG_SUBJECT),
        (request("c1", pem(subject("c10"))), Reason.WRONG_SUBJECT),
        (request("c10", pem(subject("c1"))), Reason.WRONG_SUBJECT),
        (request("c1", pem(subject("c1", "system:masters"))), Reason.WRONG_SUBJECT),
        (request("c1", pem(name((NameOID.COMMON_NAME, "c1")))), Reason.WRONG_SUBJECT),
        (request("c1", pem(name((NameOID.COMMON_NAME, "digits.ns.fl.panal")))), Reason.WRONG_SUBJECT),
        (
            request("c1", pem(name((NameOID.ORGANIZATION_NAME, names.ADDON), (NameOID.COMMON_NAME, "c1"), (NameOID.COMMON_NAME, "c2")))),
            Reason.WRONG_SUBJECT,
        ),
        (
            request("c1", pem(name((NameOID.ORGANIZATION_NAME, names.ADDON), (NameOID.ORGANIZATIONAL_UNIT_NAME, "c1")))),
            Reason.WRONG_SUBJECT,
        ),
        (
            request("c1", pem(name((NameOID.ORGANIZATION_NAME, names.ADDON), (NameOID.COMMON_NAME, "c1"), (NameOID.LOCALITY_NAME, "x")))),
            Reason.WRONG_SUBJECT,
        ),
        (request("c1", pem(x509.Name([]))), Reason.WRONG_SUBJECT),
        # alternative names
        (request("c1", pem(subject("c1"), [sans(x509.DNSName("digits.ns.fl.panal"))])), Reason.WRONG_NAMES),
        (request("c1", pem(subject("c1"), [sans(x509.DNSName(DNS_NAME), x509.DNSName("digits.ns.fl.panal"))])), Reason.WRONG_NAMES),
        (
            request("c1", pem(subject("c1"), [sans(x509.DNSName(DNS_NAME), x509.UniformResourceIdentifier(names.cluster_uri("c2")))])),
            Reason.WRONG_NAMES,
        ),
        (request("c1", pem(subject("c1"), [sans(x509.UniformResourceIdentifier(names.cluster_uri("c1")))])), Reason.WRONG_NAMES),
        (request("c1", pem(subject("c1"), [sans(x509.DNSName(f"*.{DNS_NAME}"))])), Reason.WRONG_NAMES),
        # usages and extensions
        (request("c1", usages=[*USAGES, "server auth"]), Reason.WRONG_USAGES),
        (request("c1", usages=["digital signature", "key encipherment", "server auth"]), Reason.WRONG_USAGES),
        (request("c1", usages=["digital signature", "client auth"]), Reason.WRONG_USAGES),
        (request("c1", usages=[*USAGES, "cert sign"]), Reason.WRONG_USAGES),
        (request("c1", usages=None), Reason.WRONG_USAGES),
        (request("c1", pem(subject("c1"), [SAN, CA])), Reason.WRONG_EXTENSIONS),
        (request("c1", pem(subject("c1"), [SAN, SERVER])), Reason.WRONG_EXTENSIONS),
        (request("c1", pem(subject("c1"), attributes=[(AttributeOID.CHALLENGE_PASSWORD, b"secret")])), Reason.WRONG_EXTENSIONS),
        # labels, which any client may set
        (request("c1", labels=labels("c2")), Reason.FORGED_LABELS),
        (request("c1", labels=labels("c10")), Reason.FORGED_LABELS),
        (request("c1", labels=labels("c1", "another")), Reason.FORGED_LABELS),
        (request("c1", labels={}), Reason.FORGED_LABELS),
        (request("c1", pem(subject("c2")), labels=labels("c2")), Reason.FORGED_LABELS),
        # requesters
        (request("c1", username=f"{PREFIX}:c1"), Reason.FOREIGN_REQUESTER),
        (request("c1", username=f"{PREFIX}:c1:"), Reason.FOREIGN_REQUESTER),
        (request("c1", username=f"{PREFIX}:c1:agent:more"), Reason.FOREIGN_REQUESTER),
        (request("c1", username=f"x{PREFIX}:c1:agent"), Reason.FOREIGN_REQUESTER),
        (request("c1", username=f"{PREFIX}:c1:agent\n"), Reason.FOREIGN_REQUESTER),
        (request("c1", username=f"{PREFIX}:C1:agent"), Reason.FOREIGN_REQUESTER),
        (request("c1", username=f"{PREFIX}:cluster:c1:addon:x:agent:x"), Reason.FOREIGN_REQUESTER),
        (request("c1", username="admin", groups=["system:masters"]), Reason.FOREIGN_REQUESTER),
        (request("c1", username=""), Reason.FOREIGN_REQUESTER),
        (request("c1", username="grpc-bootstrap"), Reason.FOREIGN_REQUESTER),
        (request("c1", username="system:serviceaccount:open-cluster-management:agent-registration-bootstrap"), Reason.FOREIGN_REQUESTER),
        (request("c1", username="system:serviceaccount:c1:agent"), Reason.FOREIGN_REQUESTER),
        # malformed
        (request("c1", "nonsense"), Reason.MALFORMED_REQUEST),
        (request("c1") | {"spec": request("c1")["spec"] | {"request": "%%%"}}, Reason.MALFORMED_REQUEST),
        (request("c1") | {"spec": request("c1")["spec"] | {"request": "/w=="}}, Reason.MALFORMED_REQUEST),
    ],
)
def test_any_other_request_is_denied(verdict: Judge, csr: Csr, reason: Reason) -> None:
    found = verdict(csr)
    assert isinstance(found, Deny)
    assert (found.reason, found.cluster) == (reason, "" if reason is Reason.FOREIGN_REQUESTER else requester(csr))
    assert requester(csr) in found.message


@pytest.mark.parametrize(
    "csr",
    [
        request("c1", username=f"{PREFIX}:c10:agent"),  # without the groups of c10
        request("c1", groups=[f"{PREFIX}:c10", f"{PREFIX}:managed-clusters"]),
        request("c1", groups=[f"{PREFIX}:c1"]),
        request("c1", groups=[f"{PREFIX}:managed-clusters", "system:authenticated"]),
        request("c1", groups=None),
    ],
)
def test_a_requester_without_the_groups_of_an_agent_is_denied(csr: Csr) -> None:
    """Through the gRPC server there are no groups: it names the user alone."""
    found = directly(csr)
    assert isinstance(found, Deny)
    assert (found.reason, found.cluster) == (Reason.FOREIGN_REQUESTER, "")


def annotated(user: str, **changes: Any) -> Csr:
    """A request that was created directly and has the annotation of the gRPC server."""
    csr = request("c1", **changes)
    return csr | {"metadata": csr["metadata"] | {"annotations": {CSR_USER: user}}}


OTHER_SERVERS = [
    "",
    "grpc-server-sa",
    "system:serviceaccount:default:grpc-server-sa",
    "system:serviceaccount:open-cluster-management-hub:default",
    f"{GRPC_SERVER}2",
    f" {GRPC_SERVER}",
    f"{GRPC_SERVER}\n",
    GRPC_SERVER.upper(),
    "system:serviceaccount:open-cluster-management-hub:*",
]


@pytest.mark.parametrize("configured", OTHER_SERVERS)
@pytest.mark.parametrize("groups", [[], [f"{PREFIX}:c1", f"{PREFIX}:managed-clusters"]])
def test_the_annotation_counts_only_from_the_configured_server(configured: str, groups: list[str]) -> None:
    csr = relayed(request("c1"))
    csr["spec"]["groups"] += groups
    found = judged(csr, grpc_server=configured)
    assert isinstance(found, Deny)
    assert (found.reason, found.cluster) == (Reason.FOREIGN_REQUESTER, "")
    assert all(word in found.message for word in (GRPC_SERVER, CSR_USER, "registration.grpcServerAccount"))
    assert judged(csr) == Approve("c1", base64.b64decode(csr["spec"]["request"]).decode())


@pytest.mark.parametrize("server", OTHER_SERVERS)
def test_nobody_else_can_name_a_requester(server: str) -> None:
    found = judged(relayed(request("c1"), server))
    assert isinstance(found, Deny)
    assert (found.reason, found.cluster) == (Reason.FOREIGN_REQUESTER, "")


def test_an_agent_with_the_annotation_is_judged_by_its_username() -> None:
    own, other = f"{PREFIX}:c1:agent1", f"{PREFIX}:c2:agent1"
    assert isinstance(judged(annotated(other)), Approve)
    assert requester(annotated(other), GRPC_SERVER) == "c1"
    forged = judged(annotated(own, username=other, groups=[f"{PREFIX}:c2", f"{PREFIX}:managed-clusters"]))
    assert isinstance(forged, Deny)
    assert (forged.reason, forged.cluster) == (Reason.FORGED_LABELS, "c2")


@pytest.mark.parametrize("annotations", [None, {}, {CSR_USER: ""}, {CSR_USER.upper(): f"{PREFIX}:c1:agent1"}])
def test_the_server_must_say_whose_request_it_is(annotations: dict[str, str] | None) -> None:
    csr = relayed(request("c1"))
    csr["metadata"]["annotations"] = annotations
    found = judged(csr)
    assert isinstance(found, Deny)
    assert (found.reason, found.cluster) == (Reason.FOREIGN_REQUESTER, "")
    assert CSR_USER in found.message


def test_the_server_itself_is_not_an_agent_of_its_groups() -> None:
    """Nor is it by its labels."""
    csr = request("c1", username=GRPC_SERVER)
    assert isinstance(judged(csr), Deny)
    assert claimed_requester(csr) == requester(csr, GRPC_SERVER) == ""


def test_what_the_annotation_claims() -> None:
    assert claimed_requester(annotated(f"{PREFIX}:c2:agent1")) == "c2"
    assert claimed_requester(annotated("grpc-bootstrap")) == ""


@pytest.mark.parametrize(
    ("private", "kind"),
    [
        (rsa.generate_private_key(65537, 1024), "RSA of 1024 bits"),
        (rsa.generate_private_key(65537, 2048), "RSA of 2048 bits"),
        (rsa.generate_private_key(65537, 4096), "RSA of 4096 bits"),
        (dsa.generate_private_key(2048), "DSA of 2048 bits"),
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519"),
        (ed448.Ed448PrivateKey.generate(), "Ed448"),
        (ec.generate_private_key(ec.SECP192R1()), "secp192r1"),
        (ec.generate_private_key(ec.SECP224R1()), "secp224r1"),
        (ec.generate_private_key(ec.SECP256K1()), "secp256k1"),
        (ec.generate_private_key(ec.BrainpoolP256R1()), "brainpoolP256r1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_unsupported_key_is_denied_with_the_remedy(verdict: Judge, private: Key, kind: str) -> None:
    found = verdict(request("c1", pem(subject("c1"), private=private)))
    assert isinstance(found, Deny)
    assert (found.reason, found.cluster) == (Reason.WRONG_KEY, "c1")
    assert kind in found.message
    assert "P-256" in found.message


def test_a_curve_with_explicit_parameters_is_denied(verdict: Judge) -> None:
    """`openssl ecparam -name prime256v1 -genkey -param_enc explicit`: the library recognizes it as the named curve."""
    assert x509.load_pem_x509_csr(EXPLICIT_CURVE.encode()).is_signature_valid
    found = verdict(request("c1", EXPLICIT_CURVE))
    assert isinstance(found, Deny)
    assert (found.reason, "parameters" in found.message) == (Reason.WRONG_KEY, True)


def test_a_request_signed_with_another_key_is_denied(verdict: Judge) -> None:
    own, other = pem(subject("c1")), pem(subject("c1"))
    found = verdict(request("c1", _with_signature_of(own, other)))
    assert isinstance(found, Deny)
    assert found.reason is Reason.MALFORMED_REQUEST


def _with_signature_of(text: str, other: str) -> str:
    one, two = (x509.load_pem_x509_csr(t.encode()) for t in (text, other))
    der = one.public_bytes(Encoding.DER).replace(one.signature, two.signature.ljust(len(one.signature), b"\0")[: len(one.signature)])
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{base64.encodebytes(der).decode()}-----END CERTIFICATE REQUEST-----\n"


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (replace(ELIGIBLE, accepted=False), Reason.CLUSTER_NOT_ACCEPTED),
        (replace(ELIGIBLE, installed=False), Reason.ADD_ON_NOT_INSTALLED),
        (replace(ELIGIBLE, revoked=True), Reason.REVOKED),
        (replace(ELIGIBLE, certificates=MAX_CERTIFICATES), Reason.TOO_MANY_CERTIFICATES),
    ],
)
def test_a_request_of_an_ineligible_cluster_is_denied(verdict: Judge, known: ClusterState, reason: Reason) -> None:
    found = verdict(request("c1"), known)
    assert isinstance(found, Deny)
    assert (found.reason, found.cluster) == (reason, "c1")
    assert "c1" in found.message


@pytest.mark.parametrize(
    "csr",
    [
        request("c1", signer="kubernetes.io/kube-apiserver-client"),
        request("c1", signer="fl.panal/other"),
        request("c1", status={"conditions": [{"type": "Denied"}]}),
        request("c1", status={"conditions": [{"type": "Approved"}, {"type": "Failed"}]}),
        request("c1", status={"conditions": [{"type": "Approved"}], "certificate": "eA=="}),
    ],
)
def test_requests_for_other_signers_and_answered_requests_are_ignored(verdict: Judge, csr: dict[str, Any]) -> None:
    assert verdict(csr) == Ignore()


def test_a_request_that_another_client_approved_is_judged(verdict: Judge) -> None:
    approved = {"conditions": [{"type": "Approved"}]}
    assert isinstance(verdict(request("c1", pem(subject("c2")), status=approved)), Deny)
    assert isinstance(verdict(request("c1", status=approved)), Approve)


def test_a_request_waits_while_the_cluster_is_not_known(verdict: Judge) -> None:
    assert verdict(request("c1"), None) == Wait()


def test_the_cluster_is_that_of_the_username() -> None:
    looked_up: list[str] = []
    csr = request("c1", pem(subject("c2")), labels=labels("c2"))
    for each in (csr, relayed(csr)):
        judge(each, lambda c: looked_up.append(c) or ELIGIBLE, GRPC_SERVER)
    assert looked_up == ["c1", "c1"]


def test_text_from_a_request_is_truncated_and_escaped(verdict: Judge) -> None:
    long = name((NameOID.ORGANIZATION_NAME, names.ADDON), (NameOID.COMMON_NAME, "c1\nforged line " + "x" * 40))
    found = verdict(request("c1", pem(long, private=key())))
    assert isinstance(found, Deny)
    assert "\n" not in found.message
    assert len(found.message) < 250
