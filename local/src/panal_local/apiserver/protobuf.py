"""/openapi/v2, which kubectl reads only as protobuf, to find out whether the patches of a kind support `fieldValidation`.

It contains nothing else; the schemas are in /openapi/v3. The numbers are the field numbers of OpenAPI v2 in protobuf.
"""

from __future__ import annotations

from panal_local.apiserver.kinds import Registry, Resource
from panal_local.apiserver.store import encode

CONTENT_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


def _number(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def part(field: int, content: bytes | str) -> bytes:
    """Encodes a field that contains a string or another message."""
    data = content.encode() if isinstance(content, str) else content
    return _number(field << 3 | 2) + _number(len(data)) + data


def document(registry: Registry) -> bytes:
    info = part(1, "Kubernetes API of panal's local platform") + part(2, "v1")
    return part(1, "2.0") + part(2, info) + part(8, b"".join(part(2, _path(r)) for r in registry.all()))


def _path(r: Resource) -> bytes:
    kind = encode({"group": r.group, "version": r.version, "kind": r.kind})
    about = part(1, "x-kubernetes-group-version-kind") + part(2, part(2, kind))
    query = part(2, "query") + part(4, "fieldValidation")
    patch = part(8, part(1, part(2, part(3, query)))) + part(13, about)
    return part(1, r.path("{namespace}" if r.namespaced else "", "{name}")) + part(2, part(8, patch))
