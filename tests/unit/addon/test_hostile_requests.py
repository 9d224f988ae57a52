"""Certificate requests and annotations with any content: every request gets a verdict, and no annotation is trusted to be valid."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from panal.addon.issued import Issued, issued, text, valid
from panal.addon.requests import CSR_USER, DNS_NAME, Approve, ClusterState, Deny, Ignore, Reason, judge
from panal.api import names
from requests_of_certificates import GRPC_SERVER, PREFIX, USAGES, der, extensions_attribute, request, signed, subject

pytestmark = pytest.mark.filterwarnings("ignore:Attribute's length must be:UserWarning")  # the library's, of names that are too long
NOW = datetime(2026, 3, 1, tzinfo=UTC)
ELIGIBLE = ClusterState(accepted=True, installed=True, revoked=False, certificates=1)
LONGEST = 600  # characters of a denial
SETTINGS = settings(max_examples=80, derandomize=True, database=None, deadline=None)

SAN_OID, BASIC_OID, COMMON_NAME, ORGANIZATION = (bytes.fromhex(oid) for oid in ("551d11", "551d13", "550403", "55040a"))
OWN = subject("c1").public_bytes()
SAN = der(0x30, der(0x82, DNS_NAME.encode()))


def extension(oid: bytes, value: bytes) -> bytes:
    return der(0x30, der(6, oid), der(4, value))


def named(value: bytes) -> bytes:
    """The subject of c1 with this as its common name."""
    pairs = ((ORGANIZATION, der(0x0C, names.ADDON.encode())), (COMMON_NAME, value))
    return der(0x30, *(der(0x31, der(0x30, der(6, oid), part)) for oid, part in pairs))


def alternative(*general_names: bytes) -> bytes:
    return extensions_attribute(extension(SAN_OID, der(0x30, *general_names)))


RIGHT = extensions_attribute(extension(SAN_OID, SAN))
MALFORMED: dict[str, tuple[bytes, bytes]] = {
    "the same extension twice": (extensions_attribute(extension(SAN_OID, SAN), extension(SAN_OID, SAN)), OWN),
    "an X.400 address": (alternative(der(0xA3, der(0x30))), OWN),
    "an EDI party": (alternative(der(0xA5, der(0x30))), OWN),
    "an address of three bytes": (alternative(der(0x87, b"abc")), OWN),
    "a DNS name that is not ASCII": (alternative(der(0x82, b"\xff\xfe")), OWN),
    "an invalid OID": (alternative(der(0x88, b"\x80")), OWN),
    "an extension that is not DER": (extensions_attribute(extension(SAN_OID, b"\xff\xff")), OWN),
    "constraints that are not DER": (extensions_attribute(extension(SAN_OID, SAN), extension(BASIC_OID, b"\4")), OWN),
    "an attribute without a value": (der(0x30, der(6, b"\x2a\x03"), der(0x31)), OWN),
    "no attribute at all": (b"\1\2\3", OWN),
    "a name of bits": (RIGHT, named(der(3, b"\0a"))),
    "a name that is a number": (RIGHT, named(der(2, b"\1"))),
    "a name that is not UTF-8": (RIGHT, named(der(0x0C, b"\xff"))),
    "an empty name": (RIGHT, der(0x30, der(0x31))),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_request_that_the_library_cannot_parse_is_denied(case: str) -> None:
    found = judge(request("c1", signed(*MALFORMED[case])), lambda _: ELIGIBLE)
    assert isinstance(found, Deny)
    assert (found.reason, found.cluster) == (Reason.MALFORMED_REQUEST, "c1")


def test_the_requests_are_otherwise_valid() -> None:
    assert isinstance(judge(request("c1", signed(RIGHT, OWN)), lambda _: ELIGIBLE), Approve)


BYTES = st.binary(max_size=12)
TAGS = st.sampled_from([2, 3, 4, 5, 6, 0x0C, 0x13, 0x1E, 0x30, 0x31, 0x82, 0x86, 0x87, 0xA0, 0xA4])
NODES = st.recursive(BYTES, lambda inner: st.builds(lambda tag, parts: der(tag, *parts), TAGS, st.lists(inner, max_size=3)), max_leaves=6)
OIDS = st.sampled_from([SAN_OID, BASIC_OID, COMMON_NAME, b"\x2a", b"\x80"])
EXTENSIONS = st.lists(st.builds(extension, OIDS, NODES | st.just(SAN)), max_size=3).map(lambda found: extensions_attribute(*found))
PEM = st.builds(signed, EXTENSIONS | NODES | st.just(RIGHT), NODES | NODES.map(named) | st.just(OWN))
REQUESTS = st.one_of(PEM.map(lambda pem: base64.b64encode(pem.encode()).decode()), st.text(max_size=20))
TEXT = st.one_of(st.text(max_size=20), st.sampled_from(["c1", names.ADDON, "\ud800", "\0", "\x1b[2J" * 500]))
USERS = st.one_of(TEXT, TEXT.map(lambda name: f"{PREFIX}:{name}:agent"), st.just(f"{PREFIX}:c1:agent"), st.just(GRPC_SERVER))
SPEC = st.fixed_dictionaries(
    {"request": REQUESTS, "username": USERS},
    optional={
        "usages": st.lists(st.sampled_from(USAGES) | TEXT, max_size=4),
        "groups": st.just([f"{PREFIX}:c1", f"{PREFIX}:managed-clusters"]) | st.lists(TEXT, max_size=3),
    },
)
LABELS = st.one_of(st.none(), st.dictionaries(st.sampled_from([names.CLUSTER_LABEL, names.ADDON_LABEL]), TEXT))


ANNOTATIONS = st.one_of(st.none(), st.dictionaries(st.just(CSR_USER), USERS))


@SETTINGS
@given(SPEC, LABELS, ANNOTATIONS)
def test_every_request_gets_a_verdict(spec: dict[str, Any], labels: dict[str, str] | None, annotations: dict[str, str] | None) -> None:
    csr = request("c1")
    csr |= {"metadata": csr["metadata"] | {"labels": labels, "annotations": annotations}, "spec": csr["spec"] | spec}
    found = judge(csr, lambda _: ELIGIBLE, GRPC_SERVER)
    assert not isinstance(found, Ignore)
    if isinstance(found, Approve):
        assert x509.load_pem_x509_csr(found.request.encode()).subject == subject(found.cluster)
    if isinstance(found, Deny):
        assert len(found.message) <= LONGEST
        assert found.message.isprintable()


TIME = st.sampled_from(
    ["2026-03-02T00:00:00Z", "2026-03-02T00:00:00", "2026-01-01T00:00:00+02:00", "9999-12-31T23:59:59Z", "yesterday", ""]
)
VALUE = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT, TIME)
SERIAL = st.sampled_from(["1", "f" * 40, "-1", "0", "f" * 9000]) | VALUE
RECORD = {"serial": "a1", "notBefore": "2026-03-01T00:00:00+00:00", "notAfter": "2026-03-02T00:00:00+00:00"}
CHANGE = st.one_of(
    *(st.fixed_dictionaries({field: values}) for field, values in {"serial": SERIAL, "notBefore": TIME, "notAfter": TIME}.items()),
    st.fixed_dictionaries({}, optional={"request": VALUE, "revoked": TIME | VALUE}),
)
ENTRY = CHANGE.map(lambda change: RECORD | change)
ANNOTATION = st.one_of(
    TEXT,
    st.lists(ENTRY, max_size=2).map(json.dumps),
    st.lists(ENTRY | VALUE, max_size=4).map(json.dumps),
    VALUE.map(json.dumps),
    st.just("[" * 100_000),
)


@SETTINGS
@given(ANNOTATION)
def test_the_record_of_certificates_is_valid_or_empty(annotation: str) -> None:
    found = issued({"metadata": {"annotations": {names.ANNOTATION_CERTIFICATES: annotation}}})
    assert all(isinstance(one.request, str) and 0 < one.serial < 2**159 for one in found)
    assert len(valid(found, NOW)) <= len(found)  # all times can be compared
    assert issued({"metadata": {"annotations": {names.ANNOTATION_CERTIFICATES: text(found, NOW)}}}) == tuple(
        c for c in found if c.ends > NOW
    )


def test_a_record_is_read_as_it_was_written() -> None:
    one = Issued(255, NOW, NOW + timedelta(days=1), "uid", NOW)
    assert issued({"metadata": {"annotations": {names.ANNOTATION_CERTIFICATES: text([one], NOW)}}}) == (one,)
