"""Where the model is stored, and what the hub needs for it."""

from __future__ import annotations

from typing import Any

import pytest

from panal.lifecycle.storage import storage
from worlds import fresh, run

CASES: list[tuple[str, dict[str, Any], str, str, str]] = [
    ("nothing is set", {}, f"{run().name}-model", "", "1Gi"),
    ("a name", {"name": "models"}, "models", "", "1Gi"),
    ("a folder", {"name": "models", "path": "/a/b/"}, "models", "a/b", "1Gi"),
    ("a size", {"size": "2Gi"}, f"{run().name}-model", "", "2Gi"),
]


@pytest.mark.parametrize(("spec", "claim", "folder", "size"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_claim_holds_the_model(spec: dict[str, Any], claim: str, folder: str, size: str) -> None:
    world = fresh(run=run(server={"storage": spec}))
    kind = storage(world.run)
    (made,) = kind.objects(world)
    assert (made["kind"], made["metadata"]["name"]) == ("PersistentVolumeClaim", claim)
    assert made["spec"]["resources"]["requests"]["storage"] == size
    assert "ownerReferences" not in made["metadata"]
    assert kind.volume(world.run) == {"persistentVolumeClaim": {"claimName": claim}}
    assert (kind.uri(world.run), kind.folder(world.run)) == (f"pvc://{claim}", folder)


def test_an_existing_claim_is_not_applied() -> None:
    world = fresh(volume_claims=frozenset({f"{run().name}-model"}))
    assert storage(world.run).objects(world) == []
