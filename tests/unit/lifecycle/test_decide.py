"""The outline of a run: each world leads to its phase, its reason, and the objects it needs."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from panal.addon.config import NOTHING
from panal.api.names import ClusterName
from panal.api.types import FilesStatus, ModelStatus, Phase, Status
from panal.lifecycle.decide import decide
from panal.lifecycle.plan import Plan
from panal.lifecycle.reasons import REMEDY, Reason
from panal.lifecycle.world import Object, PlacementView, Refusal, SiteView, World
from worlds import (
    APP_HASH,
    CLAIM,
    MODEL,
    NOW,
    UID,
    ago,
    applied,
    cluster,
    clusters,
    deleted,
    fresh,
    job,
    launcher,
    names_of,
    pod,
    progress,
    run,
    running,
    seen,
    service,
    sites,
    status_after,
    work,
    works,
)


def reason_of(status: Status) -> str:
    return next(c.reason for c in status.conditions if c.type == "Progressing")


def said(reason: str, message: str) -> World:
    text = json.dumps({"reason": reason, "message": message})
    return running(job=job(pod(launcher(running=False, exit_code=1, message=text)), failed=True))


FAILURES: list[tuple[str, World, Reason, str]] = [
    ("OpenFL is not built yet", fresh(run=run(framework="openfl")), Reason.RUNTIME_NOT_SUPPORTED, "spec.framework"),
    (
        "a Route is not built yet",
        fresh(run=run(server={"listeners": [{"name": "l", "type": "Route", "port": 443}]})),
        Reason.LISTENER_NOT_SUPPORTED,
        "spec.server.listeners[0].type: Route",
    ),
    (
        "a bucket is not built yet",
        fresh(run=run(server={"storage": {"type": "S3Bucket", "s3": {"bucketName": "b"}}})),
        Reason.STORAGE_NOT_SUPPORTED,
        "spec.server.storage.type: S3Bucket",
    ),
    ("a name of the former controller", fresh(run=replace(run(), name="digits.v2")), Reason.INVALID_SPEC, "metadata.name"),
    ("no word of the data", fresh(run=run(client={"placement": {}})), Reason.DATA_CLAIM_MISSING, "write None if the run needs none"),
    ("no server image", fresh(run=run(server={"image": ""})), Reason.INVALID_SPEC, "spec.server.image"),
    ("deadline while waiting", fresh(run=run(activeDeadlineSeconds=3600), placement=None), Reason.DEADLINE_EXCEEDED, "3600"),
    ("deadline while running", running(run=run(status_after(running()), activeDeadlineSeconds=60)), Reason.DEADLINE_EXCEEDED, "Running"),
    (
        "the launcher says why",
        said("ServerAppFailed", "the server app ended with an error"),
        Reason.SERVER_APP_FAILED,
        "ended with an error",
    ),
    ("a word that nobody knows", said("Whatever", "secret text"), Reason.AGGREGATOR_FAILED, "exit code 1"),
    (
        "the aggregator was killed",
        running(job=job(pod(launcher(running=False, exit_code=137, terminated="OOMKilled")), failed=True)),
        Reason.AGGREGATOR_LOST,
        "OOMKilled",
    ),
    ("the aggregator's Pod is gone", running(job=job(failed=True, failure="BackoffLimitExceeded")), Reason.AGGREGATOR_LOST, "Backoff"),
    (
        "the aggregator was evicted",
        running(job=job(pod(launcher(running=False), reason="Evicted", message="disk pressure"), failed=True)),
        Reason.AGGREGATOR_LOST,
        "Evicted disk pressure",
    ),
    (
        "the aggregator's image stays missing",
        running(job=job(pod(launcher(running=False, waiting="ImagePullBackOff")), created=ago(601)), progress=None),
        Reason.IMAGE_PULL_FAILED,
        "example/app:1",
    ),
    (
        "the aggregator cannot be placed",
        running(job=job(pod(launcher(running=False), scheduled=False, unschedulable="0/1 nodes"), created=ago(601)), progress=None),
        Reason.UNSCHEDULABLE,
        "0/1 nodes",
    ),
    ("no Pod may be made", running(job=job(created=ago(601)), progress=None), Reason.POD_NOT_CREATED, "no Pod"),
    (
        "success without a word of the model",
        running(job=job(pod(launcher(running=False, exit_code=0, ended=ago(241))), succeeded=True)),
        Reason.MODEL_NOT_STORED,
        "where the model is",
    ),
]


@pytest.mark.parametrize(("world", "reason", "words"), [f[1:] for f in FAILURES], ids=[f[0] for f in FAILURES])
def test_a_run_that_cannot_go_on_fails_with_reason_and_remedy(world: World, reason: Reason, words: str) -> None:
    plan = decide(world, NOW)
    assert plan.status is not None
    assert plan.status.phase is Phase.FAILED
    assert reason_of(plan.status) == reason
    assert words in plan.status.message
    if reason in REMEDY and "Job has no Pod" not in plan.status.message and "did not start" not in plan.status.message:
        assert plan.status.message.endswith(REMEDY[reason])
    assert plan.status.completion_time == NOW
    assert not plan.apply
    assert [e for e in plan.events if e.type == "Warning" and e.reason == reason]
    assert set(deleted(plan, "ManifestWork")) == set(world.works)


def test_a_missing_quorum_is_told_with_the_clusters_own_reason() -> None:
    world = said("QuorumNotReached", "1 of 2 collaborators connected within 600 s")
    missing = replace(world, works=works(work(1), work(2, phase="Pending", waiting="ErrImagePull", ready=False), work(3)))
    status = status_after(missing)
    assert reason_of(status) == Reason.IMAGE_PULL_FAILED
    assert "1 of 2 collaborators connected" in status.message
    assert "cluster2: image example/app:1: ErrImagePull" in status.message


def test_a_missing_quorum_of_several_reasons_stays_one() -> None:
    ill = works(work(1), work(2, phase="Pending", waiting="ErrImagePull"), work(3, phase="Pending", unschedulable="0/1 nodes"))
    status = status_after(replace(said("QuorumLost", "lost"), works=ill))
    assert reason_of(status) == Reason.QUORUM_LOST
    assert "cluster2" in status.message
    assert "cluster3" in status.message


WAITING: list[tuple[str, World, Reason, str]] = [
    ("OCM has not answered", fresh(placement=None), Reason.PLACEMENT_PENDING, "placement controller"),
    (
        "too few clusters have the data",
        fresh(
            placement=PlacementView(selected=names_of(1)),
            clusters=clusters(cluster(1), cluster(2, claim=None)),
            set_members={"global": names_of(1, 2)},
        ),
        Reason.NOT_ENOUGH_CLUSTERS,
        "2 needed, 1 of 2 clusters qualify: cluster2 lacks claim example.com/digits",
    ),
    (
        "the set is not bound",
        fresh(placement=PlacementView(selected=frozenset()), bound_sets=frozenset(), binding_policy=False),
        Reason.CLUSTER_SET_NOT_BOUND,
        "global is not bound in namespace ns",
    ),
    (
        "the placement is wrong",
        fresh(placement=PlacementView(selected=frozenset(), misconfigured="celSelector: no such field")),
        Reason.PLACEMENT_MISCONFIGURED,
        "no such field",
    ),
    ("suspended", fresh(run=run(suspend=True)), Reason.SUSPENDED, "spec.suspend"),
    ("just started", fresh(), Reason.AGGREGATOR_STARTING, "starting"),
    (
        "the image is missing for now",
        running(job=job(pod(launcher(running=False, waiting="ErrImagePull"))), progress=None),
        Reason.IMAGE_PULL_FAILED,
        "ErrImagePull",
    ),
    ("no address", running(service=None, works={}, progress=None), Reason.ADDRESS_PENDING, "Service"),
    ("no node", running(node_addresses=(), works={}, progress=None), Reason.ADDRESS_PENDING, "no Ready node"),
    ("collaborators are starting", running(progress=progress(started=False, connected=1)), Reason.COLLABORATORS_STARTING, "1 of 2 needed"),
]


@pytest.mark.parametrize(("world", "reason", "words"), [w[1:] for w in WAITING], ids=[w[0] for w in WAITING])
def test_a_waiting_run_says_what_it_waits_for(world: World, reason: Reason, words: str) -> None:
    status = status_after(world)
    assert (status.phase, reason_of(status)) == (Phase.WAITING, reason)
    assert words in status.message
    assert status.completion_time is None


def test_a_launcher_that_has_ended_is_not_one_that_does_not_start() -> None:
    """The Job says how it went only when the sidecars have ended as well."""
    ending = job(pod(launcher(running=False, exit_code=0)), created=ago(10_000))
    assert status_after(running(job=ending)).phase is Phase.RUNNING


def test_nothing_starts_before_there_are_enough_clusters() -> None:
    plan = decide(fresh(placement=PlacementView(selected=names_of(1))), NOW)
    assert {o["kind"] for o in plan.apply} == {"Placement"}
    assert status_after(fresh(placement=PlacementView(selected=names_of(1)))).start_time is None


def test_with_enough_clusters_the_aggregator_is_made() -> None:
    plan = decide(fresh(run=replace(run(), finalizers=())), NOW)
    kinds = [o["kind"] for o in plan.apply]
    assert kinds == [
        "Placement",
        "Service",
        "ConfigMap",
        "ConfigMap",
        "ServiceAccount",
        "Role",
        "RoleBinding",
        "PersistentVolumeClaim",
        "Job",
    ]
    assert plan.add_finalizer
    assert plan.status is not None
    assert plan.status.start_time == NOW


def manifests(plan: Plan, of: str = "cluster1") -> dict[str, Object]:
    """What the work of a cluster brings, by kind."""
    work = next(w for w in applied(plan, "ManifestWork") if w["metadata"]["namespace"] == of)
    return {m["kind"]: m for m in work["spec"]["workload"]["manifests"]}


def test_collaborators_are_made_when_address_and_app_are_known() -> None:
    told = progress(connected=0, started=False, runtime_version="1.42.0")
    plan = decide(fresh(service=service(), job=job(pod()), progress=told), NOW)
    assert [w["metadata"]["namespace"] for w in applied(plan, "ManifestWork")] == ["cluster1", "cluster2", "cluster3"]
    made = manifests(plan)
    assert list(made) == ["NetworkPolicy", "ConfigMap", "StatefulSet", "Pod"]
    assert "10.0.0.1" in made["ConfigMap"]["data"]["cds.json"]
    assert "digits.ns.fl.panal" in made["ConfigMap"]["data"]["cds.json"]
    environment = made["StatefulSet"]["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "PANAL_APP_HASH", "value": APP_HASH} in environment
    assert {"name": "PANAL_FLOWER_VERSION", "value": "1.42.0"} in environment


def test_no_collaborator_starts_before_the_hub_has_said_which_app_it_will_run() -> None:
    unknown = progress(app_hash="", connected=0, started=False)
    assert not applied(decide(fresh(service=service(), job=job(pod()), progress=unknown), NOW), "ManifestWork")


def test_a_collaborator_may_reach_the_aggregator_and_nothing_else() -> None:
    starting = fresh(service=service(), job=job(pod()), progress=progress(connected=0, started=False))
    policy = manifests(decide(starting, NOW))["NetworkPolicy"]["spec"]
    assert policy["podSelector"]["matchLabels"] == {"fl.panal/run-uid": UID}
    assert policy["egress"] == [{"to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}], "ports": [{"protocol": "TCP", "port": 30123}]}]
    through_proxy = replace(starting, sites=sites(1, 2, 3, config=replace(NOTHING, proxy=("192.0.2.7", 3128))))
    policy = manifests(decide(through_proxy, NOW))["NetworkPolicy"]["spec"]
    assert policy["egress"] == [{"to": [{"ipBlock": {"cidr": "192.0.2.7/32"}}], "ports": [{"protocol": "TCP", "port": 3128}]}]


def test_the_key_of_a_site_is_mounted_into_its_gateway_alone() -> None:
    starting = fresh(service=service(), job=job(pod()), progress=progress(connected=0, started=False))
    spec = manifests(decide(starting, NOW))["StatefulSet"]["spec"]["template"]["spec"]
    holders = [c["name"] for c in (*spec["initContainers"], *spec["containers"]) if any(m["name"] == "gateway" for m in c["volumeMounts"])]
    assert holders == ["gateway"]
    assert (spec["dnsPolicy"], spec["automountServiceAccountToken"]) == ("None", False)
    job_spec = applied(decide(fresh(), NOW), "Job")[0]["spec"]["template"]["spec"]
    mounted = [c for c in (*job_spec["initContainers"], *job_spec["containers"]) if any(m["name"] == "gateway" for m in c["volumeMounts"])]
    assert [c["name"] for c in mounted] == ["tools", "reporter", "gateway"]


def test_the_pods_secret_is_in_memory_and_read_by_those_who_speak_on_loopback() -> None:
    starting = fresh(service=service(), job=job(pod()), progress=progress(connected=0, started=False))
    site = manifests(decide(starting, NOW))["StatefulSet"]["spec"]["template"]["spec"]
    hub = applied(decide(fresh(), NOW), "Job")[0]["spec"]["template"]["spec"]
    for spec, readers in ((site, ["gateway", "supernode"]), (hub, ["reporter", "superlink", "launcher"])):
        assert {"name": "pod", "emptyDir": {"medium": "Memory"}} in spec["volumes"]
        mounts = {c["name"]: m for c in (*spec["initContainers"], *spec["containers"]) for m in c["volumeMounts"] if m["name"] == "pod"}
        told = {
            c["name"]: e["value"] for c in (*spec["initContainers"], *spec["containers"]) for e in c["env"] if e["name"] == "PANAL_POD_DIR"
        }
        assert [name for name, mount in mounts.items() if mount.get("readOnly")] == readers
        assert set(mounts) == set(told) == {"tools", *readers}
        assert {m["mountPath"] for m in mounts.values()} == set(told.values()) == {"/panal/pod"}


def test_the_address_of_a_site_is_an_ip_address() -> None:
    named = fresh(
        run=run(server={"listeners": [{"name": "main", "type": "NodePort", "ip": "hub.example"}]}),
        service=service(),
        job=job(pod()),
        progress=progress(connected=0, started=False),
    )
    plan = decide(named, NOW)
    assert not applied(plan, "ManifestWork")
    assert plan.status is not None
    assert "hub.example" in plan.status.message
    assert "10.1.2.3" in manifests(decide(replace(named, resolved={"hub.example": "10.1.2.3"}), NOW))["ConfigMap"]["data"]["cds.json"]
    own = replace(named, sites=sites(1, 2, 3, config=replace(NOTHING, address_host="10.9.9.9")))
    assert "10.9.9.9" in manifests(decide(own, NOW))["ConfigMap"]["data"]["cds.json"]


def participants(world: World) -> list[str]:
    found = next(o for o in applied(decide(world, NOW), "ConfigMap") if o["metadata"]["name"] == "digits-gateway")
    names: list[str] = json.loads(found["data"]["participants"])
    return names


def test_the_gateway_lets_in_those_that_take_part_and_no_others() -> None:
    assert participants(running()) == ["cluster1", "cluster2", "cluster3"]
    assert participants(running(placement=PlacementView(selected=names_of(1, 2)))) == ["cluster1", "cluster2"]
    assert participants(running(sites=sites(1, 2))) == ["cluster1", "cluster2"]
    rewriting = running(placement=PlacementView(selected=frozenset(), settled=False))
    assert participants(rewriting) == ["cluster1", "cluster2", "cluster3"]


BARRED = [
    ("no add-on", {}, Reason.ADDON_NOT_INSTALLED, "fl-collaborator"),
    ("revoked", sites(3, revoked="2026-03-01T11:59:00Z"), Reason.CERTIFICATE_REVOKED, "2026-03-01T11:59:00Z"),
    ("wrong configuration", sites(3, config=replace(NOTHING, problems=("the proxy is no URL",))), Reason.SITE_CONFIG_INVALID, "no URL"),
]


@pytest.mark.parametrize(("third", "reason", "words"), [case[1:] for case in BARRED], ids=[case[0] for case in BARRED])
def test_a_cluster_that_may_not_take_part_is_let_in_no_more(third: dict[ClusterName, SiteView], reason: Reason, words: str) -> None:
    world = running(sites=sites(1, 2) | third)
    plan = decide(world, NOW)
    assert deleted(plan, "ManifestWork") == ["cluster3"]
    assert participants(world) == ["cluster1", "cluster2"]
    assert plan.status is not None
    first = plan.status.collaborators[0]
    assert (first.cluster, first.reason) == ("cluster3", reason)
    assert words in first.message


def test_a_cluster_without_a_certificate_keeps_its_work_and_says_why_it_waits() -> None:
    cases = [
        (None, "", Reason.CERTIFICATE_PENDING),
        (ago(1), "", Reason.CERTIFICATE_PENDING),
        (None, "csr is denied: WrongRequester", Reason.CERTIFICATE_DENIED),
    ]
    for certified, denied, reason in cases:
        world = running(sites=sites(1, 2) | sites(3, certified=certified, denied=denied))
        assert deleted(decide(world, NOW), "ManifestWork") == []
        first = status_after(world).collaborators[0]
        assert (first.cluster, first.reason) == ("cluster3", reason)


def test_the_job_is_never_applied_again() -> None:
    assert not applied(decide(running(), NOW), "Job")


def test_clusters_that_leave_lose_their_work_and_those_that_come_get_one() -> None:
    plan = decide(running(placement=PlacementView(selected=names_of(1, 2)), works=works(work(1), work(3))), NOW)
    assert deleted(plan, "ManifestWork") == ["cluster3"]
    assert [w["metadata"]["namespace"] for w in applied(plan, "ManifestWork")] == ["cluster1", "cluster2"]


def test_a_cluster_that_the_hub_does_not_accept_takes_no_part() -> None:
    denied = replace(cluster(3), accepted=False)
    plan = decide(running(clusters=clusters(cluster(1), cluster(2), denied)), NOW)
    assert deleted(plan, "ManifestWork") == ["cluster3"]


@pytest.mark.parametrize(
    ("world", "bound"),
    [
        (fresh(bound_sets=frozenset()), ["global"]),
        (fresh(bound_sets=frozenset(), binding_policy=False), []),
        (fresh(bound_sets=frozenset(), sets_left_to_others=frozenset({"global"})), []),
        (fresh(bound_sets=frozenset({"global"}), own_bound_sets=frozenset({"global"})), ["global"]),
        (fresh(bound_sets=frozenset({"global"}), sets_left_to_others=frozenset({"global"})), []),
    ],
    ids=["not bound yet", "no policy", "others have taken their binding away", "bound by us", "bound by others"],
)
def test_a_set_is_bound_only_where_its_naming_needed_the_right_to(world: World, bound: list[str]) -> None:
    assert [b["metadata"]["name"] for b in applied(decide(world, NOW), "ManagedClusterSetBinding")] == bound


@pytest.mark.parametrize(
    ("claim", "taking_part", "mounts"),
    [("None", ["cluster1", "cluster2", "cluster3"], 0), (CLAIM, ["cluster1", "cluster2"], 1)],
)
def test_a_cluster_that_announces_no_data_takes_part_only_in_a_run_that_says_it_needs_none(
    claim: str, taking_part: list[str], mounts: int
) -> None:
    asks = run(status_after(running()), client={"dataClaim": claim, "placement": {}})
    known = clusters(cluster(1), cluster(2), cluster(3, claim=None))
    made = applied(decide(running(run=asks, clusters=known, works={}), NOW), "ManifestWork")
    assert [w["metadata"]["namespace"] for w in made] == taking_part
    sets = [m for w in made for m in w["spec"]["workload"]["manifests"] if m["kind"] == "StatefulSet"]
    volumes = [[v["name"] for v in s["spec"]["template"]["spec"]["volumes"]] for s in sets]
    assert [names.count("data") for names in volumes] == [mounts] * len(taking_part)


def test_nothing_is_removed_while_ocm_rewrites_its_decisions() -> None:
    plan = decide(running(placement=PlacementView(selected=frozenset(), settled=False)), NOW)
    assert plan.delete == ()
    assert plan.look_again is not None
    assert plan.look_again <= 1.0


def test_a_running_run_tells_round_numbers_and_clients() -> None:
    status = status_after(running(progress=progress(collaborators={"cluster1": seen(metrics={"accuracy": 0.4}, seconds=1.5)})))
    assert (status.phase, status.message) == (Phase.RUNNING, "round 2 of 3")
    assert status.rounds.summary == "1/3"
    assert (status.clients.selected, status.clients.ready, status.clients.summary) == (3, 3, "3/3")
    assert status.headline_metric == "accuracy 0.5"
    first = status.collaborators[0]
    assert (first.cluster, first.state, first.metrics, first.seconds) == ("cluster1", "Training", {"accuracy": 0.4}, 1.5)


def test_running_stays_running_when_a_collaborator_is_lost() -> None:
    lost = running(clusters=clusters(cluster(1), cluster(2), cluster(3, available=None)))
    status = status_after(lost)
    assert status.phase is Phase.RUNNING
    assert status.collaborators[0].reason == Reason.CLUSTER_UNREACHABLE
    assert "cluster3" in status.message


def test_what_an_exception_says_is_told_where_the_site_shares_it() -> None:
    failed = seen(failed=True, reason="ValueError")
    shared = failed.model_copy(update={"message": "no number in column 3"})
    status = status_after(running(progress=progress(collaborators={"cluster1": shared, "cluster2": failed})))
    told = {c.cluster: c.message for c in status.collaborators}
    assert "failed in round 1 (ValueError: no number in column 3)" in told["cluster1"]
    assert "failed in round 1 (ValueError)" in told["cluster2"]


def test_more_rounds_may_be_asked_for_while_it_runs() -> None:
    plan = decide(running(run=run(status_after(running()), server={"rounds": 5})), NOW)
    assert next(o for o in applied(plan, "ConfigMap") if o["metadata"]["name"] == "digits-progress")["data"] == {"rounds": "5"}
    assert plan.status is not None
    assert plan.status.rounds.summary == "1/5"


def done(**changes: Any) -> World:
    known = {
        "job": job(pod(launcher(running=False, exit_code=0, ended=ago(1))), succeeded=True),
        "progress": progress(rounds_completed=3, model=MODEL, collaborators={"cluster1": seen(round=3)}),
        "run": run(status_after(running())),
    }
    return running(**(known | changes))


def test_success_is_completed_with_the_model() -> None:
    plan = decide(done(), NOW)
    assert plan.status is not None
    assert plan.status.phase is Phase.COMPLETED
    assert plan.status.model == MODEL
    assert MODEL.uri in plan.status.message
    assert plan.status.rounds.summary == "3/3"
    assert deleted(plan, "ManifestWork") == ["cluster1", "cluster2", "cluster3"]
    assert [e.reason for e in plan.events] == ["RoundCompleted", "RoundCompleted", "ModelStored", "Completed"]


def test_an_app_that_leaves_no_model_completes_and_says_so() -> None:
    world = done(progress=progress(result="Metrics"))
    status = status_after(world)
    assert (status.phase, status.model) == (Phase.COMPLETED, None)
    assert reason_of(status) == Reason.WITHOUT_MODEL
    assert "leaves no model" in status.message


def test_an_app_that_leaves_files_alone_says_where_they_are() -> None:
    found = FilesStatus(uri="pvc://models/f/", count=1, size=9)
    status = status_after(done(progress=progress(result="Files", files=found)))
    assert reason_of(status) == Reason.WITHOUT_MODEL
    assert "leaves 1 file at pvc://models/f/, and no model" in status.message


def test_what_was_trained_stays_in_the_status_of_a_run_that_failed() -> None:
    found = ModelStatus(uri="pvc://m", digest="sha256:0", size=1, round=2)
    failed = replace(said("ServerAppFailed", "its words"), progress=progress(rounds_completed=2, model=found))
    status = status_after(failed)
    assert (status.phase, status.model) == (Phase.FAILED, found)


def test_what_a_person_should_know_of_a_model_is_a_condition() -> None:
    world = done(progress=progress(rounds_completed=3, metrics={"loss": "NaN"}, notices={"ModelSuspect": "w with NaN", "Other": "x"}))
    plan = decide(world, NOW)
    assert plan.status is not None
    (found,) = [c for c in plan.status.conditions if c.type in ("ModelSuspect", "Other")]
    assert (found.type, found.status, found.message[:11]) == ("ModelSuspect", "True", "w with NaN.")
    assert ("Warning", "ModelSuspect") in [(e.type, e.reason) for e in plan.events]
    assert (plan.status.metrics, plan.status.non_finite_metrics, plan.status.headline_metric) == ({}, {"loss": "NaN"}, "loss NaN")


def test_an_app_that_waits_for_nodes_says_so() -> None:
    world = running(progress=progress(waiting="the app waits for 5 nodes, 3 are there"))
    assert "waits for 5 nodes" in status_after(world).message


def test_success_waits_a_moment_for_the_word_of_the_model() -> None:
    late = done(progress=progress(rounds_completed=3))
    plan = decide(late, NOW)
    assert plan.status is None or plan.status.phase is Phase.RUNNING
    assert plan.look_again == 1.0


def ended() -> World:
    world = done()
    return replace(world, run=run(status_after(world)))


def test_what_an_ended_run_does_not_need_goes_and_its_status_stays() -> None:
    left = (("v1", "Service", "digits-aggregator"), ("v1", "ServiceAccount", "digits-reporter"))
    plan = decide(replace(ended(), leftovers=left), NOW)
    assert plan.status is None
    assert deleted(plan, "ServiceAccount") == ["digits-reporter"]
    assert deleted(plan, "ManifestWork") == ["cluster1", "cluster2", "cluster3"]
    assert deleted(plan, "Job") == []


def test_the_port_of_an_ended_run_is_its_own_until_no_collaborator_can_dial_it() -> None:
    world = replace(ended(), leftovers=(("v1", "Service", "digits-aggregator"),))
    assert deleted(decide(world, NOW), "Service") == []
    assert deleted(decide(replace(world, works={}), NOW), "Service") == ["digits-aggregator"]


def test_an_ended_run_with_nothing_left_needs_nothing() -> None:
    plan = decide(replace(ended(), works={}), NOW)
    assert (plan.apply, plan.delete, plan.status, plan.events, plan.look_again) == ((), (), None, (), None)


def test_a_quiet_run_writes_nothing() -> None:
    world = running()
    settled = replace(world, run=run(status_after(world)))
    plan = decide(settled, ago(-60))
    assert (plan.status, plan.events, plan.delete) == (None, (), ())


def test_suspending_takes_everything_off_and_allows_editing() -> None:
    plan = decide(running(run=run(status_after(running()), suspend=True)), NOW)
    assert deleted(plan, "Job") == ["digits-aggregator"]
    assert deleted(plan, "ManifestWork") == ["cluster1", "cluster2", "cluster3"]
    assert plan.status is not None
    assert plan.status.start_time is None
    assert plan.status.rounds.completed == 0


@pytest.mark.parametrize(
    ("world", "doing"),
    [
        (fresh(run=run(stop=True)), "Waiting"),
        (fresh(run=run(status_after(fresh()), stop=True)), "Waiting: the aggregator is starting"),
        (running(run=run(status_after(running()), stop=True)), "Running: round"),
        (running(run=run(status_after(running()), stop=True, suspend=True)), "Running: round"),
    ],
)
def test_a_run_that_is_stopped_ends_and_keeps_its_record(world: World, doing: str) -> None:
    plan = decide(world, NOW)
    assert plan.status is not None
    assert (plan.status.phase, reason_of(plan.status)) == (Phase.FAILED, Reason.STOPPED)
    assert f"spec.stop is set; the run was {doing}" in plan.status.message
    assert plan.status.rounds == world.run.status.rounds or not world.run.has_status
    assert deleted(plan, "Job") == (["digits-aggregator"] if world.job else [])
    assert deleted(plan, "ManifestWork") == sorted(world.works)
    assert not plan.apply


def test_a_model_that_is_stored_when_a_run_is_stopped_stays_in_its_record() -> None:
    """Of an app that trains several, one after the other."""
    known = done().progress
    assert known
    status = status_after(running(run=run(status_after(running()), stop=True), progress=known))
    assert (status.phase, status.model) == (Phase.FAILED, known.model)
    assert status.model


def test_a_run_that_has_its_model_is_completed_even_if_it_is_stopped_then() -> None:
    world = done()
    assert status_after(replace(world, run=run(world.run.status, stop=True))).phase is Phase.COMPLETED


def test_a_job_that_somebody_deleted_ends_the_run() -> None:
    started = status_after(running(job=job(pod(), created=ago(120))))
    status = status_after(running(run=run(started), job=None, progress=None))
    assert (status.phase, reason_of(status)) == (Phase.FAILED, Reason.AGGREGATOR_LOST)


def test_a_job_that_was_never_seen_is_applied_again_until_it_must_have_been_seen() -> None:
    """A watch that died silently hides a new Job for a while."""
    started = status_after(fresh(), ago(120))
    unseen = fresh(run=run(started))
    assert [j["metadata"]["name"] for j in applied(decide(unseen, NOW), "Job")] == ["digits-aggregator"]
    assert status_after(unseen, ago(-150)).phase is Phase.FAILED
    assert status_after(replace(unseen, blind=True), ago(-150)).phase is Phase.WAITING


def test_a_suspended_run_ends_at_its_deadline_too() -> None:
    plan = decide(running(run=run(status_after(running()), suspend=True, activeDeadlineSeconds=60)), NOW)
    assert plan.status is not None
    assert (plan.status.phase, reason_of(plan.status)) == (Phase.FAILED, Reason.DEADLINE_EXCEEDED)


def test_a_run_goes_on_after_a_suspension_while_its_old_job_is_still_going() -> None:
    resumed = fresh(
        run=run(status_after(running(run=run(status_after(running()), suspend=True)))), job=job(deleting=True, created=ago(900))
    )
    plan = decide(resumed, NOW)
    assert plan.status is not None
    assert (plan.status.phase, plan.status.start_time) == (Phase.WAITING, NOW)
    assert not applied(plan, "Job")


REFUSED = Refusal("Service", "ns", "digits-aggregator", "provided port is already allocated", invalid=True)


def test_what_the_api_server_never_accepts_ends_the_run_before_it_starts() -> None:
    status = status_after(fresh(refused=(REFUSED,)))
    assert (status.phase, reason_of(status)) == (Phase.FAILED, Reason.OBJECT_REFUSED)
    assert "Service digits-aggregator: provided port is already allocated" in status.message


def test_what_is_forbidden_for_now_is_told_and_tried_again() -> None:
    plan = decide(fresh(refused=(replace(REFUSED, message="exceeded quota", invalid=False),)), NOW)
    assert plan.status is not None
    assert (plan.status.phase, reason_of(plan.status), plan.status.start_time) == (Phase.WAITING, Reason.OBJECT_REFUSED, None)
    assert "exceeded quota" in plan.status.message
    assert applied(plan, "Job")


def test_a_refused_work_is_the_trouble_of_its_cluster_alone() -> None:
    status = status_after(running(refused=(Refusal("ManifestWork", "cluster2", "fl", "namespace is being terminated", invalid=False),)))
    assert status.phase is Phase.RUNNING
    assert [(c.cluster, c.reason) for c in status.collaborators if c.state == "Failed"] == [("cluster2", Reason.WORK_REFUSED)]


def test_a_refused_update_does_not_end_a_running_run() -> None:
    assert status_after(running(refused=(REFUSED,))).phase is Phase.RUNNING


def test_a_site_that_withdraws_its_claim_loses_its_collaborator() -> None:
    plan = decide(running(clusters=clusters(cluster(1), cluster(2), cluster(3, claim=None))), NOW)
    assert deleted(plan, "ManifestWork") == ["cluster3"]


def test_nothing_is_removed_when_ocm_cannot_work_with_the_placement() -> None:
    plan = decide(running(placement=PlacementView(selected=frozenset(), misconfigured="bad CEL")), NOW)
    assert plan.delete == ()
    assert plan.status is None or plan.status.clients.selected == 3


def test_clusters_are_counted_and_told_beyond_those_listed() -> None:
    """The status lists some; adding, removing and counting go by all."""
    many = range(1, 61)
    views = clusters(*(cluster(n) for n in many))
    known = {"clusters": views, "placement": PlacementView(selected=names_of(*many)), "works": works(*(work(n) for n in many))}
    known["sites"] = sites(*many)
    before = status_after(running(**known))
    lost = views | clusters(cluster(58, available=None))
    plan = decide(running(**known | {"clusters": lost, "run": run(before)}), NOW)
    assert [e.reason for e in plan.events] == [Reason.CLUSTER_UNREACHABLE]
    assert before.clients.summary == "60/60"
    late = status_after(running(**known, run=run(before, activeDeadlineSeconds=60)))
    assert late.clients.summary == "60/60"


def test_replies_failures_and_seconds_of_the_round_are_told() -> None:
    rounds = status_after(running(progress=progress(replies=3, failures=1, seconds=4.5))).rounds
    assert (rounds.replies, rounds.failures, rounds.seconds) == (3, 1, 4.5)


def test_many_rounds_at_once_are_told_by_the_last_of_them() -> None:
    before = run(status_after(running()))
    plan = decide(running(run=before, progress=progress(rounds_completed=900, rounds_total=900)), NOW)
    told = [e.message for e in plan.events if e.reason == Reason.ROUND_COMPLETED]
    assert len(told) == 5
    assert told[-1].startswith("round 900 of 900")


def test_the_address_stays_while_its_node_is_there() -> None:
    status = status_after(running())
    assert status.listeners[0].address == "10.0.0.1"
    joined = running(run=run(status), node_addresses=("10.0.0.0", "10.0.0.1"))
    assert status_after(joined).listeners[0].address == "10.0.0.1"
    gone = running(run=run(status), node_addresses=("10.0.0.0",))
    assert status_after(gone).listeners[0].address == "10.0.0.0"


def test_a_binding_goes_when_no_run_names_its_set_any_more() -> None:
    plan = decide(running(own_bound_sets=frozenset({"global", "former"})), NOW)
    assert deleted(plan, "ManagedClusterSetBinding") == ["former"]


@pytest.mark.parametrize("code", [137, 143])
def test_a_killed_aggregator_is_lost(code: int) -> None:
    status = status_after(running(job=job(pod(launcher(running=False, exit_code=code, terminated="Error")), failed=True)))
    assert (status.phase, reason_of(status)) == (Phase.FAILED, Reason.AGGREGATOR_LOST)


@pytest.mark.parametrize("ended", [running(), said("ServerAppFailed", "after its training")], ids=["running", "failed"])
def test_files_of_the_app_are_in_the_status_however_the_run_ends(ended: World) -> None:
    files = FilesStatus(uri="pvc://models/x/files/", count=2, size=9)
    assert status_after(replace(ended, progress=progress(files=files))).files == files
    assert status_after(ended).files is None


def test_deletion_removes_works_then_the_finalizer() -> None:
    deleting = running(run=run(deleting_since=ago(5)))
    plan = decide(deleting, NOW)
    assert deleted(plan, "ManifestWork") == ["cluster1", "cluster2", "cluster3"]
    assert not plan.remove_finalizer
    assert decide(replace(deleting, works={}), NOW).remove_finalizer


def test_deletion_gives_up_on_a_spoke_that_does_not_answer() -> None:
    stuck = replace(work(2), deleting_since=ago(301))
    plan = decide(running(run=run(deleting_since=ago(302)), works=works(stuck)), NOW)
    assert [(r.namespace, r.strip_finalizers) for r in plan.delete if r.kind == "ManifestWork"] == [("cluster2", True)]
    assert [e.reason for e in plan.events] == [Reason.CLEANUP_INCOMPLETE]
    assert "cluster2" in plan.events[0].message


def test_deletion_waits_for_a_spoke_until_the_limit() -> None:
    waiting = replace(work(2), deleting_since=ago(100))
    plan = decide(running(run=run(deleting_since=ago(101)), works=works(waiting)), NOW)
    assert deleted(plan, "ManifestWork") == []
    assert plan.look_again == pytest.approx(201)
    assert not plan.remove_finalizer


@pytest.mark.parametrize(("others", "gone"), [(frozenset(), ["global"]), (frozenset({"global"}), [])])
def test_our_binding_goes_with_the_last_run_that_names_it(others: frozenset[str], gone: list[str]) -> None:
    world = running(run=run(deleting_since=ago(5)), works={}, own_bound_sets=frozenset({"global"}), sets_of_others=others)
    assert deleted(decide(world, NOW), "ManagedClusterSetBinding") == gone


def test_a_run_without_our_finalizer_is_not_held() -> None:
    assert decide(running(run=replace(run(deleting_since=ago(5)), finalizers=("other/one",))), NOW).delete == ()


def test_fields_without_effect_are_told_once() -> None:
    world = fresh(run=run(server={"superlink": "superlink.flower-system:9091"}))
    plan = decide(world, NOW)
    assert [e.reason for e in plan.events if e.reason == Reason.FIELD_IGNORED] == [Reason.FIELD_IGNORED]
    assert plan.status is not None
    again = decide(replace(world, run=run(plan.status, server={"superlink": "superlink.flower-system:9091"})), NOW)
    assert not [e for e in again.events if e.reason == Reason.FIELD_IGNORED]
