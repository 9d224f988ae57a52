"""Where the model is stored, and what the hub needs for it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from panal.lifecycle.decide import decide
from panal.lifecycle.storage import storage
from worlds import NOW, applied, fresh, progress, run, running

CASES: list[tuple[str, dict[str, Any], str, str, str]] = [
    ("nothing is set", {}, f"{run().name}-model", "", "1Gi"),
    ("a name", {"name": "models"}, "models", "", "1Gi"),
    ("a folder", {"name": "models", "path": "/a/b/"}, "models", "a/b", "1Gi"),
    ("a size", {"size": "2Gi"}, f"{run().name}-model", "", "2Gi"),
]


@pytest.mark.parametrize(("spec", "claim", "folder", "size"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_claim_holds_the_model(spec: dict[str, Any], claim: str, folder: str, size: str) -> None:
    world = fresh(run=run(server={"storage": spec}))
    kind = storage(world.run)
    (made,) = kind.objects(world)
    assert (made["kind"], made["metadata"]["name"]) == ("PersistentVolumeClaim", claim)
    assert made["spec"]["resources"]["requests"]["storage"] == size
    assert "ownerReferences" not in made["metadata"]
    assert kind.volume(world.run) == {"persistentVolumeClaim": {"claimName": claim}}
    assert (kind.uri(world.run), kind.folder(world.run)) == (f"pvc://{claim}", folder)


def test_an_existing_claim_is_not_applied() -> None:
    world = fresh(volume_claims=frozenset({f"{run().name}-model"}))
    assert storage(world.run).objects(world) == []


def reporter_of(spec: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The aggregator's Pod with this storage, and the reporter in it."""
    (job,) = applied(decide(fresh(run=run(server={"storage": spec})), NOW), "Job")
    template: dict[str, Any] = job["spec"]["template"]
    return template, next(c for c in template["spec"]["initContainers"] if c["name"] == "reporter")


def others(template: dict[str, Any]) -> list[dict[str, Any]]:
    pod = template["spec"]
    return [c for c in (*pod["initContainers"], *pod["containers"]) if c["name"] != "reporter"]


def volume(template: dict[str, Any], name: str) -> dict[str, Any]:
    return next(v for v in template["spec"]["volumes"] if v["name"] == name)


ENDPOINT = {"bucketName": "models", "endpoint": "https://minio.example.com:9000"}
ADDRESS = {"bucket": "models", "region": "us-east-1", "endpoint": "", "pathStyle": False, "bundle": "", "secret": ""}
MINIO = ADDRESS | {"endpoint": "https://minio.example.com:9000", "pathStyle": True}
BUCKETS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("of the former controller", {"bucketName": "models", "region": "eu-west-1"}, ADDRESS | {"region": "eu-west-1"}),
    ("another service", ENDPOINT, MINIO),
    ("by host name", ENDPOINT | {"forcePathStyle": False}, MINIO | {"pathStyle": False}),
    ("by path", {"bucketName": "models", "forcePathStyle": True}, ADDRESS | {"pathStyle": True}),
    ("a Secret", ENDPOINT | {"secretName": "s3"}, MINIO | {"secret": "s3"}),
    ("own authorities", ENDPOINT | {"caBundle": {"name": "ca"}}, MINIO | {"bundle": "key ca.crt of ConfigMap ca"}),
    (
        "own authorities in a Secret",
        ENDPOINT | {"caBundle": {"kind": "Secret", "name": "ca", "key": "tls.crt"}},
        MINIO | {"bundle": "key tls.crt of Secret ca"},
    ),
]


