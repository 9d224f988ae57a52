"""Secure aggregation without a framework: for every pattern of drop-outs the sum is right or is refused, and nothing else can be read."""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panal.pod.tools.secure_aggregation import roster as roster_module
from panal.pod.tools.secure_aggregation import shamir
from panal.pod.tools.secure_aggregation.aggregator import NotUnmaskedError, Unmasking
from panal.pod.tools.secure_aggregation.fixed_point import FRACTION, OutOfRangeError, decoded, encoded, largest
from panal.pod.tools.secure_aggregation.masks import BLOCK, Masks
from panal.pod.tools.secure_aggregation.roster import PublicKeys, RefusedError, Roster, threshold_of
from panal.pod.tools.secure_aggregation.site import Session

LENGTH = 5
STEPS = 5


@pytest.fixture(autouse=True)
def exchanged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same two keys give the same secret, which takes most of the time of these tests."""
    monkeypatch.setattr(roster_module, "shared", cache(roster_module.shared))


@dataclass
class Run:
    """One session with real sites and a real aggregator."""

    roster: Roster
    sites: dict[int, Session]
    sealed: dict[int, dict[int, bytes]] = field(default_factory=dict)
    commitments: dict[int, bytes] = field(default_factory=dict)
    masked: dict[int, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, count: int, least: int = 0) -> Run:
        """After step 1."""
        sites = [Session.begin("session") for _ in range(count)]
        roster = Roster("session", threshold_of(count, least), tuple(each.public for each in sites))
        return cls(roster, dict(enumerate(sites, 1)))

    def share(self, sites: Iterable[int]) -> Run:
        for each in sites:
            session, self.sealed[each], self.commitments[each] = self.sites[each].shared(self.roster)
            self.sites[each] = Session.unpacked(session.packed())
        return self

    def mask(self, sites: Iterable[int]) -> None:
        members = sorted(self.commitments)
        for each in sites:
            self.sites[each], masks = self.sites[each].masked(members)
            self.masked[each] = encoded(numbers(each), len(members))
            masks.add_to(self.masked[each])

    def answer(self, sites: Iterable[int], vouching: Iterable[int] | None = None) -> dict[int, dict[int, bytes]]:
        """Steps 4 and 5. `vouching`: who takes step 4, if not all whose masked input has arrived."""
        told = {each: self.sites[each].agreed(sorted(self.masked)) for each in (self.masked if vouching is None else vouching)}
        return {
            each: told[each][0].revealed({other: said[each] for other, (_, said) in told.items() if other != each}, self.for_site(each))
            for each in sites
        }

    def for_site(self, site: int) -> dict[int, bytes]:
        return {sender: texts[site] for sender, texts in self.sealed.items() if sender != site}

    def unmasked(self, answers: Mapping[int, Mapping[int, bytes]]) -> np.ndarray:
        total = np.sum(list(self.masked.values()), axis=0, dtype=np.uint64)
        Unmasking(self.roster, self.commitments, frozenset(self.masked)).masks(answers).add_to(total)
        return np.asarray(decoded(total))

    def after(self, last: Mapping[int, int]) -> Run:
        """The run from here on if each site takes the steps up to `last`, without the last two steps. Raises RefusedError."""
        there = {step: [each for each in last if last[each] >= step] for step in range(2, STEPS + 1)}
        shared = ({each: found[each] for each in there[2]} for found in (self.sealed, self.commitments))
        run = Run(self.roster, dict(self.sites), *shared)
        run.mask(there[3])
        return run


def numbers(site: int) -> np.ndarray:
    return np.random.default_rng(site).normal(0, 100, LENGTH)


@cache
def shared(count: int, least: int = 0) -> Run:
    """After step 2, which all have taken. Not to be changed."""
    return Run.of(count, least).share(range(1, count + 1))


def check(last: Mapping[int, int], least: int = 0) -> bool:
    """Whether the sum came out: exactly if enough sites stayed in each step. It must be right. All have taken step 1."""
    needed = threshold_of(len(last), least)
    count = {step: sum(each >= step for each in last.values()) for step in range(2, STEPS + 1)}
    before = shared(len(last), least)
    if min(count.values()) < needed:
        with pytest.raises((RefusedError, NotUnmaskedError)):
            total(before.after(last), last)
        return False
    run = before.after(last)
    assert len(run.masked) == count[3]
    right(total(run, last), run)
    return True


def total(run: Run, last: Mapping[int, int]) -> np.ndarray:
    return run.unmasked(run.answer((e for e in last if last[e] == STEPS), (e for e in last if last[e] >= STEPS - 1)))


def right(found: np.ndarray, run: Run) -> None:
    expected = sum(numbers(each) for each in run.masked)
    assert np.abs(found - expected).max() <= len(run.masked) * 2.0 ** -(FRACTION + 1) + 1e-12


@pytest.mark.parametrize("sites", [3, 4, 5, 6])
def test_every_pattern_of_drop_outs(sites: int) -> None:
    """Each site drops out before step 2, 3, 4 or 5, or stays; one that drops out before step 1 is not in the session. The threshold is the
    lowest that is possible."""
    patterns = list(itertools.product(range(1, STEPS + 1), repeat=sites))
    came_out = [check(dict(enumerate(last, 1)), least=3) for last in patterns]
    staying = [sum(each == STEPS for each in last) for last in patterns]
    assert came_out == [stay >= threshold_of(sites, 3) for stay in staying]
    assert 0 < sum(came_out) < len(patterns)


@pytest.mark.parametrize("sites", range(3, 41))
def test_every_number_of_drop_outs_in_every_step(sites: int) -> None:
    """Up to one more than the threshold allows in each step, with a seeded choice of who drops out."""
    chance = random.Random(sites)
    most = sites - threshold_of(sites)
    everybody = range(1, sites + 1)
    for keys in range(most + 2):  # who drops out with keys alone; of the others, as many after step 2 as may
        for shares in {0, max(0, most - keys), most - keys + 1}:
            lost = chance.sample(everybody, keys + shares)
            last = dict.fromkeys(everybody, STEPS) | dict.fromkeys(lost[:keys], 1) | dict.fromkeys(lost[keys:], 2)
            assert check(last) == (keys + shares <= most)
    run = shared(sites).after(dict.fromkeys(everybody, STEPS))
    for silent in range(most + 2):  # after step 3
        answers = run.answer(set(everybody) - set(chance.sample(everybody, silent)))
        if silent <= most:
            right(run.unmasked(answers), run)
        else:
            with pytest.raises(NotUnmaskedError):
                run.unmasked(answers)


@pytest.mark.parametrize("sites", range(3, 41))
def test_the_weighted_mean_is_the_plain_one(sites: int) -> None:
    """To 2^-29 divided by the mean weight, which is what fixed_point says."""
    chance = np.random.default_rng(sites)
    weights, updates = chance.integers(1, 5000, sites), chance.normal(0, 1, (sites, 200))
    sums = np.sum([encoded(w * u, sites) for w, u in zip(weights, updates)], axis=0, dtype=np.uint64)
    weight = np.sum([encoded(np.array([float(w)]), sites) for w in weights], axis=0, dtype=np.uint64)
    found = decoded(sums) / decoded(weight)
    plain = np.average(updates, axis=0, weights=weights)
    assert np.abs(found - plain).max() <= 2.0**-29 / weights.mean() + 1e-15


def test_thresholds() -> None:
    """Two thirds, more than half, and three at least."""
    assert [threshold_of(n) for n in (3, 4, 5, 6, 7, 9, 40)] == [3, 3, 4, 4, 5, 6, 27]
    assert [threshold_of(n, 3) for n in (3, 4, 5, 6, 7, 40)] == [3, 3, 3, 4, 4, 21]
    assert (threshold_of(5, 5), threshold_of(5, 6), threshold_of(2), threshold_of(1, 1)) == (5, 6, 3, 3)


# What the aggregator sees:


def test_a_masked_input_is_uniform() -> None:
    """Of an input of zeros: each bit is set as often as not, and bytes have no structure (chi-squared)."""
    run = shared_by(3)
    _, masks = run.sites[1].masked((1, 2, 3))
    found = np.zeros(1 << 16, np.uint64)
    masks.add_to(found)
    bits = np.unpackbits(found.view(np.uint8)).reshape(-1, 64).mean(axis=0)
    assert np.abs(bits - 0.5).max() < 5 * 0.5 / 256  # five standard deviations
    counts = np.bincount(found.view(np.uint8), minlength=256)
    assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 255 + 6 * np.sqrt(2 * 255)
    assert len(np.unique(found)) == len(found)


def test_masks_are_new_in_each_session() -> None:
    found = []
    for _ in range(2):
        run = shared_by(3)
        run.mask((1, 2, 3))
        found += list(run.masked.values())
    assert len({each.tobytes() for each in found}) == 6
    assert len({(a - b).tobytes() for a, b in itertools.combinations(found, 2)}) == 15


def test_masks_do_not_depend_on_how_an_array_is_cut() -> None:
    key = bytes(range(32))
    whole = np.zeros(2 * BLOCK + 77, np.uint64)
    Masks([(key, 1)]).add_to(whole)
    masks, parts = Masks([(key, 1)]), np.zeros_like(whole)
    for at, end in itertools.pairwise((0, 1, 8, 1000, BLOCK + 999, len(whole))):
        masks.add_to(parts[at:end])
    assert (whole == parts).all()
    Masks([(key, -1)]).add_to(whole)
    assert not whole.any()


# What is tampered with:


def shared_by(sites: int, least: int = 0) -> Run:
    return Run.of(sites, least).share(range(1, sites + 1))


def test_a_sealed_share_that_was_changed_is_noticed_and_its_sender_named() -> None:
    run = shared_by(5)
    run.mask(range(1, 6))
    for receiver in (1, 2, 4, 5):
        text = bytearray(run.sealed[3][receiver])
        text[receiver] ^= 1
        run.sealed[3][receiver] = bytes(text)
    with pytest.raises(NotUnmaskedError) as found:
        run.unmasked(run.answer(range(1, 6)))
    assert found.value.of == (3,)


def test_shares_for_another_site_cannot_be_opened() -> None:
    run = shared_by(3)
    run.mask((1, 2, 3))
    run.sealed[1][2], run.sealed[1][3] = run.sealed[1][3], run.sealed[1][2]
    assert [sorted(each) for each in run.answer((1, 2, 3)).values()] == [[1, 2, 3], [2, 3], [2, 3]]


@pytest.mark.parametrize("dropped", [False, True])
def test_a_wrong_share_in_an_answer_is_noticed(dropped: bool) -> None:
    """Of a seed by the commitment, of a key by the public one."""
    run = shared_by(5, 3)
    run.mask(range(1, 5) if dropped else range(1, 6))
    answers = run.answer((1, 2, 3))
    answers[2][5] = bytes(len(answers[2][5]) - 1) + b"\1"
    with pytest.raises(NotUnmaskedError) as found:
        run.unmasked(answers)
    assert found.value.of == (5,)


def test_sites_that_are_shown_other_keys_can_read_nothing_of_each_other() -> None:
    """A split view: site 2 has seen another key of site 4 than the others have."""
    run = Run.of(4, 3)
    truth, keys = run.roster, run.roster.keys
    run.share((1, 3, 4))
    run.roster = Roster("session", 3, (*keys[:3], Session.begin("session").public))
    run.share((2,))
    run.roster = truth
    run.mask((1, 2, 3, 4))
    with pytest.raises(RefusedError, match="1 sites vouch"):
        run.answer((2,))
    assert [sorted(each) for each in run.answer((1, 3, 4)).values()] == [[1, 3, 4]] * 3
    with pytest.raises(NotUnmaskedError) as found:
        run.unmasked(run.answer((1, 3, 4)))
    assert found.value.of == (2,)


def test_a_site_that_answers_wrongly_costs_no_other_its_place() -> None:
    """Shares of all secrets are wrong, and with as many answers as the threshold nobody knows whose answer is."""
    run = shared_by(5)
    run.mask(range(1, 6))
    answers = run.answer((1, 2, 3, 5))
    answers[5] = {each: bytes(len(share) - 1) + b"\1" for each, share in answers[5].items()}
    with pytest.raises(NotUnmaskedError) as found:
        run.unmasked(answers)
    assert found.value.of == ()
    right(run.unmasked(answers | run.answer((4,))), run)


def test_a_public_key_that_is_none() -> None:
    """A point of low order would make the shared secret known to everyone."""
    sites = [Session.begin("session") for _ in range(3)]
    keys = [each.public for each in sites]
    roster = Roster("session", 3, (keys[0], keys[1], replace(keys[2], shares=bytes(32))))
    with pytest.raises(RefusedError, match="no key"):
        sites[0].shared(roster)


# What a site refuses:


def test_each_step_is_taken_once_and_in_order() -> None:
    run = shared_by(3)
    for early in (lambda s: s.masked((1, 2, 3)), lambda s: s.agreed((1, 2, 3)), lambda s: s.revealed({}, {})):
        with pytest.raises(RefusedError, match="last step"):
            early(Session.begin("session"))
    with pytest.raises(RefusedError, match="last step"):
        run.sites[1].shared(run.roster)
    run.mask((1, 2, 3))
    with pytest.raises(RefusedError, match="last step"):
        run.sites[1].masked((1, 2, 3))
    with pytest.raises(RefusedError, match="last step"):
        run.sites[1].revealed({}, {})
    told, _ = run.sites[1].agreed((1, 2, 3))
    with pytest.raises(RefusedError, match="last step"):
        told.agreed((1, 2, 3))


@pytest.mark.parametrize(
    "survivors",
    [(1, 2), (2, 3, 4), (1, 2, 5), (1, 2, 3, 9), (1, 1, 2, 3), ()],
    ids=["few", "without it", "late", "unknown", "twice", "none"],
)
def test_survivors_that_are_refused(survivors: Collection[int]) -> None:
    """The threshold is 3 of 5, and site 5 has not shared its secrets."""
    run = Run.of(5, 3).share((1, 2, 3, 4))
    run.mask((1, 2, 3, 4))
    with pytest.raises(RefusedError):
        run.sites[1].agreed(survivors)


def test_sites_that_are_told_different_survivors_reveal_nothing() -> None:
    """Each of the lists is possible by itself, and no site hears enough others that were told the same."""
    run = shared_by(5, 3)
    run.mask(range(1, 6))
    lists = {1: (1, 2, 3), 2: (1, 2, 4), 3: (1, 3, 4), 4: (1, 4, 5), 5: (1, 4, 5)}
    told = {each: run.sites[each].agreed(survivors) for each, survivors in lists.items()}
    for each, (session, _) in told.items():
        vouched = {other: said[each] for other, (_, said) in told.items() if each in said}
        with pytest.raises(RefusedError, match="vouch for these survivors, and 3 must"):
            session.revealed(vouched, run.for_site(each))


def test_what_vouches_is_for_one_site_and_from_another() -> None:
    run = shared_by(3)
    run.mask((1, 2, 3))
    told = {each: run.sites[each].agreed((1, 2, 3)) for each in (1, 2, 3)}
    said = {each: found for each, (_, found) in told.items()}
    session = Session.unpacked(told[1][0].packed())
    assert sorted(session.revealed({2: said[2][1], 3: said[3][1]}, run.for_site(1))) == [1, 2, 3]
    for wrong in (
        {2: said[2][1], 3: said[2][1]},
        {2: said[2][1], 3: said[3][2]},
        {2: said[1][2], 3: said[3][1]},
        {1: said[1][2], 2: said[2][1]},
    ):
        with pytest.raises(RefusedError, match="2 sites vouch"):
            session.revealed(wrong, run.for_site(1))


@pytest.mark.parametrize("members", [(1, 2), (2, 3, 4), (1, 2, 9), (1, 2, 2, 3), ()])
def test_members_that_are_refused(members: Collection[int]) -> None:
    run = shared_by(5, 3)
    with pytest.raises(RefusedError):
        run.sites[1].masked(members)


def test_a_site_gives_one_kind_of_share_of_each_site() -> None:
    """And never both: an answer has one share of each member, and there is one answer."""
    run = shared_by(6, 4)
    run.mask((1, 2, 3, 4))
    (answer,) = run.answer((1,)).values()
    texts = {1: run.sites[1].own}
    assert sorted(answer) == [1, 2, 3, 4, 5, 6]
    assert {len(each) for each in answer.values()} == {shamir.SHARE}
    assert answer[1] == texts[1][: shamir.SHARE]


def test_rosters_that_are_refused() -> None:
    keys = tuple(Session.begin("s").public for _ in range(4))
    for name, threshold, found in (
        ("", 3, keys),
        ("s" * 65, 3, keys),
        ("s", 2, keys[:2]),
        ("s", 2, keys),
        ("s", 5, keys),
        ("s", 3, (*keys[:3], keys[0])),
        ("s", 3, (*keys[:3], PublicKeys(keys[0].masks, keys[3].masks))),
        ("s", 3, (*keys[:3], PublicKeys(keys[3].shares, keys[3].masks[:31]))),
    ):
        with pytest.raises(RefusedError):
            Roster(name, threshold, found)
    with pytest.raises(RefusedError, match="own keys"):
        Session.begin("s").shared(Roster("s", 3, keys))
    with pytest.raises(RefusedError, match="another session"):
        Session.begin("other").shared(Roster("s", 3, keys))


def test_fewer_answers_than_the_threshold() -> None:
    run = shared_by(5)
    run.mask(range(1, 6))
    with pytest.raises(NotUnmaskedError, match="3 sites have answered, and 4 must"):
        run.unmasked(run.answer((1, 2, 3)))


# Its parts:


@given(st.binary(min_size=32, max_size=32), st.integers(1, 12), st.integers(0, 8), st.randoms(use_true_random=False))
def test_any_shares_as_many_as_the_threshold_give_the_secret(secret: bytes, threshold: int, more: int, chance: random.Random) -> None:
    shares = shamir.split(secret, threshold, threshold + more)
    of = chance.sample(range(1, threshold + more + 1), threshold)
    assert shamir.combined(shamir.weights(of), [shares[each - 1] for each in of]) == secret


def test_fewer_shares_give_nothing() -> None:
    """To each secret there is a missing share that leads to it, so the shares that are there say nothing about it."""
    shares = shamir.split(bytes(32), 3, 3)
    of = shamir.weights((1, 2, 3))
    known = sum(of[each] * int.from_bytes(shares[each], "big") for each in (0, 1))
    for secret in (0, 1, 2**256 - 1):
        missing = (secret - known) * pow(of[2], -1, shamir.PRIME) % shamir.PRIME
        found = shamir.combined(of, [*shares[:2], missing.to_bytes(shamir.SHARE, "big")])
        assert int.from_bytes(found, "big") == secret


def test_the_modulus_is_prime() -> None:
    """Miller and Rabin, with 40 witnesses."""
    odd, twos = shamir.PRIME - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for witness in range(2, 42):
        powers = [pow(witness, odd << n, shamir.PRIME) for n in range(twos)]
        assert powers[0] == 1 or shamir.PRIME - 1 in powers
    assert shamir.PRIME > 2**256


@given(st.lists(st.floats(-1e8, 1e8), min_size=1, max_size=20), st.integers(3, 300))
def test_fixed_point_is_exact_to_half_a_unit(found: list[float], sites: int) -> None:
    given = np.array(found)
    assert np.abs(decoded(encoded(given, sites)) - given).max() <= 2.0 ** -(FRACTION + 1)


@pytest.mark.parametrize("sites", [3, 7, 40, 1000])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_numbers_do_not_wrap(sites: int, sign: int) -> None:
    most = np.array([sign * largest(sites)])
    total = np.sum([encoded(most, sites)] * sites, axis=0, dtype=np.uint64)
    assert decoded(total)[0] == pytest.approx(sites * most[0], rel=1e-12)
    for beyond in (most * (1 + 1e-9), np.array([np.inf]), np.array([np.nan]), np.array([0.0, -np.inf])):
        with pytest.raises(OutOfRangeError):
            encoded(beyond, sites)
