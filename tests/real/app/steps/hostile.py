"""Runs in Flower's environment: a collaborator with a good certificate that answers each message with the next of its attacks.

`hostile.py ADDRESS ATTACK ...`: the gateway's address, and what to do with the first training message, the second, and so on; after the
last it answers as it should. Prints one line of JSON for each: the attack, and the HTTP statuses that it met. It ends with its gateway.
In a collaborator's container it knows what every process there knows: the Pod's secret, and which Pod it is.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.app.message.message import remove_content_from_message
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.fab_pb2 import GetFabRequest
from flwr.proto.fleet_pb2 import ActivateNodeRequest, PullMessagesRequest, PushMessagesRequest, RegisterNodeFleetRequest
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, ObjectTree, PullObjectRequest, PushObjectRequest
from flwr.proto.node_pb2 import Node
from flwr.supercore.inflatable.inflatable_object import (
    add_header_to_object_body,
    get_all_nested_objects,
    get_object_id,
    get_object_tree,
    iterate_object_tree,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.interceptors.http.runtime_version import RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import generate_key_pairs, public_key_to_bytes
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

Objects = dict[str, bytes]


class OfThePod:
    """What the gateway and the hub want to hear from a process of this Pod."""

    def intercept(self, context: Any, call_next: Any) -> Any:
        if folder := os.environ.get("PANAL_POD_DIR"):
            context.request.headers["x-panal-pod"] = Path(folder, "secret").read_text().strip()
        context.request.headers["x-panal-instance"] = os.environ.get("PANAL_INSTANCE", "")
        return call_next(context)


class Site:
    def __init__(self, address: str) -> None:
        private, public = generate_key_pairs()
        interceptors = [RuntimeVersionHttpInterceptor(component_name="SuperNode"), NodeAuthHttpInterceptor(private, public), OfThePod()]
        self.client = FleetHttpClient.from_server_address(address, True, None, interceptors)
        key = public_key_to_bytes(public)
        self.client.RegisterNode(RegisterNodeFleetRequest(public_key=key))
        self.node = Node(node_id=self.client.ActivateNode(ActivateNodeRequest(public_key=key, heartbeat_interval=30)).node_id)
        self.met: list[int] = []  # statuses of the attack that is going on
        threading.Thread(target=self._live, daemon=True).start()

    def _live(self) -> None:
        while True:
            time.sleep(5)
            self.client.SendNodeHeartbeat(SendNodeHeartbeatRequest(node=self.node, heartbeat_interval=30))

    def attempt(self, method: str, request: Any) -> Any:
        try:
            answer = getattr(self.client, method)(request)
        except httpx.HTTPStatusError as error:
            self.met.append(error.response.status_code)
            return None
        self.met.append(200)
        return answer

    def receive(self) -> Message | None:
        answer = self.client.PullMessages(PullMessagesRequest(node=self.node))
        if not answer.messages_list:
            return None
        message, run = answer.messages_list[0], answer.messages_list[0].metadata.run_id
        contents: Objects = {}
        for each in iterate_object_tree(answer.message_object_trees[0]):
            while not (
                got := self.client.PullObject(PullObjectRequest(node=self.node, run_id=run, object_id=each.object_id))
            ).object_available:
                time.sleep(0.05)
            contents[each.object_id] = got.object_content
        name = message.metadata.message_id
        self.client.ConfirmMessageReceived(ConfirmMessageReceivedRequest(node=self.node, run_id=run, message_object_id=name))
        whole: Any = inflate_object_from_contents(name, contents)
        whole.metadata.__dict__["_message_id"] = name
        return message_from_proto(message_to_proto(whole))

    def announce(self, reply: Message, tree: ObjectTree | None = None, *, copies: int = 1, **metadata: Any) -> str:
        proto = message_to_proto(bare(reply))
        for key, value in metadata.items():
            setattr(proto.metadata, key, value)
        trees = [tree or get_object_tree(reply)] * copies
        request = PushMessagesRequest(
            node=self.node, messages_list=[proto] * copies, message_object_trees=trees, clientapp_runtime_list=[0.1]
        )
        answer = self.attempt("PushMessages", request)
        return answer.session_id if answer else ""

    def send(self, reply: Message, session: str, objects: Objects) -> None:
        for name, content in objects.items():
            run = reply.metadata.run_id
            self.attempt(
                "PushObject", PushObjectRequest(node=self.node, run_id=run, object_id=name, object_content=content, session_id=session)
            )

    def answer(self, reply: Message) -> None:
        self.send(reply, self.announce(reply), objects_of(reply))


def bare(reply: Message) -> Message:
    return remove_content_from_message(reply) if reply.has_content() else reply


def objects_of(reply: Message) -> Objects:
    return {name: each.deflate() for name, each in get_all_nested_objects(reply).items()}


def named(content: RecordDict, asked: Message) -> Message:
    reply = Message(content, reply_to=asked)
    reply.metadata.__dict__["_message_id"] = reply.object_id
    return reply


def honest(asked: Message, arrays: dict[str, np.ndarray] | None = None, metrics: dict[str, Any] | None = None) -> RecordDict:
    if asked.metadata.message_type == "evaluate":
        return RecordDict({"metrics": MetricRecord({"accuracy": 0.5, "num-examples": 10} if metrics is None else metrics)})
    sent = asked.content["arrays"]
    grown = {key: np.asarray(sent[key].numpy() + 1, sent[key].numpy().dtype) for key in sent} if arrays is None else arrays
    record = ArrayRecord({key: Array(value) for key, value in grown.items()})
    told = {"loss": 1.0, "num-examples": 10} if metrics is None else metrics
    return RecordDict({"arrays": record, "metrics": MetricRecord(told)})


# Objects that do not come, come twice, or are others.


def nothing_comes(site: Site, asked: Message) -> None:
    """Announced are the very objects that the honest sites are about to send, in this round and in the next."""
    later = {
        key: np.asarray(asked.content["arrays"][key].numpy() + 2, asked.content["arrays"][key].numpy().dtype)
        for key in asked.content["arrays"]
    }
    content = honest(asked)
    content["next"] = ArrayRecord({key: Array(value) for key, value in later.items()})
    site.announce(named(content, asked))


def one_is_missing(site: Site, asked: Message) -> None:
    reply = named(honest(asked), asked)
    objects = objects_of(reply)
    objects.popitem()
    site.send(reply, site.announce(reply), objects)


def repeated(site: Site, asked: Message) -> None:
    """As after an answer that was lost: this is no attack, and has to count."""
    reply = named(honest(asked), asked)
    objects = objects_of(reply)
    first, *_ = objects
    site.announce(reply)
    session = site.announce(reply)
    site.send(reply, session, {first: objects[first]})
    site.send(reply, session, objects)
    site.announce(reply)


def another_root(site: Site, asked: Message) -> None:
    site.announce(named(honest(asked), asked), ObjectTree(object_id="a" * 64))


def two_at_a_time(site: Site, asked: Message) -> None:
    site.announce(named(honest(asked), asked), copies=2)


def a_strange_object(site: Site, asked: Message) -> None:
    """The tree has one more than the message says."""
    reply = named(honest(asked), asked)
    tree = get_object_tree(reply)
    tree.children.append(ObjectTree(object_id=get_object_id(b"strange")))
    site.send(reply, site.announce(reply, tree), {**objects_of(reply), get_object_id(b"strange"): b"strange"})


def not_a_name(site: Site, asked: Message) -> None:
    reply = named(honest(asked), asked)
    tree = get_object_tree(reply)
    tree.children.append(ObjectTree(object_id="../../etc/passwd"))
    site.announce(reply, tree)


def too_deep(site: Site, asked: Message) -> None:
    reply = named(honest(asked), asked)
    tree = get_object_tree(reply)
    deepest = tree
    for number in range(20):
        deepest.children.append(ObjectTree(object_id=f"{number:064x}"))
        deepest = deepest.children[-1]
    site.announce(reply, tree)


def another_content(site: Site, asked: Message) -> None:
    reply = named(honest(asked), asked)
    site.send(reply, site.announce(reply), dict.fromkeys(objects_of(reply), b"something else"))


def no_form(site: Site, asked: Message) -> None:
    """Objects with the right hashes in which there is nothing that Flower could read."""
    reply = named(honest(asked), asked)
    chunk = add_header_to_object_body(b"\xff" * 40, MetricRecord())
    record = add_header_to_object_body(json.dumps({"metrics": get_object_id(chunk)}).encode(), Parent("RecordDict", [chunk]))
    forge(site, reply, record, [chunk])


def unfolds(site: Site, asked: Message) -> None:
    """One chunk of a megabyte, to which an array refers a million times."""
    reply = named(honest(asked), asked)
    chunk = add_header_to_object_body(bytes(1 << 20), Parent("ArrayChunk", []))
    body = json.dumps({"dtype": "uint8", "shape": [1 << 40], "stype": "numpy.ndarray", "arraychunk_ids": [0] * (1 << 20)}).encode()
    array = add_header_to_object_body(body, Parent("Array", [chunk]))
    record = add_header_to_object_body(json.dumps({"w": get_object_id(array)}).encode(), Parent("ArrayRecord", [array]))
    content = add_header_to_object_body(json.dumps({"arrays": get_object_id(record)}).encode(), Parent("RecordDict", [record]))
    forge(site, reply, content, [record], [array], [chunk])


class Parent:
    """What `add_header_to_object_body` has to know of an object."""

    def __new__(cls, kind: str, children: list[bytes]) -> Any:
        made = type(kind, (), {"children": {get_object_id(each): None for each in children}})
        return made()


def forge(site: Site, reply: Message, content: bytes, *levels: list[bytes]) -> None:
    """Sends `reply` with the object `content` in the place of its own, and what lies below it."""
    root = add_header_to_object_body(objects_of(reply)[reply.object_id].partition(b"\0")[2], Parent("Message", [content]))
    tree = ObjectTree(object_id=get_object_id(root))
    at = tree
    objects = {get_object_id(root): root}
    for each in [[content], *levels]:
        at.children.extend(ObjectTree(object_id=get_object_id(one)) for one in each)
        at = at.children[0]
        objects |= {get_object_id(one): one for one in each}
    site.send(reply, site.announce(reply, tree, message_id=get_object_id(root)), objects)


def lies_within(site: Site, asked: Message) -> None:
    """Announced as its own reply; the message inside says that it is another node's."""
    reply = named(honest(asked), asked)
    reply.metadata.__dict__["_src_node_id"] = 4711
    inside = named_again(reply)
    site.send(inside, site.announce(inside, src_node_id=site.node.node_id), objects_of(inside))


