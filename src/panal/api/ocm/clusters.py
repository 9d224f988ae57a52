"""Managed clusters, cluster sets, their bindings to namespaces, and ClusterClaims."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from panal.api.ocm.common import DNS_LABEL, INT32, Condition, Conditions, PlainConditions, Quantity, keyed
from panal.api.placements import ATOMIC_MAP, LABEL_KEY, LabelSelector
from panal.api.schema import Model

LABEL_SELECTED: dict[str, Any] = {"selectorType": "ExclusiveClusterSetLabel"}
NullableTime = Annotated[str | None, WithJsonSchema({"type": "string", "format": "date-time", "nullable": True})]


class ClientConfig(Model):
    url: str = Field(description="The https URL of the cluster's API server.")
    ca_bundle: str | None = Field(
        default=None, json_schema_extra={"format": "byte"}, description="Its certificate authorities, PEM in base64."
    )


class Taint(Model):
    key: str = Field(max_length=316, pattern=LABEL_KEY, description="The taint's key, in the form of a label's key.")
    value: str | None = Field(default=None, max_length=1024)
    effect: Literal["NoSelect", "PreferNoSelect", "NoSelectIfNew"] = Field(
        description="NoSelect: placements without a toleration do not select the cluster. NoSelectIfNew: unless they already have."
    )
    time_added: NullableTime = Field(default=None, description="When the taint was added; tolerationSeconds start at that time.")


class ManagedClusterSpec(Model):
    hub_accepts_client: bool | None = Field(default=None, description="Whether the hub accepts the cluster.")
    lease_duration_seconds: int = Field(
        default=60,
        json_schema_extra=INT32,
        description="How often the agent renews its Lease; after five times that, the cluster is unavailable.",
    )
    managed_cluster_client_configs: list[ClientConfig] = Field(default_factory=list, description="How to reach the cluster.")
    taints: list[Taint] = Field(default_factory=list, description="Taints that exclude the cluster from placements.")


class Version(Model):
    kubernetes: str | None = Field(default=None, description="The version of the cluster's API server.")


class Claim(Model):
    name: str | None = Field(default=None, min_length=1, max_length=253)
    value: str | None = Field(default=None, min_length=1, max_length=1024)


class ManagedNamespace(Model):
    name: str = Field(max_length=63, pattern=DNS_LABEL)


class ManagedNamespaceStatus(ManagedNamespace):
    cluster_set: str = Field(description="The set that requests the namespace.")
    conditions: Conditions


class ManagedClusterStatus(Model):
    conditions: Conditions
    capacity: dict[str, Quantity] = Field(default_factory=dict, description="The capacity of all nodes.")
    allocatable: dict[str, Quantity] = Field(default_factory=dict, description="The capacity of all schedulable nodes.")
    version: Version | None = Field(default=None)
    cluster_claims: list[Claim] = Field(default_factory=list, description="The ClusterClaims of the cluster.")
    managed_namespaces: list[ManagedNamespaceStatus] = Field(default_factory=list, json_schema_extra=keyed("clusterSet", "name"))


class ManagedCluster(Model):
    """A cluster that has joined the hub or requests to join it."""

    spec: ManagedClusterSpec | None = Field(default=None, description="The desired state of the cluster.")
    status: ManagedClusterStatus | None = Field(default=None, description="The observed state of the cluster.")


class SetSelector(Model):
    selector_type: Literal["ExclusiveClusterSetLabel", "LabelSelector"] = Field(
        default="ExclusiveClusterSetLabel",
        description="Selects by the label cluster.open-cluster-management.io/clusterset, or by labelSelector.",
    )
    label_selector: LabelSelector | None = Field(
        default=None, description="With type LabelSelector: the labels. Empty: all clusters.", json_schema_extra=ATOMIC_MAP
    )


class ManagedClusterSetSpec(Model):
    cluster_selector: SetSelector = Field(default_factory=SetSelector, json_schema_extra={"default": LABEL_SELECTED})
    managed_namespaces: list[ManagedNamespace] = Field(
        default_factory=list, description="Namespaces that the agents create.", json_schema_extra=keyed("name")
    )


class ManagedClusterSetStatus(Model):
    conditions: PlainConditions


class ManagedClusterSet(Model):
    """A set of clusters. Placements in a namespace can select from it if a ManagedClusterSetBinding binds it there."""

    spec: ManagedClusterSetSpec = Field(
        default_factory=ManagedClusterSetSpec, json_schema_extra={"default": {"clusterSelector": LABEL_SELECTED}}
    )
    status: ManagedClusterSetStatus | None = Field(default=None)


class ManagedClusterSetBindingSpec(Model):
    cluster_set: str | None = Field(default=None, min_length=1, description="The set's name, which is also the name of the binding.")


class ManagedClusterSetBinding(Model):
    """Allows placements in its namespace to select clusters of a set."""

    spec: ManagedClusterSetBindingSpec | None = Field(default=None)
    status: ManagedClusterSetStatus | None = Field(default=None)


class ClusterClaimSpec(Model):
    value: str | None = Field(default=None, min_length=1, max_length=1024)


class ClusterClaim(Model):
    """A property of a managed cluster, which placements can select by."""

    spec: ClusterClaimSpec | None = Field(default=None)


__all__ = ["ClusterClaim", "Condition", "ManagedCluster", "ManagedClusterSet", "ManagedClusterSetBinding"]
