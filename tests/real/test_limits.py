"""limits.yaml and namespace.yaml of examples/governance at a real API server: what each limit refuses and admits, and whom it does not
hinder. The limit of active runs is the controller's: tests/unit/hub/test_controller.py."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster import Cluster
from panal.api.crd import crd
from panal.api.names import API_VERSION, KIND, PLURAL
from waiting import eventually

pytestmark = pytest.mark.real

EXAMPLES = Path(__file__).parents[2] / "examples/governance"
DOCUMENTS = list(yaml.safe_load_all((EXAMPLES / "limits.yaml").read_text()))
NAMESPACE, QUOTA = yaml.safe_load_all((EXAMPLES / "namespace.yaml").read_text())
COUNTED = "count/federatedlearnings.federation-ai.open-cluster-management.io"
NS, DIGEST = "research", f"@sha256:{0:064}"
IMAGE = f"registry.example.com/research/app{DIGEST}"
Spec = dict[str, Any]


def spec(**client: Any) -> Spec:
    """Within all limits of the example."""
    return {
        "server": {"image": IMAGE, "minAvailableClients": 3},
        "client": {
            "image": IMAGE,
            "placement": {"clusterSets": ["hospitals"]},
            "requirePolicies": [{"name": name, "namespace": "fl-governance"} for name in ("fl-namespace", "fl-images")],
        }
        | client,
    }


def run(name: str, spec: Spec) -> Spec:
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name, "namespace": NS}, "spec": spec}


@pytest.fixture(scope="module")
def hub(hub_api: Cluster) -> Iterator[Cluster]:
    hub_api.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump(crd()))
    eventually(lambda: PLURAL in hub_api.kubectl("get", "--raw", f"/apis/{API_VERSION}", check=False), "the resource is served", 30)
    hub_api.namespaces("fl-governance")
    hub_api.apply(NAMESPACE, *DOCUMENTS)
    wrong = run("probe", spec() | {"server": {"image": IMAGE}})
    eventually(lambda: "or more are needed" in refusal(hub_api, wrong), "the policy is at work", 30)
    yield hub_api
    hub_api.kubectl("delete", "namespace", NS, "fl-governance", "--timeout=60s")
    for document in DOCUMENTS:
        hub_api.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=json.dumps(document))


def refusal(hub: Cluster, obj: Spec, *more: str) -> str:
    """Why the API server refuses it; empty if it does not. Nothing is written."""
    try:
        hub.kubectl("apply", "--dry-run=server", *more, "-f", "-", stdin=json.dumps(obj))
    except RuntimeError as error:
        return str(error)
    return ""


def changed(path: str, value: Any) -> Spec:
    found = deepcopy(spec())
    part = found
    *steps, last = path.split(".")
    for step in steps:
        part = part.setdefault(step, {})
    part[last] = value
    return found


@pytest.mark.parametrize(
    ("path", "wrong", "said", "permitted"),
    [
        (
            "client.image",
            f"docker.io/research/app{DIGEST}",
            f"image docker.io/research/app{DIGEST} is not permitted",
            f"registry.example.com/research/b{DIGEST}",
        ),
        ("server.image", f"registry.example.com/research-2/app{DIGEST}", "begin with registry.example.com/research/", IMAGE),
        ("validation.image", f"example/notebooks{DIGEST}", "is not permitted in this namespace", IMAGE),
        ("server.image", "registry.example.com/research/app:1", "has no digest; name it as NAME@sha256:DIGEST", IMAGE),
        ("client.placement", {}, "name some of hospitals, clinics and no others", {"clusterSets": ["clinics", "hospitals"]}),
        ("client.placement", {"clusterSets": ["hospitals", "default"]}, "clusterSets: name some of", {"clusterSets": ["clinics"]}),
        ("server.minAvailableClients", 2, "spec.server.minAvailableClients: 3 or more are needed", 4),
        ("client.requirePolicies", [], "add fl-governance/fl-namespace, fl-governance/fl-images", spec()["client"]["requirePolicies"]),
        (
            "client.requirePolicies",
            [{"name": "fl-namespace"}, {"name": "fl-images", "namespace": "fl-governance"}],
            "spec.client.requirePolicies: add fl-governance/fl-namespace",
            [{"name": "more"}, *spec()["client"]["requirePolicies"]],
        ),
    ],
)
def test_a_limit_refuses_what_exceeds_it_and_admits_what_does_not(hub: Cluster, path: str, wrong: Any, said: str, permitted: Any) -> None:
    more = {"notebook": "check.ipynb"} if path.startswith("validation") else {}
    refused, admitted = changed(path, wrong), changed(path, permitted)
    for each in (refused, admitted):
        if more:
            each["validation"] |= more
    assert said in refusal(hub, run("digits", refused))
    assert refusal(hub, run("digits", admitted)) == ""


def test_a_limit_that_is_not_in_the_config_map_is_not_checked(hub: Cluster) -> None:
    hub.kubectl("-n", "fl-governance", "patch", "configmap", "fl-limits-research", "--type=merge", "-p", '{"data": {"digests": null}}')
    tagged = run("digits", changed("server.image", "registry.example.com/research/app:1"))
    try:
        eventually(lambda: refusal(hub, tagged) == "", "tags are permitted", 30)
    finally:
        hub.apply(*(d for d in DOCUMENTS if d["kind"] == "ConfigMap"))
        eventually(lambda: "has no digest" in refusal(hub, tagged), "digests are asked for again", 30)


def test_another_namespace_has_no_limits_and_one_without_its_config_map_no_runs(hub: Cluster) -> None:
    wrong = run("digits", {"server": {"image": "a:1"}, "client": {"image": "a:1"}})
    elsewhere = {**wrong, "metadata": {"name": "digits", "namespace": "default"}}
    assert refusal(hub, elsewhere) == ""
    hub.kubectl("-n", "fl-governance", "delete", "configmap", "fl-limits-research")
    try:
        eventually(lambda: "no params found" in refusal(hub, run("digits", spec())), "runs without limits are refused", 30)
    finally:
        hub.apply(*(d for d in DOCUMENTS if d["kind"] == "ConfigMap"))
        eventually(lambda: refusal(hub, run("digits", spec())) == "", "runs are admitted again", 30)


def test_a_run_from_before_a_stricter_limit_can_be_stopped_and_cleaned(hub: Cluster) -> None:
    hub.apply(run("early", spec()))
    patch = {"data": {"minAvailableClients": "5"}}
    hub.kubectl("-n", "fl-governance", "patch", "configmap", "fl-limits-research", "--type=merge", "-p", json.dumps(patch))
    try:
        eventually(lambda: "5 or more are needed" in refusal(hub, run("next", spec())), "the limit is stricter", 30)
        hub.kubectl("-n", NS, "patch", "fl", "early", "--type=merge", "-p", '{"spec": {"stop": true}}')
        hub.kubectl("-n", NS, "patch", "fl", "early", "--type=merge", "-p", '{"metadata": {"finalizers": ["fl.panal/cleanup"]}}')
        hub.kubectl("-n", NS, "patch", "fl", "early", "--type=merge", "-p", '{"metadata": {"finalizers": []}}')
        more = run("early", spec(image=IMAGE) | {"server": {"image": IMAGE, "minAvailableClients": 4}})
        assert "5 or more are needed" in refusal(hub, more)
    finally:
        hub.kubectl("-n", NS, "delete", "fl", "early", "--timeout=30s")
        hub.apply(*(d for d in DOCUMENTS if d["kind"] == "ConfigMap"))
        eventually(lambda: refusal(hub, run("next", spec())) == "", "the limit is as before", 30)


def test_a_quota_counts_the_runs_of_a_namespace_those_that_have_ended_included(hub: Cluster) -> None:
    eventually(lambda: counting(hub, 1), "the quota is counted", 120)
    hub.apply(run("first", spec()))
    try:
        hub.kubectl("-n", NS, "patch", "fl", "first", "--subresource=status", "--type=merge", "-p", '{"status": {"phase": "Completed"}}')
        second = run("second", spec())
        eventually(lambda: "exceeded quota: fl-runs" in refusal(hub, second), "the second run is refused", 60)
        hub.kubectl("-n", NS, "delete", "fl", "first", "--timeout=30s")
        eventually(lambda: refusal(hub, second) == "", "there is room again", 60)
    finally:
        hub.kubectl("-n", NS, "delete", "fl", "--all", "--timeout=30s")


def counting(hub: Cluster, limit: int) -> bool:
    """Makes the quota anew: its controller counts a kind that it did not know then, only every five minutes."""
    hub.kubectl("-n", NS, "delete", "quota", "fl-runs", "--ignore-not-found")
    hub.apply(QUOTA | {"spec": {"hard": {COUNTED: str(limit)}}})
    time.sleep(2)
    return '"0"' in hub.kubectl("-n", NS, "get", "quota", "fl-runs", "-o", "jsonpath={.status.used}")