def named_again(reply: Message) -> Message:
    reply.metadata.__dict__["_message_id"] = ""
    reply.metadata.__dict__["_message_id"] = reply.object_id
    return reply


def two_replies(site: Site, asked: Message) -> None:
    site.announce(named(honest(asked), asked))
    site.answer(named(honest(asked, metrics={"loss": 7.0, "num-examples": 10}), asked))


def expired(site: Site, asked: Message) -> None:
    reply = Message(honest(asked), reply_to=asked)
    reply.metadata.ttl = 0.001
    site.answer(named_again(reply))


# Messages and objects that are not its own.


def others(site: Site, asked: Message) -> None:
    """Confirms, fetches and replies to what it was not handed; then answers as it should."""
    run, strange = asked.metadata.run_id, "b" * 64
    site.attempt("ConfirmMessageReceived", ConfirmMessageReceivedRequest(node=site.node, run_id=run, message_object_id=strange))
    site.announce(named(honest(asked), asked), reply_to_message_id=strange)
    site.attempt("PullObject", PullObjectRequest(node=site.node, run_id=run, object_id=strange))
    site.send(asked, "no-session", {strange: b"x"})
    site.answer(named(honest(asked), asked))


# Replies that a strategy does not expect.


def content(make: Callable[[Message], RecordDict]) -> Callable[[Site, Message], None]:
    return lambda site, asked: site.answer(named(make(asked), asked))


