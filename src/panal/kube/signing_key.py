"""An Ed25519 key in a Secret, which is made if there is none."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from panal.kube import kinds
from panal.kube.client import Client
from panal.kube.errors import AlreadyExists, NotFound

KEY = "ed25519.key"  # in the Secret, PEM


class KeyUnusableError(Exception):
    """The Secret has no key. The message names it."""


async def signing_key(client: Client, namespace: str, name: str, labels: Mapping[str, str]) -> Ed25519PrivateKey:
    """`labels`: of a Secret that is made. Raises KubeError and KeyUnusableError."""
    try:
        found = await client.get(kinds.SECRET, namespace, name)
    except NotFound:
        made = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        metadata = {"name": name, "namespace": namespace, "labels": dict(labels)}
        data = {KEY: base64.b64encode(made).decode()}
        try:
            found = await client.create({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "data": data})
        except AlreadyExists:
            found = await client.get(kinds.SECRET, namespace, name)
    try:
        key = serialization.load_pem_private_key(base64.b64decode((found.get("data") or {}).get(KEY, "")), None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyUnusableError(f"the Secret {name} in {namespace} has no Ed25519 key under {KEY}: restore it")
    return key
