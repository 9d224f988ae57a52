"""The chart and the manifest made from it, judged by helm and a real API server; and the policy that guards cluster sets."""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml

from cluster import Cluster
from panal.addon import install
from panal.addon.versions import to_v1beta1
from panal.api import names
from panal.api.names import API_VERSION, BINDING_POLICY, GROUP, KIND, PLURAL
from panal.dashboard.watched import watched
from panal.hub.scrape.reference import names as metric_names
from prometheus import operator_crds, promtool
from waiting import eventually

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts/panal"
MANIFEST = ROOT / "deploy/panal.yaml"
NAMESPACE = "panal-system"
CRD = f"{PLURAL}.{GROUP}"
NOBODY = "NO CLUSTER CAN TAKE PART YET"
NAMED = [f"set{i}" for i in range(16)]

# What the author of runs may do in these tests: bind some sets, and write runs with their status.
AUTHOR = [
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "author"},
        "rules": [
            {"apiGroups": [GROUP], "resources": ["*"], "verbs": ["*"]},
            {
                "apiGroups": ["cluster.open-cluster-management.io"],
                "resources": ["managedclustersets/bind"],
                "resourceNames": ["mine", *NAMED],
                "verbs": ["create"],
            },
        ],
    },
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "author"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "author"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "ann"}],
    },
]

LATER = "addon.open-cluster-management.io/v1beta1"
NODES = "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0]"
VALUES = {
    "defaults": [],
    "everything": [
        "createNamespace=true",
        "replicas=2",
        "images.registry=registry.example.com/team",
        "images.gateway=gateway@sha256:" + "0" * 64,
        "imagePullSecrets[0].name=pull",
        "nodeSelector.disk=ssd",
        "tolerations[0].operator=Exists",
        "podAnnotations.a=b",
        "addon.allClusters=true",
        "addon.placements[0].namespace=teams",
        "addon.placements[0].name=hospitals",
        "addon.placements[0].configs[0].namespace=teams",
        "addon.placements[0].configs[0].name=by-proxy",
        "addon.defaultConfig.namespace=panal-system",
        "addon.defaultConfig.name=usual",
        "certificates.life=3600",
        "registration.grpcServerAccount=system:serviceaccount:open-cluster-management-hub:grpc-server-sa",
        "logLevel=DEBUG",
        "images.pullPolicy=Always",
        f"{NODES}.key=metadata.name",
        f"{NODES}.operator=In",
        f"{NODES}.values[0]=node1",
        "resources.limits.cpu=2",
        "global.team=a",
    ],
    "with-dashboard": [
        "dashboard.enabled=true",
        "dashboard.hosts[0]=panal.example.com",
        "dashboard.tlsSecret=panal-dashboard-tls",
        "dashboard.serviceAnnotations.a=b",
        "dashboard.accountAnnotations.a=b",
        "dashboard.targetPort=8443",
        "dashboard.sidecars[0].name=proxy",
        "dashboard.sidecars[0].image=proxy:1",
        "dashboard.volumes[0].name=cookie",
        "dashboard.volumes[0].emptyDir.medium=Memory",
    ],
    "metrics": [
        "metrics.tlsSecret=panal-metrics-tls",
        "metrics.serviceAnnotations.a=b",
        "metrics.readers[0].kind=ServiceAccount",
        "metrics.readers[0].namespace=monitoring",
        "metrics.readers[0].name=prometheus-k8s",
    ],
    "open-metrics": ["metrics.authentication=false"],
    "without-bindings": ["clusterSetBindings=false", "crd.install=false"],
    "without-roles": ["aggregateRoles=false", "readableLease=false"],
}


def helm(*args: str, check: bool = True) -> str:
    command = [f"{os.environ['KUBEBUILDER_ASSETS']}/helm", *args]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0 or not check, done.stdout + done.stderr
    return done.stdout


def rendered(*values: str, apis: Sequence[str] = ()) -> list[dict]:
    settings = [word for value in values for word in ("--set", value)] + [f"--api-versions={each}" for each in apis]
    text = helm("template", "panal", str(CHART), "--namespace", NAMESPACE, "--kube-version", "1.30.0", *settings)
    return [found for found in yaml.safe_load_all(text) if found]


def documents(objects: list[dict]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})


def named(objects: list[dict], kind: str) -> dict:
    return next(o for o in objects if o["kind"] == kind)


