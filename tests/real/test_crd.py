"""The CRD on a real API server: accepted within its cost limits, tolerant of the former controller's resources, strict where it should be.

The module starts as a hub does that had the former controller: its CRD is installed, resources are made, and ours takes its place.
"""

import json

import pytest
import yaml

from cluster import ocm_crds
from panal.api.crd import crd
from panal.api.names import API_VERSION, GROUP, KIND, PLURAL
from panal.api.parse import parse
from panal.api.placements import PLACEMENT

pytestmark = pytest.mark.real

CRD = f"{PLURAL}.{GROUP}"
OLD_NAME = "resource.of-the-former-controller-with-a-name-that-is-too-long"
CLAIM = {"requiredClusterSelector": {"claimSelector": {"matchExpressions": [{"key": "sample.client-data", "operator": "Exists"}]}}}
LABEL = {
    "requiredClusterSelector": {"labelSelector": {"matchLabels": {"feature.open-cluster-management.io/addon-flower-addon": "available"}}}
}

# In the form in which users of the former controller write them.
OLD_FORMS = {
    "flower": {
        "framework": "flower",
        "server": {"image": "example.com/flower:latest", "minAvailableClients": 2, "superlink": "superlink.flower-system:9091"},
        "client": {
            "image": "example.com/flower:latest",
            "supernode": "flower-supernode.flower-addon:9094",
            "placement": {"clusterSets": ["global"], "predicates": [LABEL]},
        },
    },
    "flower-with-listener": {
        "framework": "flower",
        "server": {
            "image": "example.com/flower:latest",
            "rounds": 3,
            "minAvailableClients": 2,
            "listeners": [{"name": "server-listener", "port": 8080, "type": "LoadBalancer"}],
            "storage": {"type": "PersistentVolumeClaim", "name": "model-pvc", "path": "/data/models", "size": "2Gi"},
        },
        "client": {"image": "example.com/flower:latest", "placement": {"clusterSets": ["global"], "predicates": [CLAIM]}},
    },
    "openfl": {
        "framework": "openfl",
        "server": {
            "image": "example.com/openfl:latest",
            "rounds": 3,
            "minAvailableClients": 2,
            "listeners": [{"name": "server-listener", "port": 31531, "type": "NodePort", "ip": "172.18.0.2"}],
            "storage": {"type": "PersistentVolumeClaim", "name": "model-pvc", "path": "/workspace/models", "size": "2Gi"},
        },
        "client": {"image": "example.com/openfl:latest", "placement": {"clusterSets": ["global"], "predicates": [CLAIM]}},
    },
    "openfl-on-s3": {
        "framework": "openfl",
        "server": {
            "image": "example.com/openfl:latest",
            "rounds": 3,
            "listeners": [{"name": "server-listener", "port": 8080, "type": "Route"}],
            "storage": {
                "type": "S3Bucket",
                "name": "model-s3",
                "path": "/workspace/models",
                "size": "2Gi",
                "s3": {"bucketName": "models", "region": "us-east-1", "prefix": "optional/prefix/"},
            },
        },
        "client": {"image": "example.com/openfl:latest", "placement": {"predicates": [CLAIM]}},
    },
}

