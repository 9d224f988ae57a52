"""Completion: of names, at the embedded API server."""

from __future__ import annotations

import pytest
import yaml

from api import api
from command_line import *  # noqa: F403
from panal.api import names
from panal.cli import completion, kubectl_completion
from panal.kube import kinds


@pytest.fixture(scope="module")
def hub(server):
    """Runs digits-1 and digits-2 in the namespace mnist, other in the namespace team, and two clusters."""
    found = api(server.kubeconfig)
    spec = {"server": {"image": "a:1"}, "client": {"image": "a:1", "dataClaim": "None"}}
    for namespace, name in (("mnist", "digits-1"), ("mnist", "digits-2"), ("team", "other")):
        found.make_namespace(namespace)
        metadata = {"name": name, "namespace": namespace}
        found.apply({"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": metadata, "spec": spec})
    for name in ("cluster1", "cluster2"):
        found.apply({"apiVersion": kinds.MANAGED_CLUSTER.api_version, "kind": "ManagedCluster", "metadata": {"name": name}, "spec": {}})
    return server.kubeconfig


@pytest.fixture
def at_hub(hub, monkeypatch):
    """Proposals for the last word of a command on this hub, however busy the machine is."""
    monkeypatch.setenv("KUBECONFIG", str(hub))
    monkeypatch.setattr(completion, "PATIENCE", 60)
    for name in ("_PANAL_COMPLETE", "COMP_WORDS", "COMP_CWORD"):
        monkeypatch.setenv(name, "")  # what a completion sets is undone
    return lambda *words: kubectl_completion.completions(list(words))


@pytest.mark.parametrize(
    ("words", "proposed"),
    [
        (["get", ""], ["clusters", "runs", "digits-1", "digits-2", "other"]),
        (["get", "dig"], ["digits-1", "digits-2"]),
        (["history", "-n", "team", ""], ["other"]),
        (["suspend", "o"], ["other"]),
        (["logs", "digits-1", "--cluster", ""], ["cluster1", "cluster2"]),
        (["certs", "revoke", "cluster2"], ["cluster2"]),
        (["models", "compare", "mnist/"], ["mnist/digits-1", "mnist/digits-2"]),
        (["top", "-n", ""], ["mnist", "team"]),
        (["explain", "x"], []),
    ],
)
def test_names_are_completed(at_hub, words, proposed):
    assert at_hub(*words) == proposed


def test_without_a_hub_nothing_is_completed_or_said(at_hub, monkeypatch, capsys, tmp_path):
    monkeypatch.delenv("KUBECONFIG")
    assert at_hub("history", "") == []
    away = tmp_path / "config"
    cluster = {"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}
    user, context = {"name": "u", "user": {"token": "t"}}, {"name": "c", "context": {"cluster": "c", "user": "u"}}
    away.write_text(yaml.safe_dump({"current-context": "c", "clusters": [cluster], "users": [user], "contexts": [context]}))
    assert at_hub("history", "--kubeconfig", str(away), "") == []
    assert at_hub("history", "--kubeconfig", str(tmp_path / "missing"), "") == []
    assert capsys.readouterr() == ("", "")


def test_a_hub_that_is_slow_is_not_waited_for(at_hub, monkeypatch):
    monkeypatch.setattr(completion, "PATIENCE", 0)
    assert at_hub("history", "") == []
