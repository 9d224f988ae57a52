"""docs/how-to/store-models.md on real nodes: a run to Completed with the page's bucket, and with its folder of the node (`make soak`).

`test_nodes_1_runs` has the volume claim.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

import pages
from bridge import Bridge
from certificates import SERVER_AUTH, authority
from containers import Containers
from hub_network import named
from panal.kube import kinds
from runs import Run, apply
from s3 import BUCKET, CREDENTIALS, serving

pytestmark = [pytest.mark.real, pytest.mark.nodes, pytest.mark.soak]

PAGE = Path(__file__).parents[2] / "docs/how-to/store-models.md"
NS, NAME = "team", "digits"
SITES = ["cluster1", "cluster2"]
HOST = "minio.test"  # in place of the page's


def server(kind: str, **placeholders: str) -> dict[str, Any]:
    """`spec.server` of the page."""
    (found,) = (each["spec"]["server"] for each in pages.resources(PAGE) if each["spec"]["server"]["storage"]["type"] == kind)
    text = json.dumps(found)
    for word, value in placeholders.items():
        assert word in text
        text = text.replace(word, value)
    filled: dict[str, Any] = json.loads(text)
    return filled


def say(engine: Containers, folder: Path, word: str, placeholder: str = "", *values: str) -> str:
    """What the page's only command with this word prints, with these values in the places of the placeholder."""
    (command,) = (block for block in pages.prompts(PAGE) if word in block)
    assert command.count(placeholder) == len(values) or not placeholder
    for value in values:
        command = command.replace(placeholder, value, 1)
    return pages.say(command, engine.fleet.hub.kubeconfig, folder)


def completed(run: Run, folder: str, read: Callable[[str], bytes]) -> None:
    """What the status says of the model is what one reads from the storage."""
    model = run.until_ended("Completed")["model"]
    content, metadata = (read(f"{folder}/{name}") for name in ("model.safetensors", "metadata.json"))
    assert (model["digest"], model["size"]) == (f"sha256:{hashlib.sha256(content).hexdigest()}", len(content))
    assert json.loads(metadata)["clusters"] == {cluster: [1, 2] for cluster in SITES}
    run.until_cleaned()


@pytest.fixture(autouse=True)
def namespace(engine: Containers) -> Iterator[None]:
    """Without a run of the page's name at the end."""
    engine.hub.make_namespace(NS)
    yield
    engine.fleet.hub.kubectl("delete", "fl", "--all", "-n", NS, "--timeout=120s")


def test_a_bucket(engine: Containers, tmp_path: Path) -> None:
    host, trusted = f"{Bridge(engine.fleet.root).prefix}.1", authority("test")
    pair = trusted.issue("s3", x509.DNSName(HOST), x509.IPAddress(ip_address(host)), usages=[SERVER_AUTH])
    for name, content in (("ca.crt", trusted.certificate), ("tls.crt", pair.certificate), ("tls.key", pair.key)):
        (tmp_path / name).write_bytes(content)
    tls = ("--cert", str(tmp_path / "tls.crt"), "--key", str(tmp_path / "tls.key"))
    say(engine, tmp_path, "create secret", "...", *CREDENTIALS.values())
    say(engine, tmp_path, "create configmap")
    with (
        serving(tmp_path, *tls, scheme="https", host=host, authorities=str(tmp_path / "ca.crt")) as s3,
        named(engine.fleet, HOST, host),
    ):
        spec = server("S3Bucket", **{"minio.example.com:9000": f"{HOST}:{s3.url.rpartition(':')[2]}"})
        assert spec["storage"]["s3"]["bucketName"] == BUCKET
        run = apply(engine, NS, NAME, clusters=SITES, server=spec)
        key = f"fl/{NS}/{NAME}/{run.uid}"
        completed(run, key, lambda name: bytes(s3.client().get_object(Bucket=BUCKET, Key=name)["Body"].read()))
        assert say(engine, tmp_path, "status.model.uri", "RUN", NAME) == f"s3://{BUCKET}/{key}/model.safetensors"
        run.delete()
        assert "model.safetensors" in s3.objects(key)
    for kind, name in ((kinds.SECRET, "models-s3"), (kinds.CONFIG_MAP, "s3-ca")):
        engine.hub.delete(kind, NS, name)


def test_a_folder_of_the_node(engine: Containers) -> None:
    spec = server("HostPath", **{"hub-1": engine.fleet.machine("hub").name})
    path = spec["storage"]["path"]
    engine.fleet.enter("hub", "install", "-d", "-o", "65532", "-m", "700", path)
    run = apply(engine, NS, NAME, clusters=SITES, server=spec)
    folder = f"{path}/{NS}/{NAME}/{run.uid}"
    completed(run, folder, lambda name: base64.b64decode(engine.fleet.enter("hub", "base64", name)))
    assert run.status()["model"]["uri"] == f"file://{folder}/model.safetensors"
    run.delete()
    assert "model.safetensors" in engine.fleet.enter("hub", "ls", folder)
