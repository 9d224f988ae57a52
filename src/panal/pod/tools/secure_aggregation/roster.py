"""The sites of a session, with their public keys, and the keys that two of them share."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from functools import cached_property
from typing import Any

FEWEST = 3  # sites: of the sum of two, each knows the other's part
MOST = 1000
KEY = 32  # bytes
LONGEST_SESSION = 64  # characters


class RefusedError(Exception):
    """A step of the protocol that is not as it must be. The text has no secrets."""


def threshold_of(sites: int, least: int = 0) -> int:
    """How many of these sites must stay, so that the sum can be unmasked: two thirds, or `least` if it is given. More than half of them in
    any case: otherwise two halves could vouch for different survivors. May be more than there are."""
    return max(FEWEST, sites // 2 + 1, least or -(-2 * sites // 3))


@dataclass(frozen=True)
class PublicKeys:
    """Of one site: the one for which others seal shares, and the one from which masks are derived."""

    shares: bytes
    masks: bytes

    def check(self) -> None:
        """Raises RefusedError if no site can use them, so that one site does not spoil the session of all."""
        if len({self.shares, self.masks}) != 2 or any(len(key) != KEY for key in (self.shares, self.masks)):
            raise RefusedError("they are not two public keys")
        for key in (self.shares, self.masks):
            shared(secrets.token_bytes(KEY), key)


@dataclass(frozen=True)
class Roster:
    """The sites of a session, which are numbered from 1 in the order of `keys`. Raises RefusedError if they are no session."""

    session: str
    threshold: int
    keys: tuple[PublicKeys, ...]

    def __post_init__(self) -> None:
        every = [key for each in self.keys for key in (each.shares, each.masks)]
        if not 0 < len(self.session) <= LONGEST_SESSION:
            raise RefusedError("the session has no name")
        if not FEWEST <= len(self.keys) <= MOST:
            raise RefusedError(f"{len(self.keys)} sites; there must be {FEWEST} to {MOST}")
        if any(len(key) != KEY for key in every) or len(set(every)) != len(every):
            raise RefusedError("two public keys are the same, or one is no key")
        if not max(FEWEST, len(self.keys) // 2 + 1) <= self.threshold <= len(self.keys):
            raise RefusedError(f"a threshold of {self.threshold} is not possible with {len(self.keys)} sites")

    @cached_property
    def digest(self) -> bytes:
        """Of all that the sites must agree on. It is part of each key, so that sites with different rosters can read nothing of each
        other, and their masks stay in the sum."""
        said = [self.session, self.threshold, [[each.shares.hex(), each.masks.hex()] for each in self.keys]]
        return hashlib.sha256(json.dumps(said).encode()).digest()

    def number_of(self, keys: PublicKeys) -> int:
        """Of the site with these keys. Raises RefusedError if it is not in the roster."""
        if keys not in self.keys:
            raise RefusedError("the site's own keys are not among those of the session")
        return self.keys.index(keys) + 1

    def public(self, number: int) -> PublicKeys:
        return self.keys[number - 1]

    def commitment(self, number: int, seed: bytes) -> bytes:
        """By which the aggregator knows that a seed is the one of this site."""
        return hashlib.sha256(b"panal seed" + self.digest + number.to_bytes(4, "big") + seed).digest()

    def seal_key(self, private: bytes, public: bytes, sender: int, receiver: int) -> bytes:
        """For what one site seals for another: each of the two has it."""
        return self._derived(private, public, b"panal share", sender, receiver)

    def vouch_key(self, private: bytes, public: bytes, sender: int, receiver: int) -> bytes:
        """By which one site vouches for something to another: each of the two has it."""
        return self._derived(private, public, b"panal survivors", sender, receiver)

    def mask_key(self, private: bytes, public: bytes, one: int, other: int) -> bytes:
        """Of the mask that two sites share, in either order."""
        return self._derived(private, public, b"panal mask", *sorted((one, other)))

    def seed_key(self, seed: bytes, number: int) -> bytes:
        """Of the mask that a site has alone."""
        return _expanded(seed, self.digest, b"panal seed mask" + number.to_bytes(4, "big"))

    def _derived(self, private: bytes, public: bytes, purpose: bytes, *numbers: int) -> bytes:
        return _expanded(shared(private, public), self.digest, purpose + b"".join(number.to_bytes(4, "big") for number in numbers))


def private_key(content: bytes) -> Any:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return X25519PrivateKey.from_private_bytes(content)


def public_of(private: bytes) -> bytes:
    return bytes(private_key(private).public_key().public_bytes_raw())


def shared(private: bytes, public: bytes) -> bytes:
    """What the owners of two key pairs have in common. Raises RefusedError."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

    try:
        return bytes(private_key(private).exchange(X25519PublicKey.from_public_bytes(public)))
    except ValueError:
        raise RefusedError("a public key of the session is no key") from None


def _expanded(secret: bytes, salt: bytes, info: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return bytes(HKDF(SHA256(), KEY, salt, info).derive(secret))
