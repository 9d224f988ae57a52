"""Keeps the files of the aggregator's gateway up to date: participants, authorities and certificate. Part of the reporter.

The private key is created here, in an in-memory volume that only the gateway and the reporter mount, and never leaves the Pod: the hub gets
a certificate request. The hub's data comes from the ConfigMap `<run>-gateway`. Envoy watches the folder, so every file is replaced
atomically, and the listener is written last, after the files that it refers to.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from panal.api import names
from panal.api.names import ClusterName
from panal.gateway import aggregator as gateway
from panal.gateway.traffic import Traffic, as_text
from panal.kube.cache import Cache, Watched
from panal.kube.client import Client
from panal.kube.kinds import CONFIG_MAP, Kind
from panal.kube.objects import Object
from panal.pod.tools.files import PARTICIPANTS, replace

log = logging.getLogger("panal.reporter")

# Seconds between two reads of the statistics: COUNT, or SHARE times the duration of a read if that is more. At the end of a round they are
# read as well, unless a read takes longer than CHEAP.
COUNT, SHARE, CHEAP = 2.0, 20, 0.5
STATS = f"http://gateway{gateway.STATS_PATH}"
GROUP_READS = 0o640  # the files contain the Pod's secret, and the gateway may run as another user
ANSWER = aiohttp.ClientTimeout(total=2)


class Gateway(Protocol):
    """What the other parts of the reporter ask of the aggregator's gateway."""

    def report(self) -> Mapping[str, str]:
        """Further data for the ConfigMap `<run>-progress`: certificate request and traffic."""
        ...

    def bytes_by_cluster(self) -> Mapping[str, tuple[int, int]]:
        """Bytes received and sent."""
        ...

    async def measure(self) -> None:
        """Brings them up to date."""
        ...


class Gatekeeper:
    """`request` is the certificate request (PEM). The key in `folder` survives a restart of the container."""

    def __init__(self, folder: Path, rules: gateway.Rules, run_dir: Path) -> None:
        self._folder = folder
        self._run_dir = run_dir
        self.rules = rules
        self._key = _key(folder / "tls.key")
        self.request = _request(self._key)
        self._counters: dict[ClusterName, Traffic] = {}
        self._took = 0.0
        self._read_at = -math.inf

    @classmethod
    def of(cls, env: Mapping[str, str]) -> Gatekeeper:
        rules = gateway.Rules(
            run_id=env["PANAL_RUN_ID"],
            paths=tuple(env["PANAL_GATEWAY_PATHS"].split()),
            methods=tuple(env["PANAL_GATEWAY_METHODS"].split()),
            largest_request=int(env["PANAL_GATEWAY_LARGEST_REQUEST"]) if env["PANAL_GATEWAY_LARGEST_REQUEST"] else None,
            listen=env["POD_IP"],
            secret=(Path(env.get("PANAL_POD_DIR", names.POD_DIR)) / names.POD_SECRET).read_text().strip(),
        )
        return cls(Path(env.get("PANAL_GATEWAY_DIR", names.GATEWAY_DIR)), rules, Path(env.get("PANAL_RUN_DIR", names.RUN_DIR)))

    def report(self) -> dict[str, str]:
        """Data for the ConfigMap `<run>-progress`: the certificate request, and the traffic of each cluster."""
        return {names.KEY_REQUEST: self.request} | ({names.KEY_TRAFFIC: as_text(self._counters)} if self._counters else {})

    def bytes_by_cluster(self) -> dict[str, tuple[int, int]]:
        """Bytes received from and sent to each cluster since the gateway started, as far as they have been read."""
        return {cluster: (each.bytes_received, each.bytes_sent) for cluster, each in self._counters.items()}

    async def measure(self) -> None:
        """Reads the gateway's statistics, unless they are so many that it is too early to read them again."""
        began = time.monotonic()
        if self._took > CHEAP and began - self._read_at < SHARE * self._took:
            return
        self._read_at = began
        try:
            self._counters = await self.traffic()
        except (OSError, aiohttp.ClientError, TimeoutError) as error:
            log.info("the gateway's statistics are not available: %r", error)
        self._took = time.monotonic() - began

    async def run(self, client: Client, namespace: str, run: str) -> None:
        """Watches the ConfigMap `<run>-gateway` and reads the gateway's statistics until cancelled."""
        name = names.gateway(run)
        cache = Cache(client, [Watched(CONFIG_MAP, field_selector=f"metadata.name={name}", namespace=namespace)])
        cache.subscribe(self._on_change)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(cache.run())
            tasks.create_task(self._count())

    def _on_change(self, _kind: Kind, _old: Object | None, new: Object | None) -> None:
        if new is not None:
            self.update(new.get("data") or {})

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(max(COUNT, SHARE * self._took))
            await self.measure()

    def update(self, data: Mapping[str, str]) -> None:
        """Writes the gateway's files from the ConfigMap's `data`. Missing values, and a certificate for another key, are ignored. The
        gateway admits no cluster until certificate, authorities and revocation list exist."""
        if _is_for(certificate := data.get(names.KEY_CERTIFICATE, ""), self._key):
            self._write("tls.crt", certificate)
        for name, file in ((names.KEY_TRUST, "ca.crt"), (names.KEY_CRL, "crl.pem")):
            if data.get(name):
                self._write(file, data[name])
        if not all((self._folder / file).exists() for file in ("tls.crt", "ca.crt", "crl.pem")):
            return
        participants = _participants(data)
        self._write(PARTICIPANTS, json.dumps({"clusters": sorted(participants)}), self._run_dir)
        files = gateway.files(participants, self.rules)
        for name in sorted(files, key=lambda n: n == "lds.json"):
            self._write(name, json.dumps(files[name]))

    async def traffic(self) -> dict[ClusterName, Traffic]:
        """The traffic of each cluster since the gateway started. Raises OSError or aiohttp.ClientError if it does not answer."""
        # The path of a Unix socket is limited to 107 characters.
        folder = os.open(self._folder, os.O_PATH)
        try:
            socket = aiohttp.UnixConnector(f"/proc/self/fd/{folder}/admin.sock")
            async with aiohttp.ClientSession(connector=socket, timeout=ANSWER) as session, session.get(STATS) as answer:
                return gateway.parse_stats(await answer.text())
        finally:
            os.close(folder)

    def _write(self, name: str, text: str, folder: Path | None = None) -> None:
        file = (folder or self._folder) / name
        if file.exists() and file.read_text() == text:
            return
        replace(file, text, mode=GROUP_READS)
        log.info("gateway: %s is new", name)


def _participants(data: Mapping[str, str]) -> list[ClusterName]:
    return [ClusterName(name) for name in json.loads(data.get(names.KEY_PARTICIPANTS, "[]"))]


def _key(file: Path) -> ec.EllipticCurvePrivateKey:
    """Reads the private key in `file`; creates it if it does not exist."""
    if file.exists():
        found = serialization.load_pem_private_key(file.read_bytes(), None)
        assert isinstance(found, ec.EllipticCurvePrivateKey)
        return found
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    replace(file, pem, mode=0o600)
    return key


def _request(key: ec.EllipticCurvePrivateKey) -> str:
    """A certificate request (PEM) without a subject: the hub sets the certificate's name."""
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def _is_for(certificate: str, key: ec.EllipticCurvePrivateKey) -> bool:
    try:
        return x509.load_pem_x509_certificate(certificate.encode()).public_key() == key.public_key()
    except ValueError:
        return False