def test_helm_installs_upgrades_and_leaves_only_the_crd(hub_api: Cluster) -> None:
    """Before anything else here: helm takes over no objects that it did not make, such as those of the manifest."""
    hub_api.kubectl("delete", "crd", CRD, "--ignore-not-found")
    place = ("--kubeconfig", str(hub_api.kubeconfig), "--namespace", "panal-by-helm")
    assert NOBODY in helm("install", "panal", str(CHART), *place, "--create-namespace")
    assert NOBODY not in helm("upgrade", "panal", str(CHART), *place, "--set", "replicas=2", "--set", "addon.allClusters=true")
    assert hub_api.kubectl("get", "deployment", "panal-controller", "-n", "panal-by-helm", "-o", "jsonpath={.spec.replicas}") == "2"
    helm("uninstall", "panal", *place, "--wait")
    kinds = hub_api.kubectl("api-resources", "--verbs=list", "-o", "name").split()
    labelled = ("get", ",".join(kinds), "-A", "-l", "app.kubernetes.io/instance=panal", "-o", "name", "--ignore-not-found")
    crd = f"customresourcedefinition.apiextensions.k8s.io/{CRD}"
    eventually(
        lambda: hub_api.kubectl(*labelled, check=False).split() == [crd], "Kubernetes has collected what belonged to the Service", 30
    )
    hub_api.kubectl("delete", "namespace", "panal-by-helm", "--timeout=60s")
    hub_api.kubectl("delete", crd)


@pytest.fixture(scope="module")
def installed(hub_api: Cluster) -> Iterator[Cluster]:
    """The manifest, applied by kubectl; nothing runs its Pods here."""
    hub_api.kubectl("apply", "-f", str(MANIFEST))
    hub_api.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    yield hub_api
    hub_api.kubectl("delete", "-f", str(MANIFEST), "--wait=true", "--timeout=60s")


@pytest.fixture(scope="module")
def author(installed: Cluster) -> Iterator[Cluster]:
    installed.apply(*AUTHOR)
    dry = ("create", "--as=ann", "--dry-run=server", "-f", "-")
    eventually(lambda: "created" in installed.kubectl(*dry, stdin=run("ready"), check=False), "the policy has its parameters", 30)
    yield installed
    installed.kubectl("delete", "fl", "--all", "-n", "default")
    installed.kubectl("delete", "clusterrole,clusterrolebinding", "author")


@pytest.mark.usefixtures("hub_api")
def test_helm_finds_nothing_wrong() -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART))


@pytest.mark.usefixtures("hub_api")
def test_the_manifest_is_what_the_chart_renders() -> None:
    wanted = rendered("createNamespace=true")
    assert list(yaml.safe_load_all(MANIFEST.read_text())) == wanted, "run `make manifest` and commit deploy/panal.yaml"


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES.keys())
def test_the_api_server_accepts_every_object(installed: Cluster, values: list[str]) -> None:
    objects = rendered(*values)
    said = installed.kubectl("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-", stdin=documents(objects))
    assert said.count("serverside-applied (server dry run)") == len(objects)


