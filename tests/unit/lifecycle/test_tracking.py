"""What the reporter gets to track a run."""

from __future__ import annotations

import json

from panal.lifecycle.aggregator import objects
from panal.lifecycle.world import Object
from worlds import fresh, run

OURS = ("MLFLOW", "OTEL", "PANAL_TRACKING", "PANAL_TELEMETRY")


def reporter_and_volumes(tracking: dict[str, object] | None) -> tuple[Object, list[str]]:
    world = fresh(run=run(tracking=tracking, server={"rounds": 4, "runConfig": {"lr": 0.5}}))
    (job,) = (each for each in objects(world, []) if each["kind"] == "Job")
    pod = job["spec"]["template"]["spec"]
    (reporter,) = (each for each in pod["initContainers"] if each["name"] == "reporter")
    others = [*(each for each in pod["initContainers"] if each is not reporter), *pod["containers"]]
    assert not [each for other in others for each in other.get("env") or () if each["name"].startswith(OURS)]
    assert not [mount for other in others for mount in other.get("volumeMounts") or () if mount["name"] in ("tracking", "telemetry")]
    return reporter, [volume["name"] for volume in pod["volumes"]]


def test_a_run_that_is_not_tracked_gets_nothing() -> None:
    for tracking in (None, {}):
        reporter, volumes = reporter_and_volumes(tracking)
        assert not [each for each in reporter["env"] if each["name"].startswith(OURS)]
        assert not {"tracking", "telemetry"} & set(volumes)


def test_the_reporter_alone_gets_address_credentials_and_authorities() -> None:
    wanted = {"uri": "https://mlflow.example.com", "experiment": "digits", "secretName": "mlflow", "caBundle": {"name": "authorities"}}
    reporter, volumes = reporter_and_volumes({"mlflow": wanted})
    env = {each["name"]: each for each in reporter["env"]}
    content = json.loads(env["PANAL_TRACKING"]["value"])
    assert (content["uri"], content["experiment"], content["secret"]) == ("https://mlflow.example.com", "digits", "mlflow")
    assert (content["parameters"]["rounds"], content["parameters"]["config/lr"]) == ("4", "0.5")
    assert env["MLFLOW_TRACKING_TOKEN"]["valueFrom"]["secretKeyRef"] == {"name": "mlflow", "key": "MLFLOW_TRACKING_TOKEN", "optional": True}
    assert env["PANAL_TRACKING_AUTHORITIES"]["value"] == "/panal/tracking/ca.crt"
    assert {"name": "tracking", "mountPath": "/panal/tracking", "readOnly": True} in reporter["volumeMounts"]
    assert "tracking" in volumes


def test_both_may_be_asked_for() -> None:
    mlflow = {"uri": "https://mlflow.example.com", "experiment": "digits", "caBundle": {"name": "one"}}
    telemetry = {"endpoint": "https://otel.example.com:4318", "secretName": "otel", "caBundle": {"name": "two", "kind": "Secret"}}
    reporter, volumes = reporter_and_volumes({"mlflow": mlflow, "openTelemetry": telemetry})
    env = {each["name"]: each for each in reporter["env"]}
    content = json.loads(env["PANAL_TELEMETRY"]["value"])
    assert content == {"endpoint": "https://otel.example.com:4318", "created": 1772362800.0, "bundle": "key ca.crt of Secret two"}
    assert env["OTEL_EXPORTER_OTLP_HEADERS"]["valueFrom"]["secretKeyRef"]["name"] == "otel"
    assert "MLFLOW_TRACKING_TOKEN" not in env
    assert [each["mountPath"] for each in reporter["volumeMounts"] if each["name"] in ("tracking", "telemetry")] == [
        "/panal/tracking",
        "/panal/telemetry",
    ]
    assert {"tracking", "telemetry"} <= set(volumes)
