"""Renders the templates in `templates/`.

Every text is escaped for HTML, and characters that do not print are replaced (`panal.api.text`). A name that does not exist is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from panal.api import figures
from panal.api.text import block
from panal.kube.times import now_utc


def _when(time: datetime | None, precise: bool = False) -> Markup | str:
    """A time as `3 min ago`, with the whole time for the mouse and for programs."""
    if time is None:
        return ""
    text = f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    if precise:
        shown = text
    elif time > (now := now_utc()):
        shown = f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC, in {figures.ahead(time, now)}"
    else:
        ago = figures.age(time, now_utc())
        shown = ago if ago == "now" else f"{ago} ago"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(time.isoformat(), text, shown)


def _until(time: datetime | None) -> Markup | str:
    """An end such as `ends in 22 h (2026-03-01 12:00 UTC)`, or `has ended 3 h ago (…)`."""
    if time is None:
        return ""
    now, text = now_utc(), f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    said = f"ends in {figures.ahead(time, now)}" if time > now else f"ended {figures.age(time, now)} ago".replace("now ago", "now")
    return Markup('<time datetime="{}">{} <span class="quiet">({})</span></time>').format(time.isoformat(), said, text)


def _part(text: str) -> str:
    """As a part of a path."""
    return quote(text, safe="")


def _printable(value: Any) -> Any:
    return block(value) if type(value) is str else value  # Markup is a str as well, and was made here


_ENVIRONMENT = Environment(
    loader=PackageLoader("panal.dashboard"),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=_printable,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {
    "about": figures.about,
    "amount": figures.amount,
    "duration": figures.duration,
    "listed": figures.listed,
    "named": figures.named,
    "number": figures.number,
    "part": _part,
    "ranges": figures.ranges,
    "signed": figures.signed,
    "until": _until,
    "when": _when,
}


def render(name: str, facts: Mapping[str, Any]) -> Markup:
    return Markup(_ENVIRONMENT.get_template(name).render(facts))  # autoescaped
