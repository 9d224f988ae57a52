"""The form that every collaborator's Pod has at a site with a policy, after its API server has set the defaults, and what varies in it.

`panal.lifecycle.collaborator_pod` makes these Pods; a test compares. Objects are compared as a whole, so that a field that Kubernetes has
added, or that the hub adds, is noticed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from panal.api import names
from panal.api.text import shown

Object = Mapping[str, Any]

TOOLS, GATEWAY, DATA = "tools", "gateway", "data"
# Of the main container: its name, and the program of the pod tools that it runs.
PROGRAMS = {"flower": "supernode", "openfl": "collaborator", "flare": "client", "other": "collaborator"}
NAMES = PROGRAMS | {"other": "client"}
GATEWAY_OPTIONS = ["--disable-hot-restart", "--drain-strategy", "immediate", "--file-flush-interval-msec", "500", "-l", "warning"]
GATEWAY_OPTIONS += ["--concurrency", "1", "--drain-time-s", "2", "--config-path", f"$(PANAL_POD_DIR)/{names.POD_GATEWAY}"]
SECURITY = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
POD_SECURITY = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
FS_GROUP = {"fsGroup": 65532, "fsGroupChangePolicy": "OnRootMismatch"}  # not on OpenShift, whose namespaces set it
NO_NAMES = {"nameservers": ["127.0.0.1"], "options": [{"name": "attempts", "value": "1"}]}
FIXED = {  # fields of the Pod's spec
    "serviceAccountName": names.ADDON,
    "automountServiceAccountToken": False,
    "enableServiceLinks": False,
    "terminationGracePeriodSeconds": 20,
    "dnsPolicy": "None",
    "dnsConfig": NO_NAMES,
}
DEFAULTED = {"restartPolicy": "Always", "schedulerName": "default-scheduler"}
FIXED |= DEFAULTED
FREE = frozenset(  # they say where and when a Pod runs, not what it does
    {"serviceAccount", "nodeSelector", "tolerations", "imagePullSecrets", "priority", "priorityClassName", "preemptionPolicy", "hostname"}
    | {"subdomain", "schedulingGates", "nodeName"}
)
READ = frozenset({"securityContext", "initContainers", "containers", "volumes", "hostAliases"})
DEFAULTS = {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}
FREE_OF_CONTAINER = frozenset({"image", "imagePullPolicy", "resources"})
SCRATCH = {"tools": names.TOOLS_DIR, "tmp": "/tmp", "work": names.WORK_DIR, "pod": names.POD_DIR}
READ_ONLY = ("tools", "pod")  # in the main container
IDENTITY = [{"key": key, "path": key} for key in ("tls.crt", "tls.key")]
OF_GATEWAY = [
    {"secret": {"name": names.IDENTITY_SECRET, "items": IDENTITY}},
    {"secret": {"name": names.PROXY, "optional": True, "items": [{"key": "proxy-authorization", "path": "proxy-authorization"}]}},
    {"configMap": {"name": names.TRUST, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
]
OF_SITE = [
    {"configMap": {"name": names.SITE_CONTROLLER, "items": [{"key": key, "path": key} for key in ("address", "ca.crt")]}},
    {"secret": {"name": names.SITE_CONTROLLER, "items": [{"key": "token", "path": "token"}]}},
]
UID = {"fieldRef": {"fieldPath": "metadata.uid"}}
SHARE_ERRORS = {"configMapKeyRef": {"name": names.SITE, "key": "share-errors", "optional": True}}
# Variables that panal sets in the main container. The values of these are read, or mean nothing to a site.
OURS = frozenset(
    f"PANAL_{name}"
    for name in (
        *("CLUSTER", "PARTITION_ID", "NUM_PARTITIONS", "POD_DIR", "WORK_DIR", "GATEWAY_PORT", "APP_HASH", "FLOWER_VERSION", "ACCELERATION"),
        *("MINIMUM_EXAMPLES", "DATA_PATH", "SECRET_FILE", "MODE", "LOCAL_ROUNDS", "PRIVACY"),
    )
)
REFERENCES = {"PANAL_INSTANCE": UID, "PANAL_SHARE_ERRORS": SHARE_ERRORS}
OF_BUCKETS = frozenset({"AWS_ENDPOINT_URL_S3", "AWS_REGION"})
DANGEROUS = re.compile(r"LD_.*|PYTHON.*|PATH|PANAL_.*|GCONV_PATH|GLIBC_TUNABLES")  # they decide which program runs
LONGEST = 200  # characters of a message
HOST_AND_PORT = re.compile(r"[0-9A-Za-z.:\[\]-]{1,253}")


class NotRecognizedError(ValueError):
    """The Pod is no collaborator as panal makes them; the message names the field."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What varies; the fields are those of `request.Asked`."""

    framework: str
    image: str
    panal_images: tuple[str, ...]
    program: tuple[str, ...]
    app_hash: str
    data: str
    secrets: tuple[str, ...]
    variables: tuple[tuple[str, str], ...]
    minimum_examples: int
    privacy: str
    aggregator: str


