"""What every namespace has: the ServiceAccount `default`, and the ConfigMap with the certificate that Pods check the API server by."""

from __future__ import annotations

from collections.abc import Iterator

from panal.kube.objects import Object
from panal_local.controllers.objects import deleting

ROOT_CA = "kube-root-ca.crt"


def decide(namespace: Object, certificate: str) -> Iterator[Object]:
    """The objects that it has to have; `certificate` is PEM text."""
    if deleting(namespace):
        return
    name = namespace["metadata"]["name"]
    yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}}
    yield {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": ROOT_CA, "namespace": name}, "data": {"ca.crt": certificate}}