def with_array(other: np.ndarray) -> Callable[[Site, Message], None]:
    """In the place of the first array."""

    def make(asked: Message) -> RecordDict:
        sent = {key: array.numpy() for key, array in asked.content["arrays"].items()}
        return honest(asked, sent | {next(iter(sent)): other})

    return content(make)


def one_array_more(asked: Message) -> RecordDict:
    record = honest(asked)
    record["arrays"]["more"] = Array(np.zeros(3, np.float32))
    return record


def false_header(asked: Message) -> RecordDict:
    """Says what was sent, and holds numbers of another type."""
    record = honest(asked)
    other = Array(np.arange(4, dtype=np.float64))
    record["arrays"][next(iter(record["arrays"]))] = Array("float32", (3,), "numpy.ndarray", other.data)
    return record


def stored_as(stype: str, dtype: str = "", header: bytes = b"") -> Callable[[Site, Message], None]:
    """Named as what was sent; numpy raises at the way in which it is stored, at the type's name or at the header."""

    def make(asked: Message) -> RecordDict:
        record = honest(asked)
        first = next(iter(record["arrays"]))
        good = record["arrays"][first]
        data = good.data if not header else b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(12)
        record["arrays"][first] = Array(dtype or good.dtype, good.shape, stype, data)
        return record

    return content(make)