def expect(holds: object, field: str) -> None:
    if not holds:
        raise NotRecognizedError(f"{shown(field, LONGEST)} is not as in a collaborator of panal")


def parts(pod: Object) -> Parts:
    """Raises NotRecognizedError."""
    spec = pod.get("spec") or {}
    for name, value in FIXED.items():
        expect(spec.get(name, DEFAULTED.get(name)) == value, f"spec.{name}")
    for name in sorted(spec):
        expect(name in FREE or name in READ or name in FIXED or spec[name] in (None, False, [], {}), f"spec.{name}")
    expect(spec.get("securityContext") in (POD_SECURITY, POD_SECURITY | FS_GROUP), "spec.securityContext")
    inits, mains = spec.get("initContainers") or [], spec.get("containers") or []
    expect([each.get("name") for each in inits] == [TOOLS, GATEWAY], "spec.initContainers")
    expect(len(mains) == 1, "spec.containers")
    tools, main = inits[0], mains[0]
    framework, program = _program(main)
    target = _value(tools, "PANAL_SITE_TARGET")
    _same(tools, _tools(framework, target), "spec.initContainers[tools]")
    _same(inits[1], _gateway(), "spec.initContainers[gateway]")
    data = _volumes(spec.get("volumes") or [])
    bucket = _value(main, "PANAL_DATA_PATH")
    bucket = bucket if bucket.startswith("s3://") else ""
    expect(not (data and bucket), f"spec.containers[{main.get('name')}].env[PANAL_DATA_PATH]")
    expect(bucket or not spec.get("hostAliases"), "spec.hostAliases")
    sub_path = _main(main, framework, mounted=bool(data), bucket=bool(bucket))
    return Parts(
        framework=framework,
        image=str(main.get("image") or ""),
        panal_images=tuple(str(each.get("image") or "") for each in inits),
        program=program,
        app_hash=_value(main, "PANAL_APP_HASH"),
        data=bucket or (f"{data}/{sub_path}" if sub_path else data),
        secrets=tuple(sorted(_secrets(main) - ({names.DATA_ACCESS} if bucket else set()))),
        variables=_variables(main),
        minimum_examples=_number(_value(main, "PANAL_MINIMUM_EXAMPLES")),
        privacy=_value(main, "PANAL_PRIVACY"),
        aggregator=_aggregator(target),
    )


def _program(main: Object) -> tuple[str, tuple[str, ...]]:
    """The framework, and the words of a program of the run's own."""
    where = f"spec.containers[{main.get('name')}]"
    command = list(main.get("command") or ())
    known = len(command) >= 4 and command[:2] == ["python3", f"{names.TOOLS_DIR}/run.py"] and PROGRAMS.get(command[2]) == command[3]
    expect(known and (command[2] == "other" or len(command) == 4), f"{where}.command")
    expect(main.get("name") == NAMES[command[2]], "spec.containers")
    return command[2], tuple(map(str, command[4:]))


