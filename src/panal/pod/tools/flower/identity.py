"""Guard in the SuperLink: checks that each request of the Fleet API comes from the node that is bound to the caller's cluster.

It wraps each of Flower's handlers. `introduction` reads the caller's cluster from the header that the gateway sets; `bindings` holds the
node of each cluster. Flower's own check of the node's signature remains active. `messages` restricts the messages and objects of a node;
`secret` checks that requests come from this Pod. The cluster of each node is written to a file for the ServerApp process.

Responses: 401 for a request without a cluster or with a foreign node, at which the SuperNode ends and is restarted; 412 for a second
collaborator of a cluster, which ends with the reason in its log and retries later; 400 for an invalid reply.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterable
from functools import wraps
from types import ModuleType
from typing import Any

from ..files import log_line, number, participants
from . import local_objects
from .arrivals import Arrivals, BadReplyError
from .bindings import Bindings, Caller, RefusedError
from .environment import GIVEN_UP, accelerated, append_node
from .holding import Holding
from .introduction import CALLER, PREFIX, Introduction, log_refusal
from .messages import Messages
from .secret import lock

LOOK = 0.5  # seconds between two reads of the participants
RECENT = 5.0  # seconds; the server app polls more often

# Flower's handlers by path, each with the type of its request.
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


def install() -> None:
    """Patches Flower's Fleet API. Raises if it is not the known one; then it must not be served."""
    main = importlib.import_module("flwr.superlink.main")
    router = importlib.import_module("flwr.superlink.routers.fleet.router")
    handlers = importlib.import_module("flwr.superlink.servicer.fleet.fleet_handlers")
    paths = {route.path for route in router.router.routes}
    if paths != {f"{PREFIX}/{path}" for path in HANDLERS} or router.fleet_handlers is not handlers:
        raise TypeError(f"its Fleet API is another: {sorted(paths)}")
    auth = importlib.import_module("flwr.superlink.routers.fleet.node_auth")
    auth.authenticate_node = logging_refusals(auth.authenticate_node)  # type: ignore[attr-defined]
    guard = Guard(Bindings())
    for name, kind in HANDLERS.values():
        setattr(handlers, name, guard.handler(name, kind, getattr(handlers, name)))
    runtime = importlib.import_module("flwr.superlink.servicer.runtime.runtime_handlers")
    runtime.pull_messages = guard.before_poll(runtime.pull_messages)  # type: ignore[attr-defined]
    local_objects.install(runtime.__name__)
    holding = None
    if accelerated():
        holding = Holding()
        runtime.push_messages = guard.after_push(runtime.push_messages, holding)  # type: ignore[attr-defined]
    lock(main, type("Introduction", (Introduction,), {"heard": staticmethod(guard.heard), "holding": holding}))


