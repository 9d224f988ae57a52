"""Runs in Flower's environment: a client of the Fleet API that lies about its identity. Prints the result of each attempt as JSON.

`attacker.py SITE1 SITE2 OUTSIDER`: ports of three gateways, those of two certificates and one that names no cluster.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import httpx
from flwr.proto.fab_pb2 import GetFabRequest
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    DeactivateNodeRequest,
    PullMessagesRequest,
    PushMessagesRequest,
    RegisterNodeFleetRequest,
    UnregisterNodeFleetRequest,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, Message, Metadata, PullObjectRequest, PushObjectRequest
from flwr.proto.node_pb2 import Node
from flwr.proto.run_pb2 import GetRunRequest
from flwr.supercore.interceptors.http.runtime_version import RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import generate_key_pairs, public_key_to_bytes
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

SITE1, SITE2, OUTSIDER = sys.argv[1:]
first, second = generate_key_pairs(), generate_key_pairs()
results: dict[str, str] = {}


class Instance:
    """Adds the header with the id of the Pod, as a SuperNode does."""

    def __init__(self, name: str) -> None:
        self.name = name

    def intercept(self, context: Any, call_next: Any) -> Any:
        context.request.headers["x-panal-instance"] = self.name
        return call_next(context)


def client(port: str, keys: Any, pod: str) -> FleetHttpClient:
    interceptors = [RuntimeVersionHttpInterceptor(component_name="SuperNode"), NodeAuthHttpInterceptor(*keys), Instance(pod)]
    return FleetHttpClient.from_server_address(f"127.0.0.1:{port}", True, None, interceptors)


def attempt(name: str, call: Callable[[], Any]) -> Any:
    try:
        answer = call()
    except httpx.HTTPStatusError as error:
        results[name] = str(error.response.status_code)
        return None
    results[name] = "ok"
    return answer


def join(name: str, who: FleetHttpClient, keys: Any) -> int:
    key = public_key_to_bytes(keys[1])
    attempt(f"{name} registers", lambda: who.RegisterNode(RegisterNodeFleetRequest(public_key=key)))
    answer = attempt(f"{name} activates", lambda: who.ActivateNode(ActivateNodeRequest(public_key=key, heartbeat_interval=30)))
    return answer.node_id if answer else 0


def message(source: int, reply_to: str, to: int = 1) -> Message:
    return Message(
        metadata=Metadata(run_id=1, src_node_id=source, dst_node_id=to, reply_to_message_id=reply_to, ttl=60, message_type="train")
    )


def everything(name: str, who: FleetHttpClient, node_id: int) -> None:
    """Every request that names a node."""
    node = Node(node_id=node_id)
    calls = {
        "heartbeat": lambda: who.SendNodeHeartbeat(SendNodeHeartbeatRequest(node=node, heartbeat_interval=30)),
        "pull": lambda: who.PullMessages(PullMessagesRequest(node=node)),
        "push": lambda: who.PushMessages(PushMessagesRequest(node=node, messages_list=[message(node_id, "x")])),
        "run": lambda: who.GetRun(GetRunRequest(node=node, run_id=1)),
        "fab": lambda: who.GetFab(GetFabRequest(node=node, run_id=1, hash_str="x")),
        "push object": lambda: who.PushObject(PushObjectRequest(node=node, run_id=1, object_id="x")),
        "pull object": lambda: who.PullObject(PullObjectRequest(node=node, run_id=1, object_id="x")),
        "confirm": lambda: who.ConfirmMessageReceived(ConfirmMessageReceivedRequest(node=node, run_id=1, message_object_id="x")),
        "deactivate": lambda: who.DeactivateNode(DeactivateNodeRequest(node_id=node_id)),
        "unregister": lambda: who.UnregisterNode(UnregisterNodeFleetRequest(node_id=node_id)),
    }
    for what, call in calls.items():
        attempt(f"{name} {what}", call)


one, two = client(SITE1, first, "a"), client(SITE2, second, "b")
node1 = join("site1", one, first)
node2 = join("site2", two, second)
everything("by another's key", two, node1)  # signed as site2's own node
everything("by another's certificate", client(SITE2, first, "b"), node1)  # with the key of site1's node, which it was given
everything("by an outsider", client(OUTSIDER, first, "a"), node1)
join("second", client(SITE1, generate_key_pairs(), "c"), generate_key_pairs())
third = generate_key_pairs()
join("second in another Pod", client(SITE1, third, "c"), third)
with_another = client(SITE2, first, "b")
attempt(
    "activates another's",
    lambda: with_another.ActivateNode(ActivateNodeRequest(public_key=public_key_to_bytes(first[1]), heartbeat_interval=30)),
)
for name, forged in {
    "as the server": message(1, "", to=node1),
    "as another's node": message(node1, "x"),
    "no reply": message(node2, ""),
}.items():
    attempt(
        f"message {name}", lambda forged=forged: two.PushMessages(PushMessagesRequest(node=Node(node_id=node2), messages_list=[forged]))
    )
attempt("site1 polls", lambda: one.PullMessages(PullMessagesRequest(node=Node(node_id=node1))))
attempt("site2 polls", lambda: two.PullMessages(PullMessagesRequest(node=Node(node_id=node2))))
again = generate_key_pairs()
restarted = client(SITE1, again, "a")
node3 = join("restarted", restarted, again)
everything("replaced", one, node1)
attempt("restarted polls", lambda: restarted.PullMessages(PullMessagesRequest(node=Node(node_id=node3))))
attempt("restarted leaves", lambda: restarted.DeactivateNode(DeactivateNodeRequest(node_id=node3)))
join("another Pod after it left", client(SITE1, third, "c"), third)
fourth = generate_key_pairs()
join("another Pod, registered now", client(SITE1, fourth, "c"), fourth)
print(json.dumps(results))
