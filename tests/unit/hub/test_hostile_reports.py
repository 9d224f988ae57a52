"""What Pods and clusters report, whatever it is: the run is decided, and the API server accepts the status, whose size is limited.

The reports have the types that the CRDs of Open Cluster Management and Kubernetes allow: their API servers refuse any other.
"""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from panal.api.crd import crd
from panal.api.names import ClusterName
from panal.api.progress import Progress
from panal.api.types import Status
from panal.hub import views, works
from panal.hub.apply import without_empty
from panal.lifecycle.decide import decide
from panal.lifecycle.plan import Plan
from panal.lifecycle.world import World
from panal.pod.tools.codes import Doubt, Ending, Refused, Result, Unanswered
from panal_local.apiserver.schema import check
from worlds import APP_HASH, CLAIM, JOB_UID, NOW, ago, clusters, job, launcher, pod, run, running, status_after

STATUS = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
LARGEST_STATUS, LARGEST_EVENT = 150_000, 5_000  # characters; an object has at most 1.5 MB
FEW = settings(max_examples=30, derandomize=True, database=None, deadline=None)
BEFORE = status_after(running())

CODES = [str(code) for kind in (Ending, Unanswered, Refused, Doubt, Result) for code in kind]
EVIL = ["", "\0", "\x1b[2J\r\n", "\u202e", "\ud800", "x" * 5000, "ä" * 5000, "\0" * 5000, "null", "[" * 2000]
TEXT = st.one_of(st.text(max_size=40), st.sampled_from(EVIL), st.sampled_from(CODES))
INTEGER = st.one_of(st.integers(-3, 3), st.sampled_from([2**31, 2**53, 2**63 - 1, 2**63, 2**100, -(2**63)]))
NUMBER = st.one_of(INTEGER, st.floats(), st.sampled_from([1e308, -1e308, 5e-324]))
VALUE = st.one_of(st.none(), st.booleans(), NUMBER, TEXT)
JSON = st.recursive(VALUE, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)), max_leaves=8)

METRICS = st.one_of(st.dictionaries(TEXT, NUMBER, max_size=20), JSON)
COLLABORATOR = st.fixed_dictionaries(
    {},
    optional={
        "round": INTEGER,
        "time": NUMBER,
        "failed": st.booleans(),
        "reason": TEXT,
        "message": TEXT,
        "seconds": NUMBER,
        "metrics": METRICS,
    },
)
MODEL = st.fixed_dictionaries({"uri": TEXT, "digest": TEXT, "size": INTEGER, "round": INTEGER})
FILES = st.fixed_dictionaries({"uri": TEXT, "count": INTEGER, "size": INTEGER}, optional={"leftOut": INTEGER})
SITE = st.fixed_dictionaries(
    {"cluster": st.sampled_from(["cluster1", "cluster2", "x" * 254, "\0"])},
    optional={
        "examples": INTEGER,
        "globalModel": st.dictionaries(TEXT, NUMBER, max_size=5),
        "localModel": st.dictionaries(TEXT, NUMBER, max_size=5),
        "difference": NUMBER,
        "reason": TEXT,
    },
)
EVALUATION = st.fixed_dictionaries(
    {"uri": TEXT, "digest": TEXT},
    optional={
        "metric": TEXT, "goal": st.sampled_from(["Maximize", "Minimize"]) | TEXT, "sites": INTEGER, "without": INTEGER,
        "examples": INTEGER, "weightedMean": NUMBER, "worstSite": st.sampled_from(["cluster1", "\0"]), "worst": NUMBER, "spread": NUMBER,
        "standardDeviation": NUMBER, "compared": INTEGER, "better": INTEGER, "table": st.lists(SITE, max_size=3),
    },
)  # fmt: skip
NAMES = st.sampled_from(["cluster1", "cluster2", "cluster3", "other", "\0"])
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "connected": INTEGER, "started": st.booleans(), "roundsCompleted": INTEGER, "roundsTotal": INTEGER, "replies": INTEGER,
    "failures": INTEGER, "seconds": NUMBER, "metrics": METRICS, "reportedRound": INTEGER, "reported": METRICS, "waiting": TEXT,
    "notices": st.dictionaries(TEXT, TEXT, max_size=10), "result": TEXT, "runtimeVersion": TEXT, "model": MODEL, "files": FILES,
    "evaluation": EVALUATION,
    "collaborators": st.dictionaries(NAMES, COLLABORATOR, max_size=4),
}  # fmt: skip
OF_THIS_ATTEMPT = {"attempt": st.just(JOB_UID), "appHash": st.just(APP_HASH)}
FEW_FIELDS = [st.fixed_dictionaries(OF_THIS_ATTEMPT | {name: value}) for name, value in FIELDS.items()]  # more of them are valid
PROGRESS = st.one_of(*FEW_FIELDS, st.fixed_dictionaries(OF_THIS_ATTEMPT, optional=FIELDS))
INT64 = st.integers(-(2**63), 2**63 - 1)
TRUTH = st.sampled_from(["True", "False", "Unknown"])

