"""What a collaborator's Pod asks of a site, read from the Pod itself.

The hub writes the Pod, so only what the Pod is counts: its images, its volumes, its variables. What the hub says about a run (namespace,
name, purpose, requester) is in an annotation, and is the hub's word. A Pod with anything that a collaborator of panal does not have is not
recognized: it might mount the data, or reach the network, in a way that nobody has decided about.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from panal.api import names
from panal.api.text import shown

Object = Mapping[str, Any]

TOOLS, GATEWAY = "tools", "gateway"
TOOLS_COMMAND = ["python3", "-m", "panal.pod.collaborator", names.TOOLS_DIR]
GATEWAY_OPTIONS = frozenset(
    {"--disable-hot-restart", "--drain-strategy", "immediate", "--file-flush-interval-msec", "500", "-l", "warning", "--concurrency", "1"}
    | {"--drain-time-s", "2", "--config-path", f"$(PANAL_POD_DIR)/{names.POD_GATEWAY}"}
)
POD_FIELDS = frozenset(
    {"serviceAccountName", "serviceAccount", "automountServiceAccountToken", "enableServiceLinks", "terminationGracePeriodSeconds"}
    | {"securityContext", "initContainers", "containers", "volumes", "dnsPolicy", "dnsConfig", "hostAliases", "nodeSelector", "tolerations"}
    | {"imagePullSecrets", "restartPolicy", "schedulerName", "priority", "preemptionPolicy", "hostname", "subdomain", "schedulingGates"}
    | {"nodeName"}
)
OUR_FIELDS = frozenset(
    {"name", "image", "imagePullPolicy", "command", "args", "env", "volumeMounts", "resources", "securityContext", "restartPolicy"}
    | {"workingDir", "terminationMessagePath", "terminationMessagePolicy"}
)
MAIN_FIELDS = OUR_FIELDS | {"envFrom"}
SECURITY = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
OUR_VARIABLES = {"PANAL_POD_DIR": names.POD_DIR, "PANAL_LOOPBACK": "127.0.0.1"}
MOUNTS = {
    TOOLS: {"tools": names.TOOLS_DIR, "pod": names.POD_DIR, "site": names.SITE_DIR},
    GATEWAY: {"gateway": names.GATEWAY_DIR, "pod": names.POD_DIR, "site": names.SITE_DIR},
}
MAIN_VOLUMES = frozenset({"tools", "tmp", "work", "pod", "data"})
SCRATCH = frozenset({"tools", "tmp", "work", "pod"})
PROJECTED = {"gateway": {names.IDENTITY_SECRET, names.PROXY, names.TRUST}, "site": {names.SITE_CONTROLLER}}
LONGEST = 200  # characters of what the hub says


class NotRecognizedError(ValueError):
    """The Pod is no collaborator as panal makes them; the message names the field."""


@dataclass(frozen=True, slots=True)
class Asked:
    """`data`: the location that is mounted, or the bucket; empty for none. `secrets`: those that the main container reads."""

    pod: str
    uid: str
    namespace: str
    name: str
    run: str
    framework: str
    purpose: str
    requester: str
    image: str
    panal_images: tuple[str, ...]
    app_hash: str
    data: str
    secrets: tuple[str, ...]
    minimum_examples: int

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits for exactly this: another image, app or data of the same run is another request."""
        content = [self.namespace, self.name, self.run, self.framework, self.purpose, self.requester, self.image, *self.panal_images]
        content += [self.app_hash, self.data, *self.secrets, str(self.minimum_examples)]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]

    @property
    def key(self) -> str:
        """What the run is counted by."""
        return self.run or f"{self.namespace}/{self.name}"

    def record(self) -> dict[str, Any]:
        """For the ledger and for people."""
        found = {
            "request": self.id,
            "run": f"{self.namespace}/{self.name}",
            "uid": self.run,
            "framework": self.framework,
            "purpose": self.purpose,
            "requester": self.requester,
            "image": self.image,
            "appHash": self.app_hash,
            "data": self.data,
            "secrets": list(self.secrets),
            "minimumExamples": self.minimum_examples,
        }
        return {name: value for name, value in found.items() if value}


def asked(pod: Object) -> Asked:
    """What a Pod asks. Raises NotRecognizedError."""
    metadata, spec = pod["metadata"], pod.get("spec") or {}
    _only(spec, POD_FIELDS, "spec")
    _expect(spec.get("serviceAccountName") == names.ADDON, "spec.serviceAccountName")
    _expect(spec.get("automountServiceAccountToken") is False, "spec.automountServiceAccountToken")
    _expect(not any(key.startswith("seLinux") or key == "sysctls" for key in spec.get("securityContext") or {}), "spec.securityContext")
    inits, mains = spec.get("initContainers") or [], spec.get("containers") or []
    _expect([each["name"] for each in inits] == [TOOLS, GATEWAY], "spec.initContainers")
    _expect(len(mains) == 1 and mains[0]["name"] not in (TOOLS, GATEWAY), "spec.containers")
    volumes = {each["name"]: each for each in spec.get("volumes") or ()}
    for each in inits:
        _ours(each)
    data = _volumes(volumes)
    main = mains[0]
    _main(main, volumes)
    variables = {each["name"]: each for each in main.get("env") or ()}
    said = _said(metadata)
    if not data and (bucket := _value(variables, "PANAL_DATA_PATH")).startswith("s3://"):
        data = bucket
    sub_path = next((each.get("subPath") for each in main.get("volumeMounts") or () if each["name"] == "data"), None)
    return Asked(
        pod=metadata["name"],
        uid=metadata.get("uid") or "",
        namespace=_text(said, "namespace"),
        name=_text(said, "name"),
        run=_text(said, "uid"),
        framework=_text(said, "framework"),
        purpose=_text(said, "purpose"),
        requester=_text(said, "requester"),
        image=main.get("image") or "",
        panal_images=tuple(each.get("image") or "" for each in inits),
        app_hash=_value(variables, "PANAL_APP_HASH"),
        data=f"{data}/{sub_path}" if sub_path else data,
        secrets=tuple(sorted(_secrets(main))),
        minimum_examples=_number(_value(variables, "PANAL_MINIMUM_EXAMPLES")),
    )


