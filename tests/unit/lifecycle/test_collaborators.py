"""Which clusters have a collaborator, and when."""

from __future__ import annotations

import json

import pytest

from panal.lifecycle.decide import decide
from panal.lifecycle.world import PlacementView
from worlds import (
    APP_HASH,
    CLAIM,
    NOW,
    applied,
    cluster,
    clusters,
    deleted,
    fresh,
    job,
    manifests,
    names_of,
    pod,
    progress,
    run,
    running,
    service,
    status_after,
    work,
    works,
)


def test_collaborators_are_created_when_address_and_app_are_known() -> None:
    announced = progress(connected=0, started=False, runtime_version="1.42.0")
    plan = decide(fresh(exposed=(service(),), job=job(pod()), progress=announced), NOW)
    assert [w["metadata"]["namespace"] for w in applied(plan, "ManifestWork")] == ["cluster1", "cluster2", "cluster3"]
    made = manifests(plan)
    assert list(made) == ["NetworkPolicy", "ConfigMap", "StatefulSet", "Pod"]
    assert "10.0.0.1" in made["ConfigMap"]["data"]["cds.json"]
    assert "digits.ns.fl.panal" in made["ConfigMap"]["data"]["cds.json"]
    environment = made["StatefulSet"]["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "PANAL_APP_HASH", "value": APP_HASH} in environment
    assert {"name": "PANAL_FLOWER_VERSION", "value": "1.42.0"} in environment


def test_a_work_is_small() -> None:
    """A hub stores one for each cluster and run, and each agent reads its own."""
    made = applied(decide(running(), NOW), "ManifestWork")
    assert 0 < max(len(json.dumps(each, separators=(",", ":"))) for each in made) < 10_500  # bytes


def test_no_collaborator_starts_before_the_app_hash_is_announced() -> None:
    unknown = progress(app_hash="", connected=0, started=False)
    assert not applied(decide(fresh(exposed=(service(),), job=job(pod()), progress=unknown), NOW), "ManifestWork")


def test_works_follow_the_selected_clusters() -> None:
    plan = decide(running(placement=PlacementView(selected=names_of(1, 2)), works=works(work(1), work(3))), NOW)
    assert deleted(plan, "ManifestWork") == ["cluster3"]
    assert [w["metadata"]["namespace"] for w in applied(plan, "ManifestWork")] == ["cluster1", "cluster2"]


@pytest.mark.parametrize(
    ("claim", "taking_part", "mounts"),
    [("None", ["cluster1", "cluster2", "cluster3"], 0), (CLAIM, ["cluster1", "cluster2"], 1)],
)
def test_a_cluster_without_data_takes_part_only_in_runs_without_data(claim: str, taking_part: list[str], mounts: int) -> None:
    asks = run(status_after(running()), client={"dataClaim": claim, "placement": {}})
    known = clusters(cluster(1), cluster(2), cluster(3, claim=None))
    made = applied(decide(running(run=asks, clusters=known, works={}), NOW), "ManifestWork")
    assert [w["metadata"]["namespace"] for w in made] == taking_part
    sets = [m for w in made for m in w["spec"]["workload"]["manifests"] if m["kind"] == "StatefulSet"]
    volumes = [[v["name"] for v in s["spec"]["template"]["spec"]["volumes"]] for s in sets]
    assert [names.count("data") for names in volumes] == [mounts] * len(taking_part)


def test_a_cluster_whose_claim_is_removed_loses_its_collaborator() -> None:
    plan = decide(running(clusters=clusters(cluster(1), cluster(2), cluster(3, claim=None))), NOW)
    assert deleted(plan, "ManifestWork") == ["cluster3"]


BUCKET = "s3://digits/train?endpoint=https://minio.example.com:9000&address=192.0.2.9&region=eu-west-1"


def test_data_in_a_bucket_reaches_the_app_and_nothing_else_is_opened() -> None:
    made = manifests(decide(running(clusters=clusters(cluster(1, claim=BUCKET), cluster(2), cluster(3)), works={}), NOW))
    pod_spec = made["StatefulSet"]["spec"]["template"]["spec"]
    (app,) = pod_spec["containers"]
    told = {each["name"]: each.get("value") for each in app["env"]}
    assert told["PANAL_DATA_PATH"] == "s3://digits/train"
    assert (told["AWS_ENDPOINT_URL_S3"], told["AWS_REGION"]) == ("https://minio.example.com:9000", "eu-west-1")
    assert app["envFrom"] == [{"secretRef": {"name": "fl-collaborator-data"}}]
    assert pod_spec["hostAliases"] == [{"ip": "192.0.2.9", "hostnames": ["minio.example.com"]}]
    assert "data" not in [volume["name"] for volume in pod_spec["volumes"]]
    aggregator, bucket = made["NetworkPolicy"]["spec"]["egress"]
    assert bucket == {"to": [{"ipBlock": {"cidr": "192.0.2.9/32"}}], "ports": [{"protocol": "TCP", "port": 9000}]}
    assert aggregator["to"] != bucket["to"]
    others = manifests(decide(running(clusters=clusters(cluster(1, claim=BUCKET), cluster(2), cluster(3)), works={}), NOW), "cluster2")
    assert len(others["NetworkPolicy"]["spec"]["egress"]) == 1


def test_the_runs_author_cannot_send_the_app_to_another_bucket() -> None:
    env = [{"name": "AWS_ENDPOINT_URL_S3", "value": "https://192.0.2.66"}, {"name": "AWS_PROFILE", "value": "x"}]
    asks = run(status_after(running()), client={"env": env})
    made = manifests(decide(running(run=asks, clusters=clusters(cluster(1, claim=BUCKET), cluster(2), cluster(3)), works={}), NOW))
    (app,) = made["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    assert [e["value"] for e in app["env"] if e["name"] == "AWS_ENDPOINT_URL_S3"] == ["https://minio.example.com:9000"]
