"""The kinds of objects that panal reads or writes, with their URL paths."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import quote

from panal.api import names
from panal.kube.errors import UnknownKind
from panal.kube.objects import Object


@dataclass(frozen=True, slots=True)
class Kind:
    """`group` is empty for the core group; `namespaced` is false for cluster-scoped kinds."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path. Without `namespace`: in all namespaces. Without `name`: of the collection."""
        parts = ["/apis" if self.group else "/api", self.api_version]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts += [part for part in (self.plural, quote(name, safe=":"), subresource) if part]
        return "/".join(parts)

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


_CLUSTER = "cluster.open-cluster-management.io"
_WORK = "work.open-cluster-management.io"
_ADDON = "addon.open-cluster-management.io"
_ADMISSION = "admissionregistration.k8s.io"
_OPERATOR = "operator.open-cluster-management.io"
_GATEWAY = "gateway.networking.k8s.io"
_SERVING = "serving.kserve.io"
_POLICY = "policy.open-cluster-management.io"
_RBAC = "rbac.authorization.k8s.io"

FEDERATED_LEARNING = Kind(names.GROUP, names.VERSION, names.KIND, names.PLURAL)
SITE_POLICY = Kind(names.GROUP, names.VERSION, names.SITE_KIND, names.SITE_PLURAL, namespaced=False)  # at managed clusters
RUN_RECORD = Kind(names.GROUP, names.VERSION, names.RECORD_KIND, names.RECORD_PLURAL)  # at managed clusters

MANAGED_CLUSTER = Kind(_CLUSTER, "v1", "ManagedCluster", "managedclusters", namespaced=False)
MANAGED_CLUSTER_SET = Kind(_CLUSTER, "v1beta2", "ManagedClusterSet", "managedclustersets", namespaced=False)
MANAGED_CLUSTER_SET_BINDING = Kind(_CLUSTER, "v1beta2", "ManagedClusterSetBinding", "managedclustersetbindings")
PLACEMENT = Kind(_CLUSTER, "v1beta1", "Placement", "placements")
PLACEMENT_DECISION = Kind(_CLUSTER, "v1beta1", "PlacementDecision", "placementdecisions")
ADDON_PLACEMENT_SCORE = Kind(_CLUSTER, "v1alpha1", "AddOnPlacementScore", "addonplacementscores")
POLICY = Kind(_POLICY, "v1", "Policy", "policies")
CLUSTER_CLAIM = Kind(_CLUSTER, "v1alpha1", "ClusterClaim", "clusterclaims", namespaced=False)
MANIFEST_WORK = Kind(_WORK, "v1", "ManifestWork", "manifestworks")
APPLIED_MANIFEST_WORK = Kind(_WORK, "v1", "AppliedManifestWork", "appliedmanifestworks", namespaced=False)
CLUSTER_MANAGEMENT_ADDON = Kind(_ADDON, "v1alpha1", "ClusterManagementAddOn", "clustermanagementaddons", namespaced=False)
MANAGED_CLUSTER_ADDON = Kind(_ADDON, "v1alpha1", "ManagedClusterAddOn", "managedclusteraddons")
CLUSTER_MANAGER = Kind(_OPERATOR, "v1", "ClusterManager", "clustermanagers", namespaced=False)
ADDON_DEPLOYMENT_CONFIG = Kind(_ADDON, "v1alpha1", "AddOnDeploymentConfig", "addondeploymentconfigs")
# The same as later hubs have them. `panal.hub.addon.versions` finds out; everything else names those above.
LATER_ADDONS = {
    kind: replace(kind, version="v1beta1") for kind in (CLUSTER_MANAGEMENT_ADDON, MANAGED_CLUSTER_ADDON, ADDON_DEPLOYMENT_CONFIG)
}

JOB = Kind("batch", "v1", "Job", "jobs")
DEPLOYMENT = Kind("apps", "v1", "Deployment", "deployments")
STATEFUL_SET = Kind("apps", "v1", "StatefulSet", "statefulsets")
POD = Kind("", "v1", "Pod", "pods")
SERVICE = Kind("", "v1", "Service", "services")
CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps")
SECRET = Kind("", "v1", "Secret", "secrets")
PERSISTENT_VOLUME = Kind("", "v1", "PersistentVolume", "persistentvolumes", namespaced=False)
PERSISTENT_VOLUME_CLAIM = Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
SERVICE_ACCOUNT = Kind("", "v1", "ServiceAccount", "serviceaccounts")
NODE = Kind("", "v1", "Node", "nodes", namespaced=False)
NAMESPACE = Kind("", "v1", "Namespace", "namespaces", namespaced=False)
EVENT = Kind("", "v1", "Event", "events")  # core/v1, which `kubectl get events` and `kubectl describe` read

STORAGE_CLASS = Kind("storage.k8s.io", "v1", "StorageClass", "storageclasses", namespaced=False)

INGRESS = Kind("networking.k8s.io", "v1", "Ingress", "ingresses")
INGRESS_CLASS = Kind("networking.k8s.io", "v1", "IngressClass", "ingressclasses", namespaced=False)
ROUTE = Kind("route.openshift.io", "v1", "Route", "routes")
GATEWAY = Kind(_GATEWAY, "v1", "Gateway", "gateways")
GATEWAY_CLASS = Kind(_GATEWAY, "v1", "GatewayClass", "gatewayclasses", namespaced=False)
# A hub serves some of them. Any leads to the same objects.
TLS_ROUTES = tuple(Kind(_GATEWAY, version, "TLSRoute", "tlsroutes") for version in ("v1", "v1alpha3", "v1alpha2"))
HTTP_ROUTE = Kind(_GATEWAY, "v1", "HTTPRoute", "httproutes")

INFERENCE_SERVICE = Kind(_SERVING, "v1beta1", "InferenceService", "inferenceservices")
SERVING_RUNTIME = Kind(_SERVING, "v1alpha1", "ServingRuntime", "servingruntimes")
CLUSTER_SERVING_RUNTIME = Kind(_SERVING, "v1alpha1", "ClusterServingRuntime", "clusterservingruntimes", namespaced=False)

NETWORK_POLICY = Kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies")

ROLE = Kind(_RBAC, "v1", "Role", "roles")
ROLE_BINDING = Kind(_RBAC, "v1", "RoleBinding", "rolebindings")
CUSTOM_RESOURCE_DEFINITION = Kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False)
CERTIFICATE_SIGNING_REQUEST = Kind("certificates.k8s.io", "v1", "CertificateSigningRequest", "certificatesigningrequests", namespaced=False)
LEASE = Kind("coordination.k8s.io", "v1", "Lease", "leases")
VALIDATING_ADMISSION_POLICY = Kind(_ADMISSION, "v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies", namespaced=False)
VALIDATING_ADMISSION_POLICY_BINDING = Kind(
    _ADMISSION, "v1", "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", namespaced=False
)

ALL = (*(value for value in globals().values() if isinstance(value, Kind)), *TLS_ROUTES, *LATER_ADDONS.values())
_BY_NAME = {(kind.api_version, kind.kind): kind for kind in ALL}


def kind_named(api_version: str, kind: str) -> Kind:
    """The constant for that kind. Raises UnknownKind."""
    try:
        return _BY_NAME[api_version, kind]
    except KeyError as error:
        raise UnknownKind(f"{api_version} {kind} is not in panal.kube.kinds: add it there") from error


def kind_of(obj: Object) -> Kind:
    return kind_named(obj.get("apiVersion", ""), obj.get("kind", ""))
