"""Who looks, and whose rights count.

On a laptop there is one viewer: whoever started the process, with the credentials of the kubeconfig. The user proves this with the token in
the address that the process printed; it is good once and becomes a cookie. On a hub each viewer has a bearer token of the API server: in
`Authorization`, in `X-Forwarded-Access-Token` as OpenShift's OAuth proxy sends it, or pasted into the form for signing in, which keeps it
here and gives a cookie. Tokens are neither logged nor sent back.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

from panal.dashboard.rights import ReviewedRights, Rights
from panal.kube.client import Client

TOKEN = re.compile(r"[!-~]{1,16384}")
SESSION_SECONDS = 8 * 3600.0
IDLE_SECONDS = 900.0  # after which a viewer's client is closed
MOST_SESSIONS, MOST_VIEWERS = 1000, 500


@dataclass(slots=True)
class Viewer:
    """`key` identifies the viewer in this process, and says nothing of the token. `csrf`: what the forms must have."""

    key: str
    client: Client
    rights: Rights
    csrf: str = field(repr=False)
    used: float = field(default_factory=time.monotonic)
    streams: int = 0


class Viewers:
    """How a request shows who looks."""

    cookie = "panal"
    secure = False
    signs_in = False  # whether there is a form for a token

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    async def of(self, request: web.Request) -> Viewer | None:
        """None if the request does not say who looks."""
        raise NotImplementedError

    async def refuse(self, viewer: Viewer) -> None:
        """The API server does not accept the viewer's credentials."""

    def _new(self, key: str, client: Client, rights: Rights) -> Viewer:
        return Viewer(key, client, rights, hmac.new(self._secret, f"csrf {key}".encode(), hashlib.sha256).hexdigest())

    @staticmethod
    def is_csrf(viewer: Viewer, given: str) -> bool:
        return hmac.compare_digest(viewer.csrf.encode(), given.encode(errors="replace"))

    def set_cookie(self, response: web.StreamResponse, value: str) -> None:
        response.set_cookie(self.cookie, value, httponly=True, secure=self.secure, samesite="Strict", path="/")


class OneViewer(Viewers):
    """The viewer of a laptop. `once` is the token in the address."""

    def __init__(self, client: Client, rights: Rights, port: int) -> None:
        super().__init__()
        self.cookie = f"panal-{port}"  # browsers send the cookies of one address to all its ports
        self.once = secrets.token_urlsafe(24)
        self._session = secrets.token_urlsafe(32)
        self._used = False
        self._viewer = self._new("kubeconfig", client, rights)

    async def of(self, request: web.Request) -> Viewer | None:
        given = request.cookies.get(self.cookie, "")
        return self._viewer if hmac.compare_digest(given.encode(errors="replace"), self._session.encode()) else None

    def enter(self, given: str) -> str | None:
        """The cookie for the token of the address, which is good once."""
        if self._used or not hmac.compare_digest(given.encode(errors="replace"), self.once.encode()):
            return None
        self._used = True
        return self._session


@dataclass(slots=True)
class Session:
    token: str = field(repr=False)
    until: float


class ManyViewers(Viewers):
    """The viewers of a hub. `leave` is called with a viewer's key before its client is closed."""

    cookie = "__Host-panal"
    secure = True
    signs_in = True

    def __init__(self, client: Client, leave: Callable[[str], Awaitable[None]]) -> None:
        super().__init__()
        self._client = client
        self._leave = leave
        self._viewers: dict[str, Viewer] = {}
        self._sessions: dict[str, Session] = {}

    async def of(self, request: web.Request) -> Viewer | None:
        token = self._token(request)
        return await self.with_token(token) if token else None

    def _token(self, request: web.Request) -> str:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        found = given.strip() if scheme.lower() == "bearer" else request.headers.get("X-Forwarded-Access-Token", "").strip()
        if not found:
            session = self._sessions.get(request.cookies.get(self.cookie, ""))
            found = session.token if session and session.until > time.monotonic() else ""
        return found if TOKEN.fullmatch(found) else ""

    async def with_token(self, token: str) -> Viewer:
        key = hmac.new(self._secret, token.encode(), hashlib.sha256).hexdigest()
        viewer = self._viewers.get(key)
        if viewer is None:
            await self._sweep()
            client = self._client.with_token(token)
            viewer = self._viewers[key] = self._new(key, client, ReviewedRights(client))
        viewer.used = time.monotonic()
        return viewer

    def enter(self, token: str) -> str:
        """The cookie of a new session."""
        now = time.monotonic()
        for each in [name for name, session in self._sessions.items() if session.until <= now]:
            del self._sessions[each]
        while len(self._sessions) >= MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        name = secrets.token_urlsafe(32)
        self._sessions[name] = Session(token, now + SESSION_SECONDS)
        return name

    def forget(self, request: web.Request) -> None:
        self._sessions.pop(request.cookies.get(self.cookie, ""), None)

    async def _sweep(self) -> None:
        """Closes the clients of viewers who have been away, and if there are too many, of the one who has been away longest."""
        now = time.monotonic()
        idle = sorted((viewer for viewer in self._viewers.values() if not viewer.streams), key=lambda viewer: viewer.used)
        surplus = len(self._viewers) - MOST_VIEWERS + 1
        for number, viewer in enumerate(idle):
            if viewer.used < now - IDLE_SECONDS or (number < surplus and viewer.used < now - 60):
                await self._drop(viewer)
        if len(self._viewers) >= MOST_VIEWERS:
            raise web.HTTPServiceUnavailable(text="too many people look at the dashboard at the moment\n", headers={"Retry-After": "60"})

    async def refuse(self, viewer: Viewer) -> None:
        """Forgets him at once: forged tokens must not take the room of other viewers."""
        if self._viewers.get(viewer.key) is viewer:
            await self._drop(viewer)

    async def _drop(self, viewer: Viewer) -> None:
        self._viewers.pop(viewer.key, None)
        await self._leave(viewer.key)
        await viewer.client.close()

    async def close(self) -> None:
        for viewer in list(self._viewers.values()):
            await self._drop(viewer)
