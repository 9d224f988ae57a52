from __future__ import annotations

from typing import Any

import pytest

from panal_local.controllers.dependents import Plan, decide, is_waiting

OWNER = {"metadata": {"name": "o", "uid": "o", "deletionTimestamp": "now", "finalizers": ["orphan", "mine"]}}
REFERENCE = {"uid": "o", "name": "o"}
OTHER = {"uid": "x", "name": "x"}


def owner(*finalizers: str) -> dict[str, Any]:
    return {"metadata": OWNER["metadata"] | {"finalizers": list(finalizers)}}


def dependent(*references: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": "d", "uid": "d", "ownerReferences": list(references)} | more}


BLOCKING = dependent(REFERENCE | {"blockOwnerDeletion": True})
GOING = dependent(REFERENCE | {"blockOwnerDeletion": True}, deletionTimestamp="now")
SHARED = dependent(REFERENCE, OTHER)


@pytest.mark.parametrize(
    ("finalizers", "dependents", "plan"),
    [
        (["orphan", "mine"], [SHARED], Plan(release=[(SHARED, [OTHER])], finalizers=["mine"])),
        (["orphan"], [], Plan(finalizers=[])),
        (["foregroundDeletion"], [BLOCKING], Plan(delete=[BLOCKING], finalizers=None)),
        (["foregroundDeletion"], [GOING], Plan(delete=[], finalizers=None)),
        (["foregroundDeletion"], [dependent(REFERENCE)], Plan(delete=[dependent(REFERENCE)], finalizers=[])),
        (["foregroundDeletion", "mine"], [SHARED], Plan(delete=[], finalizers=["mine"])),
        (["foregroundDeletion"], [], Plan(finalizers=[])),
    ],
)
def test_dependents(finalizers: list[str], dependents: list[Any], plan: Plan) -> None:
    assert decide(owner(*finalizers), dependents) == plan


def test_only_deleted_objects_wait() -> None:
    assert is_waiting(owner("orphan"))
    assert is_waiting(owner("foregroundDeletion"))
    assert not is_waiting(owner("mine"))
    assert not is_waiting({"metadata": {"finalizers": ["orphan"]}})
