"""Every write, as the real server does it: read, admit (prune, defaults, checks), say who owns what, keep; or delete, by and by.

An object goes through `_admit` whatever the verb. What comes of it is kept only if it differs: a write that changes nothing makes no
event and no new version.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from panal.local.apiserver import apply, checks, custom, defaults, errors, requests
from panal.local.apiserver.apply import Manager
from panal.local.apiserver.defaults import Setting
from panal.local.apiserver.errors import CHANGED, FORBIDDEN, INVALID, REQUIRED, Cause
from panal.local.apiserver.fields import DuplicateKey
from panal.local.apiserver.kinds import Registry, Resource
from panal.local.apiserver.requests import Call
from panal.local.apiserver.schema import Schema, check, default, prune
from panal.local.apiserver.store import Entry, Store

Object = dict[str, Any]
LETTERS = "bcdfghjklmnpqrstvwxz2456789"
SYSTEM = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation")
WITH_GENERATION = {
    "Pod", "Job", "StatefulSet", "NetworkPolicy", "CustomResourceDefinition", "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}  # fmt: skip
RETURNED = {"Pod", "Service", "PersistentVolumeClaim", "PersistentVolume", "ServiceAccount"}  # a DELETE answers with them
CRDS = "customresourcedefinitions.apiextensions.k8s.io"
Now = Callable[[], datetime]


def now() -> datetime:
    return datetime.now(UTC)


def text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(slots=True)
class Outcome:
    """The object as it is after the write, and what the client is to be warned of."""

    object: Object
    warnings: list[str] = field(default_factory=list)
    created: bool = False


class Writer:
    def __init__(self, store: Store, registry: Registry, clock: Now = now) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock

    # --- create -------------------------------------------------------------------------------------------------
    def create(self, call: Call, obj: Object) -> Outcome:
        resource, metadata = call.resource, obj["metadata"]
        if metadata.get("resourceVersion"):
            raise errors.StatusError(500, "", "resourceVersion should not be set on objects to be created")
        self._place(call, obj)
        self._open_namespace(call, metadata.get("name", ""))
        for name in SYSTEM:
            metadata.pop(name, None)
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": text(self._clock())}
        if resource.custom or resource.kind in WITH_GENERATION:
            metadata["generation"] = 1
        if resource.has_status and resource.kind != "CustomResourceDefinition":
            obj.pop("status", None)
        warnings = self._admit(call, obj, None)
        apply.updated(None, obj, resource.schema, self._manager(call), text(self._clock()))
        return self._create(call, obj, warnings)

    def _create(self, call: Call, obj: Object, warnings: list[str]) -> Outcome:
        key = (call.namespace, obj["metadata"]["name"])
        if self._store.get(call.resource.stored, key):
            raise errors.already_exists(call.resource.group, call.resource.plural, key[1])
        if not call.dry_run:
            obj = self._put(call.resource, key, obj).object
        return Outcome(obj, warnings, created=True)

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

    # --- admission ----------------------------------------------------------------------------------------------
    def _admit(self, call: Call, obj: Object, old: Object | None) -> list[str]:
        """Changes `obj` itself to what is kept; 400 and 422 for what may not be. Returns warnings."""
        resource, schema = call.resource, call.resource.schema
        warnings = self._prune(call, obj)
        self._metadata_types(call, obj)
        if resource.custom:
            default(obj, schema)
        else:
            self._decode(resource, obj)
            default(obj, schema)
            defaults.apply(obj, Setting(self._store, call.user, old))
        _tidy(obj["metadata"])
        causes = self._causes(resource, obj, old)
        if causes:
            raise errors.invalid(resource.group, resource.kind, str(obj["metadata"].get("name", "")), causes)
        if resource.kind == "CustomResourceDefinition":
            custom.served(obj, text(self._clock()))
        return warnings

    def _prune(self, call: Call, obj: Object) -> list[str]:
        unknown = [f'unknown field "{path}"' for path in prune(obj, call.resource.schema, "", root=not call.resource.custom)]
        if unknown and call.validation == "Strict":
            raise requests.cannot_be(call.resource, f"strict decoding error: {', '.join(unknown)}")
        return unknown if call.validation == "Warn" else []

    def _metadata_types(self, call: Call, obj: Object) -> None:
        defaults.coerce(obj["metadata"], call.resource.schema["properties"]["metadata"])
        wrong = check(obj["metadata"], call.resource.schema["properties"]["metadata"], status=True)
        if wrong:
            raise requests.cannot_be(call.resource, f"json: cannot unmarshal Go struct field ObjectMeta.metadata.{wrong[0]}")

    def _decode(self, resource: Resource, obj: Object) -> None:
        """What the real server cannot even read into its types is refused with 400, before it is looked at."""
        defaults.coerce(obj, resource.schema)
        if resource.kind == "CustomResourceDefinition":
            custom.fill(obj)
        for cause in check(obj, resource.schema, status=True):
            if cause.reason == errors.TYPE:
                given = cause.message.rpartition(": ")[2].strip('"')
                known = {"integer": "number", "boolean": "bool"}
                path = ".".join(p.split("[")[0] for p in cause.field.split("."))
                wanted = cause.message.partition("must be of type ")[2].partition(":")[0]
                wanted = {"integer": "int32", "boolean": "bool", "array": "[]string", "object": "map[string]string"}.get(wanted, wanted)
                why = f"json: cannot unmarshal {known.get(given, given)} into Go struct field {resource.kind}.{path} of type {wanted}"
                raise requests.cannot_be(resource, why)

    def _causes(self, resource: Resource, obj: Object, old: Object | None) -> list[Cause]:
        found = list(checks.metadata(obj, resource.kind)) + _finalizers(obj, old)
        if not resource.custom:
            found += [c for c in check(obj, resource.schema, status=False) if c.reason != "FieldValueTypeInvalid"]
            if not found:
                found += checks.quantities(obj, resource.schema)
                found += checks.of_kind(obj, old)
            if resource.kind == "CustomResourceDefinition" and not found:
                found += custom.check(obj, [e.object for e in self._store.all(CRDS)])
            return found
        wrong = [
            c for c in check({k: v for k, v in obj.items() if k != "metadata"}, resource.schema, status=True) if not _same(c, obj, old)
        ]
        if resource.rules and not found and not wrong:
            return list(custom.rules(obj, old, resource.schema))
        blocked = any(
            c.reason in ("FieldValueTypeInvalid", REQUIRED, "FieldValueNotSupported", "FieldValueTooMany", "FieldValueTooLong")
            for c in wrong
        )
        if resource.rules and (blocked or (found and any(c.reason == REQUIRED for c in found))):
            told = (
                "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation"
            )
            wrong.append(Cause(INVALID, f"Invalid value: null: {told}", "<nil>"))
        return found + wrong

    # --- update -------------------------------------------------------------------------------------------------
    def update(self, call: Call, change: Callable[[Object], Object], put: bool = False) -> Outcome:
        """`change` makes the wanted object of the one that is there, which it is given a copy of."""
        entry = self.live(call)
        obj = change(self.served(call.resource, entry))
        old = self.served(call.resource, entry)
        self._preconditions(call, obj, old, put)
        kept = self._combined(call, obj, old)
        warnings = self._admit(call, kept, old)
        self._count_generation(call, kept, old)
        apply.updated(old, kept, self._ownable(call.resource), self._manager(call), text(self._clock()))
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
            return kept
        if subresource == "finalize":
            return {**old, "spec": {**(old.get("spec") or {}), "finalizers": (obj.get("spec") or {}).get("finalizers") or []}}
        if subresource == "approval":
            found = (obj.get("status") or {}).get("conditions") or []
            mine = [c for c in found if c.get("type") in ("Approved", "Denied")]
            rest = [c for c in (old.get("status") or {}).get("conditions") or () if c.get("type") not in ("Approved", "Denied")]
            return {**old, "status": {**(old.get("status") or {}), "conditions": [*rest, *mine]}}
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
        if obj["metadata"].get("deletionTimestamp") and self._may_go(obj):
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
        try:
            merged = apply.applied(
                old, self._visible(call, config), self._ownable(call.resource), manager, call.flag("force"), text(self._clock())
            )
        except DuplicateKey as error:
            raise self._untyped(call, str(error)) from error
        managers = merged["metadata"].get("managedFields")
        kept = self._combined(call, merged, old)
        kept["metadata"].pop("managedFields", None)
        warnings = self._admit(call, kept, old)
        self._count_generation(call, kept, old)
        if managers:
            kept["metadata"]["managedFields"] = managers
        return self._keep(call, kept, old, warnings)

    def _apply_new(self, call: Call, config: Object, manager: Manager) -> Outcome:
        if call.subresource:
            raise errors.not_found(call.resource.group, call.resource.plural, call.name)
        if config["metadata"].get("uid"):
            why = f"Precondition failed: UID in precondition: {config['metadata']['uid']}, UID in object meta: "
            raise errors.conflict(call.resource.group, call.resource.plural, call.name, why)
        if config["metadata"].get("resourceVersion"):
            raise errors.conflict(call.resource.group, call.resource.plural, call.name, CHANGED)
        created = replace(call, query={**call.query, "fieldManager": manager.name})
        try:
            merged = apply.applied(None, self._visible(call, config), self._ownable(call.resource), manager, True, text(self._clock()))
        except DuplicateKey as error:
            raise self._untyped(call, str(error)) from error
        managers = merged["metadata"].pop("managedFields", None)
        self._place(created, merged)
        return self._created_by_apply(created, merged, managers)

    def _created_by_apply(self, call: Call, obj: Object, managers: Any) -> Outcome:
        self._open_namespace(call, call.name)
        metadata = obj["metadata"]
        for name in SYSTEM:
            metadata.pop(name, None)
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": text(self._clock())}
        if call.resource.custom or call.resource.kind in WITH_GENERATION:
            metadata["generation"] = 1
        warnings = self._admit(call, obj, None)
        if managers:
            metadata["managedFields"] = managers
        return self._create(call, obj, warnings)

    def _check_config(self, call: Call, config: Object) -> None:
        metadata = config["metadata"]
        if metadata.get("managedFields"):
            raise errors.bad_request("metadata.managedFields must be nil")
        metadata.pop("managedFields", None)
        metadata.setdefault("name", call.name)
        if metadata["name"] != call.name:
            raise errors.bad_request(f"the name of the object ({metadata['name']}) does not match the name on the URL ({call.name})")
        if call.resource.namespaced:
            metadata.setdefault("namespace", call.namespace)
        unknown = prune(requests.bounded(config), call.resource.schema, "", root=True)
        if unknown:
            raise self._untyped(call, f".{unknown[0]}: field not declared in schema")

    def _untyped(self, call: Call, why: str) -> errors.StatusError:
        resource = call.resource
        of = f"({call.namespace}/{call.name}; {resource.api_version}, Kind={resource.kind})"
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
    def _ownable(resource: Resource) -> Schema:
        return resource.schema

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
        done = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": text(self._clock())}
        status["conditions"] = [*kept, done]
        if not call.dry_run:
            self._put(call.resource, call.key, pod)

    # --- delete -------------------------------------------------------------------------------------------------
    def delete(self, call: Call, options: Object) -> tuple[Object, bool]:
        """The object as it is afterwards, and whether it is gone."""
        entry = self.live(call)
        obj = entry.copy()
        self._delete_preconditions(call, obj, options)
        dry = call.dry_run or options.get("dryRun") == ["All"]
        grace = self._grace(obj, options)
        before = dict(obj["metadata"])
        self._propagation(obj, options)
        self._mark(obj, grace)
        if self._may_go(obj):
            if not dry:
                obj = self._remove(call.resource, call.key, obj).object
            return obj | {"apiVersion": call.resource.api_version}, True
        if not dry and before != obj["metadata"]:
            if call.resource.kind == "Namespace":
                obj["status"] = (obj.get("status") or {}) | {"phase": "Terminating"}
            obj = self._put(call.resource, call.key, obj).object
        return obj | {"apiVersion": call.resource.api_version}, False

    def _delete_preconditions(self, call: Call, obj: Object, options: Object) -> None:
        wanted, metadata = options.get("preconditions") or {}, obj["metadata"]
        for name, called in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
            if wanted.get(name) and str(wanted[name]) != metadata[name]:
                why = f"Precondition failed: {called} in precondition: {wanted[name]}, {called} in object meta: {metadata[name]}"
                if call.resource.custom and name == "uid":
                    why = f"the UID in the precondition ({wanted[name]}) does not match the UID in record ({metadata[name]})."
                    why += " The object might have been deleted and then recreated"
                raise errors.conflict(
                    call.resource.group, call.resource.kind if call.resource.custom else call.resource.plural, call.name, why
                )

    def _grace(self, obj: Object, options: Object) -> int:
        """Seconds that a Pod has for its end; 0 for everything else."""
        spec, phase = obj.get("spec") or {}, (obj.get("status") or {}).get("phase")
        if obj["kind"] != "Pod" or not spec.get("nodeName") or phase in ("Succeeded", "Failed"):
            return 0
        asked = options.get("gracePeriodSeconds")
        grace = int(asked if isinstance(asked, int) else spec.get("terminationGracePeriodSeconds", 30))
        return grace if grace >= 0 else 1

    def _propagation(self, obj: Object, options: Object) -> None:
        policy, metadata = options.get("propagationPolicy"), obj["metadata"]
        if options.get("orphanDependents") is True:
            policy = "Orphan"
        wanted = {"Orphan": "orphan", "Foreground": "foregroundDeletion"}.get(str(policy))
        finalizers = metadata.get("finalizers") or []
        if policy is not None and not metadata.get("deletionTimestamp"):
            finalizers = [f for f in finalizers if f not in ("orphan", "foregroundDeletion")] + ([wanted] if wanted else [])
        metadata["finalizers"] = finalizers
        _tidy(metadata)

    def _mark(self, obj: Object, grace: int) -> None:
        metadata = obj["metadata"]
        if "deletionTimestamp" not in metadata:
            metadata["deletionTimestamp"] = text(self._clock() + timedelta(seconds=grace))
            metadata["deletionGracePeriodSeconds"] = grace
            if "generation" in metadata:
                metadata["generation"] += 1
        elif grace < metadata.get("deletionGracePeriodSeconds", 0):
            metadata["deletionTimestamp"] = text(self._clock() + timedelta(seconds=grace))
            metadata["deletionGracePeriodSeconds"] = grace

    @staticmethod
    def _may_go(obj: Object) -> bool:
        metadata = obj["metadata"]
        held = metadata.get("finalizers") or metadata.get("deletionGracePeriodSeconds")
        return not held and not (obj["kind"] == "Namespace" and (obj.get("spec") or {}).get("finalizers"))

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
    """What is stored is pruned and defaulted anew by the schema of today."""
    prune(obj, schema)
    default(obj, schema)


def _tidy(metadata: Object) -> None:
    for name in ("labels", "annotations", "finalizers", "ownerReferences"):
        if name in metadata and not metadata[name]:
            del metadata[name]


def _finalizers(obj: Object, old: Object | None) -> list[Cause]:
    if old is None or not old["metadata"].get("deletionTimestamp"):
        return []
    before = old["metadata"].get("finalizers") or []
    new = [f for f in obj["metadata"].get("finalizers") or () if f not in before]
    shown = ", ".join(f'"{f}"' for f in new)
    told = f"Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{{{shown}}}"
    return [Cause(FORBIDDEN, told, "metadata.finalizers")] if new else []


def _same(cause: Cause, obj: Object, old: Object | None) -> bool:
    """Whether what is wrong there was so before: it is not held against an update."""
    if old is None:
        return False
    path = cause.field.replace("[", ".[").split(".") if cause.field else []
    if cause.reason == REQUIRED:
        path = path[:-1]
    after: Any = obj
    before: Any = old
    for name in path:
        after, before = _step(after, name), _step(before, name)
    return after is not None and bool(path) and after == before


def _step(value: Any, name: str) -> Any:
    if name.startswith("[") and isinstance(value, list):
        index = int(name[1:-1])
        return value[index] if index < len(value) else None
    return value.get(name) if isinstance(value, dict) else None


def _content(obj: Object) -> Object:
    """What counts when two objects are compared: all but the version, and when managers last wrote."""
    metadata = {k: v for k, v in obj["metadata"].items() if k not in ("resourceVersion", "managedFields")}
    managed = [{k: v for k, v in entry.items() if k != "time"} for entry in obj["metadata"].get("managedFields") or ()]
    return {**obj, "metadata": {**metadata, "managedFields": sorted(managed, key=str)}}
