"""A Pod like a collaborator, on a node with the local API server: its key arrives late, and its files change while it runs.

The other modules test the parts of the node; this one tests the whole node with objects of an API server.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from api import Api, api
from embedded import Embedded
from panal.kube import kinds
from panal_local.node.drain import drain
from part import command
from waiting import eventually

NS, FOLDER = "site", "/panal/gateway"
SCRIPT = "echo loopback $1 $LOOPBACK share:$SHARE; while :; do echo $PWD: $(cat tls.crt cds.json proxy 2>/dev/null); sleep 0.1; done"
SOURCES = [
    {"secret": {"name": "identity", "items": [{"key": "tls.crt", "path": "tls.crt"}]}},
    {"secret": {"name": "proxy", "optional": True, "items": [{"key": "proxy", "path": "proxy"}]}},
    {"configMap": {"name": "run"}},
]
MAIN = {
    "name": "main",
    "image": "test/python:1",
    "workingDir": FOLDER,
    "command": ["sh", "-c", SCRIPT, "sh", "$(PANAL_LOOPBACK)"],
    "env": [
        {"name": "PANAL_LOOPBACK", "value": "127.0.0.1"},
        {"name": "LOOPBACK", "value": "$(PANAL_LOOPBACK)"},
        {"name": "SHARE", "valueFrom": {"configMapKeyRef": {"name": "site", "key": "share-errors", "optional": True}}},
    ],
    "volumeMounts": [{"name": "gateway", "mountPath": FOLDER, "readOnly": True}],
}
SPEC = {
    "nodeName": "n",
    "serviceAccountName": "fl-collaborator",
    "automountServiceAccountToken": False,
    "dnsPolicy": "None",
    "dnsConfig": {"nameservers": ["127.0.0.1"], "options": [{"name": "attempts", "value": "1"}]},
    "terminationGracePeriodSeconds": 0,
    "containers": [MAIN],
    "volumes": [{"name": "gateway", "projected": {"defaultMode": 0o440, "sources": SOURCES}}],
}


def named(api_version: str, kind: str, name: str, **content: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": NS}, **content}


def secret(name: str, **data: str) -> dict[str, Any]:
    return named("v1", "Secret", name, data={k.replace("_", "."): base64.b64encode(f"{v}\n".encode()).decode() for k, v in data.items()})


@dataclass
class Site:
    hub: Api
    folder: Path

    def output(self) -> list[str]:
        """The output of the container."""
        return [line for log in self.folder.glob("node/pods/*/containers/main/0/log") for line in log.read_text().splitlines()]

    def reads(self, *words: str) -> None:
        eventually(lambda: self.output() and self.output()[-1].split()[1:] == list(words), f"it reads {words}", 10)

    def pod(self) -> dict[str, Any]:
        return self.hub.get(kinds.POD, NS, "p") or {}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    server = Embedded(tmp_path / "api").start()
    root = tmp_path / "images/test/python/1/root"
    root.mkdir(parents=True)
    (root / "venv").symlink_to(sys.prefix)
    image = {"digest": "sha256:" + "0" * 64, "root": "root", "env": {}, "entrypoint": [], "cmd": [], "workingDir": "."}
    (root.parent / "image.json").write_text(json.dumps(image))
    number = os.getpid() % 200
    where = {"address": f"127.79.{number}.1", "pod_range": f"127.80.{number}.0/24"}
    folders = {"folder": tmp_path / "node", "images": tmp_path / "images"}
    node = subprocess.Popen(command("node", kubeconfig=server.kubeconfig, name="n", **where, **folders))
    hub = api(server.kubeconfig)
    try:
        hub.make_namespace(NS)
        hub.apply(named("v1", "ServiceAccount", "fl-collaborator", automountServiceAccountToken=False))
        eventually(lambda: hub.get(kinds.NODE, "", "n"), "the node is there", 20)
        yield Site(hub, tmp_path)
    finally:
        node.terminate()
        node.wait(10)
        assert asyncio.run(drain(tmp_path / "node", 0)) == []
        server.stop()


def test_a_pod_waits_for_its_key_and_gets_changed_files(site: Site) -> None:
    hub = site.hub
    hub.apply(named("v1", "ConfigMap", "run", data={"cds.json": "first\n"}))
    hub.apply(named("v1", "Pod", "p", spec=SPEC))
    events = lambda: [e["message"] for e in hub.list(kinds.EVENT, NS) if e["reason"] == "FailedMount"]  # noqa: E731
    eventually(lambda: any('secret "identity" not found' in message for message in events()), "it says what is missing", 10)
    assert site.output() == []

    hub.apply(secret("identity", tls_crt="one"))
    site.reads("one", "first")
    loopback = site.pod()["status"]["podIP"]
    assert site.output()[0] == f"loopback {loopback} {loopback} share:"
    assert site.output()[-1].startswith(f"{site.folder}/node/pods/"), "its working directory is the real folder"

    hub.apply(secret("identity", tls_crt="two"))
    site.reads("two", "first")
    hub.apply(named("v1", "ConfigMap", "run", data={"cds.json": "second\n"}))
    site.reads("two", "second")
    hub.apply(secret("proxy", proxy="Basic"))
    site.reads("two", "second", "Basic")
    hub.delete(kinds.SECRET, NS, "proxy")
    site.reads("two", "second")

    hub.delete(kinds.SECRET, NS, "identity")  # as when the cluster is shut out
    hub.apply(named("v1", "ConfigMap", "run", data={"cds.json": "third\n"}))
    lines = len(site.output())
    eventually(lambda: len(site.output()) > lines + 10, "a second goes by", 10)
    site.reads("two", "second")
    assert site.pod()["status"]["phase"] == "Running"
    hub.apply(secret("identity", tls_crt="three"))
    site.reads("three", "third")


def test_the_sites_configuration_is_read_when_a_container_starts(site: Site) -> None:
    hub = site.hub
    hub.apply(named("v1", "ConfigMap", "site", data={"share-errors": "true"}))
    hub.apply(named("v1", "ConfigMap", "run", data={"cds.json": "first\n"}))
    hub.apply(secret("identity", tls_crt="one"))
    hub.apply(named("v1", "Pod", "p", spec=SPEC))
    eventually(lambda: site.output() and site.output()[0].endswith(" share:true"), "it reads it", 10)
