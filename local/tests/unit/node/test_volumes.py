"""Volumes as folders."""

import base64
import stat
from pathlib import Path

import pytest

from panal_local.node import volumes
from panal_local.node.content import TokenRequest
from panal_local.node.environment import NotReadyError

OBJECTS = {
    ("ConfigMap", "ns", "cm"): {"kind": "ConfigMap", "data": {"a": "1", "b": "2"}},
    ("Secret", "ns", "sec"): {"kind": "Secret", "data": {"key": base64.b64encode(b"s").decode()}},
}


def pod(*given):
    return {"metadata": {"namespace": "ns", "name": "p", "uid": "u", "labels": {"l": "v"}}, "spec": {"volumes": list(given)}}


def prepare(folder, volume, objects=OBJECTS, tokens=None):
    made = volumes.prepare(pod({"name": "v", **volume}), folder, lambda kind, ns, name: objects.get((kind.kind, ns, name)), tokens or {})
    return made["v"]


def content(folder):
    return {p.name: p.read_text() for p in folder.iterdir() if not p.name.startswith("..")}


def test_a_config_map_changes_as_a_whole(tmp_path):
    folder = prepare(tmp_path, {"configMap": {"name": "cm"}})
    assert content(folder) == {"a": "1", "b": "2"}
    before = (folder / "..data").readlink()
    prepare(tmp_path, {"configMap": {"name": "cm"}})
    assert (folder / "..data").readlink() == before, "what has not changed is not touched"
    changed = {("ConfigMap", "ns", "cm"): {"kind": "ConfigMap", "data": {"b": "3", "c": "4"}}}
    prepare(tmp_path, {"configMap": {"name": "cm"}}, changed)
    assert content(folder) == {"b": "3", "c": "4"}
    assert len([p for p in folder.glob("..*") if not p.is_symlink()]) == 1, "old versions go"


def test_incomplete_files_of_a_killed_node_are_removed(tmp_path):
    folder = prepare(tmp_path, {"configMap": {"name": "cm"}})
    (folder / "..half").mkdir()
    (folder / "..data_tmp").symlink_to("..half")
    prepare(tmp_path, {"configMap": {"name": "cm", "items": [{"key": "a", "path": "deep/er"}]}})
    assert (folder / "deep/er").read_text() == "1"
    assert {p.name for p in folder.iterdir() if p.name.startswith("..")} == {"..data", (folder / "..data").readlink().name}


def test_only_the_owner_reads_secrets_and_tokens(tmp_path):
    secret = prepare(tmp_path, {"secret": {"secretName": "sec"}})
    assert stat.S_IMODE((secret / "key").stat().st_mode) == 0o600
    sources = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 600}},
        {"configMap": {"name": "cm", "items": [{"key": "a", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]
    folder = prepare(tmp_path / "2", {"projected": {"sources": sources}}, tokens={TokenRequest("", 600): "t"})
    assert content(folder) == {"token": "t", "ca.crt": "1", "namespace": "ns"}
    assert stat.S_IMODE((folder / "token").stat().st_mode) == 0o600


def test_a_claim_is_the_folder_of_its_volume(tmp_path):
    claim = {"spec": {"volumeName": "pv"}, "status": {"phase": "Bound"}}
    objects = {
        ("PersistentVolumeClaim", "ns", "c"): claim,
        ("PersistentVolume", "", "pv"): {"spec": {"hostPath": {"path": str(tmp_path / "data")}}},
    }
    volume = {"persistentVolumeClaim": {"claimName": "c"}}
    assert prepare(tmp_path / "p", volume, objects) == tmp_path / "data"
    claim["status"]["phase"] = "Pending"
    with pytest.raises(NotReadyError, match='"c" is not bound'):
        prepare(tmp_path / "p", volume, objects)


@pytest.mark.parametrize(
    ("volume", "says"),
    [
        ({"configMap": {"name": "gone"}}, 'MountVolume.SetUp failed for volume "v" : configmap "gone" not found'),
        ({"configMap": {"name": "cm", "items": [{"key": "no", "path": "x"}]}}, "references non-existent config key: no"),
        ({"persistentVolumeClaim": {"claimName": "gone"}}, 'persistentvolumeclaim "gone" not found'),
        ({"hostPath": {"path": "/does/not/exist", "type": "Directory"}}, "/does/not/exist is not a directory"),
        ({"nfs": {}}, 'volume "v": nfs is not supported by this node'),
    ],
)
def test_a_failed_mount_has_a_reason(tmp_path, volume, says):
    with pytest.raises(NotReadyError, match=says) as error:
        prepare(tmp_path, volume)
    assert error.value.reason == "FailedMount"


def test_optional_objects_may_be_missing(tmp_path):
    assert content(prepare(tmp_path, {"configMap": {"name": "gone", "optional": True}})) == {}


def test_a_sub_path_stays_inside(tmp_path):
    volume = {"v": tmp_path}
    mounts = volumes.mounts({"volumeMounts": [{"name": "v", "mountPath": "/d", "subPath": "a/b"}]}, volume)
    assert mounts == [("/d", str(tmp_path / "a/b"))]
    assert Path(mounts[0][1]).is_dir()
    with pytest.raises(NotReadyError, match="must not contain"):
        volumes.mounts({"volumeMounts": [{"name": "v", "mountPath": "/d", "subPath": "../b"}]}, volume)
