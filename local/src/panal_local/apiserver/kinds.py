"""What is served: one `Resource` for every kind and version, those built in and those of CRDs, found by path and by kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from panal_local.apiserver import builtin
from panal_local.apiserver.schema import Schema

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Column:
    """Of a Table; `path` is a JSONPath, or for built-in kinds the name of a function of `columns`."""

    name: str
    type: str
    path: str
    description: str = ""
    priority: int = 0
    format: str = ""


@dataclass(frozen=True)
class Resource:
    """`stored` names the objects' place in the store: all versions of a kind share it. `scale`: the paths of that subresource."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    singular: str = ""
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    custom: bool = False
    storage_version: str = ""
    list_kind: str = ""
    scale: dict[str, str] = field(default_factory=dict)
    given: Callable[[], Schema] = dict

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def stored(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def stored_api_version(self) -> str:
        return f"{self.group}/{self.storage_version}" if self.storage_version else self.api_version

    @property
    def list(self) -> str:
        return self.list_kind or f"{self.kind}List"

    @property
    def has_status(self) -> bool:
        return "status" in self.subresources

    @cached_property
    def schema(self) -> Schema:
        """With apiVersion, kind and metadata."""
        return self.given()

    @cached_property
    def rules(self) -> bool:
        """Whether there are CEL rules anywhere in the schema."""
        return self.custom and any(_rules(self.schema))

    def path(self, namespace: str = "", name: str = "") -> str:
        parts = ["/apis" if self.group else "/api", self.api_version, *(["namespaces", namespace] if namespace else []), self.plural]
        return "/".join([*parts, *([name] if name else [])])


def _rules(schema: Any) -> Iterator[bool]:
    if isinstance(schema, dict):
        if "x-kubernetes-validations" in schema:
            yield True
        for part in schema.values():
            yield from _rules(part)


class Registry:
    """All resources; `changed` counts, so that what is made of them (discovery, OpenAPI) is made again."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], Resource] = {}
        self.changed = 0
        for resource in builtin_resources():
            self._found[resource.group, resource.version, resource.plural] = resource

    def get(self, group: str, version: str, plural: str) -> Resource | None:
        return self._found.get((group, version, plural))

    def by_kind(self, api_version: str, kind: str) -> Resource | None:
        return next((r for r in self._found.values() if r.kind == kind and r.api_version == api_version), None)

    def all(self) -> list[Resource]:
        return list(self._found.values())

    def of_version(self, group: str, version: str) -> list[Resource]:
        return [r for r in self._found.values() if (r.group, r.version) == (group, version)]

    def groups(self) -> dict[str, list[str]]:
        """The versions of every named group, the preferred one first."""
        found: dict[str, dict[str, None]] = {}
        for r in self._found.values():
            if r.group:
                found.setdefault(r.group, {})[r.version] = None
        return {g: sorted(v, key=version_order) for g, v in found.items()}

    def replace(self, group: str, plural: str, resources: list[Resource]) -> None:
        """What a CRD serves from now on."""
        self._found = {k: r for k, r in self._found.items() if not (r.custom and (r.group, r.plural) == (group, plural))}
        for resource in resources:
            self._found[resource.group, resource.version, resource.plural] = resource
        self.changed += 1


def version_order(version: str) -> tuple[int, int, int, str]:
    """v2 before v1 before v1beta2 before v1alpha1 before everything else."""
    rest = version.removeprefix("v")
    for rank, word in enumerate(("", "beta", "alpha")):
        major, found, minor = rest.partition(word) if word else (rest, "", "")
        if major.isdigit() and (minor.isdigit() or not word) and (found or not word):
            return rank, -int(major), -int(minor or 0), version
    return 9, 0, 0, version


# --- built in -----------------------------------------------------------------------------------------------------
NAME = Column("Name", "string", ".metadata.name", "", format="name")
AGE = Column("Age", "date", ".metadata.creationTimestamp")
_RBAC = "rbac.authorization.k8s.io"
_ADMISSION = "admissionregistration.k8s.io"
_CLUSTER = {"namespaced": False}
# group, version, kind, plural, short names, subresources, columns besides name and age (a word is a function of `columns`)
_TABLE: tuple[tuple[str, str, str, str, str, str, str], ...] = (
    ("", "v1", "Namespace", "namespaces", "ns", "status finalize", "Status=.status.phase"),
    ("", "v1", "Pod", "pods", "po", "status log binding", "Ready=pod_ready Status=pod_status Restarts=pod_restarts"),
    ("", "v1", "Service", "services", "svc", "status", "Type=.spec.type Cluster-IP=.spec.clusterIP External-IP=external Port(s)=ports"),
    ("", "v1", "ConfigMap", "configmaps", "cm", "", "Data=data"),
    ("", "v1", "Secret", "secrets", "", "", "Type=.type Data=data"),
    ("", "v1", "ServiceAccount", "serviceaccounts", "sa", "token", "Secrets=secrets"),
    ("", "v1", "PersistentVolume", "persistentvolumes", "pv", "status", "Capacity=.spec.capacity.storage Status=.status.phase Claim=claim"),
    ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", "pvc", "status",
     "Status=.status.phase Volume=.spec.volumeName Capacity=.status.capacity.storage StorageClass=.spec.storageClassName"),
    ("", "v1", "Node", "nodes", "no", "status", "Status=node_status Version=.status.nodeInfo.kubeletVersion"),
    ("", "v1", "Event", "events", "ev", "", "Type=.type Reason=.reason Object=involved Message=.message"),
    ("", "v1", "Endpoints", "endpoints", "ep", "", ""),
    ("apps", "v1", "StatefulSet", "statefulsets", "sts", "status scale", "Ready=replicas"),
    ("batch", "v1", "Job", "jobs", "", "status", "Status=job_status Completions=completions"),
    ("coordination.k8s.io", "v1", "Lease", "leases", "", "", "Holder=.spec.holderIdentity"),
    ("certificates.k8s.io", "v1", "CertificateSigningRequest", "certificatesigningrequests", "csr", "status approval",
     "SignerName=.spec.signerName Requestor=.spec.username Condition=csr_condition"),
    ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", "", "", "AddressType=.addressType Endpoints=addresses"),
    ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", "netpol", "", "Pod-Selector=pod_selector"),
    ("storage.k8s.io", "v1", "StorageClass", "storageclasses", "sc", "", "Provisioner=.provisioner ReclaimPolicy=.reclaimPolicy"),
    (_RBAC, "v1", "Role", "roles", "", "", ""),
    (_RBAC, "v1", "RoleBinding", "rolebindings", "", "", "Role=role_ref"),
    (_RBAC, "v1", "ClusterRole", "clusterroles", "", "", ""),
    (_RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings", "", "", "Role=role_ref"),
    (_ADMISSION, "v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies", "", "status", ""),
    (_ADMISSION, "v1", "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", "", "", "PolicyName=.spec.policyName"),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", "crd crds", "status", ""),
)  # fmt: skip
_OF_THE_CLUSTER = {
    "Namespace", "PersistentVolume", "Node", "CertificateSigningRequest", "StorageClass", "ClusterRole", "ClusterRoleBinding",
    "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "CustomResourceDefinition",
}  # fmt: skip
_ALL = {"Pod", "Service", "StatefulSet", "Job"}


def _pair(entry: str) -> tuple[str, str, str]:
    name, _, path = entry.partition("=")
    return name, "string", path


def builtin_resources() -> Iterator[Resource]:
    for group, version, kind, plural, short, subresources, columns in _TABLE:
        named = tuple(Column(*_pair(entry)) for entry in columns.split())
        yield Resource(
            group,
            version,
            kind,
            plural,
            namespaced=kind not in _OF_THE_CLUSTER,
            singular=kind.lower(),
            short=tuple(short.split()),
            categories=("all",) if kind in _ALL else (),
            subresources=tuple(subresources.split()),
            columns=(NAME, *named, AGE),
            given=builtin.maker(group, version, kind),
        )