def _tools(framework: str, target: str) -> Object:
    told = {"PANAL_SITE_POLICY": "Required", "PANAL_SITE_TARGET": target}
    if framework == "flower":
        told["PANAL_SITE_BODIES"] = "Whole"
    return {
        "name": TOOLS,
        "command": ["python3", "-m", "panal.pod.collaborator", names.TOOLS_DIR],
        "env": [_variable("PANAL_POD_DIR", names.POD_DIR), *(_variable(*each) for each in sorted(told.items()))],
        "volumeMounts": [_mount("tools", names.TOOLS_DIR), _mount("pod", names.POD_DIR), _mount("site", names.SITE_DIR, read_only=True)],
    }


def _gateway() -> Object:
    return {
        "name": GATEWAY,
        "restartPolicy": "Always",
        "workingDir": names.POD_DIR,
        "command": ["envoy"],
        "args": GATEWAY_OPTIONS,
        "env": [
            _variable("PANAL_LOOPBACK", "127.0.0.1"),
            _variable("PANAL_POD_DIR", names.POD_DIR),
            {"name": "PANAL_POD_UID", "valueFrom": UID},
        ],
        "volumeMounts": [
            _mount("gateway", names.GATEWAY_DIR, read_only=True),
            _mount("pod", names.POD_DIR, read_only=True),
            _mount("site", names.SITE_DIR, read_only=True),
        ],
    }


def _same(found: Object, form: Object, where: str) -> None:
    """Whether a container has this form. Its image and its resources may be any."""
    wanted = {**form, "securityContext": SECURITY, **DEFAULTS}
    for name in sorted(found.keys() | wanted.keys()):
        value = found.get(name, DEFAULTS.get(name))
        value = _without_version(value) if name == "env" else value
        expect(
            name in FREE_OF_CONTAINER or value == wanted.get(name) or (name not in wanted and value in (None, [], {})), f"{where}.{name}"
        )


def _volumes(volumes: Sequence[Object]) -> str:
    """The location of the data; empty if none is mounted."""
    data = ""
    expect(len({each.get("name") for each in volumes}) == len(volumes), "spec.volumes")
    for volume in volumes:
        name = str(volume.get("name"))
        where = f"spec.volumes[{name}]"
        if name in SCRATCH:
            expect(set(volume) == {"name", "emptyDir"} and set(volume["emptyDir"] or ()) <= {"medium", "sizeLimit"}, where)
        elif name in (GATEWAY, "site"):
            sources = OF_GATEWAY if name == GATEWAY else OF_SITE
            expect(volume == {"name": name, "projected": {"defaultMode": 0o440, "sources": sources}}, where)
        elif name == DATA:
            data = _data(volume, where)
        else:
            expect(False, where)
    return data


def _data(volume: Object, where: str) -> str:
    if claim := volume.get("persistentVolumeClaim"):
        expect(volume == {"name": DATA, "persistentVolumeClaim": {"claimName": claim.get("claimName"), "readOnly": True}}, where)
        return f"pvc://{claim['claimName']}"
    path = str((volume.get("hostPath") or {}).get("path") or "")
    expect(volume == {"name": DATA, "hostPath": {"path": path, "type": "Directory"}} and path.startswith("/"), where)
    return path