@pytest.mark.usefixtures("hub_api")
def test_only_one_of_several_replicas_is_evicted_at_a_time() -> None:
    objects = rendered("replicas=2")
    deployment, budget = named(objects, "Deployment")["spec"], named(objects, "PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    labels = deployment["template"]["metadata"]["labels"].items()
    (spread,) = deployment["template"]["spec"]["topologySpreadConstraints"]
    assert budget["selector"]["matchLabels"].items() <= labels
    assert spread["labelSelector"]["matchLabels"].items() <= labels
    assert "PodDisruptionBudget" not in [each["kind"] for each in rendered()]


OBSERVABILITY = "open-cluster-management-observability"
MONITORED = [
    "metrics.serviceMonitor.enabled=true",
    "metrics.serviceMonitor.labels.release=prometheus",
    "metrics.rules.enabled=true",
    "metrics.rules.labels.release=prometheus",
    "metrics.rules.runbookBase=https://docs.example.com/panal/",
    "metrics.grafanaDashboard.enabled=true",
    "metrics.serviceMonitor.tlsConfig.insecureSkipVerify=false",
    "metrics.serviceMonitor.tlsConfig.serverName=panal-metrics.panal-system.svc",
    "metrics.serviceMonitor.tlsConfig.ca.secret.name=panal-metrics-tls",
    "metrics.serviceMonitor.tlsConfig.ca.secret.key=ca.crt",
    "metrics.networkPolicy.enabled=true",
    "metrics.networkPolicy.from[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=monitoring",
]
WATCHING = {"ServiceMonitor", "PrometheusRule", "ConfigMap", "NetworkPolicy"}


@pytest.fixture(scope="module")
def monitored(installed: Cluster) -> Iterator[Cluster]:
    """A hub with the kinds of the Prometheus operator, and the namespace of Open Cluster Management's observability."""
    installed.namespaces(OBSERVABILITY)
    for path in (crds := operator_crds()):
        installed.kubectl("apply", "--server-side", "-f", str(path))
    installed.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    yield installed
    for path in crds:
        installed.kubectl("delete", "-f", str(path))
    installed.kubectl("delete", "namespace", OBSERVABILITY, "--timeout=60s")


@pytest.mark.parametrize("allow_list", ["user", "platform"])
@pytest.mark.parametrize(
    "how", ["metrics.serviceMonitor.interval=1m", "metrics.serviceMonitor.tokenSecret=a", "metrics.authentication=false"]
)
def test_the_real_kinds_of_prometheus_accept_what_watches_the_controller(monitored: Cluster, allow_list: str, how: str) -> None:
    to = [
        f"metrics.grafanaDashboard.namespace={OBSERVABILITY}",
        "metrics.grafanaDashboard.labels.grafana-custom-dashboard=yes",
        f"metrics.allowList={allow_list}",
        how,
    ]
    objects = rendered(*MONITORED, *to)
    assert {each["kind"] for each in objects} >= WATCHING
    said = monitored.kubectl("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-", stdin=documents(objects))
    assert said.count("serverside-applied (server dry run)") == len(objects)


def test_the_real_kind_refuses_an_alert_of_another_form(monitored: Cluster) -> None:
    """The test above can fail."""
    rule = named(rendered(*MONITORED), "PrometheusRule")
    rule["spec"]["groups"][0]["rules"][0]["for"] = "half an hour"
    with pytest.raises(RuntimeError, match=r"spec\.groups"):
        monitored.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=documents([rule]))


@pytest.mark.usefixtures("hub_api")
def test_no_service_becomes_a_setting() -> None:
    """Kubernetes gives a Pod PANAL_METRICS_PORT=tcp://... for a Service panal-metrics, unless that is turned off."""
    found = [each["spec"]["template"]["spec"] for each in rendered("dashboard.enabled=true") if each["kind"] == "Deployment"]
    assert [each["enableServiceLinks"] for each in found] == [False, False]


@pytest.mark.usefixtures("hub_api")
def test_nothing_watches_the_controller_by_default() -> None:
    assert not {each["kind"] for each in rendered()} & WATCHING


