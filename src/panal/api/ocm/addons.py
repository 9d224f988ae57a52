"""Add-ons, their installations, and their configuration."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from panal.api.ocm.common import DNS_LABEL, INT32, Conditions, Quantity, keyed
from panal.api.schema import Model

SIGNER = r"^([a-z0-9][a-z0-9-]*[a-z0-9]\.)+[a-z]+\/[a-z0-9-\.]+$"
FAILURES = r"^((100|[0-9]{1,2})%|[0-9]+)$"
Share = Annotated[Any, WithJsonSchema({"x-kubernetes-int-or-string": True, "pattern": FAILURES})]
INSTALL_NAMESPACE = "open-cluster-management-agent-addon"


class ConfigReferent(Model):
    namespace: str | None = Field(default=None)
    name: str = Field(min_length=1)


class GroupResource(Model):
    group: str = Field(default="")
    resource: str = Field(min_length=1, description="The kind's plural name.")


class Config(GroupResource):
    namespace: str | None = Field(default=None)
    name: str = Field(min_length=1)


class SupportedConfig(GroupResource):
    default_config: ConfigReferent | None = Field(default=None)


class AddOnMeta(Model):
    display_name: str | None = Field(default=None)
    description: str | None = Field(default=None)


class AddOnConfiguration(Model):
    crd_name: str | None = Field(default=None)
    cr_name: str | None = Field(default=None)
    last_observed_generation: int | None = Field(default=None)


class DecisionGroupRef(Model):
    group_name: str | None = Field(default=None)
    group_index: int | None = Field(default=None, json_schema_extra=INT32)


class RolloutAll(Model):
    min_success_time: str = Field(default="0")
    progress_deadline: str = Field(default="None", pattern=r"^(([0-9])+[h|m|s])|None$")
    max_failures: Share = Field(default=0)


class RolloutGroups(RolloutAll):
    mandatory_decision_groups: list[DecisionGroupRef] = Field(default_factory=list)


class RolloutProgressive(RolloutGroups):
    max_concurrency: Share | None = Field(default=None)


class RolloutStrategy(Model):
    type: Literal["All", "Progressive", "ProgressivePerGroup"] = Field(default="All")
    all: RolloutAll | None = Field(default=None)
    progressive: RolloutProgressive | None = Field(default=None)
    progressive_per_group: RolloutGroups | None = Field(default=None)


class PlacementStrategy(Model):
    namespace: str = Field(min_length=1)
    name: str = Field(min_length=1)
    configs: list[Config] = Field(default_factory=list)
    rollout_strategy: RolloutStrategy = Field(default_factory=RolloutStrategy, json_schema_extra={"default": {"type": "All"}})


class InstallStrategy(Model):
    type: Literal["Manual", "Placements"] = Field(default="Manual")
    placements: list[PlacementStrategy] = Field(default_factory=list, json_schema_extra=keyed("namespace", "name"))


class ClusterManagementAddOnSpec(Model):
    add_on_meta: AddOnMeta | None = Field(default=None)
    add_on_configuration: AddOnConfiguration | None = Field(default=None)
    supported_configs: list[SupportedConfig] = Field(default_factory=list, json_schema_extra=keyed("group", "resource"))
    install_strategy: InstallStrategy = Field(default_factory=InstallStrategy, json_schema_extra={"default": {"type": "Manual"}})


class ConfigSpecHash(ConfigReferent):
    spec_hash: str | None = Field(default=None)


class DefaultConfigReference(GroupResource):
    desired_config: ConfigSpecHash | None = Field(default=None)


class InstallConfigReference(DefaultConfigReference):
    last_known_good_config: ConfigSpecHash | None = Field(default=None)
    last_applied_config: ConfigSpecHash | None = Field(default=None)


class InstallProgression(Model):
    namespace: str = Field(min_length=1)
    name: str = Field(min_length=1)
    config_references: list[InstallConfigReference] = Field(default_factory=list)
    conditions: Conditions


class ClusterManagementAddOnStatus(Model):
    default_config_references: list[DefaultConfigReference] = Field(default_factory=list, alias="defaultconfigReferences")
    install_progressions: list[InstallProgression] = Field(default_factory=list)


class ClusterManagementAddOn(Model):
    """An add-on that can be installed on managed clusters, as a ManagedClusterAddOn with the same name."""

    spec: ClusterManagementAddOnSpec
    status: ClusterManagementAddOnStatus | None = Field(default=None)


class ManagedClusterAddOnSpec(Model):
    install_namespace: str = Field(default=INSTALL_NAMESPACE, max_length=63, pattern=DNS_LABEL)
    configs: list[Config] = Field(default_factory=list)


class Subject(Model):
    user: str | None = Field(default=None)
    groups: list[str] = Field(default_factory=list)
    organization_unit: list[str] = Field(default_factory=list)


class Registration(Model):
    signer_name: str = Field(min_length=5, max_length=571, pattern=SIGNER)
    subject: Subject | None = Field(default=None)


class ConfigReference(Config):
    last_observed_generation: int | None = Field(default=None)
    desired_config: ConfigSpecHash | None = Field(default=None)
    last_applied_config: ConfigSpecHash | None = Field(default=None)


class ObjectReference(Model):
    group: str
    resource: str
    namespace: str | None = Field(default=None)
    name: str


class HealthCheck(Model):
    mode: Literal["Lease", "Customized"] = Field(default="Lease")


class ManagedClusterAddOnStatus(Model):
    conditions: Conditions
    namespace: str | None = Field(default=None, description="The namespace in which the agent stores the Secrets of the registrations.")
    registrations: list[Registration] = Field(default_factory=list, description="Certificates that the agent requests.")
    supported_configs: list[GroupResource] = Field(default_factory=list, json_schema_extra=keyed("group", "resource"))
    config_references: list[ConfigReference] = Field(default_factory=list)
    health_check: HealthCheck | None = Field(default=None)
    add_on_meta: AddOnMeta | None = Field(default=None)
    add_on_configuration: AddOnConfiguration | None = Field(default=None)
    related_objects: list[ObjectReference] = Field(default_factory=list)
    kube_client_driver: Literal["csr", "token"] | None = Field(default=None)


class ManagedClusterAddOn(Model):
    """An add-on on the managed cluster in whose namespace it is."""

    spec: ManagedClusterAddOnSpec
    status: ManagedClusterAddOnStatus | None = Field(default=None)


class Variable(Model):
    name: str = Field(max_length=255, pattern=r"^[a-zA-Z_][_a-zA-Z0-9]*$")
    value: str | None = Field(default=None, max_length=1024)


class Toleration(Model):
    key: str | None = Field(default=None)
    operator: str | None = Field(default=None)
    value: str | None = Field(default=None)
    effect: str | None = Field(default=None)
    toleration_seconds: int | None = Field(default=None)


class NodePlacement(Model):
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: list[Toleration] = Field(default_factory=list)


class Registry(Model):
    mirror: str
    source: str | None = Field(default=None)


class Proxy(Model):
    http_proxy: str | None = Field(default=None)
    https_proxy: str | None = Field(default=None)
    ca_bundle: str | None = Field(default=None, alias="caBundle", json_schema_extra={"format": "byte"})
    no_proxy: str | None = Field(default=None)


class ResourceClaim(Model):
    name: str
    request: str | None = Field(default=None)


class Resources(Model):
    limits: dict[str, Quantity] = Field(default_factory=dict)
    requests: dict[str, Quantity] = Field(default_factory=dict)
    claims: list[ResourceClaim] = Field(default_factory=list, json_schema_extra=keyed("name"))


class ContainerResources(Model):
    container_id: str = Field(
        alias="containerID", pattern=r"^(deployments|daemonsets|statefulsets|replicasets|jobs|cronjobs|pods|\*):.+:.+$"
    )
    resources: Resources


class AddOnDeploymentConfigSpec(Model):
    customized_variables: list[Variable] = Field(default_factory=list, json_schema_extra=keyed("name"))
    node_placement: NodePlacement | None = Field(default=None)
    registries: list[Registry] = Field(default_factory=list)
    proxy_config: Proxy | None = Field(default=None)
    agent_install_namespace: str = Field(default=INSTALL_NAMESPACE, max_length=63, pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$")
    resource_requirements: list[ContainerResources] = Field(default_factory=list, json_schema_extra=keyed("containerID"))


class AddOnDeploymentConfig(Model):
    """Configuration that add-ons share."""

    spec: AddOnDeploymentConfigSpec
