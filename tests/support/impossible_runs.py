"""Runs that the schema accepts and that cannot work. Each leads to a phase, a reason, and a message with these words and a remedy.

The changes are those of a world (`worlds.fresh`, or `worlds.running` for what is found when the Pods start).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from panal.addon.config import NOTHING
from panal.lifecycle.reasons import Reason
from panal.lifecycle.world import ClusterView, Networks, PlacementView
from worlds import CLAIM, ago, cluster, clusters, job, launcher, pod, progress, service, sites, work, works

Spec = dict[str, Any]
DEADLINE = {"activeDeadlineSeconds": 3600}  # a world's run is an hour old
NONE_SELECTED = PlacementView(frozenset())
LONG = "x" * 63


@dataclass(frozen=True, slots=True)
class Case:
    id: str
    spec: Spec
    reason: Reason
    words: str
    world: dict[str, Any] = field(default_factory=dict)


def server(**fields: Any) -> Spec:
    return {"server": fields}


def client(**fields: Any) -> Spec:
    return {"client": fields}


def placement(**fields: Any) -> Spec:
    return client(placement=fields, dataClaim="None")


def predicate(**selectors: Any) -> Spec:
    return placement(predicates=[{"requiredClusterSelector": selectors}])


def expression(operator: str, *values: str, key: str = "zone") -> Spec:
    return {"matchExpressions": [{"key": key, "operator": operator} | ({"values": list(values)} if values else {})]}


def without_data(**selectors: Any) -> Spec:
    """A placement that names no ClusterClaim of data."""
    return client(placement={"predicates": [{"requiredClusterSelector": selectors}]})


def listening(**listener: Any) -> Spec:
    return server(listeners=[listener])


def _unsupported() -> Iterator[Case]:
    for name in ("fate", "flower2", "flwr", "none", "a" * 63):
        yield Case(f"framework {name}", {"framework": name}, Reason.RUNTIME_NOT_SUPPORTED, "spec.framework: ")
    one = {"framework": "other", "client": {"command": ["train"], "placement": {}, "dataClaim": "None"}}
    yield Case("a command on one side alone", one, Reason.INVALID_SPEC, "spec.server.command: ")
    selectors = {
        "an empty placement": {},
        "only labels": {"labelSelector": {"matchLabels": {"a": "b"}}},
        "a claim with a value": {"claimSelector": expression("In", "a")},
        "a claim that must not exist": {"claimSelector": expression("DoesNotExist")},
        "a claim that must not have a value": {"claimSelector": expression("NotIn", "a")},
        "a label that exists": {"labelSelector": expression("Exists")},
        "CEL": {"celSelector": {"celExpressions": ["true"]}},
    }
    for name, selector in selectors.items():
        yield Case(f"no data claim: {name}", without_data(**selector), Reason.DATA_CLAIM_MISSING, "spec.client.dataClaim: ")
    for seconds in (1, 60, 3600):
        words = f"spec.activeDeadlineSeconds ({seconds}) is over"
        yield Case(f"deadline of {seconds} s", {"activeDeadlineSeconds": seconds}, Reason.DEADLINE_EXCEEDED, words)
    yield Case("deadline while suspended", DEADLINE | {"suspend": True}, Reason.DEADLINE_EXCEEDED, "(3600) is over")
    yield Case("stop from the start", {"stop": True}, Reason.STOPPED, "spec.stop is set")


def _start_fails() -> Iterator[Case]:
    """What the aggregator's Pod shows until the quorum's patience ends."""

    def late(name: str, reason: Reason, words: str, *, spec: Spec | None = None, **view: Any) -> Case:
        shown = pod(launcher(running=False, **view.pop("container", {})), created=ago(700), **view)
        return Case(f"aggregator: {name}", spec or {}, reason, words, {"job": job(shown, created=ago(700)), "progress": None, "works": {}})

    for image, why in {
        "Example/App:1": "InvalidImageName",
        "example/app:a:b": "InvalidImageName",
        "example/app@sha256:1": "InvalidImageName",
        "no.such.registry/app:1": "ErrImagePull",
        "example/no-such-app:1": "ImagePullBackOff",
        "example/app:no-such-tag": "ImagePullBackOff",
        "http://example/app": "InvalidImageName",
        "-": "InvalidImageName",
        "example/not-on-the-node:1": "ErrImageNeverPull",
        "example/" + "a" * 300: "ImageInspectError",
    }.items():
        spec, state = server(image=image), {"waiting": why, "image": image}
        yield late(
            f"image {image[:30]}: {why}", Reason.IMAGE_PULL_FAILED, f"image {image} of the aggregator: {why}", spec=spec, container=state
        )
    spec = server(imagePullPolicy="Never")
    yield late(
        "image is never pulled", Reason.IMAGE_PULL_FAILED, "ErrImageNeverPull", spec=spec, container={"waiting": "ErrImageNeverPull"}
    )
    no_nodes = "0/3 nodes are available: "
    for name, asked, message in (
        ("a node that does not exist", {"nodeSelector": {"gpu": "h200"}}, "3 node(s) didn't match Pod's node affinity/selector."),
        ("more memory than nodes have", {"resources": {"requests": {"memory": "1e99"}}}, "3 Insufficient memory."),
        ("more CPUs than nodes have", {"resources": {"limits": {"cpu": 100000}}}, "3 Insufficient cpu."),
        ("a GPU without a driver", {"resources": {"limits": {"nvidia.com/gpu": 1}}}, "3 Insufficient nvidia.com/gpu."),
        ("a taint that is not tolerated", {"tolerations": [{"key": "a", "value": "b"}]}, "3 node(s) had untolerated taint {gpu: yes}."),
        ("a volume that is too large", {"storage": {"size": "99999999999E"}}, "3 node(s) did not have enough free storage."),
        ("a volume without storage class", {"storage": {"name": "models"}}, "pod has unbound immediate PersistentVolumeClaims."),
        ("a volume of another zone", {"storage": {"size": "1e30"}}, "3 node(s) had volume node affinity conflict."),
    ):
        yield late(name, Reason.UNSCHEDULABLE, message.rstrip("."), spec=server(**asked), scheduled=False, unschedulable=no_nodes + message)
    for name, asked, message in (
        ("a Secret that does not exist", {"valueFrom": {"secretKeyRef": {"name": "no-such", "key": "k"}}}, 'secret "no-such" not found'),
        ("a key that does not exist", {"valueFrom": {"configMapKeyRef": {"name": "m", "key": "no"}}}, "couldn't find key no in ConfigMap"),
        ("an image that runs as root", {"value": "1"}, "container has runAsNonRoot and image will run as root"),
        ("an image with a named user", {"value": "1"}, "image has non-numeric user (app), cannot verify user is non-root"),
    ):
        state = {"waiting": "CreateContainerConfigError", "waiting_message": message}
        yield late(name, Reason.CONTAINER_CONFIG_INVALID, message, spec=server(env=[{"name": "A"} | asked]), container=state)
    state = {"name": "reporter", "waiting": "CreateContainerConfigError", "waiting_message": 'secret "s3" not found'}
    bucket = server(storage={"type": "S3Bucket", "s3": {"bucketName": "models", "secretName": "s3"}})
    words = "spec.server.storage.s3.secretName: hub: the aggregator's container reporter: CreateContainerConfigError secret"
    yield late("a Secret of the bucket that does not exist", Reason.CONTAINER_CONFIG_INVALID, words, spec=bucket, container=state)
    no_pod = {"job": job(created=ago(700)), "progress": None, "works": {}}
    yield Case("aggregator: a quota without room", {}, Reason.POD_NOT_CREATED, "the aggregator's Job has no Pod", no_pod)
    words = "spec.server.storage.type: HostPath is refused where the pod security of namespace"
    folder = server(storage={"type": "HostPath", "path": "/models"})
    yield Case("aggregator: a pod security that forbids HostPath", folder, Reason.POD_NOT_CREATED, words, no_pod)
    unusable = {"job": job(pod()), "progress": progress(started=False, unusable="spec.server.storage.s3.bucketName: there is no bucket m")}
    yield Case("aggregator: a bucket that does not exist", bucket, Reason.STORAGE_UNUSABLE, "s3.bucketName: there is no bucket m", unusable)


def _nothing_matches() -> Iterator[Case]:
    """Clusters are three, of the set global, without labels."""
    few = Reason.NOT_ENOUGH_CLUSTERS
    cases: dict[str, tuple[Spec, str]] = {
        "a label that no cluster has": (predicate(labelSelector={"matchLabels": {"zone": "a"}}), "cluster1 lacks label zone"),
        "a label in values": (predicate(labelSelector=expression("In", "a", "b")), "cluster1 lacks label zone"),
        "a label that exists": (predicate(labelSelector=expression("Exists")), "cluster1 lacks label zone"),
        "a claim that no cluster has": (predicate(claimSelector=expression("Exists", key="gpu")), "cluster1 lacks claim gpu"),
        "a claim of another value": (predicate(claimSelector=expression("In", "a", key=CLAIM)), f"cluster1 has claim {CLAIM}"),
        "a claim that must not exist": (predicate(claimSelector=expression("DoesNotExist", key=CLAIM)), f"cluster1 has claim {CLAIM}"),
        "both and neither": (
            predicate(labelSelector=expression("Exists"), claimSelector=expression("DoesNotExist", key=CLAIM)),
            "cluster1 lacks label zone",
        ),
        "contradictory labels": (
            predicate(labelSelector={"matchLabels": {"zone": "a"}, **expression("NotIn", "a")}),
            "cluster1 lacks label zone",
        ),
        "CEL that is false": (predicate(celSelector={"celExpressions": ["false"]}), "cluster1 may not match celSelector"),
    }
    for name, (spec, words) in cases.items():
        yield Case(name, spec, few, words, {"placement": NONE_SELECTED})
    for needed in (4, 100, 2**40):
        yield Case(f"a quorum of {needed}", server(minAvailableClients=needed), few, f"{needed} needed, 3 of 3 clusters qualify")
    views: dict[str, tuple[ClusterView, str]] = {
        "tainted clusters": (replace(cluster(1), taints=(("gpu", "yes", "NoSelect"),)), "is tainted gpu=yes"),
        "clusters that the hub does not accept": (replace(cluster(1), accepted=False), "is not accepted by the hub"),
        "clusters without the claim": (cluster(1, claim=None), f"lacks claim {CLAIM}"),
    }
    for name, (view, words) in views.items():
        yield Case(name, {}, few, f"cluster1 {words}", {"clusters": clusters(view), "placement": NONE_SELECTED})
    yield Case("no clusters", {}, few, "0 of 0 clusters qualify", {"clusters": {}, "set_members": {"global": frozenset()}})
    yield Case(
        "an empty set", {}, few, "is in none of the cluster sets", {"set_members": {"global": frozenset()}, "placement": NONE_SELECTED}
    )
    yield Case("only other sets", {}, few, "cluster set [global] does not exist", {"set_members": {}, "placement": NONE_SELECTED})


def _wrong_placement() -> Iterator[Case]:
    wrong = {
        "a key with a space": (expression("Exists", key="a b"), '"a b" cannot be a key'),
        "an empty key": (expression("Exists", key=""), '"" cannot be a key'),
        "a key of two slashes": (expression("Exists", key="a/b/c"), '"a/b/c" cannot be a key'),
        "In without values": (expression("In"), "operator In needs at least one value"),
        "NotIn without values": (expression("NotIn"), "operator NotIn needs at least one value"),
        "Exists with values": (expression("Exists", "a"), "operator Exists takes no values"),
        "DoesNotExist with values": (expression("DoesNotExist", "a"), "operator DoesNotExist takes no values"),
        "a value with a space": (expression("In", "a b"), '"a b" has not the form of a label value'),
        "a value that is too long": (expression("In", LONG + "y"), f'"{LONG[1:]}…" has not the form of a label value'),
    }
    for of in ("labelSelector", "claimSelector"):
        for name, (selector, words) in wrong.items():
            path = f"spec.client.placement.predicates[0].requiredClusterSelector.{of}.matchExpressions[0]: "
            spec = predicate(**{of: selector})
            yield Case(f"{of}: {name}", spec, Reason.PLACEMENT_MISCONFIGURED, path + words, {"placement": NONE_SELECTED})
    reported = PlacementView(frozenset(), misconfigured="celSelector: undeclared reference to 'nonsense'")
    spec = predicate(celSelector={"celExpressions": ["nonsense("]})
    yield Case("CEL that does not compile", spec, Reason.PLACEMENT_MISCONFIGURED, "undeclared reference", {"placement": reported})


def _unbound_sets() -> Iterator[Case]:
    none = {"placement": NONE_SELECTED, "bound_sets": frozenset()}
    for named in (["no-such-set"], ["a", "b"], ["global"]):
        words = f"cluster set {', '.join(named)} is not bound in namespace ns"
        yield Case(f"sets {named}", placement(clusterSets=named), Reason.CLUSTER_SET_NOT_BOUND, words, none)
    yield Case("no set at all", placement(), Reason.CLUSTER_SET_NOT_BOUND, "no cluster set is bound in namespace ns", none)
    some = none | {"bound_sets": frozenset({"global"})}
    yield Case("one of two sets", placement(clusterSets=["global", "a"]), Reason.CLUSTER_SET_NOT_BOUND, "cluster set a is not bound", some)


def _starting(**changes: Any) -> dict[str, Any]:
    return {"job": job(pod()), "works": {}, "progress": progress(started=False, connected=0), "exposed": (service(),)} | changes


def _no_address() -> Iterator[Case]:
    starting = _starting()
    no_nodes = starting | {"node_addresses": ()}
    balanced = starting | {"exposed": (service(),)}
    for host in ("no-such-host", "999.1.1.1", "hub.invalid", "1.2.3", "::::::", "0x7f.1"):
        words = f"does not resolve the aggregator's address {host}. Correct it in spec.server.listeners[0].ip"
        yield Case(f"address {host}", listening(ip=host), Reason.ADDRESS_PENDING, words, starting)
    yield Case("a hub without nodes", {}, Reason.ADDRESS_PENDING, "Set spec.server.listeners[0].ip", no_nodes)
    yield Case("no load balancer", listening(type="LoadBalancer"), Reason.ADDRESS_PENDING, "use a listener of type NodePort", balanced)


def _no_listener() -> Iterator[Case]:
    """The hub of the world has none of what these need."""
    gateway = {"type": "Gateway", "gateway": {"name": "fl"}}
    for listener, words in (
        ({"type": "Route"}, "the hub does not serve Routes"),
        (gateway, "the hub does not serve TLSRoutes"),
        ({"type": "Ingress"}, "the hub does not serve Ingresses"),
    ):
        yield Case(f"listener {listener['type']}", listening(**listener), Reason.LISTENER_NOT_SUPPORTED, words)
    ingresses = {"networks": Networks(served={"Ingress": "networking.k8s.io/v1"})}
    words = "spec.server.listeners[0].ingressClassName: the hub has no default IngressClass"
    yield Case("no IngressClass", listening(type="Ingress"), Reason.LISTENER_NOT_SUPPORTED, words, ingresses)
    routes = {"networks": Networks(served={"TLSRoute": "gateway.networking.k8s.io/v1"})}
    words = "spec.server.listeners[0].gateway: the Gateway ns/fl does not exist"
    yield Case("no Gateway", listening(**gateway), Reason.LISTENER_NOT_SUPPORTED, words, routes)


def _no_participant() -> Iterator[Case]:
    """What is wrong at one cluster, which the run's message repeats."""
    starting = _starting()
    for value in ("", "digits", "pvc://", "pvc://Digits", "pvc://digits/../x", "/", "../data", "s3://bucket", "relative/path", "pvc://a b"):
        asked = starting | {"clusters": clusters(*(cluster(n, claim=value) for n in (1, 2, 3)))}
        yield Case(f"data at {value!r}", {}, Reason.DATA_LOCATION_INVALID, f"ClusterClaim {CLAIM} of cluster1: ", asked)
    yield Case(
        "data that no cluster has", client(dataClaim="no-such"), Reason.DATA_NOT_FOUND, "cluster1 has no ClusterClaim no-such", starting
    )
    revoked, broken = sites(1, 2, 3, revoked="2026-03-01"), sites(1, 2, 3, config=replace(NOTHING, problems=("the proxy is no URL",)))
    yield Case("no add-on", {}, Reason.ADDON_NOT_INSTALLED, "cluster1: the add-on", starting | {"sites": {}})
    yield Case("revoked clusters", {}, Reason.CERTIFICATE_REVOKED, "cluster1: its certificates were revoked", starting | {"sites": revoked})
    yield Case("a wrong proxy", {}, Reason.SITE_CONFIG_INVALID, "cluster1: the proxy is no URL", starting | {"sites": broken})
    away = clusters(*(cluster(n, available=None) for n in (1, 2, 3)))
    yield Case("unreachable clusters", {}, Reason.CLUSTER_UNREACHABLE, "cluster1: the hub has no contact", starting | {"clusters": away})
    ill = clusters(*(cluster(n, available=False) for n in (1, 2, 3)))
    yield Case(
        "unavailable clusters", {}, Reason.CLUSTER_UNAVAILABLE, "cluster1: the cluster's agent reports", starting | {"clusters": ill}
    )


