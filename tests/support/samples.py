"""Objects that tests send to an API server, the paths they go to, and a client to send them with."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path
from typing import Any

import httpx2
import yaml

J, MP, JP, SM, AP = (
    f"application/{n}" for n in ("json", "merge-patch+json", "json-patch+json", "strategic-merge-patch+json", "apply-patch+yaml")
)
CSR = """-----BEGIN CERTIFICATE REQUEST-----
MIHIMG8CAQAwDTELMAkGA1UEAwwCYzEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AAS2M57+kBCiaUBJ56146KnONfCtS/ASET6wSrUYCfNIUePHW6oHn8+7vru1fj/C
Dxtl/O4Lbqh/B6aUdZBy2lU2oAAwCgYIKoZIzj0EAwIDSQAwRgIhAL44hopmE4UE
FOefzOBp5OBqpJAqSZ+bdJPHptmvz4ZiAiEA8qNujipfOEMtokeVhTGXpstFOrFL
88+ceMX0NRzjFPw=
-----END CERTIFICATE REQUEST-----
"""
CLIENTS = {
    "type": "array",
    "maxItems": 5,
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
    "items": {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "maxLength": 20},
            "weight": {"type": "number"},
            "role": {"type": "string", "default": "x"},
        },
    },
}
SPEC = {
    "type": "object",
    "required": ["rounds"],
    "properties": {
        "rounds": {"type": "integer", "minimum": 1, "maximum": 100},
        "strategy": {"type": "string", "enum": ["FedAvg", "FedProx"], "default": "FedAvg"},
        "low": {"type": "integer"},
        "high": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "size": {"x-kubernetes-int-or-string": True},
        "limits": {"type": "object", "additionalProperties": {"type": "string"}},
        "clients": CLIENTS,
        "when": {"type": "string", "format": "date-time"},
        "fixed": {"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "fixed may not change"}]},
    },
    "x-kubernetes-validations": [
        {"rule": "!has(self.low) || !has(self.high) || self.low <= self.high", "message": "low must not exceed high", "fieldPath": ".low"},
        {"rule": "self.rounds != 13", "message": "not that", "reason": "FieldValueForbidden"},
    ],
}
CONDITIONS = {
    "type": "array",
    "items": {"type": "object", "required": ["type"], "properties": {"type": {"type": "string"}, "status": {"type": "string"}}},
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["type"],
}
STATUS = {"type": "object", "properties": {"phase": {"type": "string"}, "conditions": CONDITIONS}}
VERSION = {
    "name": "v1",
    "served": True,
    "storage": True,
    "subresources": {"status": {}},
    "additionalPrinterColumns": [
        {"name": "Rounds", "type": "integer", "jsonPath": ".spec.rounds"},
        {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
    ],
    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": SPEC, "status": STATUS}}},
}
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.samples.example.com"},
    "spec": {
        "group": "samples.example.com",
        "scope": "Namespaced",
        "names": {"kind": "Widget", "plural": "widgets", "shortNames": ["wd"]},
        "versions": [VERSION],
    },
}
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WIDGETS = "/apis/samples.example.com/v1/namespaces/default/widgets"
NAMESPACES = "/api/v1/namespaces"
CORE = f"{NAMESPACES}/default"
MAPS, SECRETS, ACCOUNTS, SERVICES, PODS, CLAIMS = (
    f"{CORE}/{plural}" for plural in ("configmaps", "secrets", "serviceaccounts", "services", "pods", "persistentvolumeclaims")
)
JOBS = "/apis/batch/v1/namespaces/default/jobs"
CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
POD = {"containers": [{"name": "c", "image": "x:1"}], "restartPolicy": "Never"}
READY = {"conditions": [{"type": "Ready", "status": "True"}]}


def named(api_version: str, kind: str, name: str, meta: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **(meta or {})}, **fields}


def widget(name: str = "a", meta: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return named("samples.example.com/v1", "Widget", name, meta, spec={"rounds": 3, **spec})


def bare(name: str, **spec: Any) -> dict[str, Any]:
    """A widget with nothing but these fields."""
    return {**widget(name), "spec": spec}


def config_map(name: str, meta: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return named("v1", "ConfigMap", name, meta, **fields)


def job(name: str, **spec: Any) -> dict[str, Any]:
    return named("batch/v1", "Job", name, spec={"template": {"spec": POD}, **spec})


def pod(name: str, **spec: Any) -> dict[str, Any]:
    return named("v1", "Pod", name, spec={**POD, "automountServiceAccountToken": False, **spec})


def service(name: str, **spec: Any) -> dict[str, Any]:
    return named("v1", "Service", name, spec={"selector": {"a": "b"}, "ports": [{"port": 80}], **spec})


def claim(name: str, **spec: Any) -> dict[str, Any]:
    size = {"requests": {"storage": "1Gi"}}
    return named("v1", "PersistentVolumeClaim", name, spec={"accessModes": ["ReadWriteOnce"], "resources": size, **spec})


def csr(name: str, **spec: Any) -> dict[str, Any]:
    rest = {"request": base64.b64encode(CSR.encode()).decode(), "signerName": "example.com/s", "usages": ["client auth"], **spec}
    return named("certificates.k8s.io/v1", "CertificateSigningRequest", name, spec=rest)


def event(name: str, namespace: str, about: dict[str, Any]) -> dict[str, Any]:
    rest = {"involvedObject": about, "reason": "Tested", "message": "m", "type": "Normal", "source": {"component": "t"}, "count": 1}
    return named("v1", "Event", name, {"namespace": namespace}, **rest)


def client(kubeconfig: Path) -> httpx2.Client:
    """As that kubeconfig's user."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    headers = {"Accept": "application/json", "Authorization": f"Bearer {user['token']}", "User-Agent": "tests/1"}
    return httpx2.Client(base_url=cluster["server"], verify=context, headers=headers, timeout=60)
