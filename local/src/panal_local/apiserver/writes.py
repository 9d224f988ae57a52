"""Writes: create, update, apply, bind and delete.

Every object goes through `admission`. The result is stored only if it differs from the stored object: a write that changes nothing creates
no event and no new version.
"""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from panal.kube.times import Now, now_utc, to_time
from panal_local.apiserver import apply, certificates, custom, deletion, errors, requests
from panal_local.apiserver.admission import Admission
from panal_local.apiserver.apply import Manager
from panal_local.apiserver.errors import CHANGED, INVALID, Cause
from panal_local.apiserver.fields import DuplicateKey, owned
from panal_local.apiserver.kinds import Registry, Resource
from panal_local.apiserver.requests import Call
from panal_local.apiserver.schema import default, prune
from panal_local.apiserver.store import Entry, Store

Object = dict[str, Any]
CRDS = "customresourcedefinitions.apiextensions.k8s.io"
LETTERS = "bcdfghjklmnpqrstvwxz2456789"
SYSTEM = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")


@dataclass(slots=True)
class Outcome:
    """The object after the write, and warnings for the client."""

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
        if obj["metadata"].get("resourceVersion"):
            raise errors.bad_request("resourceVersion should not be set on objects to be created")
        if call.resource.has_status and call.resource.kind != custom.KIND:
            obj.pop("status", None)
        return self._create(call, obj, _updating(call))

    def _create(self, call: Call, obj: Object, manager: Manager | None) -> Outcome:
        metadata = obj["metadata"]
        _set_location(call, metadata)
        self._open_namespace(call, str(metadata.get("name", "")))
        self._identify(metadata)
        warnings = self._admission.admit(call, obj, None, manager)
        key = (call.namespace, metadata["name"])
        if self._store.get(call.resource.stored, key):
            raise errors.already_exists(call.resource.group, call.resource.plural, key[1])
        if not call.dry_run:
            obj = self._put(call.resource, key, obj).object
        return Outcome(obj, warnings, created=True)

    def _identify(self, metadata: Object) -> None:
        """Sets the fields of a new object that only the server may set."""
        for name in SYSTEM:
            metadata.pop(name, None)
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": to_time(self._clock()), "generation": 1}

    def _open_namespace(self, call: Call, name: str) -> None:
        if not call.resource.namespaced:
            return
        found = self._store.get("namespaces", ("", call.namespace))
        if found is None:
            raise errors.not_found("", "namespaces", call.namespace)
        if found.object["metadata"].get("deletionTimestamp"):
            why = f"unable to create new content in namespace {call.namespace} because it is being terminated"
            raise errors.forbidden(call.resource.group, call.resource.plural, name, why)

    # --- update -------------------------------------------------------------------------------------------------
    def update(self, call: Call, change: Callable[[Object], Object], put: bool = False) -> Outcome:
        """`change` returns the new object for a copy of the stored one. `put`: the request replaces the object. Raises StatusError."""
        entry = self.live(call)
        obj, old = change(entry.copy()), entry.copy()
        given, uid = obj["metadata"], old["metadata"]["uid"]
        if put and given.get("uid") not in (None, "", uid):
            why = f"Precondition failed: UID in precondition: {given['uid']}, UID in object meta: {uid}"
            raise errors.conflict(call.resource.group, call.resource.plural, call.name, why)
        if put and call.resource.custom and not given.get("resourceVersion"):
            cause = Cause(INVALID, "Invalid value: 0: must be specified for an update", "metadata.resourceVersion")
            raise errors.invalid(call.resource.group, call.resource.kind, call.name, [cause])
        return self._update(call, obj, old, _updating(call))

    def live(self, call: Call) -> Entry:
        entry = self._store.get(call.resource.stored, call.key)
        if entry is None:
            raise errors.not_found(call.resource.group, call.resource.plural, call.name)
        return entry

    def _update(self, call: Call, obj: Object, old: Object, manager: Manager | None) -> Outcome:
        _preconditions(call, obj, old)
        kept = _combined(call, obj, old)
        warnings = self._admission.admit(call, kept, old, manager)
        if _spec(call, kept) != _spec(call, old):
            kept["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        return self._store_if_changed(call, kept, old, warnings)

    def _store_if_changed(self, call: Call, obj: Object, old: Object, warnings: list[str]) -> Outcome:
        if _content(obj) == _content(old):
            return Outcome(old, warnings)
        obj["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        if call.dry_run:
            return Outcome(obj, warnings)
        if obj["metadata"].get("deletionTimestamp") and deletion.is_removable(obj):
            return Outcome(self._remove(call.resource, call.key, obj).object, warnings)
        return Outcome(self._put(call.resource, call.key, obj).object, warnings)

    # --- server-side apply --------------------------------------------------------------------------------------
    def apply(self, call: Call, config: Object) -> Outcome:
        """Applies a configuration. Raises StatusError: 409 for conflicts unless forced, 500 for unknown fields, as kube-apiserver does."""
        manager = Manager(requests.required_manager(call), "Apply", call.resource.api_version, call.subresource)
        _check_config(call, config)
        entry, schema, time = self._store.get(call.resource.stored, call.key), call.resource.schema, to_time(self._clock())
        if entry:
            old = entry.copy()
            return self._update(call, apply.applied(old, _visible(call, config), schema, manager, call.flag("force"), time), old, None)
        if call.subresource:
            raise errors.not_found(call.resource.group, call.resource.plural, call.name)
        if uid := config["metadata"].get("uid"):
            why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            raise errors.conflict(call.resource.group, call.resource.plural, call.name, why)
        if config["metadata"].get("resourceVersion"):
            raise errors.conflict(call.resource.group, call.resource.plural, call.name, CHANGED)
        return self._create(call, apply.applied(None, _visible(call, config), schema, manager, True, time), None)

    # --- binding ------------------------------------------------------------------------------------------------
    def bind(self, call: Call, node: str, uid: str | None) -> None:
        """Binds a Pod to a node. Raises StatusError, 409, if it has one."""
        pod = self.live(call).copy()
        why = ""
        if uid and uid != pod["metadata"]["uid"]:
            why = f"its uid is {pod['metadata']['uid']}, not {uid}"
        elif pod["metadata"].get("deletionTimestamp"):
            why = f"pod {call.name} is being deleted, cannot be assigned to a host"
        elif pod["spec"].get("schedulingGates"):
            why = f"pod {call.name} has non-empty .spec.schedulingGates"
        elif pod["spec"].get("nodeName"):
            why = f'pod {call.name} is already assigned to node "{pod["spec"]["nodeName"]}"'
        if why:
            raise errors.conflict("", "pods/binding", call.name, why)
        pod["spec"]["nodeName"] = node
        status = pod.setdefault("status", {})
        kept = [c for c in status.get("conditions") or () if c.get("type") != "PodScheduled"]
        status["conditions"] = [*kept, {"type": "PodScheduled", "status": "True", "lastTransitionTime": to_time(self._clock())}]
        if not call.dry_run:
            self._put(call.resource, call.key, pod)

    # --- delete -------------------------------------------------------------------------------------------------
    def delete(self, call: Call, options: Object) -> Object:
        """Deletes the object, or marks it as being deleted. Returns its new or last state."""
        obj = self.live(call).copy()
        dry, before = call.dry_run or bool(options.get("dryRun")), dict(obj["metadata"])
        deletion.preconditions(call, obj, options)
        deletion.mark(obj, options, self._clock())
        if dry or (before == obj["metadata"] and not deletion.is_removable(obj)):
            return obj
        kept = self._remove if deletion.is_removable(obj) else self._put
        return kept(call.resource, call.key, obj).object

    # --- keeping ------------------------------------------------------------------------------------------------
    def _put(self, resource: Resource, key: tuple[str, str], obj: Object) -> Entry:
        identity: Object = {name: obj.pop(name) for name in ("kind", "apiVersion", "metadata")}
        entry = self._store.put(resource.stored, key, identity | obj)
        if resource.kind == custom.KIND:
            self._serve(entry.object)
        return entry

    def _remove(self, resource: Resource, key: tuple[str, str], obj: Object) -> Entry:
        entry = self._store.delete(resource.stored, key, obj)
        if resource.kind == custom.KIND:
            gone = custom.resource(obj)
            self._registry.remove(gone)
            self._store.drop(gone.stored)
        return entry

    def _serve(self, crd: Object) -> None:
        resource = custom.resource(crd)
        self._registry.add(resource)
        self._store.revise(resource.stored, lambda obj: _convert(obj, resource))

    def serve_all(self) -> None:
        """Serves the kinds of all stored CRDs."""
        for entry in self._store.all(CRDS):
            self._serve(entry.object)


def _updating(call: Call) -> Manager:
    return Manager(call.manager, "Update", call.resource.api_version, call.subresource if call.subresource != "finalize" else "")


def _set_location(call: Call, metadata: Object) -> None:
    """Sets the namespace from the path, and generates a name if only generateName is given."""
    if call.resource.namespaced:
        if metadata.get("namespace") not in (None, "", call.namespace):
            raise errors.bad_request("the namespace of the provided object does not match the namespace sent on the request")
        metadata["namespace"] = call.namespace
    else:
        metadata.pop("namespace", None)
    if not metadata.get("name") and isinstance(metadata.get("generateName"), str) and metadata["generateName"]:
        metadata["name"] = metadata["generateName"][:58] + "".join(secrets.choice(LETTERS) for _ in range(5))


def _preconditions(call: Call, obj: Object, old: Object) -> None:
    resource, given, live = call.resource, obj["metadata"], old["metadata"]
    if given.get("name") not in (None, "", call.name):
        raise errors.bad_request(f"the name of the object ({given['name']}) does not match the name on the URL ({call.name})")
    if resource.namespaced and given.get("namespace") not in (None, "", call.namespace):
        raise errors.bad_request("the namespace of the provided object does not match the namespace sent on the request")
    if given.get("uid") not in (None, "", live["uid"]):
        cause = Cause(INVALID, f"Invalid value: {json.dumps(given['uid'])}: field is immutable", "metadata.uid")
        raise errors.invalid(resource.group, resource.kind, call.name, [cause])
    if given.get("resourceVersion") and str(given["resourceVersion"]) != live["resourceVersion"]:
        raise errors.conflict(resource.group, resource.plural, call.name, CHANGED)


def _combined(call: Call, obj: Object, old: Object) -> Object:
    """The stored object with the parts of `obj` that the request may change."""
    metadata, resource = old["metadata"], call.resource
    if call.subresource == "finalize":
        finalizers = (obj.get("spec") or {}).get("finalizers") or []
        return {**old, "spec": {"finalizers": finalizers} if finalizers else {}}
    if call.subresource == "approval":
        return certificates.approved(obj, old)
    if call.subresource == "status":
        managed = obj["metadata"].get("managedFields") or metadata.get("managedFields")
        kept = {**old, "metadata": {**metadata, **({"managedFields": managed} if managed else {})}}
    else:
        kept = dict(obj)
        kept["metadata"] = {k: v for k, v in obj["metadata"].items() if k not in SYSTEM}
        kept["metadata"] |= {k: metadata[k] for k in (*SYSTEM, "name", "namespace", "generateName") if k in metadata}
    if resource.has_status:
        status = (obj if call.subresource else old).get("status")
        kept = {k: v for k, v in kept.items() if k != "status"} | ({"status": status} if status is not None else {})
    return kept | ({"spec": old.get("spec", {})} if resource.kind == "Namespace" else {})


def _spec(call: Call, obj: Object) -> Object:
    """The fields whose changes increase the generation."""
    return {k: v for k, v in obj.items() if k != "metadata" and not (k == "status" and call.resource.has_status)}


def _check_config(call: Call, config: Object) -> None:
    """Checks the configuration of an apply: it must name the object of the URL and contain only known fields and unique keys."""
    metadata, resource = config["metadata"], call.resource
    if metadata.pop("managedFields", None):
        raise errors.bad_request("metadata.managedFields must be nil")
    of = f"({metadata.get('namespace') or ''}/{call.name}; {resource.api_version}, Kind={resource.kind})"
    if metadata.setdefault("name", call.name) != call.name:
        raise errors.bad_request(f"the name of the object ({metadata['name']}) does not match the name on the URL ({call.name})")
    if resource.namespaced:
        metadata.setdefault("namespace", call.namespace)
    problem = "".join(f".{path}: field not declared in schema" for path in prune(config, resource.schema)[:1])
    try:
        owned(config, resource.schema)
    except DuplicateKey as error:
        problem = problem or str(error)
    if problem:
        raise errors.StatusError(500, "", f"failed to create typed patch object {of}: {problem}")


def _visible(call: Call, config: Object) -> Object:
    """The fields that this request may change: the status if the subresource is status, otherwise all other fields."""
    if call.subresource == "status":
        identity = {k: v for k, v in config["metadata"].items() if k in ("name", "namespace")}
        return {k: v for k, v in config.items() if k in ("apiVersion", "kind", "status")} | {"metadata": identity}
    return {k: v for k, v in config.items() if k != "status" or not call.resource.has_status}


def _convert(obj: Object, resource: Resource) -> None:
    """Prunes and defaults a stored object by the current schema."""
    obj["apiVersion"] = resource.api_version
    prune(obj, resource.schema)
    default(obj, resource.schema)


def _content(obj: Object) -> Object:
    """The object without its version and the times of its managers, for comparison."""
    metadata = {k: v for k, v in obj["metadata"].items() if k not in ("resourceVersion", "managedFields")}
    managed = [{k: v for k, v in entry.items() if k != "time"} for entry in obj["metadata"].get("managedFields") or ()]
    return {**obj, "metadata": {**metadata, "managedFields": sorted(managed, key=str)}}
