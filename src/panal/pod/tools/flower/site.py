"""Guard in the SuperNode: runs only the announced app, and withholds exception texts unless the site's owner shares them.

Code reaches a site only as the app bundle (FAB). The SuperNode fetches it with the first message of a run, stores it and passes it to the
ClientApp process, which unpacks and imports it. The guard checks it before it is stored: the SHA-256 of the content, the bundle's name and
version, and the type of the run, because other types start other programs. Dependencies of the bundle are never installed. The reply to a
message of a refused run is an error.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import os
import re
import time
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from ..codes import DIGEST, Ending
from ..files import RunError, log_line
from . import local_objects, objects, secret, slow_links, unanswered
from .errors import outgoing_error, written

INSTANCE_HEADER = "x-panal-instance"
INVALID_FAB = 7  # of Flower's error codes
HANDED_OVER = 5.0  # seconds for the ClientApp to deliver the rest of an error

_PULL = {"state", "object_store", "receive", "get_run", "get_fab"}
_PUSH = {"state", "object_store", "send", "push_object"}


class WrongAppError(Exception):
    """The hub sends another app than the announced one."""


def app_hash() -> str:
    """The announced app hash. Raises RunError if it is missing."""
    announced = os.environ.get("PANAL_APP_HASH", "")
    if not re.fullmatch(DIGEST, announced):
        raise RunError(
            Ending.APP_HASH_MISMATCH, f"PANAL_APP_HASH is {announced!r}, which is no SHA-256: the hub did not announce what is to run here"
        )
    return announced


def share_errors() -> bool:
    return os.environ.get("PANAL_SHARE_ERRORS", "").strip() == "true"


def install() -> None:
    """Patches Flower's SuperNode. Raises if it is not the known one; then it must not run."""
    module = importlib.import_module("flwr.supernode.start_client_internal")
    connection = importlib.import_module("flwr.supernode.fleet_http_connection")
    for name, needed in (("_pull_and_store_message", _PULL), ("_push_messages", _PUSH)):
        if missing := needed - set(inspect.signature(getattr(module, name)).parameters):
            raise TypeError(f"{name} has no {sorted(missing)}")
    unanswered.install(module)
    local_objects.install("flwr.supernode.servicer.runtime.runtime_handlers")
    objects.patch_supernode(module)
    module._pull_and_store_message = checked_pull(module, app_hash())  # type: ignore[attr-defined]
    module._push_messages = filtered_push(module, share_errors())  # type: ignore[attr-defined]
    send_instance(connection, os.environ.get("PANAL_INSTANCE", ""))
    client = importlib.import_module("flwr.supercore.protobuf.client")
    secret.patch(client)
    slow_links.patch(client)
    secret.lock(importlib.import_module("flwr.supernode.main"))


def send_instance(connection: ModuleType, instance: str) -> None:
    """Sends the hub the Pod of a node: a node that is restarted in the same Pod may replace the previous one."""
    signing: Any = connection.NodeAuthHttpInterceptor

    class WithInstance(signing):  # type: ignore[misc]
        def intercept(self, context: Any, call_next: Any) -> Any:
            context.request.headers[INSTANCE_HEADER] = instance
            return super().intercept(context, call_next)

    connection.NodeAuthHttpInterceptor = WithInstance  # type: ignore[attr-defined]


# From the hub to the site:


def checked_pull(module: ModuleType, announced: str) -> Callable[..., Any]:
    original: Callable[..., Any] = module._pull_and_store_message

    def pull_and_store_message(*, state: Any, object_store: Any, receive: Any, get_run: Any, get_fab: Any, **rest: Any) -> Any:
        received: list[Any] = []

        def keep() -> Any:
            found = receive()
            received[:] = found[:1] if found else []
            return found

        runs: dict[int, Any] = {}

        def checked_run(run_id: int) -> Any:
            runs[run_id] = run = get_run(run_id)
            check_run(run, announced)
            return run

        def checked_bundle(fab_hash: str, run_id: int) -> Any:
            bundle = get_fab(fab_hash, run_id)
            check_bundle(bundle.content, runs[run_id], announced)
            return bundle

        try:
            return original(state=state, object_store=object_store, receive=keep, get_run=checked_run, get_fab=checked_bundle, **rest)
        except WrongAppError as refusal:
            log_line(f"{Ending.APP_HASH_MISMATCH}: {refusal}. None of it is installed or run")
            return refuse(module, received[0], state, object_store)

    return pull_and_store_message


