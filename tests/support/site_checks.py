"""The site controller's server with everything behind it, but for the API server: what gateways ask, over real HTTPS."""

from __future__ import annotations

import io
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import site_pods
from panal.evidence.ledger import checked
from panal.kube import kinds
from panal.kube.cache import Cache, Watched
from panal.kube.serving import load_pem
from panal.site.certificates import SERVER_NAME, Certificates, renewed
from panal.site.entries import Kind
from panal.site.in_force import request_of
from panal.site.request import Asked
from panal.site_controller.book import Book, lines
from panal.site_controller.checks import BY_UID, CODE, POD_UID, Checks, by_uid, context, serving
from panal.site_controller.gate import Gate
from panal.site_controller.traffic import Traffic, about_pod
from processes import free_port

KEY, TOKEN, UID, POD = Ed25519PrivateKey.generate(), "secret", "pod-1", "study-0"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class NoClient:
    """Nothing is asked of an API server here."""


class World:
    """`run`: fields of the run's spec."""

    def __init__(self, folder: Path, spec: dict[str, Any], framework: str = "flower", **run: Any) -> None:
        self.folder, self.port = folder, free_port()
        self.time = 0.0
        watched = (Watched(kinds.SITE_POLICY), Watched(kinds.POD, indexes={BY_UID: by_uid}))
        self.cache = Cache(NoClient(), watched)  # type: ignore[arg-type]
        self.pod = site_pods.pod(data=None, gated=False, framework=framework, **run)
        self.pod["metadata"] |= {"name": POD, "uid": UID, "resourceVersion": "1"}
        self._put(kinds.POD, self.pod)
        self.put_policy(spec)
        self.certificates = renewed(Certificates(), datetime.now(UTC))
        self.again: list[str] = []

    def _put(self, kind: kinds.Kind, obj: dict[str, Any]) -> None:
        self.cache._feeds[kind].store.put(obj)

    def put_policy(self, spec: dict[str, Any]) -> None:
        version = str(self.cache.changes(kinds.SITE_POLICY) + 1)
        self._put(kinds.SITE_POLICY, {**spec, "metadata": {**spec["metadata"], "resourceVersion": version, "generation": 1}})

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The server, until the block ends as if the process were killed."""
        self.book = Book(self.folder, KEY, lambda: NOW, "1")
        await self.book.open()
        self.gate = Gate(NoClient(), self.cache, self.book, lambda: NOW)  # type: ignore[arg-type]
        self.traffic = self.gate.traffic = Traffic(self.book, self.folder, self.again.append, lambda: self.time)
        asked = request_of(self.pod)
        assert isinstance(asked, Asked)
        if not self.book.accounts.pods:
            await self.gate._note_policy()
            await self.book.write(Kind.ASKED, **{**asked.record(), **about_pod(asked)})
            await self.book.write(Kind.DECIDED, **about_pod(asked), verdict="Allowed", text="", policy=1)
        tls = context()
        load_pem(tls, self.certificates.chain)
        checks = Checks(self.cache, self.gate, lambda: TOKEN, lambda: True)
        try:
            async with serving(checks, self.port, tls, "127.0.0.1"):
                yield
        finally:
            self.book.close()

    async def ask(self, path: str, body: bytes = b"", *, token: str = TOKEN, uid: str = UID) -> tuple[int, str]:
        trust = ssl.create_default_context(cadata=self.certificates.bundle)
        headers = {"authorization": f"Bearer {token}", POD_UID: uid}
        url = f"https://127.0.0.1:{self.port}/v1/check{path}"
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=io.BytesIO(body), headers=headers, ssl=trust, server_hostname=SERVER_NAME) as answer,
        ):
            assert (await answer.text() != "") == (answer.status == 503), await answer.text()
            return answer.status, answer.headers.get(CODE, "")

    def entries(self, *wanted: str) -> list[dict[str, Any]]:
        found = checked(lines(self.folder), KEY.public_key())
        return [each for each in found if each["kind"] in wanted]
