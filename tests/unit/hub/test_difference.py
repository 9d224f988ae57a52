"""Which objects must be applied."""

from __future__ import annotations

from typing import Any

import pytest

from panal.hub.difference import needs_apply, stamped

DESIRED: dict[str, Any] = {
    "kind": "Service",
    "metadata": {"name": "s", "labels": {"a": "1"}},
    "spec": {"ports": [{"port": 1}], "type": "NodePort"},
}


def live(**spec: Any) -> dict[str, Any]:
    """DESIRED as the API server returns it, with defaults."""
    wanted = stamped(DESIRED)
    metadata = wanted["metadata"] | {"uid": "u", "labels": {"a": "1", "b": "2"}}
    return {
        **wanted,
        "metadata": metadata,
        "spec": {"ports": [{"port": 1, "nodePort": 30001}], "type": "NodePort", "clusterIP": "x"} | spec,
    }


def test_an_up_to_date_object_is_not_applied() -> None:
    assert not needs_apply(stamped(DESIRED), live())


@pytest.mark.parametrize("spec", [{"type": "ClusterIP"}, {"ports": []}, {"ports": [{"port": 2}]}, {"ports": [{"port": 1}, {"port": 2}]}])
def test_a_changed_object_is_applied_again(spec: dict[str, Any]) -> None:
    assert needs_apply(stamped(DESIRED), live(**spec))


def test_a_field_that_is_no_longer_desired_is_noticed() -> None:
    less = {**DESIRED, "spec": {"ports": [{"port": 1}]}}
    assert needs_apply(stamped(less), live())


def test_a_missing_object_is_applied() -> None:
    assert needs_apply(stamped(DESIRED), None)