def check_run(run: Any, announced: str) -> None:
    if run.fab_hash != announced:
        raise WrongAppError(f"the hub wants to run an app of SHA-256 {run.fab_hash or '(none)'}, announced was {announced}")
    if run.primary_task_type != "flwr-serverapp":
        raise WrongAppError(f"the hub wants a run of the kind {run.primary_task_type}, announced was a server app with the app {announced}")


def check_bundle(content: bytes, run: Any, announced: str) -> None:
    digest = hashlib.sha256(content).hexdigest()
    if digest != announced:
        raise WrongAppError(f"the hub sent an app of SHA-256 {digest}, announced was {announced}")
    config = importlib.import_module("flwr.common.config")
    declared = config.get_metadata_from_config(config.get_fab_config(content))
    if (run.fab_id, run.fab_version) != declared:
        raise WrongAppError(f"the hub calls the app {announced} {run.fab_id} {run.fab_version}, which is {' '.join(declared)}")


def refuse(module: ModuleType, message: Any, state: Any, object_store: Any) -> Any:
    error: Any = importlib.import_module("flwr.app.error").Error
    reply = type(message)(error(INVALID_FAB, written(Ending.APP_HASH_MISMATCH)), reply_to=message)
    module._insert_message(reply, state, object_store)
    return message.metadata.run_id


# From the site to the hub:


def filtered_push(module: ModuleType, share: bool) -> Callable[..., Any]:
    original: Callable[..., Any] = module._push_messages

    def push_messages(*, state: Any, object_store: Any, **rest: Any) -> Any:
        return original(state=FilteredReplies(state, object_store, share), object_store=object_store, **rest)

    return push_messages


class FilteredReplies:
    """Wraps the SuperNode's state: error replies contain only what may leave the site."""

    def __init__(self, state: Any, object_store: Any, share: bool) -> None:
        self._state, self._store, self._share = state, object_store, share

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._state, name)
        return self._bounding(found) if name.startswith("get_messages") else found  # get_messages_legacy since 1.41

    def _bounding(self, get: Callable[..., Sequence[Any]]) -> Callable[..., Sequence[Any]]:
        return lambda **wanted: [self._bounded(message) for message in get(**wanted)]

    def _bounded(self, message: Any) -> Any:
        if not message.has_error():
            return message
        code, reason = message.error.code, message.error.reason
        allowed = outgoing_error(code, reason, self._share)
        return message if allowed == reason else self._replace_error(message, code, allowed)

    def _replace_error(self, message: Any, code: int, reason: str) -> Any:
        """Replaces the error of a message, and stores it under its new id, which is the hash of the content."""
        error: Any = importlib.import_module("flwr.app.error").Error
        inflatable: Any = importlib.import_module("flwr.supercore.inflatable.inflatable_object")
        self._delete(message)
        message.error = error(code, reason)
        with inflatable.no_object_id_recompute():
            message.metadata.__dict__["_message_id"] = message.object_id
            self._store.preregister(message.metadata.run_id, inflatable.get_object_tree(message))
            self._store.put(message.object_id, message.deflate())
        return message

    def _delete(self, message: Any) -> None:
        """Deletes a message. Waits first until the ClientApp has delivered it."""
        name, end = message.metadata.message_id, time.monotonic() + HANDED_OVER
        while self._store.get(name) == b"" and time.monotonic() < end:
            time.sleep(0.05)
        self._state.delete_messages(message_ids=[name])
        self._store.delete(name)