def no_such_version(asked: Message) -> RecordDict:
    record = honest(asked)
    first = next(iter(record["arrays"]))
    good = record["arrays"][first]
    record["arrays"][first] = Array(good.dtype, good.shape, good.stype, good.data[:6] + b"\x01\x01" + good.data[8:])
    return record


def another_order(asked: Message) -> RecordDict:
    record = honest(asked)
    record["arrays"] = ArrayRecord(dict(reversed(list(record["arrays"].items()))))
    return record


def a_false_length(site: Site, asked: Message) -> None:
    """An object whose head says another length than its body has, which Flower finds when it stores it."""
    reply = named(honest(asked), asked)
    chunk = b"MetricRecord  7\0"
    record = add_header_to_object_body(json.dumps({"metrics": get_object_id(chunk)}).encode(), Parent("RecordDict", [chunk]))
    forge(site, reply, record, [chunk])


def many_names(site: Site, asked: Message) -> None:
    """Ten megabytes that unfold to a million arrays of nothing."""
    reply = named(honest(asked), asked)
    empty = Array(np.zeros(0, np.float32))
    array = empty.deflate()
    names = json.dumps({f"{number:05}": get_object_id(array) for number in range(100_000)}).encode()
    record = add_header_to_object_body(names, Parent("ArrayRecord", [array]))
    body = json.dumps({f"{number}": get_object_id(record) for number in range(8)}).encode()
    forge(site, reply, add_header_to_object_body(body, Parent("RecordDict", [record])), [record], [array], [chunk_of(empty)])


def batch_of(site: Site, asked: Message, change: Callable[[bytes], bytes]) -> None:
    """All objects in one request, as panal's SuperNode sends them; `change` is applied to their contents."""
    reply = named(honest(asked), asked)
    session, objects = site.announce(reply), objects_of(reply)
    packed = b"".join(len(content).to_bytes(4, "big") + content for content in objects.values())
    site.send(reply, session, {"".join(f"{name}," for name in objects): change(packed)})


def in_a_batch(site: Site, asked: Message) -> None:
    batch_of(site, asked, bytes)


def a_batch_too_short(site: Site, asked: Message) -> None:
    batch_of(site, asked, lambda packed: packed[:-1])