FULL_PLACEMENT = {
    "clusterSets": ["global"],
    "numberOfClusters": 3,
    "predicates": [
        {
            "requiredClusterSelector": {
                "labelSelector": {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "In", "values": ["d"]}]},
                "claimSelector": {"matchExpressions": [{"key": "e", "operator": "NotIn", "values": ["f"]}]},
                "celSelector": {"celExpressions": ["managedCluster.metadata.name != 'x'"]},
            }
        }
    ],
    "prioritizerPolicy": {
        "mode": "Exact",
        "configurations": [
            {"scoreCoordinate": {"type": "AddOn", "addOn": {"resourceName": "gpu", "scoreName": "free"}}, "weight": 10},
            {"scoreCoordinate": {"type": "BuiltIn", "builtIn": "Steady"}, "weight": -1},
        ],
    },
    "spreadPolicy": {
        "spreadConstraints": [{"topologyKey": "zone", "topologyKeyType": "Label", "maxSkew": 2, "whenUnsatisfiable": "DoNotSchedule"}]
    },
    "tolerations": [{"key": "k", "operator": "Equal", "value": "v", "effect": "NoSelect", "tolerationSeconds": 60}],
    "decisionStrategy": {
        "groupStrategy": {
            "decisionGroups": [{"groupName": "canary", "groupClusterSelector": {"labelSelector": {"matchLabels": {"canary": "1"}}}}],
            "clustersPerDecisionGroup": "20%",
        }
    },
}


MADE: set[str] = set()


class Namespace:
    """One namespace of the API server: makes, changes and reads FederatedLearnings in it."""

    def __init__(self, api, name):
        self.api, self.name = api, name
        MADE.add(name)
        api.namespaces(name)

    def run(self, spec, name="run"):
        """Makes a run with this spec, and images where it has none."""
        images = {side: {"image": "a:1"} | spec.get(side, {}) for side in ("server", "client")}
        return self.create(spec | images, name)

    def create(self, spec, name="run", api_version=API_VERSION, kind=KIND):
        resource = {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": self.name}}
        if spec is not None:
            resource["spec"] = spec
        return json.loads(self.api.kubectl("create", "-o", "json", "-f", "-", stdin=json.dumps(resource)))

    def read(self, name="run"):
        return json.loads(self.api.kubectl("get", "fl", name, "-n", self.name, "-o", "json"))

    def patch(self, change, *options, name="run"):
        self.api.kubectl("patch", "fl", name, "-n", self.name, "--type=merge", "-p", json.dumps(change), *options)

    def status(self, name="run", **fields):
        self.patch({"status": fields}, "--subresource=status", name=name)

    def refused(self, act, *args, **more):
        with pytest.raises(RuntimeError) as refused:
            act(*args, **more)
        return str(refused.value)


def wait_established(api):
    api.kubectl("wait", f"crd/{CRD}", "--for=condition=Established", "--timeout=30s")


@pytest.fixture(scope="module", params=["hub_api", "embedded_api"])
def api(request):
    """A real API server, and the one of the local platform: the same is expected of both."""
    hub_api = request.getfixturevalue(request.param)
    MADE.clear()
    former = ocm_crds() / f"{GROUP}_{PLURAL}.yaml"
    hub_api.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(former))
    wait_established(hub_api)
    left = Namespace(hub_api, "fl-former")
    wrong = {"rounds": 0, "listeners": [{"type": "Tunnel", "port": 0}] * 9, "storage": {"type": "S3Bucket", "path": "../x"}}
    left.create({"framework": "Fate", "server": wrong}, name=OLD_NAME)
    left.patch({"metadata": {"finalizers": ["federated-learning.io/cleanup"]}}, name=OLD_NAME)
    left.status(name=OLD_NAME, phase="Start", listeners=[{"name": "l", "type": "NodePort", "port": 31166, "address": "172.18.0.2:31166"}])
    hub_api.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump(crd()))
    wait_established(hub_api)
    yield hub_api
    hub_api.kubectl("delete", "namespace", "--wait=false", *sorted(MADE))


@pytest.fixture
def ns(api):
    return Namespace(api, f"fl-crd-{len(MADE)}")


@pytest.fixture(scope="module")
def refusing(api):
    """One namespace for all that is refused: nothing comes to exist in it."""
    return Namespace(api, "fl-refused")


