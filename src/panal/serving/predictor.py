"""The InferenceService for the model of a run: the folder of the run's storage, and a runtime.

KServe mounts or copies the folder to /mnt/models of the predictor's container, read-only. Deployment mode is always Standard, which
KServe up to 0.15 calls RawDeployment, and later versions take as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from panal.serving.version import LABELS, Version

Object = dict[str, Any]
API_VERSION, KIND = "serving.kserve.io/v1beta1", "InferenceService"
MODE = "serving.kserve.io/deploymentMode"
STANDARD = ("RawDeployment", "Standard")
REVISION = "fl.panal/revision"  # annotation of Pods: `Version.revision`
DIGEST = "fl.panal/model-digest"  # annotation of Pods, for people
CONTAINER = "kserve-container"
PORT = 8080  # where runtimes listen; the Service of a predictor has port 80
SERVICE_PORT = 80
MODELS = "/mnt/models"
NAME = re.compile(r"[a-z]([-a-z0-9]{0,44}[a-z0-9])?")  # of a service: the Service <name>-canary-predictor has at most 63 characters
TEMPLATED = "{{.Name}}"  # in the arguments and variables of a runtime: KServe puts the service's name there
ENDING = 5  # seconds in which a Pod that ends still answers, until nobody sends it requests
REQUESTS = {"cpu": "100m", "memory": "256Mi"}


class Content(StrEnum):
    """What of a run is served: the folder with `model.safetensors`, or the folder with the files that the app has exported."""

    MODEL = "model"
    EXPORT = "export"


@dataclass(frozen=True, slots=True)
class Runtime:
    """Either an image, or a ServingRuntime or ClusterServingRuntime: `name` and its `spec`. `protocol` is v1 or v2, `format` the name of
    one of the model formats that the runtime supports, empty for its only one."""

    protocol: str
    image: str = ""
    name: str = ""
    spec: Mapping[str, Any] | None = None
    format: str = ""
    service_account: str = ""


def is_image(text: str) -> bool:
    """Otherwise it is the name of a runtime, which is a DNS name."""
    return any(character in text for character in "/:@")


def canary_of(service: str) -> str:
    return f"{service}-canary"


def predictor_of(service: str) -> str:
    """The Deployment and the Service."""
    return f"{service}-predictor"


class NotServableError(ValueError):
    """The run has nothing that can be served so."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def folder(run: Object, content: Content | None = None) -> tuple[str, tuple[str, ...]]:
    """The URI of the folder to serve, and the digests of the files in it: none if the status does not list all of them. By default what the
    app has exported, if anything. Raises NotServableError if there is no export, or KServe cannot read the run's
    storage."""
    status = run["status"]
    uri = str(status["model"]["uri"])
    scheme, _, rest = uri.partition("://")
    if scheme not in ("pvc", "s3"):
        remedy = "Store the models of runs in a PersistentVolumeClaim or a bucket: `spec.server.storage` (docs/how-to/store-models.md)."
        raise NotServableError(f"the model is at {uri}, a folder of a node, which KServe does not serve", remedy)
    exported = status.get("export") or {}
    if content is None and status["model"].get("export") and not exported.get("files"):
        found: Object = next((c for c in status.get("conditions") or () if c.get("type") == "Exported"), {})
        why = f"{found.get('status', 'Unknown')}: {found.get('message') or found.get('reason') or 'it has not begun'}"
        message = f"the app of {run['metadata']['name']} exports its model, and its condition Exported is {why}"
        raise NotServableError(message, "Wait for the condition Exported, or serve the model itself with --content model.")
    if content is Content.MODEL or (content is None and not exported.get("files")):
        return f"{scheme}://{rest.rpartition('/')[0]}", (str(status["model"]["digest"]),)
    if not exported.get("files"):
        raise NotServableError(f"{run['metadata']['name']} has exported nothing", "Leave --content out, or give --content model.")
    digests = tuple(str(each["digest"]) for each in exported["files"])
    return str(exported["uri"]).rstrip("/"), digests if exported.get("count", len(digests)) == len(digests) else ()


