"""What gateways need to ask the site controller, in the namespace of collaborators: address and authorities in a ConfigMap, a token in a
Secret, and a NetworkPolicy. What is deleted or changed there is made again. Keys and certificates are in Secrets of the site controller.

The NetworkPolicy is for every Pod of that namespace: what no policy allows stays closed, also if the hub takes its own policy away.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import secrets
import ssl
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from panal.api import names
from panal.kube import kinds
from panal.kube.client import Client
from panal.kube.errors import KubeError, NotFound
from panal.kube.kinds import Kind, kind_of
from panal.kube.objects import Object, key_of
from panal.kube.serving import load_pem
from panal.site.certificates import Certificates, from_data, renewed, to_data

log = logging.getLogger(__name__)

KEY_SECRET = f"{names.SITE_CONTROLLER}-key"  # signs the ledger
ACCESS_SECRET = f"{names.SITE_CONTROLLER}-access"  # authorities, certificate and token
TOKEN, PUBLIC_KEY = "token", "key.pub"
LOOK_AGAIN = 10.0  # seconds
LABELS = {**names.MANAGED_BY, "app.kubernetes.io/name": names.SITE_CONTROLLER}


class Access:
    """`problem`: what is missing, or empty."""

    def __init__(self, client: Client, namespace: str, public_key: str, tls: ssl.SSLContext, now: Callable[[], datetime]) -> None:
        self.token = ""
        self.problem = "what gateways need has not been written yet"
        self.ready = asyncio.Event()  # there is a certificate
        self._client = client
        self._namespace = namespace
        self._public_key = public_key
        self._tls = tls
        self._now = now
        self._used = Certificates()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._look()
                problem = ""
            except NotFound as error:
                problem = f"the namespace {names.COLLABORATOR_NAMESPACE} is not there yet, or a Service is missing: {error}"
            except KubeError as error:
                problem = f"what gateways need could not be written: {error}"
            if problem != self.problem:
                log.log(logging.WARNING if problem else logging.INFO, "%s", problem or "gateways have what they need")
            self.problem = problem
            await asyncio.sleep(LOOK_AGAIN)

    async def _look(self) -> None:
        certificates = await self._own()
        await self._put(_config_map(self._namespace, {PUBLIC_KEY: self._public_key}))
        service = await self._client.get(kinds.SERVICE, self._namespace, names.SITE_CONTROLLER)
        ip = service["spec"]["clusterIP"]
        address = f"[{ip}]:{names.SITE_PORT}" if ":" in ip else f"{ip}:{names.SITE_PORT}"
        there = names.COLLABORATOR_NAMESPACE
        await self._put(network_policy(self._namespace))
        await self._put(_secret(there, names.SITE_CONTROLLER, {TOKEN: self.token}))
        await self._put(_config_map(there, {"address": address, "ca.crt": certificates.bundle, PUBLIC_KEY: self._public_key}))

    async def _own(self) -> Certificates:
        try:
            stored: Object | None = await self._client.get(kinds.SECRET, self._namespace, ACCESS_SECRET)
        except NotFound:
            stored = None
        data = _decoded(stored) if stored else {}
        found = from_data(data)
        certificates = renewed(found, self._now())
        token = data.get(TOKEN) or secrets.token_urlsafe(32)
        if certificates is not found or token != data.get(TOKEN):
            wanted = _secret(self._namespace, ACCESS_SECRET, {**to_data(certificates), TOKEN: token})
            if stored is None:
                await self._client.create(wanted)
            else:
                wanted["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"]
                await self._client.replace(wanted)
        self.token = token
        if certificates != self._used:
            load_pem(self._tls, certificates.chain)
            self._used = certificates
            self.ready.set()
        return certificates

    async def _put(self, wanted: Object) -> None:
        """Writes only what is different."""
        kind = kind_of(wanted)
        try:
            found = await self._client.get(kind, *key_of(wanted))
        except NotFound:
            await self._client.create(wanted)
            return
        if not _same(kind, found, wanted):
            wanted = {**wanted, "metadata": {**wanted["metadata"], "resourceVersion": found["metadata"]["resourceVersion"]}}
            await self._client.replace(wanted)
            log.warning("%s %s in %s was made again: it was changed", wanted["kind"], *reversed(key_of(wanted)))


def _same(kind: Kind, found: Object, wanted: Object) -> bool:
    content = "spec" if kind == kinds.NETWORK_POLICY else "data"
    return bool(found.get(content) == wanted[content]) and not found.get("binaryData")


def network_policy(namespace: str) -> Object:
    """Every Pod of the namespace of collaborators is closed, and may reach the site controller in `namespace`."""
    to = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": names.SITE_CONTROLLER, "namespace": names.COLLABORATOR_NAMESPACE, "labels": LABELS},
        "spec": {
            "podSelector": {},
            "policyTypes": ["Ingress", "Egress"],
            "egress": [{"to": [to], "ports": [{"protocol": "TCP", "port": names.SITE_PORT}]}],
        },
    }


def _config_map(namespace: str, data: Mapping[str, str]) -> Object:
    metadata = {"name": names.SITE_CONTROLLER, "namespace": namespace, "labels": LABELS}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(data)}


def _secret(namespace: str, name: str, data: Mapping[str, str]) -> dict[str, Any]:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    metadata = {"name": name, "namespace": namespace, "labels": LABELS}
    return {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "data": encoded}


def _decoded(secret: Object) -> dict[str, str]:
    return {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}
