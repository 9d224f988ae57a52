"""The stored state and the parts of a platform."""

from __future__ import annotations

import json
import socket

import pytest
import yaml

from panal_local.supervisor import address, starting
from panal_local.supervisor.folder import Folder, PlatformError, write
from panal_local.supervisor.parts import parts
from panal_local.supervisor.state import MAX_CLUSTERS, Program, State, extended, kubeconfig, load, own_version, save

FIRST = State(own_version(), 44, 16443, {})
CONTROLLER = Program("controller", "somewhere:main", {"A": "b"})


@pytest.fixture
def folder(tmp_path):
    folder = Folder(tmp_path / "home")
    folder.make()
    return folder


def test_extending_keeps_the_state_and_adds_clusters():
    two = extended(FIRST, 2, {"cluster1": {"a": "1"}}, [CONTROLLER])
    assert two.spokes == ["cluster1", "cluster2"]
    three = extended(two, 3, {"cluster1": {"b": "2"}, "cluster3": {"a": "3"}}, [CONTROLLER])
    assert {name: three.tokens[name] for name in two.tokens} == two.tokens
    assert three.claims == {"cluster1": {"a": "1", "b": "2"}, "cluster3": {"a": "3"}}
    assert extended(three, 1, {}, [CONTROLLER]) == three
    tokens = [token for by_use in three.tokens.values() for token in by_use.values()]
    assert len(set(tokens)) == len(tokens)


CLAIMS = [
    (1, {"cluster1": {name: value}}, words)
    for name, value, words in [
        ("A B", "c", "its name is invalid"),
        ("../x", "c", "its name is invalid"),
        ("größe", "c", "its name is invalid"),
        ("a" * 254, "c", "its name is invalid"),
        ("a", "", "its value has 0"),
        ("a", "x" * 1025, "its value has 1025"),
    ]
]


@pytest.mark.parametrize(
    ("clusters", "claims", "words"), [(MAX_CLUSTERS + 1, {}, "too many"), (2, {"cluster3": {"a": "b"}}, "names cluster3"), *CLAIMS]
)
def test_invalid_requests_are_refused(clusters, claims, words):
    with pytest.raises(PlatformError, match=words) as refused:
        extended(FIRST, clusters, claims, [])
    assert refused.value.remedy


def test_the_saved_state_is_loaded_and_only_the_owner_reads_secrets(folder):
    state = extended(FIRST, 2, {"cluster1": {"a": "1"}}, [CONTROLLER])
    save(folder, state)
    assert load(folder) == state
    secret = [folder.state, folder.agent_tokens, folder.node_token("hub"), folder.hub_access("cluster1")]
    assert [oct(path.stat().st_mode & 0o777) for path in secret] == ["0o600"] * 4
    first = folder.agent_tokens.read_text().splitlines()[0]
    group = "system:open-cluster-management"
    assert first == f'{state.tokens["cluster1"]["agent"]},{group}:cluster1:local,cluster1,"{group}:cluster1,{group}:managed-clusters"'


def test_a_folder_of_another_version_is_refused(folder):
    save(folder, FIRST)
    folder.state.write_text(json.dumps(json.loads(folder.state.read_text()) | {"version": "0.0.1"}))
    with pytest.raises(PlatformError, match=r"in use by version 0\.0\.1 of the local platform, and this is") as refused:
        load(folder)
    assert "--folder" in refused.value.remedy


def test_an_unchanged_state_is_not_written(tmp_path):
    write(tmp_path / "a", "text")
    before = (tmp_path / "a").stat()
    write(tmp_path / "a", "text")
    assert (tmp_path / "a").stat().st_ino == before.st_ino


def test_a_kubeconfig_has_a_context_for_each_cluster():
    content = yaml.safe_load(kubeconfig({"hub": ({"server": "https://h"}, "t1"), "cluster1": ({"server": "https://c"}, "t2")}))
    assert content["current-context"] == "hub"
    assert [c["name"] for c in content["contexts"]] == ["hub", "cluster1"]
    assert [u["user"]["token"] for u in content["users"]] == ["t1", "t2"]


def test_the_parts_of_a_platform(folder):
    found = {part.name: part for part in parts(folder, extended(FIRST, 2, {}, [CONTROLLER]))}
    assert list(found) == ["hub", "cluster1", "cluster2", "hub-controller"]
    assert found["hub-controller"].env["A"] == "b"
    assert found["hub-controller"].servers == [("127.44.0.1", 16443)]
    assert found["cluster2"].arguments == (str(folder.root), "cluster2")
    assert found["cluster2"].files == [folder.root / "hub/apiserver/ca.crt"]


def test_parts_with_different_definitions_differ(folder):
    before = {p.name: p for p in parts(folder, extended(FIRST, 2, {}, [CONTROLLER]))}
    other = Program("controller", "somewhere:main", {"A": "c"})
    after = {p.name: p for p in parts(folder, extended(FIRST, 2, {}, [other]))}
    assert {name for name in before if before[name] != after[name]} == {"hub-controller"}


def test_a_range_belongs_to_one_platform():
    network, held = address.choose()
    assert address.reserve(network) is None
    held.close()
    due_at = address.reserve(network)
    assert due_at
    due_at.close()


def test_an_unsupported_machine_is_refused():
    for system, python, words in (("Darwin", (3, 12), "Darwin"), ("Linux", (3, 10), r"3\.11")):
        with pytest.raises(PlatformError, match=words):
            starting.check_machine(system, python)
    starting.check_machine("Linux", (3, 13))


def test_a_port_in_use_is_named(folder, monkeypatch):
    network, held = address.choose()
    state = State(own_version(), network, address.free_port(f"127.{network}.0.1"), {"hub": {"agent": "a", "node": "n"}})
    save(folder, state)
    with socket.socket() as other:
        other.bind((f"127.{network}.0.1", state.port))
        other.listen()
        held.close()
        monkeypatch.setattr(starting, "ENDING", 0.1)
        with pytest.raises(PlatformError, match=f"port {state.port} at 127.{network}.0.1.*hub is to be") as refused:
            starting.begin(folder, 1, {}, [])
    assert f"sport = :{state.port}" in refused.value.remedy


def test_addresses_of_another_platform_are_refused(folder):
    network, held = address.choose()
    save(folder, State(own_version(), network, 16443, {"hub": {"agent": "a", "node": "n"}}))
    with held, pytest.raises(PlatformError, match="in use by another platform"):
        starting.begin(folder, 1, {}, [])


@pytest.mark.parametrize(
    "change", [{"programs": 5}, {"tokens": {"hub": 5}}, {"tokens": {"clusterX": {}}}, {"port": "x"}, {"extra": 1}, None]
)
def test_a_damaged_state_is_refused(folder, change):
    save(folder, extended(FIRST, 1, {}, [CONTROLLER]))
    text = folder.state.read_text()
    folder.state.write_text(json.dumps(json.loads(text) | change) if change else "[]")
    with pytest.raises(PlatformError, match=r"state\.json cannot be read") as refused:
        load(folder)
    assert refused.value.remedy
    folder.state.write_text(text[:100])
    with pytest.raises(PlatformError, match=r"state\.json cannot be read"):
        load(folder)