def version(run: Object, service: str, runtime: Runtime, metrics: dict[str, dict[str, float]], content: Content | None = None) -> Version:
    """What is served of the run. Raises ValueError."""
    uri, digests = folder(run, content)
    served = _named(service, uri, runtime) if runtime.name else _of_image(service, uri, runtime)
    served |= {"automountServiceAccountToken": False, "enableServiceLinks": False}
    if runtime.service_account:
        served["serviceAccountName"] = runtime.service_account
    model, metadata = run["status"]["model"], run["metadata"]
    return Version(metadata["name"], metadata["uid"], uri, digests, served, int(model.get("round") or 0), metrics)


def inference_service(service: str, namespace: str, served: Version, owner: Object | None = None) -> Object:
    """`owner`: an ownerReference, for a canary."""
    annotations = {REVISION: served.revision, DIGEST: " ".join(served.digests)}
    metadata: Object = {"name": service, "namespace": namespace, "labels": LABELS, "annotations": {MODE: STANDARD[0]}}
    if owner is not None:
        metadata["ownerReferences"] = [owner]
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": metadata,
        "spec": {"predictor": {**served.predictor, "annotations": annotations}},
    }


def protocol(served: Object) -> str:
    """Of a predictor that `version` has made."""
    if "model" in served:
        return str(served["model"]["protocolVersion"])
    return next(str(each["value"]) for each in served["containers"][0]["env"] if each["name"] == "PROTOCOL")


def _of_image(service: str, uri: str, runtime: Runtime) -> Object:
    """The arguments are those that KServe's own servers take."""
    ready = "/v2/health/ready" if runtime.protocol == "v2" else f"/v1/models/{service}"
    container = {
        "name": CONTAINER,
        "image": runtime.image,
        "args": [f"--model_name={service}", f"--model_dir={MODELS}", f"--http_port={PORT}"],
        "env": [{"name": "STORAGE_URI", "value": uri}, {"name": "PROTOCOL", "value": runtime.protocol}],
        "ports": [{"containerPort": PORT, "protocol": "TCP"}],
        "readinessProbe": {"httpGet": {"path": ready, "port": PORT}, "periodSeconds": 2, "timeoutSeconds": 5},
        "lifecycle": {"preStop": {"sleep": {"seconds": ENDING}}},
        "resources": {"requests": REQUESTS},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    return {"containers": [container]}


def _named(service: str, uri: str, runtime: Runtime) -> Object:
    """Where the runtime gives its server the service's name, it gets `service`: a canary has the same model name. KServe appends the
    arguments to those of the runtime, and a variable replaces the one of the same name."""
    container = _container(runtime)
    model: Object = {
        "modelFormat": _format(runtime),
        "runtime": runtime.name,
        "protocolVersion": runtime.protocol,
        "storageUri": uri,
    }
    arguments = [str(each).replace(TEMPLATED, service) for each in container.get("args") or () if TEMPLATED in str(each)]
    variables = [
        {"name": each["name"], "value": str(each["value"]).replace(TEMPLATED, service)}
        for each in container.get("env") or ()
        if TEMPLATED in str(each.get("value", ""))
    ]
    return {"model": model | ({"args": arguments} if arguments else {}) | ({"env": variables} if variables else {})}


def _container(runtime: Runtime) -> Mapping[str, Any]:
    containers = (runtime.spec or {}).get("containers") or ()
    return next((each for each in containers if each.get("name") == CONTAINER), {})


def _format(runtime: Runtime) -> Object:
    """Raises ValueError if it is not clear which, or the runtime has not the protocol."""
    spec = runtime.spec or {}
    protocols = spec.get("protocolVersions") or ["v1"]
    if runtime.protocol not in protocols:
        raise ValueError(f"the runtime {runtime.name} supports the protocols {', '.join(protocols)}, not {runtime.protocol}")
    formats = spec.get("supportedModelFormats") or []
    found = [each for each in formats if runtime.format in ("", each["name"])]
    if len({each["name"] for each in found}) != 1:
        listed = ", ".join(sorted({each["name"] for each in formats})) or "none"
        raise ValueError(f"the runtime {runtime.name} supports the model formats {listed}; give one of them with --format")
    return {key: found[0][key] for key in ("name", "version") if key in found[0]}