def _pods_do_not_start() -> Iterator[Case]:
    """What the agents of all clusters report of the collaborators."""

    def at_work(name: str, asked: Spec, reason: Reason, words: str, **feedback: Any) -> Case:
        views = works(*(work(n, **{"phase": "Pending", "ready": False} | feedback) for n in (1, 2, 3)))
        return Case(f"collaborators: {name}", client(**asked), reason, f"cluster1: {words}", _starting(works=views))

    for image, why in {"Example/App:1": "InvalidImageName", "example/no-such:1": "ErrImagePull", "a@b": "InvalidImageName"}.items():
        yield at_work(f"image {image}", {"image": image}, Reason.IMAGE_PULL_FAILED, f"image {image}: {why}", waiting=why)
    for name, asked, message in (
        ("a node that does not exist", {"nodeSelector": {"gpu": "h200"}}, "3 node(s) didn't match Pod's node affinity/selector."),
        ("more memory than nodes have", {"resources": {"requests": {"memory": "1e99"}}}, "3 Insufficient memory."),
        ("a taint that is not tolerated", {"tolerations": [{"key": "a", "value": "b"}]}, "3 node(s) had untolerated taint {gpu: yes}."),
    ):
        yield at_work(name, asked, Reason.UNSCHEDULABLE, message.rstrip("."), unschedulable=message)
    missing = 'persistentvolumeclaim "digits" not found'
    yield at_work("a volume claim that does not exist", {}, Reason.DATA_NOT_FOUND, missing, unschedulable=missing)
    secret = {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "no-such", "key": "k"}}}]}
    config = {"waiting": "CreateContainerConfigError", "waitingMessage": 'secret "no-such" not found'}
    words = 'CreateContainerConfigError: secret "no-such" not found'
    yield at_work("a Secret that does not exist", secret, Reason.CONTAINER_CONFIG_INVALID, words, **config)
    path = {"waiting": "CreateContainerConfigError", "waitingMessage": "failed to create subPath directory for volumeMount"}
    yield at_work("a folder that does not exist", {}, Reason.DATA_NOT_FOUND, "CreateContainerConfigError: failed to create", **path)
    ended = {"phase": "Running", "restarts": 3, "lastExitCode": 2, "lastReason": "Error", "waiting": "CrashLoopBackOff"}
    yield at_work("an image without Python", {}, Reason.CRASHING, "the collaborator's container ended (exit code 2, Error)", **ended)


