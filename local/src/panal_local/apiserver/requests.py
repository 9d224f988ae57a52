"""A request as the server understands it: which resource, which object of it, what is asked, by whom, and how the body is to be read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import yaml

from panal_local.apiserver.defaults import User
from panal_local.apiserver.errors import REQUIRED, Cause, StatusError, UndecodableError, bad_request, invalid, unsupported_media
from panal_local.apiserver.kinds import Resource

ACCEPTED = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
DEEPEST = 200
Query = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Path:
    """`/apis/GROUP/VERSION/namespaces/NAMESPACE/PLURAL/NAME/SUBRESOURCE`, parts of it empty."""

    group: str
    version: str
    namespace: str
    plural: str
    name: str
    subresource: str


def parse_path(parts: list[str]) -> Path | None:
    """`parts` come after /api or /apis, with the group first, which is empty for /api."""
    if len(parts) < 3:
        return None
    group, version, *rest = parts
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
    query: Query
    user: User
    agent: str = ""

    def flag(self, name: str) -> bool:
        return name in self.query and self.query[name].lower() not in ("0", "false")

    @property
    def dry_run(self) -> bool:
        given = self.query.get("dryRun", "")
        if given not in ("", "All"):
            text = f'Unsupported value: {msgspec.json.encode(given).decode()}: supported values: "All"'
            raise invalid("meta.k8s.io", "CreateOptions", "", [Cause("FieldValueNotSupported", text, "dryRun")])
        return given == "All"

    @property
    def manager(self) -> str:
        return self.query.get("fieldManager") or re.split(r"[/ ]", self.agent, maxsplit=1)[0] or "unknown"

    @property
    def validation(self) -> str:
        """Ignore, Warn or Strict."""
        given = self.query.get("fieldValidation") or "Warn"
        if given not in ("Ignore", "Warn", "Strict"):
            text = f'Unsupported value: "{given}": supported values: "Ignore", "Strict", "Warn"'
            raise invalid("meta.k8s.io", "CreateOptions", "", [Cause("FieldValueNotSupported", text, "fieldValidation")])
        return given

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name


def read(body: bytes, content_type: str, kind: str) -> Any:
    """The body's value: JSON or YAML. 400 for what is neither, 415 for other forms."""
    media = content_type.partition(";")[0].strip().lower()
    if media in ("", "application/json") or media.endswith("+json"):
        return read_json(body, kind)
    if media == "application/yaml" or media.endswith("+yaml"):
        return _read_yaml(body)
    if media == "application/vnd.kubernetes.protobuf":
        raise unsupported_media(
            "the local platform reads no protobuf bodies; use `kubectl apply` or `kubectl create -f` with a file instead"
            " (accepted media types include: application/json, application/yaml)"
        )
    raise unsupported_media(f"the body of the request was in an unknown format - accepted media types include: {ACCEPTED}")


def read_json(body: bytes, kind: str) -> Any:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        shown = body[:200].decode(errors="replace") or "<empty>"
        why = "unexpected end of JSON input" if not body else _plainly(error)
        of = f" (must be of type {kind})" if kind else ""
        text = f"the object provided is unrecognized{of}: couldn't get version/kind; json parse error: {why} ({shown})"
        raise bad_request(text) from error
    return bounded(value)


def _plainly(error: Exception) -> str:
    return str(error).removeprefix("JSON is malformed: ")


def _read_yaml(body: bytes) -> Any:
    try:
        return bounded(read_json(body, "") if body[:1] in (b"{", b"[") else _plain(yaml.load(body, _Loader)))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise bad_request(f"error decoding YAML: {error}") from error


class _Loader(yaml.CSafeLoader):
    """YAML as JSON has it: moments stay text."""

    yaml_implicit_resolvers = {
        k: [(tag, regexp) for tag, regexp in v if tag != "tag:yaml.org,2002:timestamp"]
        for k, v in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }


def _plain(value: Any) -> Any:
    """Through JSON, so that nothing but JSON's types comes of it."""
    return msgspec.json.decode(msgspec.json.encode(value))


def bounded(value: Any, depth: int = 0) -> Any:
    """400 for what is nested so deep that reading it is a risk, or holds numbers that no int64 holds."""
    if depth > DEEPEST:
        raise bad_request(f"the object is nested deeper than {DEEPEST} levels")
    if isinstance(value, dict):
        for item in value.values():
            bounded(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            bounded(item, depth + 1)
    return value


def as_object(value: Any, resource: Resource) -> dict[str, Any]:
    """The body as an object of the resource's kind, with apiVersion, kind and metadata filled in."""
    if not isinstance(value, dict):
        raise bad_request(f"the object provided is unrecognized (must be of type {resource.kind}): not an object")
    _check_kind(value, resource)
    value["apiVersion"], value["kind"] = resource.api_version, resource.kind
    metadata = value.get("metadata")
    if metadata is None:
        value["metadata"] = {}
    elif not isinstance(metadata, dict):
        raise cannot_be(resource, "json: cannot unmarshal into Go struct field ObjectMeta.metadata")
    return value


def _check_kind(value: dict[str, Any], resource: Resource) -> None:
    kind, version = value.get("kind"), value.get("apiVersion")
    if kind not in (None, "", resource.kind):
        if resource.custom:
            text = f"Invalid value: {msgspec.json.encode(kind).decode()}: must be {resource.kind}"
            raise invalid(resource.group, str(kind), _name(value), [Cause("FieldValueInvalid", text, "kind")])
        raise bad_request(f'{kind} in version "{version}" cannot be handled as a {resource.kind}: no kind "{kind}" is registered here')
    if version not in (None, "", resource.api_version):
        raise bad_request(f"the API version in the data ({version}) does not match the expected API version ({resource.api_version})")
    if resource.custom and not (kind and version):
        raise bad_request(
            f"the object provided is unrecognized (must be of type {resource.kind}): Object 'Kind' is missing"
            if not kind
            else f"the object provided is unrecognized (must be of type {resource.kind}): Object 'apiVersion' is missing"
        )


def _name(value: dict[str, Any]) -> str:
    metadata = value.get("metadata")
    return str(metadata.get("name", "")) if isinstance(metadata, dict) else ""


def cannot_be(resource: Resource, why: str) -> StatusError:
    return UndecodableError(resource.kind, resource.version, why)


def need_manager(call: Call) -> str:
    manager = call.query.get("fieldManager", "")
    if not manager:
        cause = Cause(REQUIRED, "Required value: is required for apply patch", "fieldManager")
        raise invalid("meta.k8s.io", "PatchOptions", "", [cause])
    return manager
