"""Digests and signatures. What is signed is the SHA-256 of a document's canonical JSON, with Ed25519.

A file has beside a sealed document a short digest of each of its leaves (`marks`). They are not signed, and prove nothing: if the document
is not what was signed, they say which of its leaves are not.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from panal.evidence.canonical import digest, leaves, step

MARK = 16  # hexadecimal digits
Document = Mapping[str, Any]


class Finding(NamedTuple):
    """What is not as it was sealed: a JSON pointer into the file, and what is wrong there."""

    pointer: str
    what: str


CHANGED, DROPPED, ADDED = "was changed", "is missing", "was added"


# --- keys ---------------------------------------------------------------------------------------------------------------
def public_pem(key: Ed25519PublicKey) -> str:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def read_key(pem: object) -> Ed25519PublicKey:
    """Raises ValueError, also for a key that is not in the one form that `public_pem` gives."""
    try:
        key = serialization.load_pem_public_key(str(pem).encode())
    except (ValueError, TypeError) as error:
        raise ValueError("it is no public key in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("it is no Ed25519 key")
    if public_pem(key) != pem:
        raise ValueError("it is not in the form in which panal writes a key")
    return key


def given_key(pem: str) -> Ed25519PublicKey:
    """A key that a person gives, with white space around it. Raises ValueError."""
    return read_key(f"{pem.strip()}\n")


def fingerprint(key: Ed25519PublicKey) -> str:
    """The SHA-256 of the key as DER (SubjectPublicKeyInfo): `openssl pkey -pubin -outform DER | sha256sum` prints the same digits."""
    return hashlib.sha256(key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).hexdigest()


# --- signatures ---------------------------------------------------------------------------------------------------------
def signed(hash_: str, key: Ed25519PrivateKey) -> str:
    return base64.b64encode(key.sign(bytes.fromhex(hash_))).decode()


def holds(hash_: str, signature: object, key: Ed25519PublicKey) -> bool:
    """Base64 has one form here: the bits that its last digits leave unused are 0."""
    try:
        found = base64.b64decode(str(signature), validate=True)
        key.verify(found, bytes.fromhex(hash_))
    except (InvalidSignature, ValueError):
        return False
    return base64.b64encode(found).decode() == signature


# --- documents ----------------------------------------------------------------------------------------------------------
def marks(content: Document) -> dict[str, str]:
    """A short digest of each leaf, by its JSON pointer."""
    return {pointer: _mark(value) for pointer, value in leaves(content)}


def _mark(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:MARK]


def differences(content: Document, known: object, pointer: str) -> Iterator[Finding]:
    """Where a document is not what its `known` marks say. `pointer`: that of the document."""
    if not isinstance(known, Mapping):
        return
    found = marks(content)
    for name in sorted(found.keys() | known.keys()):
        if name not in known:
            if not any(_within(each, name) for each in known):
                yield Finding(pointer + name, ADDED)
        elif name not in found:
            if not any(_within(each, name) for each in found):
                yield Finding(pointer + name, DROPPED)
        elif found[name] != known[name]:
            yield Finding(pointer + name, CHANGED)


def _within(inner: str, outer: str) -> bool:
    return inner.startswith(f"{outer}/")


def wrong_marks(content: Document, known: object, pointer: str) -> Iterator[Finding]:
    """The marks that are not those of a document that is as it was signed. `pointer`: that of the marks."""
    found = marks(content)
    if not isinstance(known, Mapping):
        yield Finding(pointer, DROPPED if known is None else CHANGED)
        return
    for name in sorted(found.keys() | known.keys()):
        if found.get(name) != known.get(name):
            yield Finding(step(pointer, name), DROPPED if name not in known else ADDED if name not in found else CHANGED)


def hash_problem(content: object) -> str:
    """Why a document has no hash; empty if it has."""
    if not isinstance(content, Mapping):
        return "is no object"
    try:
        digest(content)
    except (ValueError, TypeError, RecursionError):
        return "has a value that cannot be"
    return ""