def a_batch_of_references(site: Site, asked: Message) -> None:
    """As between processes of one container: the hub opens no file for a site."""
    head = json.dumps([[["/proc/self/fd/0", 0, 0, 0, 1]]]).encode()
    batch_of(site, asked, lambda _packed: len(head).to_bytes(4, "big") + head)


def chunk_of(array: Array) -> bytes:
    (chunk,) = array.children.values()
    return chunk.deflate()


def long_requests(site: Site, asked: Message) -> None:
    """What Flower unfolds and prints of a request; then answers as it should."""
    for _ in range(8):
        site.attempt("PullMessages", PullMessagesRequest(node=site.node, message_ids=[""] * 4_000_000))
        site.attempt("GetFab", GetFabRequest(node=site.node, run_id=asked.metadata.run_id, hash_str="x" * 8_000_000))
    site.answer(named(honest(asked), asked))


def no_arrays(asked: Message) -> RecordDict:
    return RecordDict({"metrics": MetricRecord({"loss": 1.0, "num-examples": 10})})


def config_for_arrays(asked: Message) -> RecordDict:
    return RecordDict({"arrays": ConfigRecord({"w": b"x"}), "metrics": MetricRecord({"loss": 1.0, "num-examples": 10})})


ATTACKS: dict[str, Callable[[Site, Message], None]] = {
    "honest": content(honest),
    "nothing comes": nothing_comes,
    "one is missing": one_is_missing,
    "repeated": repeated,
    "another root": another_root,
    "two at a time": two_at_a_time,
    "a strange object": a_strange_object,
    "not a name": not_a_name,
    "too deep": too_deep,
    "another content": another_content,
    "no form": no_form,
    "unfolds": unfolds,
    "lies within": lies_within,
    "two replies": two_replies,
    "expired": expired,
    "others": others,
    "another shape": with_array(np.zeros((3, 3), np.float32)),
    "a shape that spreads": with_array(np.zeros(1, np.float32)),
    "another type": with_array(np.zeros(3, np.float64)),
    "text": with_array(np.array(["a", "b", "c"])),
    "one array more": content(one_array_more),
    "not a number": with_array(np.array([1, np.nan, np.inf], np.float32)),
    "false header": content(false_header),
    "another storage": stored_as("torch"),
    "no type": stored_as("numpy.ndarray", dtype="i4,,i4"),
    "no header": stored_as("numpy.ndarray", header=b"{'descr': '<f4', (\n"),
    "no such version": content(no_such_version),
    "another order": content(another_order),
    "a false length": a_false_length,
    "many names": many_names,
    "in a batch": in_a_batch,
    "a batch too short": a_batch_too_short,
    "a batch of references": a_batch_of_references,
    "long requests": long_requests,
    "no arrays": content(no_arrays),
    "config for arrays": content(config_for_arrays),
    "another metric": content(lambda asked: honest(asked, metrics={"\x1b[2Jloss\n": 1.0, "num-examples": 10})),
    "a list for a metric": content(lambda asked: honest(asked, metrics={"loss": [1.0, 2.0], "num-examples": 10})),
    "no weight": content(lambda asked: honest(asked, metrics={"loss": 1.0})),
    "a negative weight": content(lambda asked: honest(asked, metrics={"loss": 1.0, "num-examples": -20})),
    "an endless weight": content(lambda asked: honest(asked, metrics={"loss": 1.0, "num-examples": float("inf")})),
}


def main(address: str, attacks: list[str]) -> None:
    site = Site(address)
    print("SuperNode ID: hostile", flush=True)
    while True:
        asked = site.receive()
        if asked is None:
            time.sleep(0.1)
            continue
        attack = attacks.pop(0) if attacks and asked.metadata.message_type == "train" else "honest"
        site.met.clear()
        ATTACKS[attack](site, asked)
        print(json.dumps({"attack": attack, "met": site.met}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
