"""What a site does in a session. Each step is taken once and in its order, and gives the state for the next one.

The aggregator chooses what it sends, so each step is refused (RefusedError) unless it fits those before it. In the last one a site gives of
each other site either a share of its seed or a share of its key, never both, and only if `threshold` sites vouch for the same survivors. A
site vouches for one list, and the threshold is more than half of the sites: so all that answer have the same list, and no aggregator gets
enough shares of both secrets of a site. With c sites on its side it needs 2 · threshold <= sites + c.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from . import shamir
from .masks import Masks
from .roster import KEY, PublicKeys, RefusedError, Roster, public_of

KEYS, SHARES, MASKED, AGREED = "keys", "shares", "masked", "agreed"  # the last step that was taken
NONCE = bytes(12)  # a key seals one text
SHARES_LENGTH = 2 * shamir.SHARE
SEALED = SHARES_LENGTH + 16  # bytes, with the tag
VOUCHED = 32  # bytes


@dataclass(frozen=True)
class Session:
    """The state of a site between two steps. All of it is secret."""

    name: str
    step: str
    share_key: bytes
    mask_key: bytes
    seed: bytes
    roster: Roster | None = None
    own: bytes = b""  # the shares of its own secrets that it keeps
    members: tuple[int, ...] = ()  # the numbers of the sites that have shared their secrets
    survivors: tuple[int, ...] = ()  # and of those whose masked input has arrived

    @classmethod
    def begin(cls, name: str) -> Session:
        return cls(name, KEYS, secrets.token_bytes(KEY), secrets.token_bytes(KEY), secrets.token_bytes(KEY))

    @property
    def public(self) -> PublicKeys:
        return PublicKeys(public_of(self.share_key), public_of(self.mask_key))

    def shared(self, roster: Roster) -> tuple[Session, dict[int, bytes], bytes]:
        """Step 2: what is sealed for each other site by its number, and the commitment to the seed."""
        self._require(KEYS)
        if roster.session != self.name:
            raise RefusedError("the keys are of another session")
        number, count = roster.number_of(self.public), len(roster.keys)
        pairs = zip(*(shamir.split(secret, roster.threshold, count) for secret in (self.seed, self.mask_key)))
        texts = {index: seed + key for index, (seed, key) in enumerate(pairs, 1)}
        own = texts.pop(number)
        sealed = {
            other: _cipher(roster.seal_key(self.share_key, roster.public(other).shares, number, other)).encrypt(NONCE, text, None)
            for other, text in texts.items()
        }
        return replace(self, step=SHARES, roster=roster, own=own), sealed, roster.commitment(number, self.seed)

    def masked(self, members: Collection[int]) -> tuple[Session, Masks]:
        """Step 3: the masks for what the site sends, once it has stored the state. `members`: the sites that have taken step 2."""
        self._require(SHARES)
        roster, number = self._known
        if len(set(members)) != len(members) or not set(members) <= set(range(1, len(roster.keys) + 1)):
            raise RefusedError("the sites that have shared their secrets are not among those of the session")
        if number not in members or len(members) < roster.threshold:
            raise RefusedError(f"{len(members)} sites have shared their secrets, and {roster.threshold} must, this one among them")
        keys = [(roster.seed_key(self.seed, number), 1)]
        for other in sorted(set(members) - {number}):
            key = roster.mask_key(self.mask_key, roster.public(other).masks, number, other)
            keys.append((key, 1 if number < other else -1))
        return replace(self, step=MASKED, members=tuple(sorted(members))), Masks(keys)

    def agreed(self, survivors: Collection[int]) -> tuple[Session, dict[int, bytes]]:
        """Step 4: what vouches, to each other survivor by its number, that this site was told exactly these survivors."""
        self._require(MASKED)
        roster, number = self._known
        if len(set(survivors)) != len(survivors) or not set(survivors) <= set(self.members):
            raise RefusedError("the survivors are not among the sites that have shared their secrets")
        if number not in survivors or len(survivors) < roster.threshold:
            raise RefusedError(f"{len(survivors)} survivors, and there must be {roster.threshold}, this site among them")
        told = replace(self, step=AGREED, survivors=tuple(sorted(survivors)))
        return told, {other: told._vouched(roster, number, other) for other in told.survivors if other != number}

    def _vouched(self, roster: Roster, sender: int, receiver: int) -> bytes:
        other = receiver if roster.public(sender) == self.public else sender
        key = roster.vouch_key(self.share_key, roster.public(other).shares, sender, receiver)
        return hmac.digest(key, json.dumps(self.survivors).encode(), hashlib.sha256)

    def revealed(self, vouched: Mapping[int, bytes], sealed: Mapping[int, bytes]) -> dict[int, bytes]:
        """Step 5: one share of each member's secrets, by its number: of the seed of a survivor, and of the key of another. `vouched`: what
        other survivors say to this site. `sealed`: what the other members have sealed for it. Of those that cannot be opened there is
        none."""
        self._require(AGREED)
        roster, number = self._known
        others = [each for each in self.survivors if each != number]
        count = 1 + sum(hmac.compare_digest(vouched.get(each, b""), self._vouched(roster, each, number)) for each in others)
        if count < roster.threshold:
            raise RefusedError(f"{count} sites vouch for these survivors, and {roster.threshold} must")
        survivors = self.survivors
        found = {number: self.own}
        for other in set(self.members) - {number}:
            if (text := self._opened(roster, number, other, sealed.get(other, b""))) is not None:
                found[other] = text
        return {each: text[: shamir.SHARE] if each in survivors else text[shamir.SHARE :] for each, text in sorted(found.items())}

    def _opened(self, roster: Roster, number: int, other: int, sealed: bytes) -> bytes | None:
        from cryptography.exceptions import InvalidTag

        try:
            text = bytes(_cipher(roster.seal_key(self.share_key, roster.public(other).shares, other, number)).decrypt(NONCE, sealed, None))
        except InvalidTag:
            return None
        return text if len(text) == SHARES_LENGTH else None

    def _require(self, step: str) -> None:
        if self.step != step:
            raise RefusedError(f"the last step of the session at this site is {self.step!r}, not {step!r}")

    @property
    def _known(self) -> tuple[Roster, int]:
        if self.roster is None:
            raise RefusedError("the session has no keys of other sites")
        return self.roster, self.roster.number_of(self.public)

    def packed(self) -> str:
        """As JSON."""
        keys = [[each.shares.hex(), each.masks.hex()] for each in self.roster.keys] if self.roster else []
        secret = {"shareKey": self.share_key.hex(), "maskKey": self.mask_key.hex(), "seed": self.seed.hex(), "own": self.own.hex()}
        threshold = self.roster.threshold if self.roster else 0
        return json.dumps(
            {
                "name": self.name,
                "step": self.step,
                "keys": keys,
                "threshold": threshold,
                "members": self.members,
                "survivors": self.survivors,
                **secret,
            }
        )

    @classmethod
    def unpacked(cls, text: str) -> Session:
        """Raises ValueError, KeyError, TypeError, RefusedError."""
        found = json.loads(text)
        share_key, mask_key, seed, own = (bytes.fromhex(found[name]) for name in ("shareKey", "maskKey", "seed", "own"))
        keys = tuple(PublicKeys(bytes.fromhex(shares), bytes.fromhex(masks)) for shares, masks in found["keys"])
        roster = Roster(found["name"], int(found["threshold"]), keys) if keys else None
        return cls(found["name"], found["step"], share_key, mask_key, seed, roster, own, tuple(found["members"]), tuple(found["survivors"]))


def _cipher(key: bytes) -> Any:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    return ChaCha20Poly1305(key)
