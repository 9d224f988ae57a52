"""Authorities and certificates of the site controller over years: a gateway that started long ago still trusts what is served."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from panal.site.certificates import AUTHORITY_LIFE, LEAF_LIFE, SERVER_NAME, Certificates, from_data, renewed, to_data

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
STEP = timedelta(days=10)
LONGEST_RUN = timedelta(days=90)


def trusts(bundle: str, found: Certificates, now: datetime) -> bool:
    """Raises if not."""
    assert found.leaf
    store = Store(x509.load_pem_x509_certificates(bundle.encode()))
    verifier = PolicyBuilder().store(store).time(now).build_server_verifier(x509.DNSName(SERVER_NAME))
    return bool(verifier.verify(found.leaf.parsed, []))


def test_what_was_served_long_ago_trusts_what_is_served_now() -> None:
    found, bundles, leaves = Certificates(), [], set()
    for number in range(3 * AUTHORITY_LIFE // STEP):
        now = NOW + number * STEP
        found = renewed(found, now)
        assert found.leaf
        bundles.append(found.bundle)
        leaves.add(found.leaf)
        assert trusts(bundles[max(0, number - LONGEST_RUN // STEP)], found, now)
        assert len(found.authorities) <= 3
    assert len(leaves) >= 3 * AUTHORITY_LIFE / LEAF_LIFE


def test_nothing_changes_without_need_and_the_secret_has_all() -> None:
    found = renewed(Certificates(), NOW)
    assert renewed(found, NOW + timedelta(days=1)) is found
    assert from_data(to_data(found)) == found
    assert renewed(from_data(to_data(found)), NOW) == found


def test_data_of_another_form_counts_as_none() -> None:
    data = to_data(renewed(Certificates(), NOW))
    other = to_data(renewed(Certificates(), NOW))
    for broken in ({}, {**data, "tls.crt": "?"}, {**data, "authority-1.key": other["authority-1.key"]}, {"authority-1.crt": "x"}):
        assert from_data(broken) == Certificates()
