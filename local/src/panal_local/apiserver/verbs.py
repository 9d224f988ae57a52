"""The HTTP methods on collections, objects and subresources."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from panal_local.apiserver import errors, patch, requests
from panal_local.apiserver.answers import Answer, json_answer
from panal_local.apiserver.builtin import schema_of
from panal_local.apiserver.identity import Identity
from panal_local.apiserver.reads import Form, listing
from panal_local.apiserver.requests import Call
from panal_local.apiserver.schema import check
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
        if call.subresource and method == "POST":
            return self._post_subresource(call, requests.read(body, content_type, call.subresource))
        if call.subresource not in STORED:
            raise errors.method_not_allowed()
        return self._one(method, call, body, content_type, form) if call.name else self._collection(method, call, body, content_type, form)

    def _collection(self, method: str, call: Call, body: bytes, content_type: str, form: Form) -> Answer:
        if method == "GET":
            return Answer(listing(call, self._store, form))
        if method == "POST" and (call.namespace or not call.resource.namespaced):
            return self._outcome(call, self._writer.create(call, self._object(call, body, content_type)), form)
        raise errors.method_not_allowed()

    # --- objects ------------------------------------------------------------------------------------------------
    def _one(self, method: str, call: Call, body: bytes, content_type: str, form: Form) -> Answer:
        if method == "GET":
            return Answer(form.one(call.resource, self._writer.live(call)))
        if method == "PUT":
            return self._outcome(call, self._put(call, self._object(call, body, content_type)), form)
        if method == "PATCH":
            return self._outcome(call, self._patch(call, body, content_type), form)
        if method == "DELETE" and not call.subresource:
            options = requests.read(body, content_type, "DeleteOptions") if body else {}
            return json_answer(self._writer.delete(call, _checked(options)))
        raise errors.method_not_allowed()

    @staticmethod
    def _object(call: Call, body: bytes, content_type: str) -> Object:
        return requests.as_object(requests.read(body, content_type, call.resource.kind), call.resource)

    def _put(self, call: Call, obj: Object) -> Outcome:
        if not obj["metadata"].get("name"):
            raise errors.bad_request("name must be provided")
        return self._writer.update(call, lambda old: obj, put=True)

    def _patch(self, call: Call, body: bytes, content_type: str) -> Outcome:
        media = content_type.partition(";")[0].strip()
        if media == patch.APPLY:
            return self._writer.apply(call, self._object(call, body, content_type))
        try:
            return self._writer.update(call, self._change(call, media, body))
        except errors.UndecodableError as error:
            shown = f"Invalid value: {json.dumps(body.decode(errors='replace'))}: {error.why}"
            raise errors.invalid("", "", "", [errors.Cause(errors.INVALID, shown, "patch")]) from error

    @staticmethod
    def _change(call: Call, media: str, body: bytes) -> Callable[[Object], Object]:
        known = [patch.JSON, patch.MERGE, *([] if call.resource.custom else [patch.STRATEGIC])]
        if media not in known:
            accepted = ", ".join([*known, patch.APPLY])
            raise errors.unsupported_media(f"the body of the request was in an unknown format - accepted media types include: {accepted}")
        resource = call.resource
        if media == patch.JSON:
            operations = requests.read_json(body, "Patch")
            return lambda old: requests.as_object(patch.json_patched(old, operations), resource)
        wanted = requests.read(body, media, resource.kind)
        if media == patch.MERGE:
            return lambda old: requests.as_object(patch.merged(old, wanted), resource)
        return lambda old: requests.as_object(patch.strategic(old, wanted, resource.schema), resource)

    def _outcome(self, call: Call, outcome: Outcome, form: Form) -> Answer:
        entry = Entry(outcome.object, b"", 0)
        body = form.one(call.resource, entry) if form.table else json_answer(outcome.object).body
        return Answer(body, 201 if outcome.created else 200, warnings=outcome.warnings)

    # --- subresources -------------------------------------------------------------------------------------------
    def _post_subresource(self, call: Call, value: Object) -> Answer:
        if call.subresource == "token":
            return json_answer(self._identity.issue(self._writer.live(call), value), 201)
        if call.subresource == "binding":
            return self._bind(call, value)
        raise errors.method_not_allowed()

    def _bind(self, call: Call, binding: Object) -> Answer:
        """Binds a Pod to a node."""
        target = binding.get("target")
        if not isinstance(target, dict) or not target.get("name"):
            raise errors.invalid("", "Binding", call.name, [errors.Cause(errors.REQUIRED, "Required value", "target.name")])
        metadata = binding.get("metadata")
        self._writer.bind(call, str(target["name"]), metadata.get("uid") if isinstance(metadata, dict) else None)
        return json_answer(errors.success(), 201)


def _checked(options: Object) -> Object:
    causes = [*check(options, schema_of("meta_v1", "DeleteOptions"))]
    if options.get("propagationPolicy") not in (None, "Background", "Foreground", "Orphan"):
        message = f'Unsupported value: "{options["propagationPolicy"]}": supported values: "Foreground", "Background", "Orphan"'
        causes.append(errors.Cause(errors.UNSUPPORTED, message, "propagationPolicy"))
    if causes:
        raise errors.invalid("meta.k8s.io", "DeleteOptions", "", causes)
    return options
