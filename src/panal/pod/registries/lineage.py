"""Where a model comes from, and how good it is, as registries keep it beside a version. The names are the same in each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any

from panal.api.text import shown

LONGEST = 4900  # characters of a value: MLflow takes 5000
IDENTITY = ("panal.uid", "panal.model.digest")  # what tells the model of a run from every other


def lineage(run: Mapping[str, str], about: Mapping[str, str], metadata: Mapping[str, Any]) -> dict[str, str]:
    """The values by name: which run made the model, of which clusters' replies, with which app and images, and how good it is."""
    clusters = {name: len(rounds) for name, rounds in _mapping(metadata.get("clusters")).items()}
    app = _mapping(metadata.get("app"))
    found = {
        **run,
        **about,
        "clusters": json.dumps(clusters) if clusters else "",
        "metrics": json.dumps(_mapping(metadata.get("metrics"))) if metadata.get("metrics") else "",
        "app.hash": str(app.get("fab_hash") or ""),
        "app.version": str(app.get("fab_version") or ""),
        "strategy": str(metadata.get("strategy") or ""),
        "versions": json.dumps(_mapping(metadata.get("versions"))),
    }
    return {f"panal.{name}": shown(value, LONGEST) for name, value in found.items() if value}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def metrics(metadata: Mapping[str, Any]) -> dict[str, float]:
    """Of the model. Those that are not finite, which are text in the metadata, are left out."""
    found = _mapping(metadata.get("metrics"))
    return {str(name): value for name, value in found.items() if isinstance(value, int | float) and isfinite(value)}


def round_of(metadata: Mapping[str, Any]) -> int:
    return int(_mapping(metadata.get("model")).get("round") or 0)