CONDITION = st.fixed_dictionaries(
    {"type": st.sampled_from(["Applied", "Available", "Other"]), "status": TRUTH, "message": TEXT, "reason": TEXT},
    optional={"observedGeneration": INT64},
)
FEEDBACK_NAMES = ["phase", "unschedulable", "toolsWaiting", "gatewayWaiting", "waiting", "waitingMessage", "ready", "restarts",
                  "lastExitCode", "lastReason", "lastMessage", "other"]  # fmt: skip
WAITING = st.sampled_from(["ImagePullBackOff", "CrashLoopBackOff", "CreateContainerConfigError", "Pending", "Running"])
FIELD_VALUE = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["String", "Integer", "Boolean", "JsonRaw"]),
        "string": TEXT | WAITING,
        "integer": INT64,
        "boolean": st.booleans(),
    }
) | st.fixed_dictionaries(
    {"type": st.sampled_from(["String", "Integer", "Boolean", "JsonRaw"])}, optional={"string": TEXT, "jsonRaw": TEXT}
)
FEEDBACK = st.lists(st.fixed_dictionaries({"name": st.sampled_from(FEEDBACK_NAMES), "fieldValue": FIELD_VALUE}), max_size=14)
MANIFEST = st.fixed_dictionaries(
    {"resourceMeta": st.fixed_dictionaries({"ordinal": INT64}, optional={"kind": st.sampled_from(["Pod", "StatefulSet", ""])})},
    optional={"conditions": st.lists(CONDITION, max_size=3), "statusFeedback": st.fixed_dictionaries({}, optional={"values": FEEDBACK})},
)
POD = st.builds(
    lambda feedback: {
        "resourceMeta": {"ordinal": 3, "kind": "Pod"},
        "conditions": [{"type": "Available", "status": "True"}],
        "statusFeedback": {"values": feedback},
    },
    FEEDBACK,
)
WORK_STATUS = st.fixed_dictionaries(
    {},
    optional={
        "conditions": st.lists(CONDITION, max_size=3),
        "resourceStatus": st.fixed_dictionaries({}, optional={"manifests": st.lists(POD | MANIFEST, max_size=3)}),
    },
)
CLAIMS = st.lists(st.fixed_dictionaries({"name": st.just(CLAIM) | TEXT, "value": TEXT}), max_size=3)
CLUSTER_STATUS = st.fixed_dictionaries({}, optional={"clusterClaims": CLAIMS, "conditions": st.lists(CONDITION, max_size=2)})


def harmless(world: World) -> Plan:
    """Decides, and checks what the decision writes."""
    plan = decide(world, NOW)
    assert all(len(event.message) <= LARGEST_EVENT for event in plan.events)
    if plan.status is not None:
        body = without_empty(plan.status.model_dump(mode="json", by_alias=True))
        assert len(json.dumps(body, ensure_ascii=False).encode()) <= LARGEST_STATUS
        assert [str(cause) for cause in check(body, STATUS, "status")] == []
        assert Status.model_validate(body) == plan.status
    return plan


def read(text: str) -> Progress | None:
    """As `hub.observe` reads it."""
    try:
        return Progress.model_validate_json(text)
    except ValidationError:
        return None


