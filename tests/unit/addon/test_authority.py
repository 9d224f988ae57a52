"""Rotation of authorities, their trust bundles and revocation lists."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from panal.addon import authority
from panal.addon.authority import (
    SKEW,
    Authority,
    AuthorityError,
    Signer,
    Times,
    bundle,
    create,
    crl,
    decide,
    from_data,
    next_change,
    to_data,
)

START = datetime(2030, 1, 1, tzinfo=UTC)
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
TIMES = Times(life=300 * DAY, leaf=DAY, spread=10 * MINUTE)


class Moment(NamedTuple):
    """The signers by role, numbered in order of creation, `after` the previous moment; `requested`: with a request to rotate."""

    after: timedelta
    current: int
    next: int | None = None
    previous: tuple[int, ...] = ()
    requested: bool = False
    restarted: bool = False


@pytest.mark.parametrize(
    "moments",
    [
        pytest.param(
            [Moment(0 * DAY, 1), Moment(199 * DAY, 1), Moment(DAY, 1, 2), Moment(9 * MINUTE, 1, 2), Moment(MINUTE, 2, None, (1,))],
            id="on schedule, the next signer waits until the bundles have spread",
        ),
        pytest.param(
            [
                Moment(0 * DAY, 1),
                Moment(MINUTE, 1, 2, requested=True),
                Moment(10 * MINUTE, 2, None, (1,)),
                Moment(DAY, 2, None, (1,)),
                Moment(SKEW, 2),
            ],
            id="on request, and the previous signer is deleted when its last certificate has expired",
        ),
        pytest.param(
            [
                Moment(0 * DAY, 1),
                Moment(MINUTE, 1, 2, requested=True),
                Moment(MINUTE, 1, 2, requested=True),
                Moment(9 * MINUTE, 2, None, (1,)),
                Moment(MINUTE, 2, 3, (1,)),
                Moment(10 * MINUTE, 3, None, (2, 1)),
            ],
            id="of two requests, the second follows the first",
        ),
        pytest.param(
            [
                Moment(0 * DAY, 1),
                Moment(MINUTE, 1, 2, requested=True),
                Moment(DAY, 1, 2, restarted=True),
                Moment(10 * MINUTE, 2, None, (1,)),
            ],
            id="after a restart, bundles are distributed before the next signer signs",
        ),
        pytest.param([Moment(0 * DAY, 1), Moment(301 * DAY, 2)], id="after a long outage, a new signer is created at once"),
        pytest.param(
            [Moment(0 * DAY, 1), Moment(250 * DAY, 1, 2), Moment(50 * DAY, 2, restarted=True)],
            id="the next signer does not wait if the current one has expired",
        ),
        pytest.param([Moment(0 * DAY, 1), Moment(250 * DAY, 1, 2), Moment(301 * DAY, 3)], id="the next signer has expired too"),
    ],
)
def test_rotation(moments: list[Moment]) -> None:
    state, now, since = Authority(), START, START
    requested: datetime | None = None
    created: list[Signer] = []
    for moment in moments:
        now += moment.after
        requested = now if moment.requested else requested
        since = now if moment.restarted else since
        state = decide(state, now, "servers", TIMES, requested, since)
        created += [s for s in reversed(state.trusted) if _without_end(s) not in created]
        numbers = {s.certificate: n for n, s in enumerate(created, 1)}
        assert state.current
        assert numbers[state.current.certificate] == moment.current
        assert (numbers[state.next.certificate] if state.next else None) == moment.next
        assert tuple(numbers[s.certificate] for s in state.previous) == moment.previous


def _without_end(signer: Signer) -> Signer:
    return replace(signer, until=None)


def test_decide_returns_the_same_object_until_a_change_is_due() -> None:
    state = decide(Authority(), START, "servers", TIMES)
    again = next_change(state, TIMES, START)
    assert again == START + 200 * DAY
    assert decide(state, again - MINUTE, "servers", TIMES) is state
    assert decide(state, again, "servers", TIMES) is not state


def test_a_request_for_a_later_time_waits() -> None:
    state = decide(Authority(), START, "servers", TIMES)
    assert decide(state, START + MINUTE, "servers", TIMES, requested=START + DAY) is state


def rotated() -> Authority:
    """An authority with a signer of each role."""
    state = decide(Authority(), START, "collaborators", TIMES)
    for minutes in (1, 11):
        state = decide(state, START + minutes * MINUTE, "collaborators", TIMES, START + MINUTE)
    return decide(state, START + 13 * MINUTE, "collaborators", TIMES, START + 12 * MINUTE)


def test_a_signer_may_sign_certificates_and_lists_but_no_other_authority() -> None:
    one = create("servers", START, 10 * DAY)
    found = one.parsed.extensions
    basic = found.get_extension_for_class(x509.BasicConstraints)
    usage = found.get_extension_for_class(x509.KeyUsage)
    assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, True, 0)
    assert usage.critical
    assert {name for name in authority.NO_USAGE if name not in ("encipher_only", "decipher_only") and getattr(usage.value, name)} == {
        "key_cert_sign",
        "crl_sign",
    }
    assert one.created == START
    assert one.ends == START + 10 * DAY
    assert one.parsed.subject != create("servers", START, DAY).parsed.subject


def test_the_bundle_contains_all_signers_and_no_key() -> None:
    state = rotated()
    found = x509.load_pem_x509_certificates(bundle(state).encode())
    assert state.next
    assert state.current
    assert found == [state.next.parsed, state.current.parsed, state.previous[0].parsed]
    assert "KEY" not in bundle(state)


def test_each_signer_has_a_revocation_list_with_its_own_lifetime() -> None:
    state, revoked = rotated(), {7: START + DAY, 9: START}
    text = crl(state, revoked)
    lists = [x509.load_pem_x509_crl(f"-----BEGIN{part}".encode()) for part in text.split("-----BEGIN")[1:]]
    assert [found.issuer for found in lists] == [s.parsed.subject for s in state.trusted]
    for found, signer in zip(lists, state.trusted, strict=True):
        assert found.is_signature_valid(signer.private.public_key())
        assert {r.serial_number: r.revocation_date_utc for r in found} == revoked
        assert found.next_update_utc == signer.ends
        assert found.extensions.get_extension_for_oid(ExtensionOID.CRL_NUMBER)
    assert crl(state, revoked) == text, "the same input gives the same bytes, so that gateways do not reload"
    assert crl(state, {7: START + DAY}) != text


def test_stored_data_is_read_again() -> None:
    state = rotated()
    assert from_data(to_data(state) | {"revoked.json": "{}"}) == state
    assert from_data({}) == Authority()


@pytest.mark.parametrize(
    "change",
    [
        {"current.key": ""},
        {"current.key": create("x", START, DAY).key},
        {"current.crt": "nonsense"},
        {"previous-1.until": "yesterday"},
        {"previous-x.crt": create("x", START, DAY).certificate},
    ],
    ids=["no key", "another's key", "no certificate", "no time", "no number"],
)
def test_invalid_data_is_an_error(change: dict[str, str]) -> None:
    with pytest.raises(AuthorityError):
        from_data(to_data(rotated()) | change)


def test_public_data_has_neither_keys_nor_certificates() -> None:
    found = authority.public(rotated())
    assert [one["role"] for one in found] == ["next", "current", "previous"]
    assert all(set(one) == {"role", "fingerprint", "notBefore", "notAfter"} for one in found)