@pytest.mark.usefixtures("hub_api")
@pytest.mark.parametrize(("authentication", "number"), [("true", 8443), ("false", 8080)])
def test_the_service_monitor_finds_the_port_of_the_service(authentication: str, number: int) -> None:
    objects = rendered(*MONITORED, f"metrics.authentication={authentication}")
    monitor, service, deployment = (named(objects, kind) for kind in ("ServiceMonitor", "Service", "Deployment"))
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["namespaceSelector"]["matchNames"] == [service["metadata"]["namespace"]] == [NAMESPACE]
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    (port,), (endpoint,) = service["spec"]["ports"], monitor["spec"]["endpoints"]
    assert endpoint["port"] == port["name"] == endpoint.get("scheme", "http")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert {"name": port["targetPort"], "containerPort": number} in container["ports"]
    assert "annotations" not in service["metadata"]
    policy = named(objects, "NetworkPolicy")["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert policy["ingress"][0]["from"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "monitoring"}
    assert policy["ingress"][0]["ports"] == [{"port": port["targetPort"]}]
    closed = named(rendered("metrics.networkPolicy.enabled=true"), "NetworkPolicy")["spec"]
    assert (closed["ingress"], closed["policyTypes"]) == ([], ["Ingress"])


@pytest.mark.usefixtures("hub_api")
def test_who_reads_the_metrics_is_asked_for_a_token_unless_that_is_turned_off() -> None:
    guarded, opened = rendered(*MONITORED, *VALUES["metrics"]), rendered("metrics.authentication=false")
    (endpoint,) = named(guarded, "ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["bearerTokenFile"].endswith("/serviceaccount/token")
    (endpoint,) = named(rendered(*MONITORED, "metrics.serviceMonitor.tokenSecret=mine"), "ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["authorization"] == {"type": "Bearer", "credentials": {"name": "mine", "key": "token"}}
    assert "bearerTokenFile" not in endpoint
    roles = {each["metadata"]["name"]: each for each in guarded if each["kind"] in ("ClusterRole", "ClusterRoleBinding")}
    assert roles["panal-metrics-reader"]["subjects"] == [{"kind": "ServiceAccount", "namespace": "monitoring", "name": "prometheus-k8s"}]
    reviews = {"tokenreviews", "subjectaccessreviews"}
    may = [{name for o in objects if o["kind"] == "ClusterRole" for rule in o["rules"] for name in rule.get("resources", ())} & reviews
           for objects in (guarded, opened)]  # fmt: skip
    assert may == [reviews, set()]
    assert "panal-metrics-reader" not in [o["metadata"]["name"] for o in opened]
    assert named(opened, "Service")["metadata"]["annotations"] == {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"}
    assert named(guarded, "Service")["metadata"]["annotations"] == {"a": "b"}
    pod = named(guarded, "Deployment")["spec"]["template"]["spec"]
    assert pod["volumes"] == [{"name": "tls", "secret": {"secretName": "panal-metrics-tls"}}]
    assert {"name": "PANAL_METRICS_TLS", "value": pod["containers"][0]["volumeMounts"][0]["mountPath"]} in pod["containers"][0]["env"]


@pytest.mark.usefixtures("hub_api")
def test_the_rules_are_those_of_the_file_and_lead_to_the_page(tmp_path: Path) -> None:
    spec = named(rendered(*MONITORED), "PrometheusRule")["spec"]
    (tmp_path / "rules.yml").write_text(json.dumps(spec))
    done = subprocess.run([promtool(), "check", "rules", str(tmp_path / "rules.yml")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    urls = [rule["annotations"].pop("runbook_url") for group in spec["groups"] for rule in group["rules"]]
    assert spec == yaml.safe_load((CHART / "files/alerts.yaml").read_text())
    assert urls[0] == "https://docs.example.com/panal/docs/how-to/watch-with-prometheus.md#panalrunwaits"


@pytest.mark.usefixtures("hub_api")
@pytest.mark.parametrize(
    ("allow_list", "namespace", "key"),
    [("user", NAMESPACE, "uwl_metrics_list.yaml"), ("platform", OBSERVABILITY, "metrics_list.yaml")],
)
def test_dashboard_and_allow_list_are_where_they_are_looked_for(allow_list: str, namespace: str, key: str) -> None:
    found = {o["metadata"]["name"]: o for o in rendered(*MONITORED, f"metrics.allowList={allow_list}") if o["kind"] == "ConfigMap"}
    dashboard, listed = found["panal-grafana-dashboard"], found["observability-metrics-custom-allowlist"]
    assert json.loads(dashboard["data"]["panal.json"]) == json.loads((CHART / "files/grafana-dashboard.json").read_text())
    assert (dashboard["metadata"]["namespace"], dashboard["metadata"]["labels"]["grafana_dashboard"]) == (NAMESPACE, "1")
    assert listed["metadata"]["namespace"] == namespace
    assert {name: yaml.safe_load(text) for name, text in listed["data"].items()} == {key: {"names": metric_names()}}


@pytest.mark.usefixtures("hub_api")
def probes(*values: str) -> list[dict]:
    """Of the dashboard's container."""
    made = rendered(*values)
    (deployment,) = (each for each in made if (each["kind"], each["metadata"]["name"]) == ("Deployment", "panal-dashboard"))
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    return [container[name]["httpGet"] for name in ("readinessProbe", "livenessProbe")]


def test_probes_of_the_dashboard_name_a_host_that_it_answers_to() -> None:
    for probe in probes(*VALUES["with-dashboard"]):
        assert probe["httpHeaders"] == [{"name": "Host", "value": "panal.example.com"}]
    assert not [probe for probe in probes("dashboard.enabled=true") if "httpHeaders" in probe]


def test_the_dashboards_pod_is_none_of_the_controllers() -> None:
    objects = rendered("dashboard.enabled=true")
    services = {each["metadata"]["name"]: each["spec"]["selector"].items() for each in objects if each["kind"] == "Service"}
    pods = {o["metadata"]["name"]: o["spec"]["template"]["metadata"]["labels"].items() for o in objects if o["kind"] == "Deployment"}
    assert services["panal-dashboard"] <= pods["panal-dashboard"]
    assert services["panal-metrics"] <= pods["panal-controller"]
    assert not services["panal-dashboard"] <= pods["panal-controller"]
    assert not services["panal-metrics"] <= pods["panal-dashboard"]


@pytest.mark.usefixtures("hub_api")
def test_the_dashboards_account_may_list_and_nothing_else() -> None:
    (role,) = [
        each
        for each in rendered("dashboard.enabled=true")
        if each["kind"] == "ClusterRole" and each["metadata"]["name"] == "panal-dashboard"
    ]
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"list", "watch"}
    wanted = {f"{kind.plural}.{kind.group}" for kind in (each.kind for each in watched())}
    assert {f"{name}.{group}" for rule in role["rules"] for group in rule["apiGroups"] for name in rule["resources"]} == wanted


def plain(objects: list[dict]) -> list[dict]:
    """Without labels, which are helm's."""
    return [o | {"metadata": {key: value for key, value in o["metadata"].items() if key != "labels"}} for o in objects]


CONFIG = {"group": "addon.open-cluster-management.io", "resource": "addondeploymentconfigs", "namespace": "teams", "name": "by-proxy"}


@pytest.mark.usefixtures("hub_api")
@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ("defaults", [install.addon([])]),
        (
            "everything",
            [
                *install.everywhere(NAMESPACE),
                install.addon(
                    [install.placed_everywhere(NAMESPACE), {"namespace": "teams", "name": "hospitals", "configs": [CONFIG]}],
                    {"namespace": NAMESPACE, "name": "usual"},
                ),
            ],
        ),
    ],
)
def test_the_chart_has_the_same_add_on_as_the_local_platform(values: str, wanted: list[dict]) -> None:
    kinds = ("ManagedClusterSetBinding", "Placement", "ClusterManagementAddOn")
    found = {o["kind"]: o for o in plain(rendered(*VALUES[values])) if o["kind"] in kinds}
    assert found == {o["kind"]: o for o in wanted}
    later = {o["kind"]: o for o in plain(rendered(*VALUES[values], apis=[f"{LATER}/ClusterManagementAddOn"])) if o["kind"] in kinds}
    assert later == {o["kind"]: to_v1beta1(o) | ({"apiVersion": LATER} if o["kind"] == kinds[-1] else {}) for o in wanted}


@pytest.mark.usefixtures("hub_api")
@pytest.mark.parametrize("left_out", ["name", "namespace"])
def test_a_placement_without_a_name_is_refused(left_out: str) -> None:
    there = "name" if left_out == "namespace" else "namespace"
    with pytest.raises(AssertionError, match=f"every entry needs the {left_out} of a Placement"):
        rendered(f"addon.placements[0].{there}=x")


WRONG = {
    "replicas=two": "/replicas': got string, want integer",
    "replicas=-1": "/replicas': minimum: got -1",
    "logLevel=LOUD": "/logLevel': value must be one of 'DEBUG', 'INFO'",
    "cleanupLimitSeconds=0": "/cleanupLimitSeconds': minimum",
    "images.tga=1": "/images': additional properties 'tga' not allowed",
    "images.tag=1": "/images/tag': got number, want string",
    "images.pullPolicy=Often": "/images/pullPolicy': value must be one of",
    "imagePullSecrets=pull": "/imagePullSecrets': got string, want array",
    "certificates.life=1d": "/certificates/life': got string, want integer",
    "nodeSelector=ssd": "/nodeSelector': got string, want object",
    "tolerations[0].operater=Exists": "/tolerations/0': additional properties 'operater' not allowed",
    "addon.allClusters=yes": "/addon/allClusters': got string, want boolean",
    "addon.placements[0].name=1": "/addon/placements/0/name': got number, want string",
    "addon.defaultConfig.name=usual": "/addon/defaultConfig': missing property 'namespace'",
    "registration.grpcServerAccount=grpc-server-sa": "/registration/grpcServerAccount': 'grpc-server-sa' does not match pattern",
    "addOn.allClusters=true": "additional properties 'addOn' not allowed",
    "metrics.allowList=both": "/metrics/allowList': value must be one of '', 'platform', 'user'",
    "metrics.serviceMonitor.interval=30": "/metrics/serviceMonitor/interval': got number, want string",
    "metrics.serviceMonitor.interval=often": "/metrics/serviceMonitor/interval': 'often' does not match pattern",
    "metrics.authentication=1": "/metrics/authentication': got number, want boolean",
    "metrics.rule.enabled=true": "/metrics': additional properties 'rule' not allowed",
    "clusterSetBindings=no": "/clusterSetBindings': got string, want boolean",
}


@pytest.mark.usefixtures("hub_api")
@pytest.mark.parametrize("value", WRONG)
def test_a_value_of_a_wrong_type_is_refused_by_name(value: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(WRONG[value])):
        rendered(value)


def test_the_schema_knows_every_value() -> None:
    def unknown(values: dict, schema: dict, path: str) -> list[str]:
        known, found = schema.get("properties", {}), []
        for key, value in values.items():
            if key not in known:
                found.append(f"{path}{key}")
            elif isinstance(value, dict) and known[key].get("properties"):
                found += unknown(value, known[key], f"{path}{key}.")
        return found

    values, schema = yaml.safe_load((CHART / "values.yaml").read_text()), json.loads((CHART / "values.schema.json").read_text())
    assert unknown(values, schema, "") == []
    assert set(schema["properties"]) - set(values) == {"global"}  # helm's own


MEMBERS = {"admin": "amy", "edit": "eve", "view": "vic"}
EVERY_VERB = {"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}
READING = {"get", "list", "watch"}


@pytest.fixture(scope="module")
def members(installed: Cluster) -> Cluster:
    """One user for each of Kubernetes' roles of a namespace."""
    for role, user in MEMBERS.items():
        installed.kubectl("create", "rolebinding", role, "-n", "default", f"--clusterrole={role}", f"--user={user}")
    yield installed
    installed.kubectl("delete", "rolebinding", "-n", "default", *MEMBERS)


@pytest.mark.parametrize(("role", "verbs"), [("admin", EVERY_VERB), ("edit", EVERY_VERB), ("view", READING)])
def test_runs_belong_to_the_usual_roles_of_a_namespace(members: Cluster, role: str, verbs: set[str]) -> None:
    def allowed(resource: str, namespace: str = "default") -> set[str]:
        asked = ("auth", "can-i", f"--as={MEMBERS[role]}", "-n", namespace)
        return {verb for verb in EVERY_VERB if members.kubectl(*asked, verb, *resource.split(), check=False).strip() == "yes"}

    runs = f"{PLURAL}.{GROUP}"
    eventually(lambda: allowed(runs) == verbs, f"Kubernetes has aggregated the rules into {role}", 30)
    assert allowed(f"{runs} --subresource=status") == {"get"}
    assert allowed(runs, "kube-public") == set()
    lease = f"leases.coordination.k8s.io/{names.CONTROLLER_LEASE}"
    assert allowed(lease, NAMESPACE) == {"get"}


def test_clusters_that_were_let_in_stay_when_the_manifest_is_applied_again(installed: Cluster) -> None:
    more = str(ROOT / "deploy/all-clusters.yaml")
    apply = ("apply", "--server-side", "--field-manager=panal-placements", "-f", more)
    path = ("get", "clustermanagementaddon", names.ADDON, "-o", "jsonpath={.spec.installStrategy.placements[*].name}")
    installed.kubectl(*apply)
    try:
        assert installed.kubectl(*path) == names.ADDON
        installed.kubectl("apply", "-f", str(MANIFEST))
        assert installed.kubectl(*path) == names.ADDON
    finally:
        installed.kubectl("delete", "placement,managedclustersetbinding", "--all", "-n", NAMESPACE)


def test_without_bindings_the_controller_may_not_bind(installed: Cluster) -> None:
    role = named(rendered(*VALUES["without-bindings"]), "ClusterRole")
    verbs = [v for r in role["rules"] if {"managedclustersetbindings", "managedclustersets/bind"} & set(r["resources"]) for v in r["verbs"]]
    assert sorted(verbs) == ["list", "watch"]
    assert BINDING_POLICY in installed.kubectl("get", "validatingadmissionpolicybindings", "-o", "name")


def test_the_controllers_pod_is_admitted_where_pod_security_is_restricted(installed: Cluster) -> None:
    template = named(rendered(), "Deployment")["spec"]["template"]
    template["metadata"]["name"] = "as-in-the-deployment"
    pod = {"apiVersion": "v1", "kind": "Pod", **template}
    assert "restricted" in installed.kubectl("get", "namespace", NAMESPACE, "-o", "yaml")
    assert "created" in installed.kubectl("create", "-n", NAMESPACE, "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
    template["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    with pytest.raises(RuntimeError, match="violates PodSecurity"):
        installed.kubectl("create", "-n", NAMESPACE, "--dry-run=server", "-f", "-", stdin=json.dumps(pod | template))


def test_no_right_is_granted_by_a_wildcard() -> None:
    rules = [r for o in yaml.safe_load_all(MANIFEST.read_text()) if o["kind"] in ("ClusterRole", "Role") for r in o["rules"]]
    assert rules
    fields = ("verbs", "resources", "apiGroups", "nonResourceURLs")
    assert not [r for r in rules if "*" in [each for field in fields for each in r.get(field, ())]]


def rules(kind: str) -> list[dict]:
    return [rule for o in yaml.safe_load_all(MANIFEST.read_text()) if o["kind"] == kind for rule in o["rules"]]


def test_secrets_are_read_by_name_and_in_the_controllers_own_namespace_alone() -> None:
    assert not [rule for rule in rules("ClusterRole") if "secrets" in rule.get("resources", ())]
    granted = [rule for rule in rules("Role") if "secrets" in rule["resources"]]
    without_names = [rule["verbs"] for rule in granted if not rule.get("resourceNames")]
    assert without_names == [["create"]]  # which cannot be limited to names
    named_ones = {name for rule in granted for name in rule.get("resourceNames", [])}
    assert named_ones == {names.SERVER_AUTHORITY, names.COLLABORATOR_AUTHORITY, names.EVIDENCE_KEY}


def test_no_other_signers_requests_can_be_approved_or_signed(installed: Cluster) -> None:
    def may(verb: str, signer: str) -> bool:
        asked = {"group": "certificates.k8s.io", "resource": "signers", "verb": verb, "name": signer}
        spec = {"user": f"system:serviceaccount:{NAMESPACE}:panal-controller", "resourceAttributes": asked}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        return installed.kubectl("create", "-f", "-", "-o", "jsonpath={.status.allowed}", stdin=json.dumps(review)) == "true"

    assert may("approve", names.SIGNER)
    assert may("sign", names.SIGNER)
    assert not may("approve", "kubernetes.io/kube-apiserver-client")
    assert not may("sign", "kubernetes.io/kube-apiserver-client")


def run(name: str, *sets: str, **more: str) -> str:
    placement = {"clusterSets": list(sets)} if sets else {}
    spec = {"server": {"image": "a:1"}, "client": {"image": "a:1", "placement": placement}, **more}
    return json.dumps({"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name, "namespace": "default"}, "spec": spec})


@pytest.mark.parametrize(
    "sets", [[], ["mine"], NAMED], ids=["no set: those bound in the namespace", "a set of the author's", "as many as may be named"]
)
def test_an_author_may_name_sets_that_the_author_may_bind(author: Cluster, sets: list[str]) -> None:
    assert "created" in author.kubectl("create", "--as=ann", "-f", "-", stdin=run(f"allowed-{len(sets)}", *sets))


@pytest.mark.parametrize("policy", [BINDING_POLICY, "panal-requester"])
def test_kubernetes_finds_no_fault_in_the_policys_expressions(installed: Cluster, policy: str) -> None:
    status = ("get", "validatingadmissionpolicy", policy, "-o", "jsonpath={.status}")
    eventually(lambda: "observedGeneration" in installed.kubectl(*status), "Kubernetes has checked the types", 30)
    assert "expressionWarnings" not in installed.kubectl(*status)


def test_a_set_that_is_bound_in_the_namespace_already_may_be_named(author: Cluster) -> None:
    def bound(*, default: str | None, elsewhere: str | None, gone: str | None) -> None:  # as the controller does
        sets = {f"{names.ANNOTATION_BOUND}default": default, f"{names.ANNOTATION_BOUND}elsewhere": elsewhere}
        data = {"metadata": {"annotations": sets | {f"{names.ANNOTATION_GONE}default": gone}}}
        author.kubectl("patch", "role", names.BOUND_SETS, "-n", NAMESPACE, "--type=merge", "-p", json.dumps(data))

    def admitted(*sets: str) -> bool:
        made = author.kubectl("create", "--as=ann", "--dry-run=server", "-f", "-", stdin=run("bound", *sets), check=False)
        return "created" in made

    bound(default="others,more", elsewhere="theirs", gone="former")
    try:
        eventually(lambda: admitted("mine", "others", "more"), "the policy knows of the bindings", 30)
        assert not admitted("theirs")
        assert not admitted("former")
        assert not admitted("others", "theirs")
        assert not admitted("")
    finally:
        bound(default=None, elsewhere=None, gone=None)
    eventually(lambda: not admitted("others"), "the policy knows that the binding is gone", 30)


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        (["others"], "clusterSets: ann may not bind the cluster set others; omit clusterSets"),
        (["mine", "others"], "ann may not bind the cluster set others"),
        ([*NAMED[:15], "others"], "ann may not bind the cluster set others"),
        ([*NAMED, "mine"], "more than 16 sets; name fewer"),
    ],
)
def test_an_author_may_not_name_sets_of_others(author: Cluster, sets: list[str], words: str) -> None:
    with pytest.raises(RuntimeError, match=words):
        author.kubectl("create", "--as=ann", "-f", "-", stdin=run("refused", *sets))


def test_an_update_is_asked_for_the_sets_that_it_adds_alone(author: Cluster) -> None:
    author.kubectl("create", "-f", "-", stdin=run("by-an-administrator", "others"))
    change = ("patch", "--as=ann", "-n", "default", "fl", "by-an-administrator", "--type=merge")
    author.kubectl(*change, "-p", '{"metadata": {"labels": {"touched": "yes"}}}')
    author.kubectl(*change, "-p", '{"spec": {"client": {"placement": {"clusterSets": ["mine", "others"]}}}}')
    author.kubectl(*change, "--subresource=status", "-p", '{"status": {"phase": "Waiting"}}')
    with pytest.raises(RuntimeError, match="ann may not bind the cluster set theirs"):
        author.kubectl(*change, "-p", '{"spec": {"client": {"placement": {"clusterSets": ["theirs", "others"]}}}}')


def test_a_run_names_nobody_else_as_its_requester(author: Cluster) -> None:
    """A site's owner may allow a run by it."""

    def create(name: str, requester: str) -> str:
        try:
            return author.kubectl("create", "--as=ann", "-f", "-", stdin=run(name, requester=requester))
        except RuntimeError as error:
            return str(error)

    refused = "spec.requester: must be your user name, ann, and not mara; correct it, or remove it"
    eventually(lambda: refused in create("of-another", "mara"), "the policy is enforced", 30)
    assert "created" in create("of-nobody", "")
    assert "created" in create("of-ann", "ann")
    assert "must be your user name, ann, and not Ann" in create("of-ann-in-capitals", "Ann")
    for name, values in (("of-nobody", ('"mara"', '"ann"')), ("of-ann", ('"mara"', '""', "null"))):
        change = ("patch", "-n", "default", "fl", name, "--type=merge", "-p")
        author.kubectl(*change, '{"metadata": {"labels": {"touched": "yes"}}}')
        author.kubectl(*change, '{"status": {"phase": "Waiting"}}', "--subresource=status")
        for value in values:
            for user in (("--as=ann",), ()):
                with pytest.raises(RuntimeError, match=r"spec\.requester: cannot be changed"):
                    author.kubectl(*change, f'{{"spec": {{"requester": {value}}}}}', *user)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("purpose", "x" * 201, "Too long: may not be more than 200"),
        ("purpose", "two\nlines", "spec.purpose"),
        ("purpose", "\u0085", "spec.purpose"),
        ("requester", "x" * 254, "Too long: may not be more than 253"),
        ("requester", "a\tb", "spec.requester"),
    ],
)
def test_purpose_and_requester_are_one_printable_line(author: Cluster, field: str, value: str, words: str) -> None:
    with pytest.raises(RuntimeError, match=words):
        author.kubectl("create", "--dry-run=server", "-f", "-", stdin=run("bad", **{field: value}))
    assert "created" in author.kubectl("create", "--dry-run=server", "-f", "-", stdin=run("good", purpose="Prüfung von Röntgenbildern"))


LEASE = """
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {{name: {name}, namespace: default}}
spec: {{holderIdentity: somebody, leaseDurationSeconds: 30, renewTime: "2026-01-01T00:00:00.000000Z"}}
"""
CONTROLLERS = ("panal-controller", "b4652c81.open-cluster-management.io")


@pytest.mark.parametrize("name", CONTROLLERS)
def test_a_member_of_a_namespace_cannot_pretend_to_be_a_second_controller(members: Cluster, name: str) -> None:
    """A controller does not start beside another one: see `hub/second`."""
    words = "may not write the status of FederatedLearnings"

    def create(what: str, user: str = "") -> str:
        try:
            return members.kubectl(
                "create", "--dry-run=server", "-f", "-", *([f"--as={user}"] if user else []), stdin=LEASE.format(name=what)
            )
        except RuntimeError as error:
            return str(error)

    eventually(lambda: words in create(name, MEMBERS["edit"]), "the policy is enforced", 30)
    assert "created" in create("another", MEMBERS["edit"])
    assert "created" in create(name)
    controller = create(name, f"system:serviceaccount:{NAMESPACE}:panal-controller")  # RBAC lets it create its own alone
    assert words not in controller
