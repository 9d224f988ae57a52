"""KServe's manager with its webhooks beside a cluster with a node, in Standard mode."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster import Cluster
from panal.kube.objects import Object
from processes import wait

NAMESPACE = "kserve"
PORT = 9443
API = "serving.kserve.io"
READER = "panal/test-storage-initializer:1"  # what copies a model out of a bucket


def sources() -> Path:
    """KServe's sources, with its CRDs and its configuration."""
    folder = Path(os.environ.get("PANAL_KSERVE", ""))
    if not (folder / "config/crd/full").is_dir():
        pytest.skip("no sources of KServe: `make test-serving` gets them, and sets PANAL_KSERVE to their folder")
    return folder


def http_route_crd() -> Path:
    folder = Path(os.environ.get("PANAL_GATEWAY_API", ""))
    found = folder / "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"
    if not found.is_file():
        pytest.skip("no CRD of HTTPRoutes: `make test-serving` gets it, and sets PANAL_GATEWAY_API to its module's folder")
    return found


def start(cluster: Cluster) -> None:
    """Installs and starts it, if it does not run. The program is one of those that KUBEBUILDER_ASSETS names."""
    folder = cluster.dir / "kserve"
    certificates = folder / "k8s-webhook-server/serving-certs"
    certificates.mkdir(parents=True, exist_ok=True)
    authority = _certificate(certificates, cluster.ip)
    cluster.kubectl("apply", "--server-side", "-f", str(sources() / "config/crd/full"), check=False)  # it has a file that is no object
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": {"control-plane": "kserve"}}})
    cluster.apply(_settings())
    env = {"KUBECONFIG": str(cluster.kubeconfig), "TMPDIR": str(folder), "POD_NAMESPACE": NAMESPACE}
    cluster.start("kserve", f"-webhook-port={PORT}", "-metrics-addr=0", "-health-probe-addr=0", env=env)
    cluster.apply(*_webhooks(f"https://{cluster.ip}:{PORT}", authority))
    probe: Object = {"apiVersion": f"{API}/v1beta1", "kind": "InferenceService", "metadata": {"name": "probe", "namespace": "default"}}
    probe["spec"] = {"predictor": {"containers": [{"name": "kserve-container", "image": "probe"}]}}
    wait(
        "KServe's webhooks",
        lambda: bool(cluster.kubectl("create", "--dry-run=server", "-f", "-", "-o", "name", stdin=json.dumps(probe), check=False)),
        90,
    )


def _certificate(folder: Path, address: str) -> str:
    made = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=kserve")
    if not (folder / "tls.crt").exists():
        more = ("-keyout", "tls.key", "-out", "tls.crt", "-addext", f"subjectAltName=IP:{address}")
        subprocess.run([*made, *more], cwd=folder, check=True, capture_output=True)
    return base64.b64encode((folder / "tls.crt").read_bytes()).decode()


def _settings() -> Object:
    """Standard mode. Nothing routes to the InferenceServices but what `panal serve` makes."""
    config: Object = yaml.safe_load((sources() / "config/configmap/inferenceservice.yaml").read_text())
    config["metadata"]["namespace"] = NAMESPACE
    data = config["data"]
    data.pop("_example", None)
    data["deploy"] = json.dumps({"defaultDeploymentMode": "RawDeployment"})
    data["ingress"] = json.dumps(json.loads(data["ingress"]) | {"disableIstioVirtualHost": True, "disableIngressCreation": True})
    data["storageInitializer"] = json.dumps(json.loads(data["storageInitializer"]) | {"image": READER})
    return config


def _webhooks(url: str, authority: str) -> tuple[Object, ...]:
    services = {"apiGroups": [API], "apiVersions": ["v1beta1"], "operations": ["CREATE", "UPDATE"], "resources": ["inferenceservices"]}
    pods = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}

    def hook(name: str, path: str, rule: Object, **more: Any) -> Object:
        client = {"url": f"{url}{path}", "caBundle": authority}
        usual = {"admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Fail"}
        return {"name": name, "clientConfig": client, "rules": [rule], **usual, **more}

    on_pods = hook(
        "inferenceservice.kserve-webhook-server.pod-mutator",
        "/mutate-pods",
        pods,
        reinvocationPolicy="IfNeeded",
        namespaceSelector={"matchExpressions": [{"key": "control-plane", "operator": "DoesNotExist"}]},
        objectSelector={"matchExpressions": [{"key": f"{API}/inferenceservice", "operator": "Exists"}]},
    )
    changes = [hook(f"mutate.inferenceservice.{API}", "/mutate-serving-kserve-io-v1beta1-inferenceservice", services), on_pods]
    checks = [hook(f"validate.inferenceservice.{API}", "/validate-serving-kserve-io-v1beta1-inferenceservice", services)]
    group = "admissionregistration.k8s.io/v1"
    name = {"metadata": {"name": f"inferenceservice.{API}"}}
    return (
        {"apiVersion": group, "kind": "MutatingWebhookConfiguration", **name, "webhooks": changes},
        {"apiVersion": group, "kind": "ValidatingWebhookConfiguration", **name, "webhooks": checks},
    )