def contains(whole, part):
    """Whether `whole` has all that `part` says; the API server may have added defaults."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and contains(whole[key], value) for key, value in part.items())
    if isinstance(part, list):
        return isinstance(whole, list) and len(whole) == len(part) and all(map(contains, whole, part))
    return bool(whole == part)


def test_the_api_server_has_no_objection_to_the_schema(api):
    conditions = json.loads(api.kubectl("get", "crd", CRD, "-o", "json"))["status"]["conditions"]
    found = {one["type"]: one["status"] for one in conditions}
    assert (found["Established"], found["NamesAccepted"]) == ("True", "True")
    assert "NonStructuralSchema" not in found


def test_a_resource_of_the_former_controller_can_still_be_updated_and_deleted(api):
    arguments = ("fl", OLD_NAME, "-n", "fl-former")
    api.kubectl("label", *arguments, "looked-at=yes")
    api.kubectl(
        "patch", *arguments, "--type=merge", "--subresource=status", "-p", '{"status": {"phase": "Failed", "message": "framework"}}'
    )
    api.kubectl("patch", *arguments, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    api.kubectl("delete", *arguments, "--timeout=10s")


@pytest.mark.parametrize("name", OLD_FORMS)
def test_resources_in_the_old_form_apply_unchanged(ns, name):
    stored = ns.create(OLD_FORMS[name])
    assert contains(stored["spec"], OLD_FORMS[name])
    assert parse(stored).spec.framework == OLD_FORMS[name].get("framework", "other")


def test_defaults(ns):
    assert ns.run({})["spec"] == {
        "framework": "other",
        "mode": "Train",
        "acceleration": "Auto",
        "suspend": False,
        "stop": False,
        "client": {"image": "a:1"},
        "server": {
            "image": "a:1",
            "rounds": 1,
            "minAvailableClients": 1,
            "quorumTimeoutSeconds": 600,
            "roundTimeoutSeconds": 3600,
            "onAggregatorLoss": "Restart",
            "replies": {"shapes": "Consistent", "numbers": "Finite"},
            "aggregation": {"method": "App"},
            "protocol": "HTTP",
            "storage": {"type": "PersistentVolumeClaim", "size": "1Gi"},
        },
    }
    listener = ns.run({"server": {"listeners": [{}]}}, name="listener")["spec"]["server"]["listeners"][0]
    assert listener == {"type": "NodePort", "port": 8080}


@pytest.mark.parametrize("secure", [{}, {"threshold": 3}])
def test_secure_aggregation_is_accepted(ns, secure):
    noise = {"clippingNorm": 1.5, "noiseMultiplier": 2}
    for number, privacy in enumerate(({"secureAggregation": secure}, {"secureAggregation": secure, "differentialPrivacy": noise})):
        stored = ns.run({**server(minAvailableClients=3), "privacy": privacy}, name=f"secure-{number}")["spec"]["privacy"]
        assert stored["secureAggregation"] == secure


def test_what_a_pod_needs_is_kept_as_it_is(ns):
    pod = {
        "resources": {"requests": {"cpu": "500m", "memory": 1073741824}, "limits": {"nvidia.com/gpu": 1}},
        "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
        "imagePullSecrets": [{"name": "registry"}],
        "imagePullPolicy": "Always",
        "nodeSelector": {"gpu": "yes"},
        "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
    }
    stored = ns.run({"server": pod, "client": pod})["spec"]
    assert all(contains(stored[side], pod) for side in ("server", "client"))


def test_a_full_placement_is_kept_and_is_one_for_open_cluster_management_too(ns):
    stored = ns.run({"client": {"placement": FULL_PLACEMENT}})["spec"]["client"]["placement"]
    assert stored == FULL_PLACEMENT
    assert set(FULL_PLACEMENT) == set(PLACEMENT["properties"]), "the test knows every field of the schema"
    ns.api.kubectl("apply", "--server-side", "-f", str(ocm_crds() / "cluster.open-cluster-management.io_placements.yaml"))
    ns.api.kubectl("wait", "crd/placements.cluster.open-cluster-management.io", "--for=condition=Established", "--timeout=30s")
    placement = ns.create(stored, api_version="cluster.open-cluster-management.io/v1beta1", kind="Placement")
    assert contains(placement["spec"], stored)


def server(**fields):
    return {"server": fields}


def storage(**fields):
    return server(storage=fields)


def bucket(**fields):
    return storage(type="S3Bucket", s3={"bucketName": "models", **fields})


def placement(**fields):
    return {"client": {"placement": fields}}


REFUSED = {
    "rounds": (server(rounds=0), "spec.server.rounds", "greater than or equal to 1"),
    "quorum": (server(minAvailableClients=0), "spec.server.minAvailableClients", "greater than or equal to 1"),
    "quorum-timeout": (server(quorumTimeoutSeconds=0), "spec.server.quorumTimeoutSeconds", "greater than or equal to 1"),
    "run-config": (server(runConfig={str(n): n for n in range(101)}), "spec.server.runConfig", "must have at most 100 items"),
    "run-config-text": (server(runConfig="a=1"), "spec.server.runConfig", "must be of type object"),
    "reply-shapes": (server(replies={"shapes": "Some"}), "spec.server.replies.shapes", "Unsupported value"),
    "reply-size": (server(replies={"maxSize": "much"}), "spec.server.replies.maxSize", "should match"),
    "round-timeout": (server(roundTimeoutSeconds=0), "spec.server.roundTimeoutSeconds", "greater than or equal to 1"),
    "deadline": ({"activeDeadlineSeconds": 0}, "spec.activeDeadlineSeconds", "greater than or equal to 1"),
    "framework": ({"framework": "Fate"}, "spec.framework", "should match"),
    "port-0": (server(listeners=[{"port": 0}]), "spec.server.listeners[0].port", "greater than or equal to 1"),
    "port-65536": (server(listeners=[{"port": 65536}]), "spec.server.listeners[0].port", "less than or equal to 65535"),
    "listener-type": (server(listeners=[{"type": "Tunnel"}]), "spec.server.listeners[0].type", '"Gateway"'),
    "listener-names": (server(listeners=[{"name": "a"}, {}, {"name": "a"}]), "spec.server.listeners", "names must be unique; rename"),
    "gateway-missing": (server(listeners=[{"type": "Gateway"}]), "spec.server.listeners[0]", "gateway: required with type Gateway"),
    "gateway-unnamed": (server(listeners=[{"type": "Gateway", "gateway": {}}]), "spec.server.listeners[0].gateway.name", "Required value"),
    "gateway-of-a-route": (server(listeners=[{"type": "Route", "gateway": {"name": "a"}}]), "spec.server.listeners[0]", "and only then"),
    "host-of-a-node": (server(listeners=[{"host": "a.example"}]), "spec.server.listeners[0]", "host: only with type Route, Gateway or"),
    "host-with-a-wildcard": (server(listeners=[{"type": "Route", "host": "*.a"}]), "spec.server.listeners[0].host", "should match"),
    "class-of-a-route": (
        server(listeners=[{"type": "Route", "ingressClassName": "a"}]),
        "spec.server.listeners[0]",
        "only with type Ingress",
    ),
    "listeners": (server(listeners=[{}] * 9), "spec.server.listeners", "must have at most 8 items"),
    "s3": (storage(type="S3Bucket"), "spec.server.storage", "storage.s3: required with type S3Bucket; name the bucket"),
    "bucket": (storage(type="S3Bucket", s3={}), "spec.server.storage.s3.bucketName", "Required value"),
    "endpoint": (bucket(endpoint="minio:9000"), "spec.server.storage.s3.endpoint", "should match"),
    "endpoint-user": (bucket(endpoint="https://user:word@minio"), "spec.server.storage.s3.endpoint", "should match"),
    "prefix": (bucket(prefix="a/../b"), "spec.server.storage.s3", "storage.s3.prefix: must not contain ..; give the prefix itself"),
    "ca-bundle": (bucket(caBundle={}), "spec.server.storage.s3.caBundle.name", "Required value"),
    "ca-bundle-kind": (bucket(caBundle={"name": "a", "kind": "File"}), "spec.server.storage.s3.caBundle.kind", "Unsupported value"),
    "secret-name": (bucket(secretName="A b"), "spec.server.storage.s3.secretName", "should match"),
    "host-path": (storage(type="HostPath"), "spec.server.storage", "storage.path: required with type HostPath; give an absolute path"),
    "host-path-relative": (storage(type="HostPath", path="data"), "spec.server.storage", "give an absolute path other than /"),
    "host-path-root": (storage(type="HostPath", path="/"), "spec.server.storage", "give an absolute path other than /"),
    "path": (storage(path="models/../.."), "spec.server.storage", "storage.path: must not contain ..; give the path itself"),
    "size": (storage(size="lots"), "spec.server.storage.size", "should match"),
    "size-0": (storage(size="0"), "spec.server.storage.size", "should match"),
    "claim-name": (storage(name="Model PVC"), "spec.server.storage.name", "should match"),
    "env": (server(env=[{"name": "PANAL_ROUNDS", "value": "9"}]), "spec.server.env[0].name", "are reserved; choose another name"),
    "env-twice": (server(env=[{"name": "A"}, {"name": "A"}]), "spec.server.env[1]", "Duplicate value"),
    "quantity": (server(resources={"limits": {"cpu": "many"}}), "spec.server.resources.limits.cpu", "should match"),
    "pull-policy": ({"client": {"imagePullPolicy": "Often"}}, "spec.client.imagePullPolicy", '"IfNotPresent"'),
    "too-few-clusters": (
        server(minAvailableClients=3) | placement(numberOfClusters=2),
        "spec",
        "client.placement.numberOfClusters is lower than server.minAvailableClients, so the run could never start; raise the first",
    ),
    "group-size": (
        placement(decisionStrategy={"groupStrategy": {"clustersPerDecisionGroup": "25"}}),
        "spec.client.placement.decisionStrategy.groupStrategy.clustersPerDecisionGroup",
        "is a string without %, by which Open Cluster Management deletes every decision; write a number without quotes",
    ),
    "operator": (
        placement(predicates=[{"requiredClusterSelector": {"claimSelector": {"matchExpressions": [{"key": "a", "operator": "Like"}]}}}]),
        "spec.client.placement.predicates[0].requiredClusterSelector.claimSelector.matchExpressions[0].operator",
        '"DoesNotExist"',
    ),
    "initial-model-both": (
        server(initialModel={"run": "before", "uri": "pvc://a/model.safetensors"}),
        "spec.server.initialModel",
        "name either a run or a uri; give one of them",
    ),
    "initial-model-none": (server(initialModel={}), "spec.server.initialModel", "name either a run or a uri"),
    "initial-model-digest": (
        server(initialModel={"run": "before", "digest": f"sha256:{0:064}"}),
        "spec.server.initialModel",
        "only with uri, because the status of a run has the digest of its model; remove it",
    ),
    "initial-model-leaves": (
        server(initialModel={"uri": "pvc://a/../model.safetensors"}),
        "spec.server.initialModel",
        "must not contain ..",
    ),
    "initial-model-http": (server(initialModel={"uri": "https://a/model.safetensors"}), "spec.server.initialModel.uri", "should match"),
    "evaluate-nothing": ({"mode": "Evaluate"}, "spec", "server.initialModel: required with mode Evaluate; name the model"),
    "evaluation-of-a-training": ({"evaluation": {"localRounds": 1}}, "spec", "evaluation: only with mode Evaluate; set the mode"),
    **{
        f"evaluation-with-{name}": (
            {"mode": "Evaluate", "server": {"initialModel": {"run": "before"}}, **asked},
            "spec",
            "result, validation, publish: not with mode Evaluate, which produces only metrics; remove them",
        )
        for name, asked in {
            "result-model": {"result": "Model"},
            "result-files": {"result": "Files"},
            "validation": {"validation": {"image": "a:1"}},
            "publish": {"publish": {"mlflow": {"uri": "https://mlflow.example.com", "name": "digits"}}},
            "publish-registry": {"publish": {"modelRegistry": {"uri": "https://registry.example.com", "name": "digits"}}},
        }.items()
    },
    "aggregation-median": (
        server(minAvailableClients=2, aggregation={"method": "Median", "byzantineClients": 1}),
        "spec.server",
        "minAvailableClients: aggregation.method Median or TrimmedMean needs at least 2 * aggregation.byzantineClients + 1 clusters",
    ),
    "aggregation-krum": (
        server(minAvailableClients=4, aggregation={"method": "Krum", "byzantineClients": 1}),
        "spec.server",
        "minAvailableClients: aggregation.method Krum or MultiKrum needs at least 2 * aggregation.byzantineClients + 3 clusters",
    ),
    "aggregation-without-number": (
        server(minAvailableClients=3, aggregation={"method": "TrimmedMean"}),
        "spec.server.aggregation",
        "aggregation.byzantineClients: required with method Median, TrimmedMean, Krum or MultiKrum, and only then",
    ),
    "aggregation-number-of-the-mean": (
        server(aggregation={"method": "Mean", "byzantineClients": 1}),
        "spec.server.aggregation",
        "aggregation.byzantineClients: required with method",
    ),
    "aggregation-any-shapes": (
        server(aggregation={"method": "Mean"}, replies={"shapes": "Any"}),
        "spec.server",
        "replies.shapes and replies.numbers: not Any with aggregation.method",
    ),
    "aggregation-method": (server(aggregation={"method": "Bulyan"}), "spec.server.aggregation.method", '"MultiKrum"'),
    "evaluation-with-aggregation": (
        {"mode": "Evaluate", "server": {"initialModel": {"run": "before"}, "aggregation": {"method": "Mean"}}},
        "spec",
        "server.aggregation.method, server.replies.largestUpdateNorm: not with mode Evaluate",
    ),
    "privacy-of-nothing": ({"privacy": {}}, "spec.privacy", "privacy: has neither differentialPrivacy nor secureAggregation"),
    "secure-quorum": (
        {**server(minAvailableClients=2), "privacy": {"secureAggregation": {}}},
        "spec",
        "server.minAvailableClients: must be at least 3 with privacy.secureAggregation",
    ),
    "secure-threshold": (
        {**server(minAvailableClients=3), "privacy": {"secureAggregation": {"threshold": 4}}},
        "spec",
        "privacy.secureAggregation.threshold: is higher than server.minAvailableClients",
    ),
    "secure-threshold-of-two": (
        {**server(minAvailableClients=3), "privacy": {"secureAggregation": {"threshold": 2}}},
        "spec.privacy.secureAggregation.threshold",
        "greater than or equal to 3",
    ),
    **{
        f"secure-{name}": (
            {**server(minAvailableClients=5, **asked), "privacy": {"secureAggregation": {"threshold": 3}}},
            "spec",
            "not with privacy.secureAggregation, which shows the aggregator no single update; remove them",
        )
        for name, asked in {
            "median": {"aggregation": {"method": "Median", "byzantineClients": 1}},
            "mean": {"aggregation": {"method": "Mean"}},
            "norm": {"replies": {"largestUpdateNorm": 2.5}},
            "shapes": {"replies": {"shapes": "Any"}},
            "numbers": {"replies": {"numbers": "Any"}},
        }.items()
    },
    "secure-evaluation": (
        {"mode": "Evaluate", "server": {"initialModel": {"run": "before"}, "minAvailableClients": 3}, "privacy": {"secureAggregation": {}}},
        "spec",
        "privacy: not with mode Evaluate",
    ),
    "largest-update-norm": (server(replies={"largestUpdateNorm": 0}), "spec.server.replies.largestUpdateNorm", "must be above 0"),
    "effect": (placement(tolerations=[{"key": "a", "effect": "NoExecute"}]), "spec.client.placement.tolerations[0].effect", '"NoSelect"'),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_the_field_and_the_remedy(refusing, case):
    spec, path, words = REFUSED[case]
    error = refusing.refused(refusing.run, spec)
    assert f"{path}: " in error
    assert words in error


IMAGES = {"server": "name the image that holds the app and the framework", "client": "name the image that holds what the app needs"}
WITHOUT_IMAGES = {
    "spec": (None, ["server", "client"]),
    "spec-empty": ({}, ["server", "client"]),
    "sides-empty": ({"server": {}, "client": {}}, ["server", "client"]),
    "server": ({"client": {"image": "a:1"}}, ["server"]),
    "server-image-empty": ({"server": {"image": ""}, "client": {"image": "a:1"}}, ["server"]),
    "client": ({"server": {"image": "a:1"}}, ["client"]),
    "client-image": ({"server": {"image": "a:1"}, "client": {"placement": {}}}, ["client"]),
    "client-image-empty": ({"server": {"image": "a:1"}, "client": {"image": ""}}, ["client"]),
}


@pytest.mark.parametrize("case", WITHOUT_IMAGES)
def test_a_run_without_an_image_is_refused(refusing, case):
    spec, sides = WITHOUT_IMAGES[case]
    error = refusing.refused(refusing.create, spec)
    for side, words in IMAGES.items():
        assert (f"spec.{side}.image: Required value: {words}" in error) == (side in sides)


def test_an_image_cannot_be_taken_away(ns):
    ns.create(BEFORE)
    for image in (None, ""):
        assert "spec.client.image: Required value" in ns.refused(ns.patch, {"spec": {"client": {"image": image}}})


@pytest.mark.parametrize("name", ["a" * 41, "1run", "my.run"])
def test_names_that_could_not_name_the_run_s_objects_are_refused(refusing, name):
    assert "metadata.name: must have at most 40 characters" in refusing.refused(refusing.run, {}, name=name)


def test_the_longest_name(ns):
    assert ns.run({}, name="a" * 40)["metadata"]["name"] == "a" * 40


BEFORE = {
    "framework": "flower",
    "server": {
        "image": "a:1",
        "rounds": 3,
        "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}}],
        "runConfig": {"lr": 0.1, "optimizer.name": "sgd", "augment": True, "steps": 3},
    },
    "client": {"image": "b:1", "placement": {"predicates": [CLAIM]}, "resources": {"limits": {"cpu": 1}}},
}
CHANGES = {
    "framework": {"framework": "openfl"},
    "server.image": server(image="a:2"),
    "server.minAvailableClients": server(minAvailableClients=2),
    "server.env": server(env=[{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "other"}}}]),
    "server.runConfig": server(runConfig={"lr": 0.2}),
    "server.storage": storage(size="9Gi"),
    "server.listeners": server(listeners=[{"port": 30001}]),
    "client.image": {"client": {"image": "b:2"}},
    "client.dataClaim": {"client": {"dataClaim": "x"}},
    "client.placement": placement(clusterSets=["global"]),
    "client.resources": {"client": {"resources": {"limits": {"cpu": 2}}}},
}


def test_before_the_start_everything_may_change(ns):
    ns.create(BEFORE)
    ns.status(phase="Waiting", message="1 of 2 clusters qualify")
    for change in CHANGES.values():
        ns.patch({"spec": change})
    ns.patch({"spec": server(rounds=1)})


def test_after_the_start_little_may_change_and_after_the_end_nothing(ns):
    ns.create(BEFORE)
    ns.status(phase="Running", startTime="2026-01-02T03:04:05Z")
    for field, change in CHANGES.items():
        assert f"spec.{field}: Invalid value" in (error := ns.refused(ns.patch, {"spec": change})), field
        assert "immutable once the run has started; restore the previous value, or create a new FederatedLearning" in error
    assert "can get more rounds, not fewer" in ns.refused(ns.patch, {"spec": server(rounds=2)})
    ns.patch({"spec": server(rounds=5)})
    ns.patch({"spec": {"suspend": True, "stop": True, "activeDeadlineSeconds": 60}})
    ns.patch({"spec": {"suspend": False, "stop": False, "activeDeadlineSeconds": None}})
    ns.patch({"metadata": {"labels": {"team": "a"}}})
    ns.status(phase="Completed", completionTime="2026-01-02T04:04:05Z")
    for change in (*CHANGES.values(), server(rounds=6), {"suspend": True}, {"stop": True}, {"activeDeadlineSeconds": 60}):
        assert "the run has ended, so its spec is immutable; create a new FederatedLearning" in ns.refused(ns.patch, {"spec": change})
    ns.patch({"metadata": {"labels": {"team": "b"}}})
    ns.api.kubectl("delete", "fl", "run", "-n", ns.name, "--timeout=10s")


def test_a_private_run_gets_no_more_rounds_than_its_epsilon_allows(ns):
    ns.create(BEFORE)
    ns.status(phase="Running", startTime="2026-01-02T03:04:05Z", privacy={"delta": 1e-5, "plannedEpsilon": 7.2, "maxRounds": 4})
    ns.patch({"spec": server(rounds=4)})
    assert "status.privacy.maxRounds is the largest number" in ns.refused(ns.patch, {"spec": server(rounds=5)})
    ns.status(privacy={"maxRounds": None})
    ns.patch({"spec": server(rounds=5)})


def test_a_run_that_failed_before_it_started_stays_as_it_was(ns):
    ns.create(BEFORE)
    ns.status(phase="Failed", message="deadline")
    assert "create a new FederatedLearning" in ns.refused(ns.patch, {"spec": {"activeDeadlineSeconds": 9}})


def test_an_update_of_the_spec_leaves_the_status_alone_and_the_other_way_round(ns):
    ns.create(BEFORE)
    ns.patch({"spec": {"suspend": True}, "status": {"message": "by a user"}})
    ns.patch({"spec": {"suspend": False}, "status": {"message": "by the controller"}}, "--subresource=status")
    found = ns.read()
    assert found["spec"]["suspend"] is True
    assert found["status"] == {"message": "by the controller"}


def test_get_answers_whether_it_is_working(ns):
    ns.create(BEFORE, name="mnist")
    ns.status(
        name="mnist",
        phase="Running",
        message="Round 3 of 3 is being trained",
        rounds={"completed": 2, "total": 3, "summary": "2/3"},
        clients={"selected": 3, "ready": 3, "failed": 0, "summary": "3/3"},
        headlineMetric="accuracy=0.93",
    )
    head, row = ns.api.kubectl("get", "fl", "-n", ns.name).splitlines()
    assert head.split() == ["NAME", "PHASE", "ROUND", "CLIENTS", "METRIC", "AGE"]
    assert row.split()[:5] == ["mnist", "Running", "2/3", "3/3", "accuracy=0.93"]
    head, row = ns.api.kubectl("get", "federatedlearnings", "-n", ns.name, "-o", "wide").splitlines()
    assert head.split()[-1] == "MESSAGE"
    assert row.endswith("Round 3 of 3 is being trained")


def test_explain_tells_what_a_field_means(api):
    text = api.kubectl("explain", "fl.spec.server.listeners")
    assert "How clusters reach the aggregator" in text
    assert all(
        word in text for word in ("name\t<string>", "port\t<integer>", "enum: NodePort, LoadBalancer, Route", "chooses the node port")
    )
    assert "A cluster qualifies if it matches one of the predicates" in api.kubectl("explain", "fl.spec.client.placement.predicates")
