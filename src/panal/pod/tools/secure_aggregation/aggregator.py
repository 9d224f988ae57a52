"""What the aggregator reckons at the end of a session: the masks that are still in the sum of what has arrived."""

from __future__ import annotations

import hmac
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from . import shamir
from .masks import Masks
from .roster import Roster, public_of

COMMITMENT = 32  # bytes
Share = tuple[int, bytes]  # the number of the site that has answered, and the share


class NotUnmaskedError(Exception):
    """The sum stays masked. `of`: the sites whose secrets the shares do not give, if they are few enough to go on without."""

    def __init__(self, why: str, of: Collection[int] = ()) -> None:
        super().__init__(why)
        self.of = tuple(sorted(of))


@dataclass(frozen=True)
class Unmasking:
    """`commitments`: of the members, which are the sites that have shared their secrets. `survivors`: those whose masked input is in the
    sum."""

    roster: Roster
    commitments: Mapping[int, bytes]
    survivors: frozenset[int]

    def masks(self, answers: Mapping[int, Mapping[int, bytes]]) -> Masks:
        """What must be added to the sum. `answers`: of step 5, by the number of the site. Raises NotUnmaskedError."""
        if len(answers) < self.roster.threshold:
            raise NotUnmaskedError(f"{len(answers)} sites have answered, and {self.roster.threshold} must")
        secrets, wrong = {}, []
        for number in sorted(self.commitments):
            secret = self._secret(number, answers)
            if secret is None:
                wrong.append(number)
            else:
                secrets[number] = secret
        if wrong:  # more of them than may drop out are wrong because of who has answered, and nobody knows which
            to_blame = wrong if len(wrong) <= len(self.roster.keys) - self.roster.threshold else ()
            raise NotUnmaskedError("the shares of secrets do not fit", to_blame)
        keys = [(self.roster.seed_key(secrets[number], number), -1) for number in sorted(self.survivors)]
        for lost in sorted(self.commitments.keys() - self.survivors):
            for stayed in sorted(self.survivors):
                key = self.roster.mask_key(secrets[lost], self.roster.public(stayed).masks, lost, stayed)
                keys.append((key, 1 if lost < stayed else -1))  # the survivor has the other sign in the sum
        return Masks(keys)

    def _secret(self, number: int, answers: Mapping[int, Mapping[int, bytes]]) -> bytes | None:
        """The seed of a survivor, or the key of a site that has dropped out; None if the shares do not give it."""
        shares = [(each, found[number]) for each, found in sorted(answers.items()) if len(found.get(number, b"")) == shamir.SHARE]
        if len(shares) < self.roster.threshold:
            return None
        return next((secret for chosen in self._choices(shares) if (secret := self._combined(number, chosen)) is not None), None)

    def _choices(self, shares: Sequence[Share]) -> Iterator[Sequence[Share]]:
        """As many shares as the threshold; then such without each of them in turn, so that a wrong one does no harm if there are more."""
        enough = self.roster.threshold
        yield shares[:enough]
        if len(shares) > enough:
            yield from ([*shares[:left_out], *shares[left_out + 1 : enough + 1]] for left_out in range(enough))

    def _combined(self, number: int, shares: Sequence[Share]) -> bytes | None:
        try:
            found = shamir.combined(_weights(tuple(each for each, _ in shares)), [share for _, share in shares])
        except ValueError:
            return None
        if number in self.survivors:
            right = hmac.compare_digest(self.roster.commitment(number, found), self.commitments[number])
        else:
            right = public_of(found) == self.roster.public(number).masks
        return found if right else None


@lru_cache(64)
def _weights(numbers: tuple[int, ...]) -> list[int]:
    return shamir.weights(numbers)
