"""S3Bucket: the reporter puts the model into a bucket. The Pod's volume holds only what is being uploaded.

The reporter gets the bucket's address in variables, the credentials from a Secret of the run's namespace, and the authorities of the
endpoint from a mounted ConfigMap or Secret. The mount is optional, because a Pod that waits for a volume does not say for which one;
the reporter does.
"""

from __future__ import annotations

import json

from panal.api import names
from panal.api.types import S3, CaBundle, CaBundleKind, Storage
from panal.lifecycle.storage.kind import ReporterNeeds, environment
from panal.lifecycle.world import Object, Run, World

KEYS = {"AWS_ACCESS_KEY_ID": False, "AWS_SECRET_ACCESS_KEY": False, "AWS_SESSION_TOKEN": True}  # of the Secret; whether it may lack them
REGION = "us-east-1"  # what S3-compatible services without regions accept
CA_FILE = "ca.crt"


def s3(run: Run) -> S3:
    found = run.spec.server.storage.s3
    if found is None:
        raise ValueError("storage.s3 is missing")  # `problem` is asked before
    return found


class Bucket:
    def problem(self, storage: Storage) -> str:
        return "" if storage.s3 else "spec.server.storage.s3: required with type S3Bucket; name the bucket in s3.bucketName"

    def objects(self, world: World) -> list[Object]:
        return []

    def volume(self, run: Run) -> Object:
        return {"emptyDir": {}}

    def uri(self, run: Run) -> str:
        return f"s3://{s3(run).bucket_name}"

    def folder(self, run: Run) -> str:
        return s3(run).prefix.strip("/")

    def reporter(self, run: Run) -> ReporterNeeds:
        wanted = s3(run)
        volumes = {"authorities": (authorities(wanted.ca_bundle), names.AUTHORITIES_DIR)} if wanted.ca_bundle else {}
        file = f"{names.AUTHORITIES_DIR}/{CA_FILE}" if wanted.ca_bundle else ""
        env = environment(PANAL_STORAGE_S3=json.dumps(address(wanted)), PANAL_STORAGE_AUTHORITIES=file)
        return ReporterNeeds((*env, *_credentials(wanted.secret_name)), volumes, identity=not wanted.secret_name)

    def without_pod(self, run: Run) -> str:
        return ""


def address(wanted: S3) -> dict[str, object]:
    """What `panal.pod.bucket.Address` reads."""
    bundle = wanted.ca_bundle
    return {
        "bucket": wanted.bucket_name,
        "region": wanted.region or REGION,
        "endpoint": wanted.endpoint,
        "pathStyle": bool(wanted.endpoint) if wanted.force_path_style is None else wanted.force_path_style,
        "bundle": f"key {bundle.key} of {bundle.kind} {bundle.name}" if bundle else "",
        "secret": wanted.secret_name,
    }


def authorities(bundle: CaBundle) -> Object:
    """The source of a volume with the bundle as CA_FILE."""
    items = [{"key": bundle.key, "path": CA_FILE}]
    if bundle.kind is CaBundleKind.SECRET:
        return {"secret": {"secretName": bundle.name, "items": items, "optional": True}}
    return {"configMap": {"name": bundle.name, "items": items, "optional": True}}


def _credentials(secret: str) -> tuple[Object, ...]:
    if not secret:
        return ()
    keys = ({"name": secret, "key": key} | ({"optional": True} if optional else {}) for key, optional in KEYS.items())
    return tuple({"name": each["key"], "valueFrom": {"secretKeyRef": each}} for each in keys)
