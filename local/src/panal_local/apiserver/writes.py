"""Every write, as the real server does it: read, admit (prune, defaults, checks), say who owns what, keep; or delete, by and by.

An object goes through `admission` whatever the verb. What comes of it is kept only if it differs: a write that changes nothing makes no
event and no new version.
"""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from panal.kube.times import Now, now_utc, to_time
from panal_local.apiserver import apply, certificates, custom, deletion, errors, requests
from panal_local.apiserver.admission import Admission
from panal_local.apiserver.apply import Manager
from panal_local.apiserver.errors import CHANGED, INVALID, Cause
from panal_local.apiserver.fields import DuplicateKey, owned
from panal_local.apiserver.kinds import Registry, Resource
from panal_local.apiserver.requests import Call
from panal_local.apiserver.schema import Schema, check, default, prune
from panal_local.apiserver.store import Entry, Store

Object = dict[str, Any]
CRDS = "customresourcedefinitions.apiextensions.k8s.io"
LETTERS = "bcdfghjklmnpqrstvwxz2456789"
SYSTEM = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation")
WITH_GENERATION = {
    "Pod", "Job", "StatefulSet", "NetworkPolicy", "CustomResourceDefinition", "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}  # fmt: skip
EXPECTED = {
    "string": "string",
    "integer": "numeric (int or float)",
    "number": "numeric (int or float)",
    "boolean": "boolean",
    "array": "list",
    "object": "map",
}


@dataclass(slots=True)
class Outcome:
    """The object as it is after the write, and what the client is to be warned of."""

    object: Object
    warnings: list[str] = field(default_factory=list)
    created: bool = False


class Writer:
    def __init__(self, store: Store, registry: Registry, clock: Now = now_utc) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._admission = Admission(store, clock)

    # --- create -------------------------------------------------------------------------------------------------
    def create(self, call: Call, obj: Object) -> Outcome:
        resource, metadata = call.resource, obj["metadata"]
        if metadata.get("resourceVersion"):
            raise errors.StatusError(500, "", "resourceVersion should not be set on objects to be created")
        self._place(call, obj)
        self._open_namespace(call, metadata.get("name", ""))
        self._give_birth(resource, metadata)
        if resource.has_status and resource.kind != "CustomResourceDefinition":
            obj.pop("status", None)
        warnings = self._admission.admit(call, obj, None, self._manager(call))
        return self._create(call, obj, warnings)

    def _create(self, call: Call, obj: Object, warnings: list[str]) -> Outcome:
        key = (call.namespace, obj["metadata"]["name"])
        if self._store.get(call.resource.stored, key):
            raise errors.already_exists(call.resource.group, call.resource.plural, key[1])
        if not call.dry_run:
            obj = self._put(call.resource, key, obj).object
        return Outcome(obj, warnings, created=True)

    def _give_birth(self, resource: Resource, metadata: Object) -> None:
        """What the server alone says of a new object."""
        for name in SYSTEM:
            metadata.pop(name, None)
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": to_time(self._clock())}
        if resource.custom or resource.kind in WITH_GENERATION:
            metadata["generation"] = 1

    def _place(self, call: Call, obj: Object) -> None:
        """Name and namespace, which may come from the path."""
        metadata = obj["metadata"]
        if call.resource.namespaced:
            if metadata.get("namespace") not in (None, "", call.namespace):
                raise errors.bad_request("the namespace of the provided object does not match the namespace sent on the request")
            metadata["namespace"] = call.namespace
        else:
            metadata.pop("namespace", None)
        if not metadata.get("name") and isinstance(metadata.get("generateName"), str) and metadata["generateName"]:
            metadata["name"] = metadata["generateName"][:58] + "".join(secrets.choice(LETTERS) for _ in range(5))

    def _open_namespace(self, call: Call, name: str) -> None:
        if not call.resource.namespaced:
            return
        found = self._store.get("namespaces", ("", call.namespace))
        if found is None:
            raise errors.not_found("", "namespaces", call.namespace)
        if found.object["metadata"].get("deletionTimestamp"):
            resource = call.resource
            why = f"unable to create new content in namespace {call.namespace} because it is being terminated"
            error = errors.forbidden(resource.group, resource.plural, str(name), why)
            cause = {
                "reason": "NamespaceTerminating",
                "message": f"namespace {call.namespace} is being terminated",
                "field": "metadata.namespace",
            }
            error.details = (error.details or {}) | {"causes": [cause]}
            raise error

    # --- update -------------------------------------------------------------------------------------------------
    def update(self, call: Call, change: Callable[[Object], Object], put: bool = False) -> Outcome:
        """`change` makes the wanted object of the one that is there, which it is given a copy of."""
        entry = self.live(call)
        obj = change(self.served(call.resource, entry))
        old = self.served(call.resource, entry)
        self._preconditions(call, obj, old, put)
        kept = self._combined(call, obj, old)
        warnings = self._admission.admit(call, kept, old, self._manager(call))
        self._count_generation(call, kept, old)
        return self._keep(call, kept, old, warnings)

    def live(self, call: Call) -> Entry:
        entry = self._store.get(call.resource.stored, call.key)
        if entry is None:
            raise errors.not_found(call.resource.group, call.resource.plural, call.name)
        return entry

    @staticmethod
    def served(resource: Resource, entry: Entry) -> Object:
        """A copy in the version that was asked for."""
        return entry.copy() | {"apiVersion": resource.api_version}

    def _preconditions(self, call: Call, obj: Object, old: Object, put: bool) -> None:
        resource, given = call.resource, obj["metadata"]
        if given.get("name") not in (None, "", call.name):
            text = f"the name of the object ({given['name']}) does not match the name on the URL ({call.name})"
            raise errors.bad_request(text)
        if resource.namespaced and given.get("namespace") not in (None, "", call.namespace):
            raise errors.bad_request("the namespace of the provided object does not match the namespace sent on the request")
        if given.get("uid") not in (None, "", old["metadata"]["uid"]):
            if not put:
                shown = json.dumps(given["uid"])
                causes = [Cause(INVALID, f"Invalid value: {shown}: field is immutable", "metadata.uid")] * 2
                raise errors.invalid(resource.group, resource.kind, call.name, causes)
            why = f"Precondition failed: UID in precondition: {given['uid']}, UID in object meta: {old['metadata']['uid']}"
            raise errors.conflict(resource.group, resource.plural, call.name, why)
        version = given.get("resourceVersion")
        if not version and put and resource.custom:
            cause = Cause(INVALID, "Invalid value: 0: must be specified for an update", "metadata.resourceVersion")
            raise errors.invalid(resource.group, resource.plural, call.name, [cause])
        if version and str(version) != old["metadata"]["resourceVersion"]:
            raise errors.conflict(resource.group, resource.plural, call.name, CHANGED)

    def _combined(self, call: Call, obj: Object, old: Object) -> Object:
        """What the verb may change, from `obj`; all else, as it was."""
        subresource, metadata = call.subresource, old["metadata"]
        if subresource == "status":
            kept = {**old, **({"status": obj["status"]} if "status" in obj else {})}
            if "status" not in obj:
                kept.pop("status", None)
            kept["metadata"] = {
                **metadata,
                **({"managedFields": obj["metadata"]["managedFields"]} if obj["metadata"].get("managedFields") else {}),
            }
            if call.resource.kind == certificates.KIND and (causes := list(certificates.judged_elsewhere(kept, old))):
                raise errors.invalid(call.resource.group, call.resource.kind, call.name, causes)
            return kept
        if subresource == "finalize":
            finalizers = (obj.get("spec") or {}).get("finalizers") or []
            return {**old, "spec": {"finalizers": finalizers} if finalizers else {}}
        if subresource == "approval":
            return certificates.judged(obj, old)
        kept = dict(obj)
        kept["metadata"] = {k: v for k, v in obj["metadata"].items() if k not in SYSTEM}
        kept["metadata"] |= {k: metadata[k] for k in (*SYSTEM, "name", "namespace", "generateName") if k in metadata}
        if call.resource.has_status:
            kept.pop("status", None)
            if "status" in old:
                kept["status"] = old["status"]
        if call.resource.kind == "Namespace":
            kept["spec"] = old.get("spec", {})
        return kept

    def _count_generation(self, call: Call, obj: Object, old: Object) -> None:
        if "generation" not in old["metadata"]:
            return
        apart = {"metadata", "status"} if call.resource.has_status else {"metadata"}
        same = {k: v for k, v in obj.items() if k not in apart} == {k: v for k, v in old.items() if k not in apart}
        obj["metadata"]["generation"] = old["metadata"]["generation"] + (0 if same else 1)

    def _keep(self, call: Call, obj: Object, old: Object, warnings: list[str]) -> Outcome:
        if _content(obj) == _content(old):
            return Outcome(old, warnings)
        obj["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        if call.dry_run:
            return Outcome(obj, warnings)
        if obj["metadata"].get("deletionTimestamp") and deletion.may_go(obj):
            gone = self._remove(call.resource, call.key, obj)
            return Outcome(gone.object, warnings)
        return Outcome(self._put(call.resource, call.key, obj).object, warnings)

    # --- server-side apply --------------------------------------------------------------------------------------
    def apply(self, call: Call, config: Object) -> Outcome:
        """409 for conflicts without force, 500 for what does not fit the schema, as the real server has it."""
        manager = Manager(requests.need_manager(call), "Apply", call.resource.api_version, call.subresource)
        self._check_config(call, config)
        entry = self._store.get(call.resource.stored, call.key)
        if entry is None:
            return self._apply_new(call, config, manager)
        old = self.served(call.resource, entry)
        self._preconditions(call, config, old, put=False)
        merged = apply.applied(old, self._visible(call, config), call.resource.schema, manager, call.flag("force"), to_time(self._clock()))
        managers = merged["metadata"].get("managedFields")
        kept = self._combined(call, merged, old)
        kept["metadata"].pop("managedFields", None)
        warnings = self._admission.admit(call, kept, old)
        self._count_generation(call, kept, old)
        if managers:
            kept["metadata"]["managedFields"] = managers
        return self._keep(call, kept, old, warnings)

    def _apply_new(self, call: Call, config: Object, manager: Manager) -> Outcome:
        if call.subresource:
            raise errors.not_found(call.resource.group, call.resource.plural, call.name)
        if config["metadata"].get("uid"):
            why = f"uid mismatch: the provided object specified uid {config['metadata']['uid']}, and no existing object was found"
            raise errors.conflict(call.resource.group, call.resource.plural, call.name, why)
        if config["metadata"].get("resourceVersion"):
            raise errors.conflict(call.resource.group, call.resource.plural, call.name, CHANGED)
        created = replace(call, query={**call.query, "fieldManager": manager.name})
        merged = apply.applied(None, self._visible(call, config), call.resource.schema, manager, True, to_time(self._clock()))
        managers = merged["metadata"].pop("managedFields", None)
        self._place(created, merged)
        return self._created_by_apply(created, merged, managers)

    def _created_by_apply(self, call: Call, obj: Object, managers: Any) -> Outcome:
        self._open_namespace(call, call.name)
        metadata = obj["metadata"]
        self._give_birth(call.resource, metadata)
        warnings = self._admission.admit(call, obj, None)
        if managers:
            metadata["managedFields"] = managers
        return self._create(call, obj, warnings)

    def _check_config(self, call: Call, config: Object) -> None:
        metadata = config["metadata"]
        if metadata.get("managedFields"):
            raise errors.bad_request("metadata.managedFields must be nil")
        metadata.pop("managedFields", None)
        namespace = str(metadata.get("namespace") or "")
        metadata.setdefault("name", call.name)
        if metadata["name"] != call.name:
            raise errors.bad_request(f"the name of the object ({metadata['name']}) does not match the name on the URL ({call.name})")
        if call.resource.namespaced:
            metadata.setdefault("namespace", call.namespace)
        unknown = prune(requests.bounded(config), call.resource.schema, "", root=True)
        if unknown:
            raise self._untyped(call, f".{unknown[0]}: field not declared in schema", namespace)
        if call.resource.custom and (why := _misfit(config, call.resource.schema)):
            raise self._untyped(call, why, namespace)
        try:
            owned(config, call.resource.schema)
        except DuplicateKey as error:
            raise self._untyped(call, str(error), namespace) from error

    def _untyped(self, call: Call, why: str, namespace: str = "") -> errors.StatusError:
        resource = call.resource
        of = f"({namespace}/{call.name}; {resource.api_version}, Kind={resource.kind})"
        return errors.StatusError(500, "", f"failed to create typed patch object {of}: {why}")

    def _visible(self, call: Call, config: Object) -> Object:
        """What this subresource may apply: the status there, everything else here."""
        identity: Object = {k: config[k] for k in ("apiVersion", "kind") if k in config}
        if call.subresource == "status":
            metadata = {k: v for k, v in config["metadata"].items() if k in ("name", "namespace")}
            return {**identity, "metadata": metadata, **({"status": config["status"]} if "status" in config else {})}
        if call.resource.has_status:
            return {k: v for k, v in config.items() if k != "status"}
        return config

    @staticmethod
    def _manager(call: Call) -> Manager:
        return Manager(call.manager, "Update", call.resource.api_version, call.subresource if call.subresource != "finalize" else "")

    # --- binding ------------------------------------------------------------------------------------------------
    def bind(self, call: Call, node: str, uid: str | None) -> None:
        """A Pod to a node; 409 if it has one."""
        pod = self.live(call).copy()
        if uid and uid != pod["metadata"]["uid"]:
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {pod['metadata']['uid']}"
            raise errors.conflict("", "pods/binding", call.name, why)
        if pod["metadata"].get("deletionTimestamp"):
            raise errors.conflict("", "pods/binding", call.name, f"pod {call.name} is being deleted, cannot be assigned to a host")
        if pod["spec"].get("nodeName"):
            why = f'pod {call.name} is already assigned to node "{pod["spec"]["nodeName"]}"'
            raise errors.conflict("", "pods/binding", call.name, why)
        pod["spec"]["nodeName"] = node
        status = pod.setdefault("status", {})
        kept = [c for c in status.get("conditions") or () if c.get("type") != "PodScheduled"]
        done = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": to_time(self._clock())}
        status["conditions"] = [*kept, done]
        if not call.dry_run:
            self._put(call.resource, call.key, pod)

    # --- delete -------------------------------------------------------------------------------------------------
    def delete(self, call: Call, options: Object) -> tuple[Object, bool]:
        """The object as it is afterwards, and whether it is gone."""
        entry = self.live(call)
        obj = entry.copy()
        deletion.preconditions(call, obj, options)
        dry = call.dry_run or options.get("dryRun") == ["All"]
        grace = deletion.grace(obj, options)
        before = dict(obj["metadata"])
        deletion.propagation(obj, options)
        if obj["kind"] == "Pod" or not deletion.may_go(obj):
            deletion.mark(obj, grace, self._clock())
        if deletion.may_go(obj):
            if not dry:
                obj = self._remove(call.resource, call.key, obj).object
            return obj | {"apiVersion": call.resource.api_version}, True
        if not dry and before != obj["metadata"]:
            if call.resource.kind == "Namespace":
                obj["status"] = (obj.get("status") or {}) | {"phase": "Terminating"}
            obj = self._put(call.resource, call.key, obj).object
        return obj | {"apiVersion": call.resource.api_version}, False

    # --- keeping ------------------------------------------------------------------------------------------------
    def _put(self, resource: Resource, key: tuple[str, str], obj: Object) -> Entry:
        obj["apiVersion"] = resource.stored_api_version
        identity: Object = {name: obj.pop(name) for name in ("kind", "apiVersion", "metadata")}
        ordered = identity | obj
        entry = self._store.put(resource.stored, key, ordered)
        if resource.kind == "CustomResourceDefinition":
            self._serve(entry.object)
        return replace(entry, object={**entry.object, "apiVersion": resource.api_version})

    def _remove(self, resource: Resource, key: tuple[str, str], obj: Object) -> Entry:
        entry = self._store.delete(resource.stored, key, {**obj, "apiVersion": resource.stored_api_version})
        if resource.kind == "CustomResourceDefinition":
            spec = obj["spec"]
            self._registry.replace(spec["group"], spec["names"]["plural"], [])
            self._store.drop(f"{spec['names']['plural']}.{spec['group']}")
        return entry

    def _serve(self, crd: Object) -> None:
        found = custom.resources(crd)
        self._registry.replace(crd["spec"]["group"], crd["spec"]["names"]["plural"], found)
        stored = next((r for r in found if r.version == r.storage_version), None)
        if stored:
            self._store.revise(stored.stored, lambda obj: _as_read(obj, stored.schema))

    def serve_all(self) -> None:
        """What the CRDs that are kept serve, at the start."""
        for entry in self._store.all(CRDS):
            self._serve(entry.object)


def _as_read(obj: Object, schema: Schema) -> None:
    """What is stored is pruned and defaulted again by the schema of today."""
    prune(obj, schema)
    default(obj, schema)


def _misfit(config: Object, schema: Schema) -> str:
    """What of a configuration has not the type that the schema says."""
    for cause in check(config, schema, status=True):
        wanted = EXPECTED.get(cause.message.partition("must be of type ")[2].partition(":")[0])
        given = cause.message.rpartition(": ")[2].strip('"')
        if cause.reason == errors.TYPE and wanted and given != "null":
            return f".{cause.field}: expected {wanted}, got {given}"
    return ""


def _content(obj: Object) -> Object:
    """What counts when two objects are compared: all but the version, and when managers last wrote."""
    metadata = {k: v for k, v in obj["metadata"].items() if k not in ("resourceVersion", "managedFields")}
    managed = [{k: v for k, v in entry.items() if k != "time"} for entry in obj["metadata"].get("managedFields") or ()]
    return {**obj, "metadata": {**metadata, "managedFields": sorted(managed, key=str)}}
