"""An OpenID Connect provider in memory that signs everybody in at once, as the user whose `tokens` it has.

It has what oauth2-proxy asks for: discovery, the authorization code with PKCE, a signed ID token, and its keys.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

CLIENT, SECRET = "panal-dashboard", "secret-of-the-proxy"


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


class Provider:
    """`access_token`: what the user gets. `id_tokens`: all that were issued."""

    def __init__(self) -> None:
        self.url = ""
        self.access_token = ""
        self.id_tokens: list[str] = []
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._codes: dict[str, dict[str, str]] = {}

    async def discovery(self, _: web.Request) -> web.Response:
        ends = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        found: dict[str, Any] = {name: f"{self.url}/{path}" for name, path in ends.items()}
        more = {"response_types_supported": ["code"], "subject_types_supported": ["public"], "code_challenge_methods_supported": ["S256"]}
        return web.json_response({"issuer": self.url, "id_token_signing_alg_values_supported": ["RS256"], **found, **more})

    async def keys(self, _: web.Request) -> web.Response:
        numbers = self._key.public_key().public_numbers()
        found = {
            name: encoded(value.to_bytes((value.bit_length() + 7) // 8, "big")) for name, value in (("n", numbers.n), ("e", numbers.e))
        }
        return web.json_response({"keys": [{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1", **found}]})

    async def authorize(self, request: web.Request) -> web.Response:
        assert (request.query["response_type"], request.query["client_id"]) == ("code", CLIENT)
        code = secrets.token_urlsafe(16)
        self._codes[code] = dict(request.query)
        back = urlencode({"code": code, "state": request.query["state"]})
        return web.Response(status=302, headers={"Location": f"{request.query['redirect_uri']}?{back}"})

    async def token(self, request: web.Request) -> web.Response:
        form = await request.post()
        basic = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        assert request.headers.get("Authorization") == f"Basic {basic}" or form.get("client_secret") == SECRET
        asked = self._codes.pop(str(form["code"]))
        assert encoded(hashlib.sha256(str(form["code_verifier"]).encode()).digest()) == asked["code_challenge"]
        now = int(time.time())
        who = {"sub": "ann", "email": "ann@example.com", "email_verified": True, "preferred_username": "ann"}
        claims = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 3600, "nonce": asked.get("nonce", ""), **who}
        self.id_tokens.append(self._signed(claims))
        found = {"access_token": self.access_token, "token_type": "Bearer", "expires_in": 3600, "id_token": self.id_tokens[-1]}
        return web.json_response(found)

    def _signed(self, claims: dict[str, Any]) -> str:
        head = {"alg": "RS256", "typ": "JWT", "kid": "1"}
        text = ".".join(encoded(json.dumps(part).encode()) for part in (head, claims))
        return f"{text}.{encoded(self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


@asynccontextmanager
async def provided() -> AsyncIterator[Provider]:
    provider, app = Provider(), web.Application()
    app.add_routes(
        [
            web.get("/.well-known/openid-configuration", provider.discovery),
            web.get("/keys", provider.keys),
            web.get("/authorize", provider.authorize),
            web.post("/token", provider.token),
        ]
    )
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield provider
    finally:
        await runner.cleanup()
