"""Parses requests: the path, the resource and object, the options, and the body."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from panal_local.apiserver.errors import REQUIRED, StatusError, UndecodableError, bad_request, invalid_option, unsupported_media
from panal_local.apiserver.identity import User
from panal_local.apiserver.kinds import Resource

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Path:
    """`/apis/GROUP/VERSION/namespaces/NAMESPACE/PLURAL/NAME/SUBRESOURCE`, where parts can be empty."""

    group: str
    version: str
    namespace: str
    plural: str
    name: str
    subresource: str


def parse_path(parts: list[str]) -> Path | None:
    """Returns None if the path is not that of a resource."""
    root, *parts = parts
    group, version, *rest = ["", *parts] if root == "api" else parts if root == "apis" and len(parts) > 2 else ["", ""]
    if not rest:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) >= 3 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    if len(rest) > 3:
        return None
    plural, name, subresource = [*rest, "", ""][:3]
    return Path(group, version, namespace, plural, name, subresource)


@dataclass(frozen=True, slots=True)
class Call:
    resource: Resource
    namespace: str
    name: str
    subresource: str
    query: Mapping[str, str]
    user: User
    agent: str = ""

    def flag(self, name: str) -> bool:
        return name in self.query and self.query[name].lower() not in ("0", "false")

    @property
    def dry_run(self) -> bool:
        return bool(self.query.get("dryRun"))

    @property
    def manager(self) -> str:
        return self.query.get("fieldManager") or re.split(r"[/ ]", self.agent, maxsplit=1)[0] or "unknown"

    @property
    def validation(self) -> str:
        """How unknown fields are treated: Ignore, Warn or Strict."""
        return self.query.get("fieldValidation") or "Warn"

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name


def read(body: bytes, content_type: str, kind: str) -> Object:
    """Decodes a body, which must be JSON, also for apply patches. Raises StatusError: 400 if it is not an object, 415 for other formats."""
    media = content_type.partition(";")[0].strip().lower()
    if media == "application/vnd.kubernetes.protobuf":
        raise unsupported_media(
            "the local platform reads no protobuf bodies; use `kubectl apply` or `kubectl create -f` with a file,"
            " or add `--dry-run=client -o yaml | kubectl apply -f -` to the command"
            " (accepted media types include: application/json)"
        )
    if media not in ("", "application/json") and not media.endswith(("+json", "+yaml")):
        raise unsupported_media("the body of the request was in an unknown format - accepted media types include: application/json")
    value = read_json(body, kind)
    if not isinstance(value, dict):
        raise bad_request(f"the object provided is unrecognized (must be of type {kind}): not an object")
    return value


def read_json(body: bytes, kind: str) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        why = str(error) if body else "unexpected end of JSON input"
        raise bad_request(f"the object provided is unrecognized (must be of type {kind}): json parse error: {why}") from error


def as_object(value: Any, resource: Resource) -> Object:
    """The body as an object of the resource's kind, with apiVersion, kind and metadata set. Raises StatusError, 400."""
    if not isinstance(value, dict):
        raise bad_request(f"the object provided is unrecognized (must be of type {resource.kind}): not an object")
    kind, version = value.get("kind"), value.get("apiVersion")
    if kind not in (None, "", resource.kind):
        raise bad_request(f'{kind} in version "{version}" cannot be handled as a {resource.kind}')
    if version not in (None, "", resource.api_version):
        raise bad_request(f"the API version in the data ({version}) does not match the expected API version ({resource.api_version})")
    value["apiVersion"], value["kind"] = resource.api_version, resource.kind
    if value.get("metadata") is None:
        value["metadata"] = {}
    if not isinstance(value["metadata"], dict):
        raise undecodable(resource, "json: cannot unmarshal into Go struct field ObjectMeta.metadata")
    return value


def undecodable(resource: Resource, why: str) -> StatusError:
    return UndecodableError(resource.kind, resource.version, why)


def required_manager(call: Call) -> str:
    manager = call.query.get("fieldManager", "")
    if not manager:
        raise invalid_option("PatchOptions", "fieldManager", "Required value: is required for apply patch", REQUIRED)
    return manager
