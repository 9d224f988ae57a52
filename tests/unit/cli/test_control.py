"""Suspending, resuming, stopping and deleting, as far as a command does it; what a run does then is the lifecycle's."""

import pytest

from fake_client import FakeAccess, FakeClient
from panal.cli import control
from panal.client import deleting
from panal.client.problem import Code, Problem


def run(phase="Running", status=None, **spec):
    spec.setdefault("server", {"storage": {"name": "models"}})
    metadata = {"name": "digits-1", "namespace": "ns", "uid": "u", "finalizers": ["fl.panal/cleanup"]}
    return {"apiVersion": "federation-ai.open-cluster-management.io/v1alpha1", "kind": "FederatedLearning",
            "metadata": metadata, "spec": spec, "status": {"phase": phase} | (status or {})}  # fmt: skip


def spec_of(client):
    return client.objects["FederatedLearning", "ns", "digits-1"]["spec"]


@pytest.mark.parametrize(
    ("before", "field", "value", "said"),
    [
        ({}, "suspend", True, "`panal resume digits-1` resumes it after the last stored round"),
        ({"suspend": True}, "suspend", False, "goes on after the last stored round"),
        ({}, "stop", True, "ends as Failed with the reason Stopped"),
        ({"suspend": True}, "suspend", True, "spec.suspend is already true"),
        ({}, "suspend", False, "spec.suspend is already false"),
    ],
)
def test_a_field_is_set_and_what_follows_is_said(capsys, before, field, value, said):
    client = FakeClient(run(**before))
    assert control.change(FakeAccess({"hub": client}), "digits-1", None, field, value) == Code.OK
    assert bool(spec_of(client).get(field)) == value
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("phase", ["Completed", "Failed"])
def test_what_has_ended_stays_so(phase):
    client = FakeClient(run(phase))
    with pytest.raises(Problem, match=f"digits-1 is already {phase}") as refused:
        control.change(FakeAccess({"hub": client}), "digits-1", "ns", "stop", True)
    assert refused.value.code == Code.REFUSED
    assert "stop" not in spec_of(client)


def test_a_hub_that_does_not_know_the_field_is_named():
    client = FakeClient(run())

    async def pruned(kind, namespace, name, patch):
        return run()

    client.merge_patch = pruned
    with pytest.raises(Problem, match=r"does not support spec\.stop"):
        control.change(FakeAccess({"hub": client}), "digits-1", None, "stop", True)


def test_a_deletion_waits_until_the_run_is_gone_and_says_what_stays(capsys, monkeypatch):
    monkeypatch.setattr(deleting, "ASK_AGAIN", 0)
    client = FakeClient(run("Completed", {"model": {"uri": "pvc://models/ns/digits-1/m"}}), deletions=3)
    assert control.delete(FakeAccess({"hub": client}), "digits-1", None, None) == Code.OK
    assert client.objects == {}
    said = "digits-1 deleted; the volume models in namespace ns is kept, with its model: pvc://models/ns/digits-1/m\n"
    assert capsys.readouterr().out == said


@pytest.mark.parametrize(
    ("storage", "said"),
    [
        ({"type": "S3Bucket", "s3": {"bucketName": "b"}}, "what it stored in bucket b is kept"),
        ({"type": "HostPath", "path": "/srv/models"}, "what it stored in /srv/models on the hub's node is kept"),
        ({"type": "PersistentVolumeClaim"}, "the volume of its model is kept"),
        ({}, "the volume of its model is kept"),
    ],
)
def test_a_deletion_names_where_the_model_stays(storage, said):
    assert deleting.kept({"metadata": {"namespace": "ns"}, "spec": {"server": {"storage": storage}}}) == said


def test_a_deletion_that_takes_long_goes_on_without_the_command(monkeypatch):
    monkeypatch.setattr(deleting, "ASK_AGAIN", 0)
    with pytest.raises(Problem, match="is still being deleted after 0 s") as problem:
        control.delete(FakeAccess({"hub": FakeClient(run(), deletions=9)}), "digits-1", None, 0)
    assert problem.value.code == Code.TIMEOUT


def test_another_run_of_the_name_is_not_waited_for(monkeypatch, capsys):
    monkeypatch.setattr(deleting, "ASK_AGAIN", 0)
    client = FakeClient(run(), deletions=1000)
    get = client.get

    async def later(kind, namespace, name):
        found = await get(kind, namespace, name)
        found["metadata"]["uid"] = "later"
        return found

    client.get = later
    assert control.delete(FakeAccess({"hub": client}), "digits-1", None, 5) == Code.OK
    assert "the volume models in namespace ns is kept\n" in capsys.readouterr().out
