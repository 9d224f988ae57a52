"""Command, environment and working directory of a container's process, with mount paths replaced (pure).

The node has no mount namespaces, so it replaces mount paths with real folders in env values, command and arguments: a value that starts
with a mount path (whole components; the longest path wins), a list of such paths like PATH, or `--option=` and a path. Paths inside other
text, such as a script for `sh -c`, are not replaced: use $(VAR) there.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from panal.kube.kinds import CONFIG_MAP, SECRET, Kind
from panal.kube.objects import Object, labels_of

Lookup = Callable[[Kind, str, str], Object | None]  # kind, namespace, name
Mounts = Sequence[tuple[str, str]]  # mount path, real path

REFERENCE = re.compile(r"\$(\$|\([^)]*\))")


class NotReadyError(Exception):
    """The container or the Pod cannot start yet. `reason` is that of the kubelet; the message says what is missing."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class Process:
    command: list[str]
    env: dict[str, str]
    cwd: str


def config_error(message: str) -> NotReadyError:
    return NotReadyError("CreateContainerConfigError", message)


def expand(text: str, known: Mapping[str, str]) -> str:
    """Replaces $(NAME) with its value and $$ with $. Unknown names stay unchanged."""

    def value(match: re.Match[str]) -> str:
        found = match[1]
        return "$" if found == "$" else known.get(found[1:-1], match[0])

    return REFERENCE.sub(value, text)


def real(path: str, mounts: Mounts) -> str:
    """Replaces the mount path that `path` starts with; other paths stay unchanged."""
    for mount, folder in sorted(mounts, key=lambda m: len(m[0]), reverse=True):
        mount = mount.rstrip("/")
        if path == mount or path.startswith(f"{mount}/"):
            return folder + path[len(mount) :]
    return path


def rewrite(text: str, mounts: Mounts) -> str:
    """Replaces mount paths if `text` is a path or a list of paths."""
    parts = text.split(":")
    if all(part.startswith("/") or not part for part in parts):
        return ":".join(real(part, mounts) for part in parts)
    return text


def rewrite_argument(text: str, mounts: Mounts) -> str:
    option, equals, value = text.partition("=")
    return f"{option}={rewrite(value, mounts)}" if equals and option.startswith("-") else rewrite(text, mounts)


def field(pod: Object, path: str) -> str:
    """The value of a fieldRef of the downward API. Raises NotReadyError for an unsupported field."""
    metadata, status = pod["metadata"], pod.get("status", {})
    if match := re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path):
        return str((metadata.get(match[1]) or {}).get(match[2], ""))
    simple: dict[str, Callable[[], Any]] = {
        "metadata.name": lambda: metadata["name"],
        "metadata.namespace": lambda: metadata["namespace"],
        "metadata.uid": lambda: metadata["uid"],
        "metadata.labels": lambda: _lines(labels_of(pod)),
        "metadata.annotations": lambda: _lines(metadata.get("annotations") or {}),
        "spec.nodeName": lambda: pod["spec"]["nodeName"],
        "spec.serviceAccountName": lambda: pod["spec"].get("serviceAccountName", "default"),
        "status.podIP": lambda: status["podIP"],
        "status.podIPs": lambda: ",".join(ip["ip"] for ip in status["podIPs"]),
        "status.hostIP": lambda: status["hostIP"],
        "status.hostIPs": lambda: status["hostIP"],
    }
    if path not in simple:
        raise config_error(f"fieldRef {path} is not supported by this node; it knows {', '.join(simple)}")
    return str(simple[path]())


def _lines(values: Mapping[str, str]) -> str:
    return "\n".join(f"{key}={json.dumps(value)}" for key, value in sorted(values.items()))


def data_of(obj: Object) -> dict[str, bytes]:
    """The content of a ConfigMap or Secret."""
    decode = base64.b64decode if obj["kind"] == "Secret" else str.encode
    plain = {key: decode(value) for key, value in (obj.get("data") or {}).items()}
    return plain | {key: base64.b64decode(value) for key, value in (obj.get("binaryData") or {}).items()}


def referenced(lookup: Lookup, kind: Kind, namespace: str, ref: Mapping[str, Any]) -> dict[str, bytes] | None:
    """The data of the referenced object; None if it does not exist and is optional. Raises NotReadyError."""
    obj = lookup(kind, namespace, ref["name"])
    if obj is None:
        if ref.get("optional"):
            return None
        raise config_error(f'{kind.kind.lower()} "{ref["name"]}" not found')
    return data_of(obj)


def environment(
    container: Object, pod: Object, lookup: Lookup, mounts: Mounts, base: Mapping[str, str], fixed: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The environment. envFrom, then env, override `base`, which comes from the image and the node, but not `fixed`. Raises
    NotReadyError."""
    fixed = fixed or {}
    found = {**base, **fixed}
    namespace = pod["metadata"]["namespace"]
    for source in container.get("envFrom") or ():
        kind, ref = (CONFIG_MAP, source["configMapRef"]) if "configMapRef" in source else (SECRET, source["secretRef"])
        data = referenced(lookup, kind, namespace, ref) or {}
        found |= {source.get("prefix", "") + key: rewrite(value.decode(), mounts) for key, value in data.items()}
        found |= fixed
    for entry in container.get("env") or ():
        value = _value(entry, pod, lookup, found)
        if value is not None and entry["name"] not in fixed:
            found[entry["name"]] = rewrite(value, mounts)
    return found


def _value(entry: Object, pod: Object, lookup: Lookup, known: Mapping[str, str]) -> str | None:
    """The value of an env entry; None if it is optional and does not exist."""
    source = entry.get("valueFrom")
    if not source:
        return expand(entry.get("value", ""), known)
    if "fieldRef" in source:
        return field(pod, source["fieldRef"]["fieldPath"])
    for key, kind in (("configMapKeyRef", CONFIG_MAP), ("secretKeyRef", SECRET)):
        if ref := source.get(key):
            data = referenced(lookup, kind, pod["metadata"]["namespace"], ref) or {}
            if ref["key"] in data:
                return data[ref["key"]].decode()
            if ref.get("optional"):
                return None
            raise config_error(f"couldn't find key {ref['key']} in {kind.kind} {pod['metadata']['namespace']}/{ref['name']}")
    raise config_error(f"env {entry['name']}: valueFrom {', '.join(source)} is not supported by this node; set a value")


def command(container: Object, env: Mapping[str, str], mounts: Mounts, entrypoint: Sequence[str], cmd: Sequence[str]) -> list[str]:
    """The command line. The container's `command` replaces the image's entrypoint and cmd, `args` only the cmd. Raises NotReadyError."""
    given, args = container.get("command"), container.get("args")
    words = [*(given or entrypoint), *(args or ([] if given else cmd))]
    if not words:
        raise config_error(f"no command specified: the image {container['image']} has none, so spec.containers[].command is needed")
    return [rewrite_argument(expand(word, env), mounts) for word in words]