def logging_refusals(authenticate: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps Flower's check of the node's signature to log refusals."""

    def authenticate_node(request: Any) -> Any:
        try:
            return authenticate(request)
        except Exception:
            caller = CALLER.get()
            what = f"{caller.cluster if caller else '-'} does not sign as the node that it names"
            log_refusal(caller.cluster if caller else "", request.scope["path"], RefusedError("BadSignature", what))
            raise

    return authenticate_node


class Guard:
    """Wraps Flower's handlers. Each request runs in a thread with the context of the request."""

    def __init__(self, bindings: Bindings) -> None:
        self.bindings = bindings
        self.arrivals = Arrivals(number("PANAL_LARGEST_REPLY", 0))
        self.messages = Messages(self.arrivals, bindings.cluster_of)
        self._checked = 0.0

    def handler(self, name: str, kind: str, original: Callable[..., Any]) -> Callable[..., Any]:
        judge = getattr(self, name, self.other_request)
        handle = getattr(self.messages, name, None)

        @wraps(original)
        def guarded(*, request: Any, state: Any, **rest: Any) -> Any:
            caller = CALLER.get()
            try:
                if caller is None:
                    raise RefusedError("NoCluster", "the request did not come through the gateway")
                if type(request).__name__ != kind:
                    raise RefusedError("BadRequest", f"{caller.cluster} sends a {type(request).__name__}")
                judge(caller, request, state)
                if name == "pull_messages":
                    self.believe_alive([request.node.node_id], state)
                if name == "register_node" and (node := state.get_node_id_by_public_key(request.public_key)) is not None:
                    return registered(node)  # it did not get the first response; Flower would refuse it, and the SuperNode would end
                if handle is not None:
                    return handle(original, caller, request, state, **rest)
            except RefusedError as refusal:
                log_refusal(caller.cluster if caller else "", name, refusal)
                raise refusal_response(refusal) from refusal
            except BadReplyError as bad:
                raise bad_request(bad) from bad
            response = original(request=request, state=state, **rest)
            if name in ("deactivate_node", "unregister_node"):
                self.bindings.leave(caller, request.node_id)
                self.arrivals.drop(request.node_id)
            return response

        return guarded

    def heard(self, caller: Caller) -> None:
        if (node := self.bindings.hear(caller.cluster)) is not None:
            self.arrivals.heard(node)

    def believe_alive(self, nodes: Iterable[int], state: Any) -> None:
        """Whatever arrives from a node counts as its heartbeat. Flower takes a node whose heartbeats do not get through, beside its own
        upload on a slow link, for dead after a minute, and drops its reply."""
        interval = importlib.import_module("flwr.common.constant").HEARTBEAT_DEFAULT_INTERVAL
        for node in nodes:
            state.acknowledge_node_heartbeat(node, interval)

    def before_poll(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Wraps the server app's poll for replies: first notes which nodes are alive, gives up stalled replies, and removes the nodes of
        clusters that left. A poll for messages that the server app gives up drops them, and has no result."""

        @wraps(original)
        def pull_messages(request: Any, state: Any, *rest: Any) -> Any:
            if time.monotonic() - self._checked > LOOK:
                self._checked = time.monotonic()
                self.believe_alive(self.bindings.heard_within(RECENT), state)
                self.messages.give_up_stalled(state)
                self.remove_departed(participants(), state)
            if given_up := [name.removeprefix(GIVEN_UP) for name in request.message_ids if name.startswith(GIVEN_UP)]:
                self.messages.give_up(given_up, state)
                del request.message_ids[:]
            return original(request, state, *rest)

        return pull_messages

    def after_push(self, original: Callable[..., Any], holding: Holding) -> Callable[..., Any]:
        """Wraps the server app's sending of messages: the nodes get them at once."""

        @wraps(original)
        def push_messages(request: Any, *rest: Any, **more: Any) -> Any:
            response = original(request, *rest, **more)
            holding.stored(self.bindings.cluster_of(message.metadata.dst_node_id) for message in request.messages_list)
            return response

        return push_messages

    def remove_departed(self, clusters: frozenset[str] | None, state: Any) -> None:
        if clusters is None:
            return
        for cluster, node in self.bindings.nodes().items():
            if cluster not in clusters:
                log_line(f"{cluster} no longer takes part: node {node} is removed")
                self.bindings.forget(cluster)
                self.remove(state, node)

    def remove(self, state: Any, node: int) -> None:
        """Removes a node. Flower answers its open messages with an error at once."""
        self.arrivals.drop(node)
        constants: ModuleType = importlib.import_module("flwr.common.constant")
        state.deactivate_node(node)
        try:
            state.delete_node(constants.NOOP_FLWR_AID, node)
        except ValueError as error:  # already unregistered
            log_line(f"node {node}: {error}")

    def register_node(self, caller: Caller, request: Any, state: Any) -> None:
        self.bindings.may_join(caller)

    def activate_node(self, caller: Caller, request: Any, state: Any) -> None:
        node = state.get_node_id_by_public_key(request.public_key)
        if node is None:
            raise RefusedError("ForeignNode", f"{caller.cluster} activates an unknown node")
        if self.bindings.node_of(caller.cluster) == node:  # it did not get the first response; Flower activates no active node
            state.deactivate_node(node)
        replaced = self.bindings.join(caller, node)
        append_node(node, caller.cluster)
        if replaced is not None:
            log_line(f"{caller.cluster}: node {node} takes the place of {replaced}")
            self.remove(state, replaced)

    def deactivate_node(self, caller: Caller, request: Any, state: Any) -> None:
        self.bindings.check(caller, request.node_id)

    unregister_node = deactivate_node

    def other_request(self, caller: Caller, request: Any, state: Any) -> None:
        self.bindings.check(caller, request.node.node_id)


def registered(node: int) -> Any:
    fleet: ModuleType = importlib.import_module("flwr.proto.fleet_pb2")
    return fleet.RegisterNodeFleetResponse(node_id=node)


def refusal_response(refusal: RefusedError) -> Exception:
    if refusal.reason == "SecondCollaborator":
        errors: ModuleType = importlib.import_module("flwr.supercore.error")
        error: Exception = errors.FlowerError(errors.ApiErrorCode.FLEET_NODE_ACTIVATION_FAILED, str(refusal), str(refusal))
        return error
    fastapi: ModuleType = importlib.import_module("fastapi")
    unauthorized: Exception = fastapi.HTTPException(401, "Not authenticated")
    return unauthorized


def bad_request(bad: BadReplyError) -> Exception:
    fastapi: ModuleType = importlib.import_module("fastapi")
    error: Exception = fastapi.HTTPException(400, f"{bad.reason}: {bad}")
    return error
