"""From a call to its answer: what each HTTP method means on a collection, on an object, and on a subresource."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from panal_local.apiserver import deletion, errors, patch, requests, scale
from panal_local.apiserver.answers import Answer, json_answer
from panal_local.apiserver.identity import Identity
from panal_local.apiserver.reads import Form, Selection, listing
from panal_local.apiserver.requests import Call
from panal_local.apiserver.store import Entry, Store
from panal_local.apiserver.writes import Outcome, Writer

Object = dict[str, Any]
STORED = ("", "status", "finalize", "approval")


class Verbs:
    def __init__(self, store: Store, writer: Writer, identity: Identity) -> None:
        self._store = store
        self._writer = writer
        self._identity = identity

    def handle(self, method: str, call: Call, body: bytes, content_type: str, form: Form) -> Answer:
        if call.subresource == "scale":
            return self._scale(method, call, body, content_type)
        if call.subresource and method == "POST":
            return self._posted(call, body, content_type)
        if call.subresource not in STORED:
            raise errors.method_not_allowed()
        return (
            self._collection(method, call, body, content_type, form) if not call.name else self._one(method, call, body, content_type, form)
        )

    # --- collections --------------------------------------------------------------------------------------------
    def _collection(self, method: str, call: Call, body: bytes, content_type: str, form: Form) -> Answer:
        if method == "GET":
            return Answer(listing(call, self._store, form))
        if method == "POST" and (call.namespace or not call.resource.namespaced):
            obj = requests.as_object(requests.read(body, content_type, call.resource.kind), call.resource)
            return self._told(call, self._writer.create(call, obj), form)
        if method == "DELETE" and (call.namespace or not call.resource.namespaced):
            return self._delete_all(call, self._options(call, body, content_type))
        raise errors.method_not_allowed()

    def _delete_all(self, call: Call, options: Object) -> Answer:
        selection = Selection(call)
        found = [e for e in self._store.all(call.resource.stored, call.namespace) if selection.has(e)]
        for entry in found:
            name = entry.object["metadata"]["name"]
            self._writer.delete(Call(call.resource, call.namespace, name, "", call.query, call.user, call.agent), options)
        items = [{**e.object, "apiVersion": call.resource.api_version} for e in found]
        metadata = {**({"continue": ""} if call.resource.custom else {}), "resourceVersion": str(self._store.version)}
        return json_answer({"kind": call.resource.list, "apiVersion": call.resource.api_version, "metadata": metadata, "items": items})

    # --- objects ------------------------------------------------------------------------------------------------
    def _one(self, method: str, call: Call, body: bytes, content_type: str, form: Form) -> Answer:
        if method == "GET":
            return Answer(form.one(call.resource, self._writer.live(call)))
        if method == "PUT":
            return self._told(call, self._put(call, body, content_type), form)
        if method == "PATCH":
            return self._told(call, self._patch(call, body, content_type), form)
        if method == "DELETE" and not call.subresource:
            return self._delete(call, self._options(call, body, content_type))
        raise errors.method_not_allowed()

    def _put(self, call: Call, body: bytes, content_type: str) -> Outcome:
        obj = requests.as_object(requests.read(body, content_type, call.resource.kind), call.resource)
        metadata = obj["metadata"]
        if not metadata.get("name"):
            told = "name must be provided" if not call.resource.custom else "name is required"
            raise errors.bad_request(told)
        if metadata["name"] != call.name:
            raise errors.bad_request(f"the name of the object ({metadata['name']}) does not match the name on the URL ({call.name})")
        return self._writer.update(call, lambda old: obj, put=True)

    def _patch(self, call: Call, body: bytes, content_type: str) -> Outcome:
        media = content_type.partition(";")[0].strip()
        if media == patch.APPLY:
            config = requests.read(body, content_type, call.resource.kind)
            if not isinstance(config, dict):
                raise errors.bad_request("error decoding YAML: the configuration is not an object")
            return self._writer.apply(call, requests.as_object(config, call.resource))
        if call.flag("force"):
            cause = errors.Cause(errors.FORBIDDEN, "Forbidden: may not be specified for non-apply patch", "force")
            raise errors.invalid("meta.k8s.io", "PatchOptions", "", [cause])
        try:
            return self._writer.update(call, self._change(call, media, body))
        except errors.UndecodableError as error:
            told = f"Invalid value: {json.dumps(body.decode(errors='replace'))}: {error.why}"
            raise errors.invalid("", "", "", [errors.Cause(errors.INVALID, told, "patch")]) from error

    def _change(self, call: Call, media: str, body: bytes) -> Callable[[Object], Object]:
        known = [patch.JSON, patch.MERGE, *([] if call.resource.custom else [patch.STRATEGIC])]
        if media not in known:
            accepted = ", ".join([*known, patch.APPLY])
            told = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
            raise errors.unsupported_media(told)
        wanted = requests.read_json(body, "")
        if media != patch.JSON and not isinstance(wanted, dict):
            told = f"error decoding patch: json: cannot unmarshal {patch.go_kind(wanted)} into Go value of type map[string]interface {{}}"
            raise errors.bad_request(told)

        def change(old: Object) -> Object:
            if media == patch.JSON:
                result = patch.json_patched(old, wanted)
            elif media == patch.MERGE:
                result = patch.merged(old, wanted)
            else:
                result = patch.strategic(old, wanted, call.resource.schema)
            return requests.as_object(requests.bounded(result), call.resource)

        return change

    def _told(self, call: Call, outcome: Outcome, form: Form) -> Answer:
        entry = Entry(outcome.object, b"", 0)
        body = json_answer(outcome.object).body if not form.kind else form.one(call.resource, entry)
        return Answer(body, 201 if outcome.created else 200, warnings=outcome.warnings)

    # --- delete -------------------------------------------------------------------------------------------------
    def _options(self, call: Call, body: bytes, content_type: str) -> Object:
        found = requests.read(body, content_type, "DeleteOptions") if body else {}
        if not isinstance(found, dict):
            raise errors.bad_request("the object provided is unrecognized (must be of type DeleteOptions)")
        for name in ("gracePeriodSeconds", "propagationPolicy"):
            if name in call.query and name not in found:
                given = call.query[name]
                found[name] = int(given) if given.lstrip("-").isdigit() else given
        grace = found.get("gracePeriodSeconds")
        if grace is not None and (not isinstance(grace, int) or isinstance(grace, bool)):
            raise errors.bad_request(
                'DeleteOptions in version "v1" cannot be handled as a DeleteOptions: gracePeriodSeconds is a whole number'
            )
        if not isinstance(found.get("preconditions") or {}, dict):
            raise errors.bad_request('DeleteOptions in version "v1" cannot be handled as a DeleteOptions: preconditions is an object')
        policy = found.get("propagationPolicy")
        if policy not in (None, "Background", "Foreground", "Orphan"):
            told = f'Unsupported value: "{policy}": supported values: "Foreground", "Background", "Orphan", "nil"'
            cause = errors.Cause(errors.UNSUPPORTED, told, "propagationPolicy")
            raise errors.invalid("meta.k8s.io", "DeleteOptions", "", [cause])
        return found

    def _delete(self, call: Call, options: Object) -> Answer:
        obj, gone = self._writer.delete(call, options)
        resource = call.resource
        if not gone or resource.kind in deletion.RETURNED:
            return json_answer(obj)
        found = errors.details(resource.group, resource.plural, call.name, uid=obj["metadata"]["uid"])
        return json_answer(errors.success(found))

    # --- subresources -------------------------------------------------------------------------------------------
    def _posted(self, call: Call, body: bytes, content_type: str) -> Answer:
        value = requests.read(body, content_type, call.subresource)
        if not isinstance(value, dict):
            raise errors.bad_request("the object provided is unrecognized: not an object")
        if call.subresource == "token":
            spec = value.get("spec")
            if spec is not None and not isinstance(spec, dict):
                raise errors.bad_request('TokenRequest in version "v1" cannot be handled as a TokenRequest: spec is an object')
            return json_answer(self._identity.issue(self._writer.live(call), value), 201)
        if call.subresource == "binding":
            return self._bind(call, value)
        raise errors.method_not_allowed()

    def _bind(self, call: Call, binding: Object) -> Answer:
        """A Pod to its node, once."""
        node = (binding.get("target") or {}).get("name") if isinstance(binding.get("target"), dict) else None
        if not node:
            cause = errors.Cause(errors.REQUIRED, "Required value", "target.name")
            raise errors.invalid("", "Binding", call.name, [cause])
        uid = (binding.get("metadata") or {}).get("uid") if isinstance(binding.get("metadata"), dict) else None
        self._writer.bind(call, str(node), uid)
        return json_answer({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, 201)

    def _scale(self, method: str, call: Call, body: bytes, content_type: str) -> Answer:
        entry = self._writer.live(call)
        if method == "GET":
            return json_answer(scale.of(call.resource, entry.object))
        if method not in ("PUT", "PATCH"):
            raise errors.method_not_allowed()
        wanted = requests.read(body, content_type, "Scale")
        if method == "PATCH":
            wanted = patch.merged(scale.of(call.resource, entry.object), wanted)
        outcome = self._writer.update(scale.main(call), lambda old: scale.changed(call.resource, old, wanted))
        return json_answer(scale.of(call.resource, outcome.object))