def _works_are_refused() -> Iterator[Case]:
    invalid = 'StatefulSet.apps "digits-0" is invalid: spec.template.spec.'
    for asked, refused in (
        ({"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}, "tolerations[0].operator: Invalid value: must be empty"),
        ({"nodeSelector": {"a b": "c"}}, "nodeSelector: Invalid value: name part must consist of alphanumeric characters"),
        ({"resources": {"limits": {"gpu": 1}}}, "containers[0].resources.limits[gpu]: must be a standard resource"),
        ({"env": [{"name": "1 2", "value": "3"}]}, "containers[0].env[12].name: Invalid value: a valid environment variable name"),
    ):
        views = works(*(replace(work(n), applied=False, applied_message=invalid + refused) for n in (1, 2, 3)))
        (name,) = asked
        yield Case(f"refused {name}", client(**asked), Reason.INVALID_SPEC, f"cluster1: spec.client.{name}: ", _starting(works=views))
    views = works(*(replace(work(n), applied=False, applied_message="statefulsets.apps is forbidden") for n in (1, 2, 3)))
    yield Case("an agent without permission", {}, Reason.WORK_NOT_APPLIED, "cluster1: statefulsets.apps is", _starting(works=views))


FAILED = [*_unsupported(), *_start_fails()]
WAITING = [*_nothing_matches(), *_wrong_placement(), *_unbound_sets(), *_no_address(), *_no_listener()]
CLUSTERS = [*_no_participant(), *_pods_do_not_start(), *_works_are_refused()]

ENV, RESOURCES, TOLERATIONS, NODES = (f"spec.server.{field}: " for field in ("env", "resources", "tolerations", "nodeSelector"))


def env(**source: dict[str, str]) -> Spec:
    return server(env=[{"name": "A", "valueFrom": source}])


def limits(**quantities: object) -> Spec:
    return server(resources={"limits": quantities})


def toleration(**fields: object) -> Spec:
    return server(tolerations=[fields])


# The spec, the object that the hub refuses, and the field that the message begins with.
REFUSED_BY_THE_HUB: list[tuple[Spec, str, str]] = [
    (env(secretKeyRef={"name": "s", "key": "a b"}), "Job", ENV),
    (env(configMapKeyRef={"name": "Not A Name", "key": "k"}), "Job", ENV),
    (env(fieldRef={"fieldPath": "metadata.nonsense"}), "Job", ENV),
    (env(fieldRef={"fieldPath": "metadata.name", "apiVersion": "v9"}), "Job", ENV),
    (env(resourceFieldRef={"resource": "limits.nonsense"}), "Job", ENV),
    (server(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}), "Job", RESOURCES),
    (server(resources={"requests": {"nvidia.com/gpu": 1}}), "Job", RESOURCES),
    (server(resources={"requests": {"nvidia.com/gpu": 1}, "limits": {"nvidia.com/gpu": 2}}), "Job", RESOURCES),
    (limits(gpu=1), "Job", RESOURCES),
    (limits(**{"nvidia.com/gpu": "0.5"}), "Job", RESOURCES),
    (limits(**{"a b": 1}), "Job", RESOURCES),
    (limits(**{"a/b/c": 1}), "Job", RESOURCES),
    (limits(storage="1Gi"), "Job", RESOURCES),
    (limits(cpu=-1), "Job", RESOURCES),
    (limits(**{"hugepages-2Mi": "1Mi"}), "Job", RESOURCES),
    (toleration(), "Job", TOLERATIONS),
    (toleration(key="a", operator="Exists", value="b"), "Job", TOLERATIONS),
    (toleration(key="a", operator="Exists", effect="NoSchedule", tolerationSeconds=1), "Job", TOLERATIONS),
    (toleration(key="a b"), "Job", TOLERATIONS),
    (toleration(operator="Equal", value="a"), "Job", TOLERATIONS),
    (toleration(key="a", value="b c"), "Job", TOLERATIONS),
    (server(nodeSelector={"a b": "c"}), "Job", NODES),
    (server(nodeSelector={"a": "b c"}), "Job", NODES),
    (server(nodeSelector={"": "b"}), "Job", NODES),
    (server(nodeSelector={"a": "b" * 64}), "Job", NODES),
    (placement(tolerations=[{"key": "a b", "operator": "Exists"}]), "Placement", "spec.client.placement.tolerations[0].key: "),
]
