"""The served resources: one `Resource` for each kind and version, built-in or defined by a CRD."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from panal_local.apiserver import builtin
from panal_local.apiserver.schema import Schema


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. `path` is a JSONPath, or for built-in kinds the name of a function in `table`."""

    name: str
    type: str
    path: str
    priority: int = 0
    format: str = ""


@dataclass(frozen=True)
class Resource:
    """`stored` is the name of the resource in the store. `load_schema` returns the schema, which is created when it is first needed."""

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
    load_schema: Callable[[], Schema] = dict

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def stored(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def list(self) -> str:
        return f"{self.kind}List"

    @property
    def has_status(self) -> bool:
        return "status" in self.subresources

    @cached_property
    def schema(self) -> Schema:
        """The schema of the whole object, with apiVersion, kind and metadata."""
        return self.load_schema()

    def path(self, namespace: str = "", name: str = "") -> str:
        parts = ["/apis" if self.group else "/api", self.api_version, *(["namespaces", namespace] if namespace else []), self.plural]
        return "/".join([*parts, *([name] if name else [])])


class Registry:
    """All resources. `changed` counts the changes, and is part of the hashes in the OpenAPI index."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], Resource] = {}
        self.changed = 0
        for resource in builtin_resources():
            self._found[resource.group, resource.version, resource.plural] = resource

    def get(self, group: str, version: str, plural: str) -> Resource | None:
        return self._found.get((group, version, plural))

    def all(self) -> list[Resource]:
        return list(self._found.values())

    def of_version(self, group: str, version: str) -> list[Resource]:
        return [r for r in self._found.values() if (r.group, r.version) == (group, version)]

    def groups(self) -> dict[str, list[str]]:
        """The versions of each named group, in order."""
        found: dict[str, set[str]] = {}
        for r in self._found.values():
            if r.group:
                found.setdefault(r.group, set()).add(r.version)
        return {group: sorted(versions) for group, versions in found.items()}

    def add(self, resource: Resource) -> None:
        """Adds or replaces the resource of a CRD."""
        self.remove(resource)
        self._found[resource.group, resource.version, resource.plural] = resource

    def remove(self, resource: Resource) -> None:
        self._found = {key: r for key, r in self._found.items() if r.stored != resource.stored}
        self.changed += 1


# --- built in -----------------------------------------------------------------------------------------------------
NAME = Column("Name", "string", ".metadata.name", format="name")
AGE = Column("Age", "date", ".metadata.creationTimestamp")
_RBAC = "rbac.authorization.k8s.io"
_ADMISSION = "admissionregistration.k8s.io"
# group, version, kind, plural, short names, subresources, columns between name and age: JSONPaths or names of functions in `table`.
_NAMESPACED: tuple[tuple[str, str, str, str, str, str, str], ...] = (
    ("", "v1", "Pod", "pods", "po", "status log binding", "Ready=pod_ready Status=pod_status Restarts=pod_restarts"),
    ("", "v1", "Service", "services", "svc", "status", "Type=.spec.type Cluster-IP=.spec.clusterIP Port(s)=ports"),
    ("", "v1", "ConfigMap", "configmaps", "cm", "", "Data=data"),
    ("", "v1", "Secret", "secrets", "", "", "Type=.type Data=data"),
    ("", "v1", "ServiceAccount", "serviceaccounts", "sa", "token", ""),
    ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", "pvc", "status",
     "Status=.status.phase Volume=.spec.volumeName Capacity=.status.capacity.storage StorageClass=.spec.storageClassName"),
    ("", "v1", "Event", "events", "ev", "", "Type=.type Reason=.reason Object=involved Message=.message"),
    ("apps", "v1", "StatefulSet", "statefulsets", "sts", "status", ""),
    ("batch", "v1", "Job", "jobs", "", "status", "Status=job_status Completions=completions"),
    ("coordination.k8s.io", "v1", "Lease", "leases", "", "", "Holder=.spec.holderIdentity"),
    ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", "netpol", "", ""),
    (_RBAC, "v1", "Role", "roles", "", "", ""),
    (_RBAC, "v1", "RoleBinding", "rolebindings", "", "", ""),
)  # fmt: skip
_OF_THE_CLUSTER: tuple[tuple[str, str, str, str, str, str, str], ...] = (
    ("", "v1", "Namespace", "namespaces", "ns", "status finalize", "Status=.status.phase"),
    ("", "v1", "PersistentVolume", "persistentvolumes", "pv", "status", "Capacity=.spec.capacity.storage Status=.status.phase"),
    ("", "v1", "Node", "nodes", "no", "status", "Status=node_status Version=.status.nodeInfo.kubeletVersion"),
    ("certificates.k8s.io", "v1", "CertificateSigningRequest", "certificatesigningrequests", "csr", "status approval",
     "SignerName=.spec.signerName Requestor=.spec.username Condition=.status.conditions[*].type"),
    ("storage.k8s.io", "v1", "StorageClass", "storageclasses", "sc", "", "Provisioner=.provisioner ReclaimPolicy=.reclaimPolicy"),
    (_RBAC, "v1", "ClusterRole", "clusterroles", "", "", ""),
    (_RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings", "", "", ""),
    (_ADMISSION, "v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies", "", "status", ""),
    (_ADMISSION, "v1", "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", "", "", ""),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", "crd crds", "status", ""),
)  # fmt: skip


def builtin_resources() -> Iterator[Resource]:
    yield from (_resource(*row, namespaced=True) for row in _NAMESPACED)
    yield from (_resource(*row, namespaced=False) for row in _OF_THE_CLUSTER)


def _resource(group: str, version: str, kind: str, plural: str, short: str, subresources: str, columns: str, namespaced: bool) -> Resource:
    pairs = (entry.partition("=") for entry in columns.split())
    return Resource(
        group,
        version,
        kind,
        plural,
        namespaced,
        singular=kind.lower(),
        short=tuple(short.split()),
        categories=("all",) if kind in ("Pod", "Service", "Job") else (),
        subresources=tuple(subresources.split()),
        columns=(NAME, *(Column(name, "string", path) for name, _, path in pairs), AGE),
        load_schema=builtin.maker(group, version, kind),
    )