@pytest.mark.parametrize(("s3", "address"), [case[1:] for case in BUCKETS], ids=[case[0] for case in BUCKETS])
def test_the_reporter_learns_the_bucket(s3: dict[str, Any], address: dict[str, Any]) -> None:
    template, reporter = reporter_of({"type": "S3Bucket", "s3": {"prefix": "/a/b/", **s3}})
    env = {e["name"]: e.get("value") for e in reporter["env"]}
    assert json.loads(env["PANAL_STORAGE_S3"]) == address
    assert env["PANAL_STORAGE_AUTHORITIES"] == ("/panal/authorities/ca.crt" if address["bundle"] else "")
    assert (env["PANAL_STORAGE_URI"], env["PANAL_STORAGE_PATH"]) == ("s3://models", "a/b")
    assert volume(template, "storage") == {"name": "storage", "emptyDir": {}}
    assert not [c for c in others(template) if "PANAL_STORAGE_S3" in [e["name"] for e in c.get("env", [])]]


def test_only_the_reporter_gets_credentials_and_authorities() -> None:
    bundle = {"kind": "Secret", "name": "ca"}
    template, reporter = reporter_of({"type": "S3Bucket", "s3": ENDPOINT | {"secretName": "s3", "caBundle": bundle}})
    keys = [e["valueFrom"]["secretKeyRef"] for e in reporter["env"] if "secretKeyRef" in e.get("valueFrom", {})]
    assert keys == [
        {"name": "s3", "key": "AWS_ACCESS_KEY_ID"},
        {"name": "s3", "key": "AWS_SECRET_ACCESS_KEY"},
        {"name": "s3", "key": "AWS_SESSION_TOKEN", "optional": True},
    ]
    assert {"name": "authorities", "mountPath": "/panal/authorities", "readOnly": True} in reporter["volumeMounts"]
    items = [{"key": "ca.crt", "path": "ca.crt"}]
    assert volume(template, "authorities")["secret"] == {"secretName": "ca", "items": items, "optional": True}
    for container in others(template):
        assert "secretKeyRef" not in str(container.get("env"))
        assert not {"authorities", "storage"} & {m["name"] for m in container["volumeMounts"]}
    assert "annotations" not in template["metadata"]


def test_the_reporter_reads_no_settings_from_a_folder_that_the_app_can_write_to() -> None:
    template, reporter = reporter_of({"type": "S3Bucket", "s3": ENDPOINT | {"secretName": "s3"}})
    home = next(e["value"] for e in reporter["env"] if e["name"] == "HOME")
    writable = {m["mountPath"] for c in others(template) for m in c["volumeMounts"] if not m.get("readOnly")}
    assert home not in writable
    assert not [each for each in reporter["volumeMounts"] if each["mountPath"] == home]


def test_the_cloud_is_told_to_give_its_identity_to_the_reporter_alone() -> None:
    template, _ = reporter_of({"type": "S3Bucket", "s3": {"bucketName": "models"}})
    skipped = template["metadata"]["annotations"]["eks.amazonaws.com/skip-containers"]
    assert skipped.split(",") == [c["name"] for c in others(template)]


def test_a_folder_of_the_node_holds_the_model() -> None:
    spec = {"type": "HostPath", "path": "/srv/models"}
    template, reporter = reporter_of(spec)
    assert volume(template, "storage")["hostPath"] == {"path": "/srv/models", "type": "DirectoryOrCreate"}
    env = {e["name"]: e.get("value") for e in reporter["env"]}
    assert (env["PANAL_STORAGE_URI"], env["PANAL_STORAGE_PATH"]) == ("file:///srv/models", "")
    world = fresh(run=run(server={"storage": spec}))
    assert storage(world.run).objects(world) == []


def test_while_the_storage_is_tried_again_the_run_says_why() -> None:
    why = "spec.server.storage.s3.endpoint: Amazon S3: PutObject answers SlowDown; trying again"
    training = decide(running(progress=progress(waiting=why)), NOW).status
    assert training
    assert training.message.startswith(f"round 2 of 3: {why}")
    starting = decide(running(progress=progress(waiting=why, started=False, connected=0)), NOW).status
    assert starting
    assert starting.message.startswith(f"0 of 2 needed collaborators connected: {why}")
