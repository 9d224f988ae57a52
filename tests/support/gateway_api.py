"""The Gateway API on a hub, as Contour implements it: CRDs, and one Gateway that passes TLS through."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cluster import PROJECT, Cluster
from panal.kube.objects import Object

CRDS = ("route.openshift.io_routes", *(f"gateway.networking.k8s.io_{kind}" for kind in ("gatewayclasses", "gateways", "tlsroutes")))
CONTOUR = "projectcontour.io/gateway-controller"
NAME = "fl"  # of the Gateway, and the Service of its Envoy
ENVOY = "envoy"


def crd_files() -> list[Path]:
    folder = Path(os.environ.get("PANAL_NETWORK_CRDS") or PROJECT.parent / "shared/testenv/crds")
    found = [folder / f"{name}.yaml" for name in CRDS]
    if missing := [str(path) for path in found if not path.exists()]:
        pytest.skip(f"no {', '.join(missing)}: set PANAL_NETWORK_CRDS to the folder of these CRDs (docs/design/testing.md)")
    return found


def demanded(group: str, kind: str, plural: str, version: str) -> Object:
    """The CRD of a kind that Contour demands and no test uses."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    annotations = {"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}", "annotations": annotations},
        "spec": {
            "group": group,
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
            "scope": "Namespaced",
            "versions": [{"name": version, "served": True, "storage": True, "schema": schema}],
        },
    }


DEMANDED = (
    demanded("gateway.networking.k8s.io", "HTTPRoute", "httproutes", "v1"),
    demanded("gateway.networking.k8s.io", "ReferenceGrant", "referencegrants", "v1beta1"),
    demanded("projectcontour.io", "HTTPProxy", "httpproxies", "v1"),
    demanded("projectcontour.io", "TLSCertificateDelegation", "tlscertificatedelegations", "v1"),
)


def gateway(namespace: str, port: int) -> tuple[Object, ...]:
    """The Gateway, its class, and the Service from whose status Contour takes its address."""
    listener = {
        "name": "fl",
        "protocol": "TLS",
        "port": port,
        "hostname": "*.fl.example",
        "tls": {"mode": "Passthrough"},
        "allowedRoutes": {"namespaces": {"from": "All"}},
    }
    group = "gateway.networking.k8s.io/v1"
    spec = {"gatewayClassName": "contour", "listeners": [listener]}
    return (
        {"apiVersion": group, "kind": "GatewayClass", "metadata": {"name": "contour"}, "spec": {"controllerName": CONTOUR}},
        {"apiVersion": group, "kind": "Gateway", "metadata": {"name": NAME, "namespace": namespace}, "spec": spec},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": ENVOY, "namespace": namespace},
            "spec": {"type": "LoadBalancer", "ports": [{"port": port, "targetPort": port}]},
        },
    )


def http_gateway(namespace: str, port: int) -> tuple[Object, ...]:
    """The same, for plain HTTP of any host name."""
    of_class, found, service = gateway(namespace, port)
    listener = {"name": "http", "protocol": "HTTP", "port": port, "allowedRoutes": {"namespaces": {"from": "All"}}}
    return of_class, found | {"spec": found["spec"] | {"listeners": [listener]}}, service


def has_address(cluster: Cluster, namespace: str, address: str) -> None:
    """As a load balancer writes it."""
    patch = json.dumps({"status": {"loadBalancer": {"ingress": [{"ip": address}]}}})
    cluster.kubectl("patch", "service", ENVOY, "-n", namespace, "--type=merge", "--subresource=status", "-p", patch)
