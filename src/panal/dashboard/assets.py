"""The style sheet and the scripts. Ours are in `static/`; htmx and its extension for server-sent events are in the wheel of django-htmx,
of which nothing is imported. Their addresses end in a digest of the content, so that browsers keep them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from aiohttp import web

OWN = ("panal.css", "panal.js", "icon.svg")
OTHERS = {"htmx.js": "htmx-2.min.js", "sse.js": "ext/hx-sse-2.min.js"}
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    content: bytes
    type: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()[:12]


@cache
def assets() -> dict[str, Asset]:
    """By name. Raises ModuleNotFoundError if django-htmx is not installed."""
    spec = find_spec("django_htmx")  # finds the folder, and runs nothing of it
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("django-htmx is not installed", name="django_htmx")
    own, others = Path(__file__).parent / "static", Path(spec.origin).parent / "static/django_htmx"
    files = {name: own / name for name in OWN} | {name: others / file for name, file in OTHERS.items()}
    return {name: Asset(file.read_bytes(), TYPES[file.suffix]) for name, file in files.items()}


def address(name: str) -> str:
    return f"/static/{assets()[name].digest}/{name}"


async def serve(request: web.Request) -> web.Response:
    found = assets().get(request.match_info["name"])
    if found is None or found.digest != request.match_info["digest"]:
        raise web.HTTPNotFound
    return web.Response(body=found.content, content_type=found.type, charset="utf-8", headers={"Cache-Control": FOREVER})
