"""Runs in Flower's environment, for `many_sites.py`: many sites of one run, without a training.

`site_clients.py ADDRESS SITES`: each is a thread that speaks the Fleet protocol in batches, as panal's SuperNodes do, and names its site in
the header by which the sites' gateway chooses a certificate. A site receives the model, and returns one of the same shapes whose pieces
differ from those of all other sites and rounds. What arrives is dropped, and the pieces are made when they are sent, so this process has
the memory of one model. It ends with its standard input.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from io import BytesIO
from typing import Any

import httpx
import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.app.message.arraychunk import ArrayChunk
from flwr.app.message.message import remove_content_from_message
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.fleet_pb2 import ActivateNodeRequest, PullMessagesRequest, PushMessagesRequest, RegisterNodeFleetRequest
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, PullObjectRequest, PushObjectRequest
from flwr.proto.node_pb2 import Node
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_id, get_object_tree, iterate_object_tree
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.interceptors.http.runtime_version import RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import generate_key_pairs, public_key_to_bytes
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor
from panal_tools.flower import batches
from panal_tools.flower.objects import grouped
from panal_tools.flower.poll_hook import HELD, Pace

SITE = "x-site"
POLL, ALIVE = 3.0, 15.0  # seconds
BEATS = 30  # threads that send the sites' heartbeats
PIECE = 5 << 20  # bytes, as Flower's
HEADER = 1024  # bytes at the beginning of a piece that all sites have in common; numpy's header of an array is there
NO_DATA = b"ArrayChunk  0\0"
lock = threading.Lock()
made: dict[tuple[int, ...], list[bytes]] = {}


def pieces_of(shape: tuple[int, ...]) -> list[bytes]:
    """The data of an array of this shape, as Flower sends it."""
    with lock:
        if shape not in made:
            buffer = BytesIO()
            np.save(buffer, np.random.default_rng(1).random(shape, np.float32))
            data = buffer.getvalue()
            made[shape] = [data[at : at + PIECE] for at in range(0, len(data), PIECE)]
        return made[shape]


class Piece(ArrayChunk):  # type: ignore[misc]
    """A piece with numbers of its own, which is made anew when it is sent."""

    def __init__(self, common: bytes) -> None:
        self.common, self.salt = common, np.random.default_rng().random(16, np.float32).tobytes()
        self.__dict__["_object_id"] = get_object_id(self.deflate())

    @property
    def is_dirty(self) -> bool:
        return False

    def deflate(self) -> bytes:
        own = self.salt[: max(0, len(self.common) - HEADER)]
        head = f"ArrayChunk  {len(self.common)}\0".encode()
        return b"".join([head, self.common[:HEADER], own, self.common[HEADER + len(own) :]])


Piece.__qualname__ = "ArrayChunk"


class Named:
    def __init__(self, site: str) -> None:
        self._site = site

    def intercept(self, context: Any, call_next: Any) -> Any:
        context.request.headers[SITE] = self._site
        return call_next(context)


class Site(threading.Thread):
    def __init__(self, address: str, number: int) -> None:
        super().__init__(daemon=True)
        private, public = generate_key_pairs()
        version = RuntimeVersionHttpInterceptor(component_name="SuperNode")
        interceptors = [version, NodeAuthHttpInterceptor(private, public), Named(f"site{number}")]
        self.client = FleetHttpClient.from_server_address(address, True, None, interceptors)
        self.key = public_key_to_bytes(public)
        self.node = Node()

    def run(self) -> None:
        again(self.client.RegisterNode, RegisterNodeFleetRequest(public_key=self.key))
        activated = again(self.client.ActivateNode, ActivateNodeRequest(public_key=self.key, heartbeat_interval=30))
        self.node = Node(node_id=activated.node_id)
        pace = Pace()
        while True:
            began = time.monotonic()
            got = again(self.client.PullMessages, PullMessagesRequest(node=self.node))
            if got.messages_list or time.monotonic() - began >= HELD:
                pace.reset()
            for message, tree in zip(got.messages_list, got.message_object_trees):
                self.answer(self.received(message, tree))
            pace.sleep(POLL)

    def alive(self) -> None:
        if self.node.node_id:
            again(self.client.SendNodeHeartbeat, SendNodeHeartbeatRequest(node=self.node, heartbeat_interval=30))

    def received(self, message: Any, tree: Any) -> Message:
        """The message, with arrays that have a shape but no data."""
        run, contents = message.metadata.run_id, {}
        left = list(dict.fromkeys(each.object_id for each in iterate_object_tree(tree)))
        while left:
            batch = left[: batches.NAMES]
            got = again(self.client.PullObject, PullObjectRequest(node=self.node, run_id=run, object_id=batches.joined(batch)))
            if not got.object_available:
                time.sleep(0.05)
                continue
            for name, content in zip(batch, batches.unpack(got.object_content)):
                contents[name] = NO_DATA if content.startswith(b"ArrayChunk") else content
            left = [name for name in left if name not in contents]
        name = message.metadata.message_id
        again(self.client.ConfirmMessageReceived, ConfirmMessageReceivedRequest(node=self.node, run_id=run, message_object_id=name))
        whole: Any = inflate_object_from_contents(name, contents)
        whole.metadata.__dict__["_message_id"] = name
        return message_from_proto(message_to_proto(whole))

    def answer(self, asked: Message) -> None:
        reply = Message(trained(asked), reply_to=asked)
        reply.metadata.__dict__["_message_id"] = reply.object_id
        announced = {"messages_list": [message_to_proto(remove_content_from_message(reply))], "clientapp_runtime_list": [0.1]}
        request = PushMessagesRequest(node=self.node, message_object_trees=[get_object_tree(reply)], **announced)
        about = {"node": self.node, "run_id": asked.metadata.run_id, "session_id": again(self.client.PushMessages, request).session_id}
        deflated = ((name, each.deflate()) for name, each in get_all_nested_objects(reply).items())
        for batch in grouped(deflated, len):
            names, contents = zip(*batch)
            packed = (names[0], contents[0]) if len(batch) == 1 else (batches.joined(names), batches.pack(contents))
            again(self.client.PushObject, PushObjectRequest(object_id=packed[0], object_content=packed[1], **about))


def trained(asked: Message) -> RecordDict:
    sent = asked.content["arrays"]
    arrays = ArrayRecord({name: Array(each.dtype, each.shape, each.stype, b"") for name, each in sent.items()})
    for array in arrays.values():
        pieces = [Piece(common) for common in pieces_of(array.shape)]
        array.__dict__["_chunks"] = [(piece.object_id, piece) for piece in pieces]
    return RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 10})})


def again(call: Callable[[Any], Any], request: Any) -> Any:
    """The answer; as a SuperNode does, another attempt after an error of the network or of the hub."""
    while True:
        try:
            return call(request)
        except (httpx.TransportError, httpx.HTTPStatusError) as error:
            sys.stderr.write(f"{type(request).__name__}: {error!r}\n")
            time.sleep(1)


def main() -> None:
    sites = [Site(sys.argv[1], number) for number in range(int(sys.argv[2]))]
    for site in sites:
        site.start()

    def live(some: list[Site]) -> None:
        slowest = 0.0
        while True:
            time.sleep(ALIVE)
            for site in some:
                began = time.monotonic()
                site.alive()
                if (seconds := time.monotonic() - began) > max(1.0, slowest):
                    slowest = seconds
                    sys.stderr.write(f"slowest heartbeat: {seconds:.1f} s\n")

    for number in range(BEATS):
        threading.Thread(target=live, args=(sites[number::BEATS],), daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
