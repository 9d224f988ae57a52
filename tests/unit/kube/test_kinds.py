"""Kinds and their paths; kubeconfigs."""

import pytest

from panal.kube import connection, kinds
from panal.kube.client import Client
from panal.kube.errors import ConfigError, UnknownKind


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (kinds.POD.path(), "/api/v1/pods"),
        (kinds.POD.path("ns", "p", "status"), "/api/v1/namespaces/ns/pods/p/status"),
        (kinds.JOB.path("ns"), "/apis/batch/v1/namespaces/ns/jobs"),
        (kinds.POD.path("../a", "b/../c?d", "status"), "/api/v1/namespaces/..%2Fa/pods/b%2F..%2Fc%3Fd/status"),
        (kinds.MANAGED_CLUSTER.path("", "c"), "/apis/cluster.open-cluster-management.io/v1/managedclusters/c"),
    ],
)
def test_paths(path, expected):
    assert path == expected


def test_every_kind_is_found_for_its_objects():
    assert len(kinds.ALL) >= 24
    for kind in kinds.ALL:
        assert kinds.kind_of({"apiVersion": kind.api_version, "kind": kind.kind}) is kind


def test_an_unknown_kind_has_a_remedy():
    with pytest.raises(UnknownKind, match=r"v1 Pud .* add it there"):
        kinds.kind_of({"apiVersion": "v1", "kind": "Pud"})


@pytest.mark.parametrize("text", [None, "", "{}", "[", '{"current-context": "x", "clusters": [], "contexts": []}'])
def test_an_unusable_kubeconfig_is_a_configuration_error(tmp_path, text):
    path = tmp_path / "kubeconfig"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match="no usable access"):
        Client.from_kubeconfig(path)


def test_without_credentials_the_error_names_the_paths(tmp_path, monkeypatch):
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setattr(connection, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setattr(connection, "HOME_KUBECONFIG", tmp_path / "none")
    with pytest.raises(ConfigError, match="none not found"):
        Client.from_kubeconfig()
