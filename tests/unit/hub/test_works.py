"""ManifestWorks as the watch cache stores them."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from panal.addon import manifests as addon
from panal.hub.difference import needs_apply, stamped
from panal.hub.works import VIEW, trim, view, whole
from panal.lifecycle.decide import decide
from worlds import NOW, applied, fresh, job, pod, progress, service


def work(generation: int = 1, manifests: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    conditions = [{"type": "Applied", "status": "True", "observedGeneration": generation}]
    return {
        "metadata": {"name": "w", "namespace": "c1", "uid": "u", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "status": {"conditions": conditions, "resourceStatus": {"manifests": manifests or []}},
    }


def pod_manifest(available: str) -> dict[str, Any]:
    values = [
        {"name": "phase", "fieldValue": {"type": "String", "string": "Running"}},
        {"name": "restarts", "fieldValue": {"type": "Integer", "integer": 2}},
        {"name": "ready", "fieldValue": {"type": "Boolean", "boolean": True}},
    ]
    return {
        "resourceMeta": {"kind": "Pod"},
        "conditions": [{"type": "Available", "status": available}],
        "statusFeedback": {"values": values},
    }


def test_feedback_has_values_of_every_type() -> None:
    assert view(work(manifests=[pod_manifest("True")])).feedback == {"phase": "Running", "restarts": 2, "ready": True}


def test_feedback_of_a_deleted_pod_is_ignored() -> None:
    found = view(work(manifests=[pod_manifest("False")]))
    assert (found.pod_exists, found.feedback) == (False, {})


def test_a_condition_of_an_earlier_generation_is_ignored() -> None:
    assert view(work(generation=0)).applied is None
    assert view(work()).applied is True


def test_the_message_of_an_unapplied_work_is_that_of_the_manifest() -> None:
    failed = {"resourceMeta": {"kind": "StatefulSet"}, "conditions": [{"type": "Applied", "status": "False", "message": "forbidden"}]}
    assert view(work(manifests=[failed])).applied_message == "forbidden"


def stored() -> dict[str, Any]:
    """A work of a run as the API server has it."""
    world = fresh(exposed=(service(),), job=job(pod()), progress=progress(connected=0, started=False))
    found = stamped(applied(decide(world, NOW), "ManifestWork")[0])
    known = {"uid": "u", "resourceVersion": "7", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z", "managedFields": [{"a": 1}]}
    return work() | {key: found[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": found["metadata"] | known}


def test_a_trimmed_work_is_complete_but_for_status_and_managed_fields() -> None:
    full = stored()
    trimmed = trim(deepcopy(full))
    assert not needs_apply({key: full[key] for key in ("apiVersion", "kind", "spec")}, whole(trimmed))
    assert whole(trimmed)["metadata"] == {key: value for key, value in full["metadata"].items() if key != "managedFields"}
    assert trimmed[VIEW] == view(full)
    assert trimmed["metadata"]["labels"] == full["metadata"]["labels"]


def test_a_changed_spec_is_seen_in_a_trimmed_work() -> None:
    full = stored()
    wanted = {key: deepcopy(full[key]) for key in ("apiVersion", "kind", "spec")}
    full["spec"]["workload"]["manifests"].pop()
    assert needs_apply(wanted, whole(trim(full)))


def test_the_conditions_of_the_add_ons_work_are_kept() -> None:
    site = {"metadata": {"name": "fl-collaborator", "namespace": "c1", "uid": "m"}}
    failed = {"type": "Applied", "status": "False", "observedGeneration": 1, "reason": "R", "message": "m", "lastTransitionTime": "t"}
    full = work() | addon.work(site, "PEM") | {"status": {"conditions": [failed]}}
    full["metadata"] |= {"uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z", "generation": 1}
    assert trim(full)["status"]["conditions"] == [{key: value for key, value in failed.items() if key != "lastTransitionTime"}]


TEXTS = st.text(max_size=5)
FEEDBACK = st.fixed_dictionaries(
    {},
    optional={
        "name": TEXTS,
        "fieldValue": st.fixed_dictionaries(
            {"type": st.sampled_from(["String", "Integer", "Boolean", "JsonRaw", "Other"])},
            optional={"string": TEXTS, "integer": st.integers(-(2**63), 2**63 - 1), "boolean": st.booleans(), "jsonRaw": TEXTS},
        ),
    },
)


@settings(derandomize=True, max_examples=50, database=None)
@given(st.lists(FEEDBACK, max_size=3))
def test_no_feedback_of_an_agent_ends_the_watch(values: list[dict[str, Any]]) -> None:
    """An exception in `trim` would end the controller."""
    found = view(work(manifests=[pod_manifest("True") | {"statusFeedback": {"values": values}}])).feedback
    assert all(isinstance(value, str | int | bool) for value in found.values())
