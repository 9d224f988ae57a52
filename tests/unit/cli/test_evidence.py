"""`panal evidence`: the file is written from what the hub has stored, and examined without a hub."""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
from pathlib import Path
from typing import Any

import pytest

import evidence as support
from api import Api, api
from panal.api import names
from panal.api.crd import crd
from panal.api.history import for_config_map
from panal.cli.main import main
from panal.client.problem import Code
from panal.evidence.sealed import fingerprint, public_pem, read_key
from panal.hub.records import Identity, Records
from panal.kube import kinds
from panal.kube.client import Client
from panal.kube.objects import Object
from panal.lifecycle.plan import Keep
from worlds import resource

FILE, SITES = support.file(1, 3)


@pytest.fixture
def panal(monkeypatch, capsys, tmp_path):
    """Runs the command line in this process, in a folder of its own: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["panal", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return end.value.code or 0, said.out, said.err

    return run


def written(folder: Path, content: Any = FILE, name: str = "evidence.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def keys(folder: Path) -> dict[str, Path]:
    found = {"": support.HUB.public_key(), **{cluster: each.key.public_key() for cluster, each in SITES.items()}}
    for cluster, key in found.items():
        (folder / f"{cluster or 'hub'}.pem").write_text(public_pem(key))
    return {cluster: folder / f"{cluster or 'hub'}.pem" for cluster in found}


# --- examined ---------------------------------------------------------------------------------------------------------
def test_a_whole_file_and_where_its_keys_are_from(panal, tmp_path: Path) -> None:
    code, said, error = panal("evidence", "verify", written(tmp_path))
    assert code == Code.OK
    assert "ns/digits: as it was sealed; 2 receipts and 3 rows of the history hold" in said
    assert said.count("in the file") == 3
    assert "no key was given" in error
    found = keys(tmp_path)
    given = ("--hub-key", found[""], "--site-key", f"cluster1={found['cluster1']}")
    code, said, error = panal("evidence", "verify", written(tmp_path), *given)
    assert (code, said.count("given"), said.count("in the file")) == (Code.OK, 2, 1)
    assert "not every key was given" in error
    code, said, error = panal("evidence", "verify", written(tmp_path), *given, "--site-key", f"cluster3={found['cluster3']}")
    assert (code, error) == (Code.OK, "")
    code, said, _ = panal("evidence", "verify", written(tmp_path), "--hub-key", found["cluster1"])
    assert code == Code.UNHEALTHY
    assert "/hubKey" in said


def test_a_changed_file_is_named_in_text_and_as_json(panal, tmp_path: Path) -> None:
    changed = json.loads(json.dumps(FILE))
    changed["record"]["content"]["run"]["purpose"] = "another\x1b[2J"
    del changed["receipts"]["cluster3"]
    path = written(tmp_path, changed)
    code, said, _ = panal("evidence", "verify", path)
    assert code == Code.UNHEALTHY
    assert "it is not as it was sealed" in said
    assert [line.split()[0] for line in said.splitlines() if line.startswith("/")] == ["/record/content/run/purpose", "/receipts/cluster3"]
    code, said, _ = panal("evidence", "verify", path, "-o", "json")
    found = json.loads(said)
    assert (code, found["whole"], found["notShown"]) == (Code.UNHEALTHY, False, [])
    assert found["findings"] == [
        {"pointer": "/record/content/run/purpose", "what": "was changed"},
        {"pointer": "/receipts/cluster3", "what": "is missing"},
    ]
    assert found["keys"]["hub"] == {"fingerprint": fingerprint(support.HUB.public_key()), "given": False}


def test_text_of_others_does_not_reach_the_terminal(panal, tmp_path: Path) -> None:
    changed = json.loads(json.dumps(FILE))
    changed["receipts"]["\x1b[2J"] = {}
    changed["record"]["content"]["run"]["name"] = "\x1b[31m"
    _, said, _ = panal("evidence", "verify", written(tmp_path, changed))
    assert "\x1b" not in said


def test_what_is_missing_is_told_apart_from_what_was_changed(panal, tmp_path: Path) -> None:
    changed = {**FILE, "history": {"missing": "the storage is gone"}}
    code, said, _ = panal("evidence", "verify", written(tmp_path, changed))
    assert code == Code.UNHEALTHY
    assert "no change can be seen, but it does not show everything" in said
    assert "the storage is gone" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("no.json",), "no.json cannot be read"),
        (("list.json",), "it is no JSON object"),
        (("evidence.json", "--site-key", "cluster1"), "--site-key cluster1: it is not CLUSTER=FILE"),
        (("evidence.json", "--hub-key", "no.pem"), "no.pem cannot be read"),
        (("evidence.json", "--hub-key", "list.json"), "a key that was given cannot be used"),
        (("evidence.json", "--site-key", "cluster1=list.json"), "a key that was given cannot be used"),
    ],
)
def test_what_cannot_be_used(panal, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    written(tmp_path)
    written(tmp_path, [], "list.json")
    code, _, error = panal("evidence", "verify", *words)
    assert code == Code.USAGE
    assert said in error


# --- written ----------------------------------------------------------------------------------------------------------
@pytest.fixture
def hub(server) -> Api:
    found = api(server.kubeconfig)
    found.apply(crd())
    found.make_namespace("ns")
    found.make_namespace(names.SYSTEM_NAMESPACE)
    found.delete(kinds.FEDERATED_LEARNING, "ns", "digits")
    for each in found.list(kinds.CONFIG_MAP, "ns"):
        found.delete(kinds.CONFIG_MAP, "ns", each["metadata"]["name"])
    return found


def run_of(hub: Api) -> Object:
    made = resource()
    made["metadata"] = {"name": "digits", "namespace": "ns"}
    return hub.create(made)


def stored(server: Any, run: Object, rows: int) -> str:
    """Stores a record of the run; returns the hub's key."""

    async def store() -> str:
        async with Client.from_kubeconfig(server.kubeconfig) as client:
            records = Records(client, names.SYSTEM_NAMESPACE)
            await records.load(lambda: None)
            content = support.kept(support.ended()).content
            content["run"]["uid"], content["certificates"] = run["metadata"]["uid"], {}
            content["hub"] = {"key": fingerprint(read_key(records.key))}
            content["history"] = support.head(support.history()).model_dump() if rows else {}
            await records.take(Identity("ns", "digits", run["metadata"]["uid"]), Keep(content, ()))
            return records.key

    return asyncio.run(store())


