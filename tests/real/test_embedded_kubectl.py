"""kubectl at the local platform's API server: the commands that it promises, as a user types them."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import samples
from processes import assets

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def api(embedded_api):
    embedded_api.namespaces("kc")
    embedded_api.apply(samples.CRD)
    embedded_api.kubectl("wait", "--for=condition=Established", "crd/widgets.samples.example.com", "--timeout=10s")
    return embedded_api


def applied(api, obj, *options):
    return api.kubectl("apply", "-n", "kc", *options, "-f", "-", stdin=json.dumps(obj)).strip()


def test_apply_says_what_it_did(api):
    name = "widget.samples.example.com/w"
    assert applied(api, samples.widget("w", strategy="FedProx")) == f"{name} created"
    assert applied(api, samples.widget("w", strategy="FedProx")) == f"{name} unchanged"
    assert applied(api, samples.widget("w", rounds=4)) == f"{name} configured"
    assert json.loads(api.kubectl("get", "wd", "w", "-n", "kc", "-o", "json"))["spec"] == {"rounds": 4, "strategy": "FedAvg"}
    with pytest.raises(RuntimeError, match=r"spec.rounds in body should be greater than or equal to 1"):
        applied(api, samples.widget("w", rounds=0))
    with pytest.raises(RuntimeError, match=r'unknown field "spec.bogus"'):
        applied(api, samples.widget("w", bogus=1))


def test_apply_of_built_in_kinds_merges_lists(api):
    assert applied(api, samples.service("s", ports=[{"name": "a", "port": 1}, {"name": "b", "port": 2}])) == "service/s created"
    api.kubectl("patch", "svc", "s", "-n", "kc", "-p", json.dumps({"spec": {"ports": [{"name": "c", "port": 3}]}}))
    applied(api, samples.service("s", ports=[{"name": "b", "port": 2}]))
    ports = json.loads(api.kubectl("get", "svc", "s", "-n", "kc", "-o", "json"))["spec"]["ports"]
    assert sorted(p["name"] for p in ports) == ["b", "c"]
    assert applied(api, samples.job("j")) == "job.batch/j created"
    assert applied(api, samples.job("j")) == "job.batch/j unchanged"


def test_server_side_apply_with_conflicts(api):
    options = ("--server-side", "--field-manager=one")
    assert applied(api, samples.config_map("c", data={"a": "1"}), *options) == "configmap/c serverside-applied"
    with pytest.raises(RuntimeError, match=r'conflict with "one": .data.a'):
        applied(api, samples.config_map("c", data={"a": "2"}), "--server-side", "--field-manager=two")
    applied(api, samples.config_map("c", data={"a": "2"}), "--server-side", "--field-manager=two", "--force-conflicts")
    applied(api, samples.config_map("c", data={"b": "1"}), *options)
    assert json.loads(api.kubectl("get", "cm", "c", "-n", "kc", "-o", "json"))["data"] == {"a": "2", "b": "1"}


def test_from_client_side_to_server_side(api):
    applied(api, samples.config_map("moved", data={"a": "1", "b": "1"}))
    applied(api, samples.config_map("moved", data={"a": "2"}), "--server-side")
    assert json.loads(api.kubectl("get", "cm", "moved", "-n", "kc", "-o", "json"))["data"] == {"a": "2"}


def test_get_watches(api):
    applied(api, samples.widget("seen"))
    command = [*api.command("get", "widgets", "-n", "kc", "-w", "--field-selector=metadata.name=seen")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=api.env()) as watching:
        lines = [watching.stdout.readline().split() for _ in range(2)]
        api.kubectl("patch", "wd", "seen", "-n", "kc", "--type=merge", "-p", '{"spec":{"rounds":8}}')
        lines.append(watching.stdout.readline().split())
        watching.terminate()
    assert [line[:2] for line in lines] == [["NAME", "ROUNDS"], ["seen", "3"], ["seen", "8"]]


def test_describe_shows_events(api):
    about = {"kind": "Widget", "name": "told", "namespace": "kc", "apiVersion": "samples.example.com/v1"}
    applied(api, samples.widget("told"))
    about["uid"] = json.loads(api.kubectl("get", "wd", "told", "-n", "kc", "-o", "json"))["metadata"]["uid"]
    api.kubectl("create", "-n", "kc", "-f", "-", stdin=json.dumps(samples.event("e", "kc", about)))
    text = api.kubectl("describe", "widget", "told", "-n", "kc")
    assert "Tested" in text
    assert "Tested" in api.kubectl("events", "-n", "kc")
    assert "told" in api.kubectl("get", "events", "-n", "kc")


def test_wait_ends_when_the_condition_holds(api):
    applied(api, samples.widget("waited"))

    def later():
        time.sleep(0.3)
        api.kubectl(
            "patch", "wd", "waited", "-n", "kc", "--subresource=status", "--type=merge", "-p", json.dumps({"status": samples.READY})
        )

    changing = threading.Thread(target=later)
    changing.start()
    assert "condition met" in api.kubectl("wait", "wd/waited", "-n", "kc", "--for=condition=Ready", "--timeout=20s")
    changing.join()


def test_delete_waits_until_it_is_gone(api):
    applied(api, samples.widget("gone"))
    assert "deleted" in api.kubectl("delete", "wd", "gone", "-n", "kc", "--timeout=20s")
    with pytest.raises(RuntimeError, match="NotFound"):
        api.kubectl("get", "wd", "gone", "-n", "kc")


def test_explain_and_api_resources(api):
    assert "rounds\t<integer> -required-" in api.kubectl("explain", "widget.spec")
    assert "restartPolicy" in api.kubectl("explain", "job.spec.template.spec")
    listed = api.kubectl("api-resources", "--no-headers")
    assert {"widgets", "pods", "jobs", "leases", "events"} <= {line.split()[0] for line in listed.splitlines()}


def test_logs_of_a_pod_without_a_node_and_of_none(api):
    api.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "kc"}})
    applied(api, samples.pod("p"))
    assert api.kubectl("logs", "p", "-n", "kc") == ""
    with pytest.raises(RuntimeError, match="container zz is not valid for pod p"):
        api.kubectl("logs", "p", "-n", "kc", "-c", "zz")
    with pytest.raises(RuntimeError, match='pods "none" not found'):
        api.kubectl("logs", "none", "-n", "kc")


def test_what_is_sent_as_protobuf_is_refused_with_a_way_out(api):
    with pytest.raises(RuntimeError, match=r"use `kubectl apply` or `kubectl create -f`"):
        api.kubectl("create", "configmap", "x", "-n", "kc", "--from-literal=a=b")


def test_completes_its_plugin(tmp_path):
    for name in ("kubectl-fl", "kubectl_complete-fl"):
        shutil.copy(Path(sys.executable).parent / name, tmp_path / name)
        (tmp_path / name).chmod(stat.S_IRWXU)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}

    def proposed(*words):
        done = subprocess.run([assets() / "kubectl", "__complete", *words], env=environment, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    assert proposed("fl", "models", "") == ["list", "show", "download", "compare", ":4"]
    assert proposed("fl", "res") == ["resume", ":4"]
    assert proposed("fl", "run", "-f", "") == [":0"]