def _expect(holds: object, field: str) -> None:
    if not holds:
        raise NotRecognizedError(f"{shown(field, LONGEST)} is not as in a collaborator of panal")


def _only(found: Object, allowed: frozenset[str], where: str) -> None:
    for name in sorted(found):
        _expect(name in allowed or found[name] in (None, False, [], {}), f"{where}.{name}")


def _ours(container: Object) -> None:
    """One of panal's containers: its image is in the policy, and everything else is known."""
    name = container["name"]
    where = f"spec.initContainers[{name}]"
    _only(container, OUR_FIELDS, where)
    _expect(container.get("securityContext") == SECURITY, f"{where}.securityContext")
    if name == TOOLS:
        _expect(container.get("command") == TOOLS_COMMAND and not container.get("args"), f"{where}.command")
        _expect(container.get("restartPolicy") is None, f"{where}.restartPolicy")
    else:
        _expect(container.get("command") == ["envoy"], f"{where}.command")
        _expect(set(container.get("args") or ()) == GATEWAY_OPTIONS, f"{where}.args")
        _expect(container.get("restartPolicy") == "Always" and container.get("workingDir") == names.GATEWAY_DIR, f"{where}.workingDir")
    mounts = {each["name"]: each["mountPath"] for each in container.get("volumeMounts") or () if not each.get("subPath")}
    _expect(mounts == MOUNTS[name] and len(mounts) == len(container["volumeMounts"]), f"{where}.volumeMounts")
    required = False
    for each in container.get("env") or ():
        variable, value = each["name"], each.get("value")
        if variable == "PANAL_SITE_POLICY":
            required = value == "Required"
        elif variable == "PANAL_POD_UID":
            _expect((each.get("valueFrom") or {}).get("fieldRef", {}).get("fieldPath") == "metadata.uid", f"{where}.env.{variable}")
        elif variable != "PANAL_SITE_BODIES":
            _expect(variable in OUR_VARIABLES and value == OUR_VARIABLES[variable], f"{where}.env.{variable}")
    _expect(required or name != TOOLS, f"{where}.env.PANAL_SITE_POLICY")


def _volumes(volumes: Mapping[str, Object]) -> str:
    """The location of the data; empty if none is mounted."""
    data = ""
    for name, volume in volumes.items():
        where = f"spec.volumes[{name}]"
        if name in SCRATCH:
            _expect(set(volume) == {"name", "emptyDir"}, where)
        elif name in PROJECTED:
            _expect(set(volume) == {"name", "projected"}, where)
            _projected(volume["projected"], PROJECTED[name], where)
        elif name == "data":
            data = _data(volume, where)
        else:
            _expect(False, where)
    return data


def _projected(projected: Object, known: set[str], where: str) -> None:
    """The Secrets are those that a collaborator has. The ConfigMap of the run's gateway comes from the hub, that of the site does not."""
    for source in projected.get("sources") or ():
        _expect(set(source) <= {"secret", "configMap"}, f"{where}.projected")
        _expect("secret" not in source or source["secret"].get("name") in known, f"{where}.projected")
        _expect(known != PROJECTED["site"] or "secret" in source or source["configMap"].get("name") in known, f"{where}.projected")


def _data(volume: Object, where: str) -> str:
    if claim := volume.get("persistentVolumeClaim"):
        _expect(set(volume) == {"name", "persistentVolumeClaim"} and claim.get("readOnly") is True, where)
        return f"pvc://{claim['claimName']}"
    path = (volume.get("hostPath") or {}).get("path") or ""
    _expect(set(volume) == {"name", "hostPath"} and path.startswith("/"), where)
    return str(path)


def _main(main: Object, volumes: Mapping[str, Object]) -> None:
    _only(main, MAIN_FIELDS, f"spec.containers[{main['name']}]")
    where = f"spec.containers[{main['name']}]"
    _expect(main.get("securityContext") == SECURITY, f"{where}.securityContext")
    for mount in main.get("volumeMounts") or ():
        _expect(mount["name"] in MAIN_VOLUMES and mount["name"] in volumes, f"{where}.volumeMounts[{mount['name']}]")
        _expect(mount["name"] != "data" or mount.get("readOnly") is True, f"{where}.volumeMounts[data].readOnly")


def _secrets(main: Object) -> Iterable[str]:
    """The Secrets whose content the main container gets in its variables. ConfigMaps are not secret."""
    for each in main.get("env") or ():
        if reference := (each.get("valueFrom") or {}).get("secretKeyRef"):
            yield str(reference.get("name"))
    for each in main.get("envFrom") or ():
        if reference := each.get("secretRef"):
            yield str(reference.get("name"))


def _said(metadata: Object) -> Object:
    try:
        found = json.loads((metadata.get("annotations") or {}).get(names.ANNOTATION_REQUEST) or "{}")
    except ValueError:
        found = None
    _expect(isinstance(found, dict), f"metadata.annotations[{names.ANNOTATION_REQUEST}]")
    return found  # type: ignore[no-any-return]


def _text(said: Object, name: str) -> str:
    value = said.get(name)
    return shown(value, LONGEST) if isinstance(value, str) else ""


def _value(variables: Mapping[str, Object], name: str) -> str:
    return str((variables.get(name) or {}).get("value") or "")


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
