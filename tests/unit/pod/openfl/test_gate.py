"""Which requests reach OpenFL's service."""

from __future__ import annotations

from pathlib import Path

import pytest

from panal.pod.tools import pod_secret
from panal.pod.tools.openfl.gate import CALLS, FOREIGN, Calls, Gate, caller
from panal.pod.tools.openfl.sites import Sites

SECRET = ("x-panal-pod", "Basic abc")


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gate:
    (tmp_path / "secret").write_text(f"{SECRET[1]}\n")
    monkeypatch.setenv("PANAL_POD_DIR", str(tmp_path))
    pod_secret.secret.cache_clear()
    sites = Sites()
    sites.participants = frozenset({"site1"})
    return Gate(sites)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ([SECRET, ("x-panal-cluster", "site1")], ""),
        ([SECRET, ("x-panal-cluster", "site2")], FOREIGN),
        ([SECRET], "the gateway names no cluster"),
        ([SECRET, ("x-panal-cluster", "site1"), ("x-panal-cluster", "site2")], "the gateway names no cluster"),
        ([("x-panal-cluster", "site1")], "the request does not come from this Pod's gateway"),
        ([SECRET, SECRET, ("x-panal-cluster", "site1")], "the request does not come from this Pod's gateway"),
        ([("x-panal-pod", "Basic ab\u00e9"), ("x-panal-cluster", "site1")], "the request does not come from this Pod's gateway"),
    ],
)
def test_a_request_needs_the_pods_secret_and_a_participant(gate: Gate, metadata: list[tuple[str, str]], expected: str) -> None:
    assert gate.refusal(metadata) == expected


def test_the_caller_is_the_only_cluster_that_the_gateway_names() -> None:
    assert caller([("x-panal-cluster", "site1"), ("other", "x")]) == "site1"
    assert caller([]) == ""


def test_the_open_calls_of_a_cluster_are_bounded() -> None:
    calls = Calls()
    assert [calls.begin("site1") for _ in range(CALLS + 2)] == [True] * CALLS + [False] * 2
    assert calls.begin("site2")
    calls.end("site1")
    assert (calls.begin("site1"), calls.begin("site1")) == (True, False)
