"""The default objects of each namespace: the ServiceAccount `default`, and the ConfigMap with the API server's CA certificate."""

from __future__ import annotations

from collections.abc import Iterator

from panal.kube.objects import Object
from panal_local.controllers.objects import deleting

ROOT_CA = "kube-root-ca.crt"


def decide(namespace: Object, certificate: str) -> Iterator[Object]:
    """The objects that the namespace must have. `certificate` is the CA certificate in PEM."""
    if deleting(namespace):
        return
    name = namespace["metadata"]["name"]
    yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}}
    yield {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": ROOT_CA, "namespace": name}, "data": {"ca.crt": certificate}}
