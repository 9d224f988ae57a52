"""The Flower that our guards are written for. With another one nothing is started: what guards a run must not fall away in silence."""

from __future__ import annotations

KNOWN = "1.41."


def unknown() -> str:
    """Why this environment's Flower cannot be guarded; empty if it can."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version("flwr")
    except PackageNotFoundError:
        return "The image holds no Flower for its `python3`. Install flwr 1.41 in the image"
    if not found.startswith(KNOWN):
        return f"The image holds Flower {found}, and panal knows how to guard 1.41 alone. Install flwr 1.41 in the image"
    return ""