def _main(main: Object, framework: str, *, mounted: bool, bucket: bool) -> str:
    """Checks the container with the run's image. Returns the folder of the data in its volume."""
    where = f"spec.containers[{main.get('name')}]"
    mounts = list(main.get("volumeMounts") or ())
    scratch = [_mount(name, path, read_only=name in READ_ONLY) for name, path in SCRATCH.items()]
    sub_path = str(mounts[-1].get("subPath") or "") if mounted and len(mounts) == len(scratch) + 1 else ""
    data = _mount(DATA, names.DATA_DIR, read_only=True) | ({"subPath": sub_path} if sub_path else {})
    expect(mounts == [*scratch, *([data] if mounted else [])], f"{where}.volumeMounts")
    wanted_env = [{"secretRef": {"name": names.DATA_ACCESS}}] if bucket else []
    expect(list(main.get("envFrom") or ()) == wanted_env, f"{where}.envFrom")
    free = FREE_OF_CONTAINER | {"name", "command", "env", "envFrom", "volumeMounts"}
    for name in sorted(main):
        known = DEFAULTS | {"securityContext": SECURITY}
        expect(name in free or (main[name] == known[name] if name in known else main[name] in (None, [], {})), f"{where}.{name}")
    expect(main.get("securityContext") == SECURITY, f"{where}.securityContext")
    path = _value(main, "PANAL_DATA_PATH")
    expect(path == names.DATA_DIR if mounted else bucket or not path, f"{where}.env[PANAL_DATA_PATH]")
    _env(main, where, bucket=bucket)
    return sub_path


def _env(main: Object, where: str, *, bucket: bool) -> None:
    env = main.get("env") or ()
    expect(len({each.get("name") for each in env}) == len(env), f"{where}.env")
    for each in _without_version(env):
        name = str(each.get("name"))
        if name in REFERENCES:
            expect(each == {"name": name, "valueFrom": REFERENCES[name]}, f"{where}.env[{name}]")
        elif name in OURS or name == "HOME" or (bucket and name in OF_BUCKETS):
            expect(set(each) <= {"name", "value"}, f"{where}.env[{name}]")
        else:
            expect(not DANGEROUS.fullmatch(name), f"{where}.env[{name}]")
    expect(any(each == _variable("HOME", "/tmp") for each in env), f"{where}.env[HOME]")


def _without_version(env: Any) -> list[Any]:
    """The API server sets the version of a fieldRef."""
    found = []
    for each in env or ():
        reference = (each.get("valueFrom") or {}).get("fieldRef")
        found.append({**each, "valueFrom": {"fieldRef": {"fieldPath": reference.get("fieldPath")}}} if reference else each)
    return found


def _variables(main: Object) -> tuple[tuple[str, str], ...]:
    """The variables of the run's author."""
    ours = OURS | REFERENCES.keys() | {"HOME"}
    found = {str(each["name"]): each for each in main.get("env") or () if each["name"] not in ours}
    written = {
        name: each.get("value") or "" if "valueFrom" not in each else json.dumps(each["valueFrom"], sort_keys=True)
        for name, each in found.items()
    }
    return tuple(sorted(written.items()))


def _secrets(main: Object) -> set[str]:
    """The Secrets whose content the main container gets in its variables. ConfigMaps are not secret."""
    keys = ((each.get("valueFrom") or {}).get("secretKeyRef") for each in main.get("env") or ())
    whole = (each.get("secretRef") for each in main.get("envFrom") or ())
    return {str(each.get("name")) for each in (*keys, *whole) if each}


def _aggregator(target: str) -> str:
    """Host and port in what the gateway was given."""
    where = "spec.initContainers[tools].env[PANAL_SITE_TARGET]"
    try:
        host, port = json.loads(target)["address"]
    except (ValueError, KeyError, TypeError, RecursionError):
        host, port = "", 0
    expect(isinstance(host, str) and isinstance(port, int) and HOST_AND_PORT.fullmatch(host), where)
    return f"{host}:{port}"


def _value(container: Object, name: str) -> str:
    return next((str(each.get("value") or "") for each in container.get("env") or () if each.get("name") == name), "")


def _variable(name: str, value: str) -> dict[str, str]:
    return {"name": name, "value": value}


def _mount(name: str, path: str, *, read_only: bool = False) -> dict[str, Any]:
    return {"name": name, "mountPath": path} | ({"readOnly": True} if read_only else {})


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