def test_a_run_without_a_record_says_why(panal, hub: Api, server) -> None:
    run_of(hub)
    code, _, error = panal("evidence", "digits", "--kubeconfig", server.kubeconfig)
    assert code == Code.NOT_FOUND
    assert "digits has no record: it has not ended" in error


def test_the_file_is_written_and_holds(panal, hub: Api, server, tmp_path: Path) -> None:
    key = stored(server, run_of(hub), rows=0)
    (tmp_path / "hub.pem").write_text(key)
    for words, name in ((("digits",), "digits-evidence.json"), (("write", "digits", "-o", "other.json"), "other.json")):
        code, said, error = panal("evidence", *words, "-n", "ns", "--kubeconfig", server.kubeconfig)
        assert code == Code.OK, error
        assert said == f"{name}: record, 0 receipts, 0 rows of the history\n"
        assert panal("evidence", "verify", name, "--hub-key", "hub.pem")[0] == Code.OK
    code, said, _ = panal("evidence", "-n", "ns", "--kubeconfig", server.kubeconfig, "digits")
    assert (code, said[:20]) == (Code.OK, "digits-evidence.json")


def test_a_short_history_is_read_from_its_config_map(panal, hub: Api, server) -> None:
    run = run_of(hub)
    stored(server, run, rows=3)
    rows = [*support.history(), {"round": 4, "complete": False}]
    lines = b"".join(json.dumps(each).encode() + b"\n" for each in ({"version": 1}, *rows))

    def put(content: bytes) -> None:
        hub.delete(kinds.CONFIG_MAP, "ns", names.history("digits"))
        metadata = {"name": names.history("digits"), "namespace": "ns"}
        hub.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "binaryData": for_config_map(gzip.compress(content))})

    put(lines)
    _, said, error = panal("evidence", "digits", "--kubeconfig", server.kubeconfig)
    assert said == "digits-evidence.json: record, 0 receipts, 3 rows of the history\n", error
    assert panal("evidence", "verify", "digits-evidence.json")[0] == Code.OK
    for shortened in (lines.replace(b"0.6", b"0.7"), b"".join(lines.splitlines(keepends=True)[:3]), b"x"):
        put(shortened)
        _, _, error = panal("evidence", "digits", "--kubeconfig", server.kubeconfig)
        assert "/history/rows: are not in the file: digits has stored nothing" in error


def test_a_history_that_cannot_be_read_is_said_and_not_made_up(panal, hub: Api, server) -> None:
    stored(server, run_of(hub), rows=3)
    code, _, error = panal("evidence", "digits", "--kubeconfig", server.kubeconfig)
    assert code == Code.OK
    assert "/history/rows: are not in the file: digits has stored nothing" in error
    assert json.loads(Path("digits-evidence.json").read_text())["history"] == {"missing": "digits has stored nothing"}
    assert panal("evidence", "verify", "digits-evidence.json")[0] == Code.UNHEALTHY


def test_a_record_that_was_changed_on_the_hub_is_named(panal, hub: Api, server) -> None:
    run = run_of(hub)
    stored(server, run, rows=0)
    changed = hub.get(kinds.CONFIG_MAP, "ns", names.evidence("digits"))
    assert changed
    hub.delete(kinds.CONFIG_MAP, "ns", names.evidence("digits"))
    content = json.loads(changed["data"]["record"])
    content["metrics"]["accuracy"] = 0.99
    metadata = {key: changed["metadata"][key] for key in ("name", "namespace", "labels", "ownerReferences")}
    hub.create({**changed, "metadata": metadata, "data": {**changed["data"], "record": json.dumps(content)}})
    _, _, error = panal("evidence", "digits", "--kubeconfig", server.kubeconfig)
    assert "/record/content: was changed" in error
    assert panal("evidence", "verify", "digits-evidence.json")[0] == Code.UNHEALTHY


def test_the_help_and_an_empty_command(panal) -> None:
    assert "write" in panal("evidence", "--help")[1]
    assert panal("evidence", "verify", "--help")[0] == 0
    assert "Usage" in "".join(panal("evidence")[1:])
