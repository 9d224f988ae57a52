"""Where a cluster's training data is: which ClusterClaim says so, and what its value means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from panal.api.addresses import PORTS, is_ip, is_of_a_host
from panal.api.quantity import in_bytes

SCHEME, S3 = "pvc://", "s3://"
FORM = "give the ClusterClaim the form pvc://CLAIM/sub/path, s3://BUCKET/PREFIX?endpoint=URL or an absolute path"
S3_FORM = "give the ClusterClaim the form s3://BUCKET/PREFIX?endpoint=https://192.0.2.9:9000&region=NAME"
BUCKET = re.compile(r"[a-z0-9][-.a-z0-9]{1,61}[a-z0-9]")
HOST = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)+")
REGION = re.compile(r"[-a-z0-9]{1,40}")
VOLUME = "#"  # separates the location from the volume of the data, which the owner may announce
VOLUME_FORM = re.compile(r"[0-9]{1,12}(\.[0-9]{1,3})?([kMGTPE]|[KMGTPE]i)?")
CLAIM_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


@dataclass(frozen=True, slots=True)
class PvcLocation:
    """`sub_path` is relative to the volume's root; empty for the root."""

    name: str
    sub_path: str


@dataclass(frozen=True, slots=True)
class HostPathLocation:
    """`path` is absolute, and not the root."""

    path: str


@dataclass(frozen=True, slots=True)
class S3Location:
    """A bucket and a prefix in it, as `uri`. `endpoint` is the URL of the service; `address` and `port` are where it listens, and `host` is
    the name in the URL, or empty if that is the address. `region` may be empty."""

    uri: str
    endpoint: str
    address: str
    port: int
    host: str
    region: str


DataLocation = PvcLocation | HostPathLocation | S3Location


def data_claim(placement_spec: Mapping[str, Any], explicit: str) -> str:
    """The claim's name: `explicit` (spec.client.dataClaim), else the last one that a predicate asks to exist. NO_DATA where the run says
    that it needs none; "" where it says nothing, and so cannot run: a cluster takes part with data that its owner has announced."""
    return explicit or next(reversed(_claims_that_exist(placement_spec)), "")


def _claims_that_exist(placement_spec: Mapping[str, Any]) -> list[str]:
    selectors = ((predicate.get("requiredClusterSelector") or {}).get("claimSelector") or {} for predicate in _predicates(placement_spec))
    expressions = (expression for selector in selectors for expression in selector.get("matchExpressions") or ())
    return [expression["key"] for expression in expressions if expression.get("operator") == "Exists"]


def _predicates(placement_spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    return placement_spec.get("predicates") or []


@lru_cache(maxsize=8192)
def data_location(value: str) -> DataLocation:
    """What a claim's value names; ValueError says what is wrong with it, for the site's owner to read."""
    if any(not character.isprintable() for character in value):
        raise ValueError(f"data location {value!r} contains unprintable characters; {FORM}")
    location, mark, volume = value.partition(VOLUME)
    if mark and not VOLUME_FORM.fullmatch(volume):
        raise ValueError(f'data location "{value}": "{volume}" is no volume of data; write a quantity such as 500Gi after "{VOLUME}"')
    if location.startswith(SCHEME):
        return _pvc(location)
    if location.startswith(S3):
        return _bucket(location)
    if location.startswith("/"):
        return HostPathLocation(_host_path(location))
    raise ValueError(f'data location "{value}" is neither a claim, nor a bucket, nor an absolute path; {FORM}')


def announced_volume(value: str) -> int | None:
    """The bytes of data that a claim's value announces; None if it announces none, or is no location."""
    try:
        data_location(value)
    except ValueError:
        return None
    _, mark, volume = value.partition(VOLUME)
    return in_bytes(volume) if mark else None


def _bucket(value: str) -> S3Location:
    where, _, query = value.partition("?")
    bucket, _, prefix = where.removeprefix(S3).partition("/")
    if not BUCKET.fullmatch(bucket):
        raise ValueError(f'data location "{value}": "{bucket}" cannot be the name of a bucket; {S3_FORM}')
    _safe(prefix.removesuffix("/"), value)
    try:
        settings = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
        found = dict(settings)
        endpoint = urlsplit(found.get("endpoint", ""))
        host, port = endpoint.hostname or "", PORTS.get(endpoint.scheme, 0) if endpoint.port is None else endpoint.port
    except ValueError as error:
        raise ValueError(f'data location "{value}" cannot be read ({error}); {S3_FORM}') from error
    if len(found) < len(settings) or not found.keys() <= {"endpoint", "address", "region"}:
        raise ValueError(f'data location "{value}" may have endpoint, address and region, each once; {S3_FORM}')
    plain = endpoint.path in ("", "/") and not endpoint.query and not endpoint.fragment and endpoint.username is None
    if endpoint.scheme not in PORTS or not (is_ip(host) or HOST.fullmatch(host)) or not port or not plain:
        raise ValueError(f'data location "{value}": the endpoint is not a URL of only a scheme, a host and a port; {S3_FORM}')
    address = found.get("address", host)
    if not is_ip(address):
        raise ValueError(
            f'data location "{value}": {address} is not an IP address, and the Pods of collaborators resolve no names; '
            "add &address= with the address of the endpoint"
        )
    if not is_of_a_host(address):
        raise ValueError(f'data location "{value}": {address} is not the address of another host; {S3_FORM}')
    if (region := found.get("region", "")) and not REGION.fullmatch(region):
        raise ValueError(f'data location "{value}": "{region}" cannot be the name of a region; {S3_FORM}')
    return S3Location(where, f"{endpoint.scheme}://{endpoint.netloc}", address, port, "" if is_ip(host) else host, region)


def _pvc(value: str) -> PvcLocation:
    name, _, path = value.removeprefix(SCHEME).partition("/")
    if not name:
        raise ValueError(f'data location "{value}" names no claim; {FORM}')
    if len(name) > 253 or not CLAIM_NAME.fullmatch(name):
        raise ValueError(f'data location "{value}": "{name}" cannot be the name of a PersistentVolumeClaim; {FORM}')
    return PvcLocation(name, _safe(path.removesuffix("/"), value))


def _host_path(value: str) -> str:
    path = _safe(value.removeprefix("/").removesuffix("/"), value)
    if not path:
        raise ValueError(f'data location "{value}" is the whole file system; name a folder in it')
    return f"/{path}"


def _safe(path: str, value: str) -> str:
    """A path below its root: no part may lead elsewhere or be read in two ways."""
    if path and any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError(f'data location "{value}" contains an empty part, "." or ".."; write the path itself')
    if ":" in path:
        raise ValueError(f'data location "{value}" contains ":", which Kubernetes does not accept in a path; rename the folder')
    return path
