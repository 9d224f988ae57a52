"""Inside the SuperLink: every request of the Fleet API comes from a cluster, by the gateway's word, and from that cluster's one node.

The gateway sets the header CLUSTER from the certificate, over anything that a client sends. Here the header is read before all else, and
held against the node that the request names, in front of each of Flower's handlers: there is no other way to them. Flower's own check
stays as well: a node signs with a key that it made itself. Which node is which cluster goes to the server app's process by a file.

What is refused: 401 for a request without a cluster or in the name of a node that is not the cluster's (a SuperNode ends at that, and its
keeper starts it anew); 412 for a second collaborator, whose SuperNode ends with the reason in its log, and tries again later.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from types import ModuleType
from typing import Any

from .files import append_node, say
from .flower_bindings import Bindings, Caller, RefusedError, caller

CLUSTER, INSTANCE = b"x-panal-cluster", b"x-panal-instance"
PREFIX = "/v1/fleet"

# Flower's handlers by their path, each with its request and how that names the node.
HANDLERS = {
    "register-node": ("register_node", "RegisterNodeFleetRequest"),
    "activate-node": ("activate_node", "ActivateNodeRequest"),
    "deactivate-node": ("deactivate_node", "DeactivateNodeRequest"),
    "unregister-node": ("unregister_node", "UnregisterNodeFleetRequest"),
    "send-node-heartbeat": ("send_node_heartbeat", "SendNodeHeartbeatRequest"),
    "pull-messages": ("pull_messages", "PullMessagesRequest"),
    "push-messages": ("push_messages", "PushMessagesRequest"),
    "get-run": ("get_run", "GetRunRequest"),
    "get-fab": ("get_fab", "GetFabRequest"),
    "push-object": ("push_object", "PushObjectRequest"),
    "pull-object": ("pull_object", "PullObjectRequest"),
    "confirm-message-received": ("confirm_message_received", "ConfirmMessageReceivedRequest"),
}

_caller: ContextVar[Caller | None] = ContextVar("panal_caller", default=None)


def install() -> None:
    """Raises if this Flower's Fleet API is not the one that is known: then it must not serve."""
    main = importlib.import_module("flwr.superlink.main")
    router = importlib.import_module("flwr.superlink.routers.fleet.router")
    handlers = importlib.import_module("flwr.superlink.servicer.fleet.fleet_handlers")
    paths = {route.path for route in router.router.routes}
    if paths != {f"{PREFIX}/{path}" for path in HANDLERS} or router.fleet_handlers is not handlers:
        raise TypeError(f"its Fleet API is another: {sorted(paths)}")
    auth = importlib.import_module("flwr.superlink.routers.fleet.node_auth")
    auth.authenticate_node = telling(auth.authenticate_node)  # type: ignore[attr-defined]
    guard = Guard(Bindings())
    for name, kind in HANDLERS.values():
        setattr(handlers, name, guard.handler(name, kind, getattr(handlers, name)))
    create = main.create_app

    def create_app(*args: Any, **kwargs: Any) -> Any:
        app = create(*args, **kwargs)
        app.add_middleware(Introduction)  # outermost
        return app

    main.create_app = create_app  # type: ignore[attr-defined]


class Introduction:
    """ASGI: a request below PREFIX has a caller or goes no further. Bodies pass through untouched."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"].startswith(PREFIX):
            try:
                _caller.set(caller(_values(scope, CLUSTER), _values(scope, INSTANCE)))
            except RefusedError as refusal:
                say_refused("", scope["path"], refusal)
                await _unauthorized(send)
                return
        else:
            _caller.set(None)
        await self.app(scope, receive, send)


def _values(scope: dict[str, Any], name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


async def _unauthorized(send: Any) -> None:
    body = json.dumps({"detail": "Not authenticated"}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def say_refused(cluster: str, where: str, refusal: RefusedError) -> None:
    say(f"refused: cluster={cluster or '-'} reason={refusal.reason} at={where}: {refusal}")


def telling(authenticate: Callable[..., Any]) -> Callable[..., Any]:
    """Flower's own check of the node's signature, which says nothing when it refuses."""

    def authenticate_node(request: Any) -> Any:
        try:
            return authenticate(request)
        except Exception:
            who = _caller.get()
            what = f"{who.cluster if who else '-'} does not sign as the node that it names"
            say_refused(who.cluster if who else "", request.scope["path"], RefusedError("BadSignature", what))
            raise

    return authenticate_node


class Guard:
    """In front of each handler. They run in threads, one request in each, with the context of the request."""

    def __init__(self, bindings: Bindings) -> None:
        self.bindings = bindings

    def handler(self, name: str, kind: str, original: Callable[..., Any]) -> Callable[..., Any]:
        judge = getattr(self, name, self.any_other)

        @wraps(original)
        def guarded(*, request: Any, state: Any, **rest: Any) -> Any:
            who = _caller.get()
            try:
                if who is None:
                    raise RefusedError("NoCluster", "the request did not come through the gateway")
                if type(request).__name__ != kind:
                    raise RefusedError("BadRequest", f"{who.cluster} sends a {type(request).__name__}")
                judge(who, request, state)
            except RefusedError as refusal:
                say_refused(who.cluster if who else "", name, refusal)
                raise refused(refusal) from refusal
            response = original(request=request, state=state, **rest)
            if name in ("deactivate_node", "unregister_node") and who is not None:
                self.bindings.leave(who, request.node_id)
            return response

        return guarded

    def register_node(self, who: Caller, request: Any, state: Any) -> None:
        self.bindings.may_join(who)

    def activate_node(self, who: Caller, request: Any, state: Any) -> None:
        node = state.get_node_id_by_public_key(request.public_key)
        if node is None:
            raise RefusedError("ForeignNode", f"{who.cluster} activates a node that nobody knows")
        replaced = self.bindings.join(who, node)
        append_node(node, who.cluster)
        if replaced is not None:
            say(f"{who.cluster}: node {node} takes the place of {replaced}")
            throw_out(state, replaced)

    def deactivate_node(self, who: Caller, request: Any, state: Any) -> None:
        self.bindings.check(who, request.node_id)

    unregister_node = deactivate_node

    def push_messages(self, who: Caller, request: Any, state: Any) -> None:
        """Replies only, and its own: Flower would take what says that it comes from the server for an instruction to another node."""
        self.any_other(who, request, state)
        for message in request.messages_list:
            if message.metadata.src_node_id != request.node.node_id or not message.metadata.reply_to_message_id:
                raise RefusedError("ForeignMessage", f"{who.cluster} sends a message that is no reply of its own node")

    def any_other(self, who: Caller, request: Any, state: Any) -> None:
        self.bindings.check(who, request.node.node_id)


def throw_out(state: Any, node: int) -> None:
    """It counts no more, and what it was asked is answered with an error at once."""
    constants: ModuleType = importlib.import_module("flwr.common.constant")
    state.deactivate_node(node)
    try:
        state.delete_node(constants.NOOP_FLWR_AID, node)
    except ValueError as error:  # it has unregistered itself
        say(f"node {node}: {error}")


def refused(refusal: RefusedError) -> Exception:
    if refusal.reason == "SecondCollaborator":
        errors: ModuleType = importlib.import_module("flwr.supercore.error")
        error: Exception = errors.FlowerError(errors.ApiErrorCode.FLEET_NODE_ACTIVATION_FAILED, str(refusal), str(refusal))
        return error
    fastapi: ModuleType = importlib.import_module("fastapi")
    unauthorized: Exception = fastapi.HTTPException(401, "Not authenticated")
    return unauthorized
