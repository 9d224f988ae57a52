"""Works: objects to apply on a managed cluster, and objects that were applied."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from panal.api.ocm.common import INT32, Conditions, Moment, keyed
from panal.api.schema import Model, rule

NAME = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)$"
EMBEDDED = {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "x-kubernetes-embedded-resource": True}
Manifest = Annotated[dict[str, Any], WithJsonSchema(EMBEDDED)]
CEL_NEEDS_NAME = rule("self.type != 'CEL' || self.condition != \"\"", "Condition is required for CEL rules")


class Workload(Model):
    manifests: list[Manifest] = Field(default_factory=list, description="Objects of any kind.")


class OrphaningRule(Model):
    group: str | None = Field(default=None)
    resource: str = Field(description="The kind's plural name.")
    name: str
    namespace: str | None = Field(default=None)


class SelectivelyOrphan(Model):
    orphaning_rules: list[OrphaningRule] = Field(default_factory=list)


class DeleteOption(Model):
    propagation_policy: Literal["Foreground", "Orphan", "SelectivelyOrphan"] = Field(
        default="Foreground",
        description="Which applied objects are deleted with the work: all, none, or all except those in selectivelyOrphans.",
    )
    selectively_orphans: SelectivelyOrphan | None = Field(default=None)
    ttl_seconds_after_finished: int | None = Field(default=None)


class ResourceIdentifier(Model):
    group: str | None = Field(default=None)
    resource: str = Field(description="The kind's plural name.")
    name: str = Field(description="Can contain the wildcard *.")
    namespace: str | None = Field(default=None)


class JsonPath(Model):
    name: str = Field(description="The name of the value in the work's status.")
    path: str = Field(description="A JSONPath without braces, such as .status.phase.")
    version: str | None = Field(default=None)


class FeedbackRule(Model):
    type: Literal["WellKnownStatus", "JSONPaths"]
    json_paths: list[JsonPath] = Field(default_factory=list, json_schema_extra=keyed("name"))


class IgnoreField(Model):
    condition: Literal["OnSpokePresent", "OnSpokeChange"] = Field(default="OnSpokePresent")
    json_paths: list[str] = Field(default_factory=list)
    json_pointers: list[str] = Field(default_factory=list)
    jq_path_expressions: list[str] = Field(default_factory=list)


class ServerSideApply(Model):
    force: bool | None = Field(default=None)
    field_manager: str = Field(default="work-agent", pattern="^work-agent")
    ignore_fields: list[IgnoreField] = Field(default_factory=list, json_schema_extra=keyed("condition"))


class UpdateStrategy(Model):
    type: Literal["Update", "CreateOnly", "ServerSideApply", "ReadOnly"] = Field(default="Update")
    server_side_apply: ServerSideApply | None = Field(default=None)


class ConditionRule(Model):
    condition: str = Field(description="The condition's type.")
    type: Literal["WellKnownConditions", "CEL"]
    cel_expressions: list[str] = Field(
        default_factory=list, description="Expressions over `object`; the condition is True if all are true."
    )
    message: str | None = Field(default=None)
    message_expression: str | None = Field(default=None, description="An expression over `object` and `result`.")

    model_config = {"json_schema_extra": {"x-kubernetes-validations": [CEL_NEEDS_NAME]}}


class ManifestConfig(Model):
    resource_identifier: ResourceIdentifier
    feedback_rules: list[FeedbackRule] = Field(default_factory=list)
    feedback_scrape_type: Literal["Poll", "Watch"] = Field(default="Poll")
    update_strategy: UpdateStrategy | None = Field(default=None)
    condition_rules: list[ConditionRule] = Field(default_factory=list, json_schema_extra=keyed("condition"))


class ServiceAccount(Model):
    namespace: str = Field(min_length=1, max_length=253, pattern=NAME)
    name: str = Field(min_length=1, max_length=253, pattern=NAME)


class Subject(Model):
    type: str = Field(json_schema_extra={"enum": ["ServiceAccount"]})
    service_account: ServiceAccount | None = Field(default=None)


class Executor(Model):
    subject: Subject | None = Field(default=None)


class ManifestWorkSpec(Model):
    workload: Workload | None = Field(default=None)
    delete_option: DeleteOption | None = Field(default=None, description="What happens on deletion.")
    manifest_configs: list[ManifestConfig] = Field(default_factory=list, description="Settings for individual manifests.")
    executor: Executor | None = Field(default=None, description="The identity with which the manifests are applied.")


class ResourceMeta(Model):
    ordinal: int = Field(json_schema_extra=INT32)
    group: str | None = Field(default=None)
    version: str | None = Field(default=None)
    kind: str | None = Field(default=None)
    resource: str | None = Field(default=None)
    name: str | None = Field(default=None)
    namespace: str | None = Field(default=None)


class FieldValue(Model):
    type: Literal["Integer", "String", "Boolean", "JsonRaw"]
    integer: int | None = Field(default=None)
    string: str | None = Field(default=None)
    boolean: bool | None = Field(default=None)
    json_raw: str | None = Field(default=None, max_length=1024)


class FeedbackValue(Model):
    name: str
    field_value: FieldValue


class StatusFeedback(Model):
    values: list[FeedbackValue] = Field(default_factory=list, json_schema_extra=keyed("name"))


class ManifestStatus(Model):
    resource_meta: ResourceMeta
    conditions: Conditions
    status_feedback: StatusFeedback | None = Field(default=None)

    model_config = {"json_schema_extra": {"required": ["conditions", "resourceMeta"]}}


class ResourceStatus(Model):
    manifests: list[ManifestStatus] = Field(default_factory=list)


class ManifestWorkStatus(Model):
    conditions: Conditions
    resource_status: ResourceStatus | None = Field(default=None)


class ManifestWork(Model):
    """Objects to apply on the managed cluster in whose namespace it is, and their status there."""

    spec: ManifestWorkSpec | None = Field(default=None)
    status: ManifestWorkStatus | None = Field(default=None)


class AppliedManifestWorkSpec(Model):
    hub_hash: str = Field(description="The hash of the hub's URL.")
    agent_id: str | None = Field(default=None, alias="agentID")
    manifest_work_name: str


class AppliedResource(Model):
    version: str
    group: str | None = Field(default=None)
    resource: str
    name: str
    namespace: str | None = Field(default=None)
    uid: str | None = Field(default=None)


class AppliedManifestWorkStatus(Model):
    applied_resources: list[AppliedResource] = Field(default_factory=list)
    eviction_start_time: Moment | None = Field(default=None)


class AppliedManifestWork(Model):
    """The objects that a ManifestWork created on this cluster. It owns them."""

    spec: AppliedManifestWorkSpec | None = Field(default=None)
    status: AppliedManifestWorkStatus | None = Field(default=None)