@FEW
@given(PROGRESS)
def test_progress(found: dict[str, Any]) -> None:
    progress = read(json.dumps(found))
    harmless(running(run=run(BEFORE), progress=progress))
    harmless(running(run=run(BEFORE), progress=progress, job=job(pod(), succeeded=True)))


VALID_SITE = {"cluster": "cluster1", "globalModel": {"accuracy": 0.5}}


@pytest.mark.parametrize(
    "wrong",
    [
        {"worst": math.nan},
        {"spread": math.inf},
        {"goal": "x" * 5000},
        {"worstSite": "\0"},
        {"table": [VALID_SITE, VALID_SITE]},
        {"table": [VALID_SITE | {"cluster": "x" * 254}]},
        {"table": [VALID_SITE | {"globalModel": {"accuracy": math.nan}}]},
        {"table": [VALID_SITE | {"localModel": {str(n): n for n in range(5)}}]},
        {"table": [VALID_SITE | {"difference": -math.inf}]},
    ],
)
def test_an_evaluation_that_no_status_can_hold_is_invalid(wrong: dict[str, Any]) -> None:
    whole = {"uri": "pvc://a/evaluation.json", "digest": "sha256:1", "goal": "Maximize", "worstSite": "cluster1", "table": [VALID_SITE]}
    assert read(json.dumps({"evaluation": whole})) is not None
    assert read(json.dumps({"evaluation": whole | wrong})) is None


def test_the_largest_evaluation() -> None:
    site = {"globalModel": {f"{n}{'ä' * 5000}": 0.1 for n in range(4)}, "localModel": {f"{n}{'ä' * 5000}": 0.1 for n in range(4)}}
    table = [{"cluster": f"{n:02}{'x' * 251}", "reason": "\0" * 5000, **site} for n in range(50)]
    found = {"attempt": JOB_UID, "evaluation": {"uri": "x" * 5000, "digest": "x" * 5000, "metric": "x" * 5000, "table": table}}
    progress = read(json.dumps(found))
    assert progress is not None
    harmless(running(run=run(BEFORE, mode="Evaluate", server={"initialModel": {"run": "before"}}), progress=progress))


@FEW
@given(st.one_of(TEXT, JSON.map(json.dumps)))
def test_progress_that_is_none(text: str) -> None:
    harmless(running(run=run(BEFORE), progress=read(text)))


@FEW
@given(st.one_of(TEXT, JSON.map(json.dumps), st.builds(lambda r, m: json.dumps({"reason": r, "message": m}), TEXT, JSON)), INTEGER)
def test_termination_messages(text: str, code: int) -> None:
    ended = launcher(running=False, exit_code=code, message=text, terminated=text, ended=ago(1))
    harmless(running(run=run(BEFORE), job=job(pod(ended, reason=text, message=text), failed=True, failure=text)))
    harmless(running(job=job(pod(launcher(running=False, waiting=text, waiting_message=text))), progress=None))
    harmless(running(job=job(pod(scheduled=False, unschedulable=text, created=ago(60))), progress=None))


def work(cluster: str, status: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": "w", "namespace": cluster, "uid": "u", "generation": 1, "creationTimestamp": "2026-03-01T11:00:00Z"}
    return {"metadata": metadata, "spec": {}, "status": status}


@FEW
@given(st.lists(WORK_STATUS, min_size=1, max_size=3))
def test_the_status_of_works(found: list[dict[str, Any]]) -> None:
    seen = [works.view(work(f"cluster{number}", status)) for number, status in enumerate(found, 1)]
    harmless(running(run=run(BEFORE), works={view.cluster: view for view in seen}))


@FEW
@given(st.lists(CLUSTER_STATUS, min_size=1, max_size=3))
def test_the_status_of_clusters(found: list[dict[str, Any]]) -> None:
    """A cluster's agent writes its claims and conditions."""
    accepted = {"type": "HubAcceptedManagedCluster", "status": "True"}
    reported = [status | {"conditions": [accepted, *status.get("conditions", ())]} for status in found]
    seen = [views.cluster({"metadata": {"name": ClusterName(f"cluster{n}")}, "status": status}) for n, status in enumerate(reported, 1)]
    harmless(running(run=run(BEFORE), clusters=clusters(*seen), works={}))
