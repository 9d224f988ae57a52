"""What a run's changes are in words."""

from __future__ import annotations

import pytest

from panal.cli.output import age
from panal.client.story import lines, summary


def status(phase="Running", message="", completed=0, collaborators=(), **fields):
    clusters = [{"cluster": c, "state": s, "reason": r, "message": m} for c, s, r, m in collaborators]
    return {"phase": phase, "message": message, "rounds": {"completed": completed, "total": 3}, "collaborators": clusters, **fields}


ONE = [("cluster1", "Ready", "", "")]
BAD = [("cluster1", "Failed", "ImagePullFailed", "no such image.")]
ASKS = [("cluster1", "Pending", "SiteDecisionPending", "not allowed yet.")]
ROUND = {"completed": 2, "total": 3, "replies": 3, "failures": 1, "seconds": 1.25}

TABLE = [
    ({}, {}, []),
    ({}, status("Waiting", "0 of 3"), ["Waiting: 0 of 3"]),
    (status("Waiting", "0 of 3"), status("Waiting", "1 of 3", collaborators=ONE), ["cluster1 takes part", "Waiting: 1 of 3"]),
    (status("Waiting", "a"), status("Running", "round 1 of 3"), ["Running: round 1 of 3"]),
    (status(message="round 1 of 3"), status(message="round 2 of 3"), []),
    (status(), status() | {"rounds": ROUND, "metrics": {"accuracy": 0.91234, "loss": 2.0}},
     ["round 2/3: accuracy 0.9123, loss 2 (3 clusters, 1 failed, 1.2 s)"]),
    (status(), status(completed=1), ["round 1/3"]),
    (status(collaborators=ONE), status(collaborators=BAD), ["cluster1: ImagePullFailed. no such image"]),
    (status(collaborators=BAD), status(collaborators=BAD), []),
    (status(collaborators=BAD), status(collaborators=ONE), ["cluster1 recovered"]),
    (status(), status(collaborators=ASKS), ["cluster1 takes part", "cluster1: SiteDecisionPending. not allowed yet"]),
    (status(collaborators=ASKS), status(collaborators=ASKS), []),
    (status(collaborators=ASKS), status(collaborators=ONE), []),
    (status(collaborators=BAD), status(collaborators=ASKS), ["cluster1: SiteDecisionPending. not allowed yet"]),
    (status(collaborators=ASKS), status(collaborators=BAD), ["cluster1: ImagePullFailed. no such image"]),
    (status(collaborators=ONE), status(), ["cluster1 no longer takes part"]),
    (status(collaborators=ONE), status("Completed", "model after 3 rounds"), ["Completed: model after 3 rounds"]),
    (status(), status("Failed", "too bad"), ["Failed: too bad"]),
]  # fmt: skip


@pytest.mark.parametrize(("before", "now", "said"), TABLE)
def test_each_change_is_one_line(before, now, said):
    assert lines(before, now) == said


def test_a_completed_run_says_where_its_model_is():
    model = {"uri": "pvc://models/x/model.safetensors", "digest": "sha256:ab", "size": 7, "round": 3}
    lines = ["model   pvc://models/x/model.safetensors", "        sha256:ab, 7 bytes, after round 3"]
    assert summary({"model": model}) == lines
    files = {"uri": "pvc://models/x/files/", "count": 2, "size": 9}
    assert summary({"model": model, "files": files}) == [*lines, "files   pvc://models/x/files/", "        2 of the app, 9 bytes"]
    assert summary({"files": files | {"leftOut": 1}})[1] == "        2 of the app, 9 bytes; 1 left out"
    assert summary({}) == []
    export = {"uri": "pvc://models/x/export", "files": [{"name": "model.onnx", "check": "loaded by onnxruntime 1.2"}]}
    publish = {"mlflow": {"uri": "models:/digits/1"}, "modelRegistry": {"uri": "model-registry://r/digits/digits-a-b"}}
    assert summary({"export": export, "publish": publish}) == [
        "export  pvc://models/x/export", "        model.onnx, loaded by onnxruntime 1.2", "mlflow  models:/digits/1",
        "version model-registry://r/digits/digits-a-b",
    ]  # fmt: skip


def test_a_private_run_says_what_its_sites_have_spent():
    privacy = {"delta": 1e-5, "plannedEpsilon": 28.3735, "epsilon": 4.37718, "updates": 1}
    told = "privacy ε at most 4.377 at δ 1e-05 for a site, after 1 update (planned: 28.37)"
    assert summary({"privacy": privacy}) == [told]


def test_a_run_with_secure_aggregation_says_who_has_dropped_out():
    assert summary({"privacy": {"secureAggregation": {}}}) == ["secure  secure aggregation: no training yet"]
    secure = {"threshold": 3, "dropped": ["site-b", "site-c"]}
    told = "secure  secure aggregation: 3 clusters had to stay in the last training; dropped out: site-b, site-c"
    assert summary({"privacy": {"secureAggregation": secure}}) == [told]


def test_ages():
    from datetime import UTC, datetime

    now = datetime(2026, 1, 2, tzinfo=UTC)
    times = ("2026-01-01T23:59:30Z", "2026-01-01T23:55:00Z", "2026-01-01T20:00:00Z", "2025-12-25T00:00:00Z", None)
    assert [age(time, now) for time in times] == ["30s", "5m", "4h", "8d", ""]
