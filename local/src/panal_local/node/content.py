"""The files of volumes of type ConfigMap, Secret, downwardAPI and projected (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from panal.kube.kinds import CONFIG_MAP, SECRET, Kind
from panal.kube.objects import Object
from panal_local.node.environment import Lookup, NotReadyError, field, referenced

Files = dict[str, bytes]  # path below the volume -> content


class TokenRequest(NamedTuple):
    """A service account token that a projected volume requests. `seconds` is its lifetime."""

    audience: str
    seconds: int


Tokens = Mapping[TokenRequest, str]


def made_of_objects(volume: Object) -> bool:
    return any(kind in volume for kind in ("configMap", "secret", "downwardAPI", "projected"))


def secret(volume: Object) -> bool:
    """Whether only the owner may read the files."""
    sources = volume.get("projected", {}).get("sources", [])
    return "secret" in volume or any("secret" in s or "serviceAccountToken" in s for s in sources)


def token_requests(pod: Object) -> Iterator[TokenRequest]:
    for volume in pod["spec"].get("volumes") or ():
        for source in volume.get("projected", {}).get("sources", []):
            if wanted := source.get("serviceAccountToken"):
                yield _request(wanted)


def _request(wanted: Mapping[str, Any]) -> TokenRequest:
    return TokenRequest(wanted.get("audience", ""), wanted.get("expirationSeconds") or 3600)


def files(volume: Object, pod: Object, lookup: Lookup, tokens: Tokens) -> Files:
    """The files of the volume. Raises NotReadyError if an object that is not optional does not exist."""
    try:
        return _files(volume, pod, lookup, tokens)
    except NotReadyError as error:
        raise NotReadyError("FailedMount", f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error.message}') from error


def _files(volume: Object, pod: Object, lookup: Lookup, tokens: Tokens) -> Files:
    namespace = pod["metadata"]["namespace"]
    if "configMap" in volume:
        return _of_object(lookup, CONFIG_MAP, namespace, volume["configMap"])
    if "secret" in volume:
        source = volume["secret"]
        return _of_object(lookup, SECRET, namespace, {**source, "name": source.get("secretName") or source.get("name")})
    if "downwardAPI" in volume:
        return {item["path"]: _downward(pod, item) for item in volume["downwardAPI"].get("items") or ()}
    if "serviceAccountToken" in volume:
        wanted = volume["serviceAccountToken"]
        return {wanted["path"]: tokens[_request(wanted)].encode()}
    if "projected" in volume:
        found: Files = {}
        for source in volume["projected"].get("sources") or ():
            found |= _files(source, pod, lookup, tokens)
        return found
    raise NotReadyError("FailedMount", f"{', '.join(k for k in volume if k != 'name')} is not supported by this node")


def _downward(pod: Object, item: Mapping[str, Any]) -> bytes:
    if "fieldRef" not in item:
        raise NotReadyError("FailedMount", f"downwardAPI item {item['path']}: resourceFieldRef is not supported by this node")
    return field(pod, item["fieldRef"]["fieldPath"]).encode()


def _of_object(lookup: Lookup, kind: Kind, namespace: str, source: Mapping[str, Any]) -> Files:
    data = referenced(lookup, kind, namespace, source) or {}
    if not source.get("items"):
        return data
    missing = [item["key"] for item in source["items"] if item["key"] not in data]
    if missing and not source.get("optional"):
        raise NotReadyError("FailedMount", f"{kind.kind.lower()} references non-existent config key: {missing[0]}")
    return {item["path"]: data[item["key"]] for item in source["items"] if item["key"] in data}
