"""Guard in the SuperLink: handles messages and objects of nodes in place of Flower's handlers.

Flower shows a reply to the server app as soon as it is announced, and stores its objects under names that all messages share. A node that
announces objects and does not send them would block every reply with the same content. Here a reply is collected separately (`arrivals`),
checked, and passed to Flower when it is complete. A stalled or invalid reply is replaced by an error reply of its node, so that the round
does not wait for it. A node can fetch and confirm only its own messages and their objects.
"""

from __future__ import annotations

import importlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..codes import Refused
from ..files import log_line
from . import batches
from .arrivals import OBJECTS, TIMES, Arrivals, BadReplyError, Instruction, Reply, read_tree
from .bindings import Caller, RefusedError
from .errors import written
from .local_objects import return_memory
from .objects import HEAD, start_of_chunk
from .spool import Contents, Stored, beginning, whole

Handler = Callable[..., Any]

_CHUNK, _ARRAY, _REFERRING = "ArrayChunk", "Array", ("ArrayRecord", "RecordDict")


class Messages:
    """Each public method wraps Flower's handler of the same name, its argument `original`. `cluster_of` returns the cluster of a node."""

    def __init__(self, arrivals: Arrivals, cluster_of: Callable[[int], str]) -> None:
        self.arrivals = arrivals
        self._cluster_of = cluster_of
        self._storing = threading.RLock()
        self._pb = importlib.import_module("flwr.proto.message_pb2")
        self._fleet = importlib.import_module("flwr.proto.fleet_pb2")
        self._serde = importlib.import_module("flwr.common.serde")
        self._inflatable = importlib.import_module("flwr.supercore.inflatable.inflatable_object")
        self._utils = importlib.import_module("flwr.supercore.inflatable.inflatable_utils")

    # From the SuperLink to the node:

    def pull_messages(self, original: Handler, caller: Caller, request: Any, state: Any, **rest: Any) -> Any:
        node = request.node.node_id
        response = original(request=request, state=state, **rest)
        for message, tree in zip(response.messages_list, response.message_object_trees):
            names = {each.object_id for each in self._inflatable.iterate_object_tree(tree)}
            self.arrivals.hand_out(node, message.metadata.message_id, message.metadata.run_id, names, message, tree)
        if not response.messages_list and (lost := self.arrivals.unconfirmed(node)) is not None:
            log_line(f"{caller.cluster} did not receive the message {lost.name[:12]}; sending it again")
            response = self._fleet.PullMessagesResponse(messages_list=[lost.message], message_object_trees=[lost.tree])
        return response

    def pull_object(self, original: Handler, caller: Caller, request: Any, state: Any, **rest: Any) -> Any:
        if batches.is_batch(request.object_id):
            return self._pull_batch(original, caller, request, state, **rest)
        instruction = self.arrivals.instruction_of(request.node.node_id, request.run_id, request.object_id)
        if instruction is None:
            return self._pb.PullObjectResponse(object_found=False, object_available=False)
        response = original(request=request, state=state, **rest)
        if response.object_available:
            instruction.pulled[request.object_id] = len(response.object_content)
        return response

    def _pull_batch(self, original: Handler, caller: Caller, request: Any, state: Any, **rest: Any) -> Any:
        """As many of the objects, from the first, as a batch may have and are there."""
        found: list[bytes] = []
        size = 0
        for name in batch_names(caller, request):
            one = self._pb.PullObjectRequest(node=request.node, run_id=request.run_id, object_id=name)
            response = self.pull_object(original, caller, one, state, **rest)
            if not found and not response.object_available:
                return response
            size += len(response.object_content)
            if not response.object_available or (found and size > batches.LARGEST):
                break
            found.append(response.object_content)
        return self._pb.PullObjectResponse(object_found=True, object_available=True, object_content=batches.pack(found))

    def confirm_message_received(self, original: Handler, caller: Caller, request: Any, state: Any, **rest: Any) -> Any:
        if not self.arrivals.confirm(request.node.node_id, request.run_id, request.message_object_id):
            raise RefusedError("ForeignMessage", f"{caller.cluster} confirms a message that it was not handed")
        return original(request=request, state=state, **rest)

    # From the node to the SuperLink:

    def push_messages(self, original: Handler, caller: Caller, request: Any, state: Any, **rest: Any) -> Any:
        message = single_reply(caller, request)
        self._raise_if_over(message.metadata.run_id, state)
        node, asked = request.node.node_id, message.metadata.reply_to_message_id
        try:
            known, root, error = self.arrivals.open(node, asked), message.metadata.message_id, message.HasField("error")
            first = known is not None and (known.reply is None or known.reply.is_replaced_by(root, error))
            tree = read_tree(request.message_object_trees[0]) if first else {}  # takes half a second, and is needed only once
            reply = self.arrivals.announce(node, asked, root, tree, request, error)
            if reply is not None:
                check_metadata(reply)
        except BadReplyError as bad:
            self._fail(self.arrivals.open(node, asked), bad, state)
            raise
        missing, session = (reply.missing(), reply.session) if reply is not None else ([], "")
        reconnect = self._fleet.Reconnect(reconnect=5)
        results = {message.metadata.message_id: 0}
        return self._fleet.PushMessagesResponse(reconnect=reconnect, results=results, objects_to_push=missing, session_id=session)

    def push_object(self, original: Handler, caller: Caller, request: Any, state: Any, **rest: Any) -> Any:
        self._raise_if_over(request.run_id, state)
        reply = self.arrivals.announced(request.node.node_id, request.run_id, request.session_id)
        if reply is None:  # complete, so that the node repeats its last object; else not announced, or given up
            complete = self.arrivals.is_complete(request.node.node_id, request.run_id, request.session_id)
            return self._pb.PushObjectResponse(stored=complete)
        try:
            return_memory()
            for name, content in sent_objects(caller, request):
                if self.arrivals.put(reply, name, content, self._children(content)):
                    self._deliver(reply, state)
        except BadReplyError as bad:
            self._fail(reply.instruction, bad, state)
            raise
        return self._pb.PushObjectResponse(stored=True)

    def _raise_if_over(self, run: int, state: Any) -> None:
        """Raises Flower's error for a run that has ended, as Flower's handlers do."""
        utils: Any = importlib.import_module("flwr.server.superlink.utils")
        status: Any = importlib.import_module("flwr.common.constant").Status
        if why := utils.check_abort(run, [status.PENDING, status.STARTING, status.FINISHED], state):
            errors: Any = importlib.import_module("flwr.supercore.error")
            raise errors.FlowerError(errors.ApiErrorCode.FLEET_RUN_STATUS_NOT_ALLOWED, why)

    def _children(self, content: bytes) -> tuple[str, ...]:
        """The names of the objects to which an object refers. Checks its form now; Flower would check it only when storing it."""
        try:
            self._utils.validate_object_content(content)
            return tuple(self._inflatable.get_object_children_ids_from_object_content(content))
        except (ValueError, self._utils.UnexpectedObjectContentError) as error:
            raise BadReplyError(Refused.REPLY_INVALID, "one of its objects is not in Flower's form") from error

    # The end of a reply:

    def _deliver(self, reply: Reply, state: Any) -> None:
        message = self._inflate(reply)
        with self._storing:
            if not self._stored(reply.request.message_object_trees[0], reply.contents, message, state):
                raise BadReplyError(Refused.REPLY_INVALID, "Flower refuses it: it has expired or came too late")
            self.arrivals.deliver(reply)
        state.store_traffic(reply.instruction.run, bytes_sent=0, bytes_recv=reply.size + reply.request.ByteSize())
        if reply.request.clientapp_runtime_list:
            state.add_clientapp_runtime(reply.instruction.run, reply.request.clientapp_runtime_list[0])

    def _stored(self, tree: Any, contents: Mapping[str, Stored], message: Any, state: Any) -> bool:
        """Stores the objects, then the message, so that the server app finds all of it or none. False if Flower refuses the message."""
        store = state.object_store
        with self._storing:
            store.preregister(message.metadata.run_id, tree)
            stored = False
            try:
                for name, content in contents.items():
                    if isinstance(content, Contents):
                        store.adopt(name, content)
                    else:
                        store.put(name, content)
                stored = state.store_message_res(message) is not None
            finally:
                if not stored:
                    store.delete(message.metadata.message_id)
            return stored

    def _inflate(self, reply: Reply) -> Any:
        """Inflates the message as the server app will, but without the arrays' data. Raises BadReplyError for what would otherwise fail
        in the server app."""
        try:
            size, count = Weigher(self._utils, reply).of(reply.root)
            if size > reply.largest:
                raise BadReplyError(Refused.REPLY_TOO_LARGE, f"it unfolds to {size} bytes; a reply of this run may have {reply.largest}")
            if count > (most := max(OBJECTS, TIMES * len(reply.instruction.objects))):
                raise BadReplyError(Refused.REPLY_TOO_LARGE, f"it unfolds to {count} objects; a reply of this run may have {most}")
            message = self._utils.inflate_object_from_contents(reply.root, self._without_chunks(reply))
            sent, found = reply.request.messages_list[0].metadata, self._serde.message_to_proto(message).metadata
        except BadReplyError:
            raise
        except Exception as error:
            raise BadReplyError(Refused.REPLY_INVALID, f"it is not in Flower's form ({type(error).__name__})") from error
        found.message_id = sent.message_id
        if found != sent:
            raise BadReplyError(Refused.REPLY_INVALID, "its metadata differs from the announced metadata")
        message.metadata.__dict__["_message_id"] = sent.message_id
        return message

    def _without_chunks(self, reply: Reply) -> dict[str, bytes]:
        chunk: Any = importlib.import_module("flwr.app.message.arraychunk").ArrayChunk
        empty = chunk(memoryview(b"")).deflate()
        read = {name: empty if start_of_chunk(content) else whole(content) for name, content in reply.contents.items()}
        kinds = {name: self._inflatable.get_object_type_from_object_content(content) for name, content in read.items()}
        return {name: empty if kinds[name] == _CHUNK else content for name, content in read.items()}

    def _fail(self, instruction: Instruction | None, bad: BadReplyError, state: Any) -> None:
        """Replaces the reply to `instruction` by an error reply of the node."""
        if instruction is None or not self.arrivals.close(instruction):
            return
        log_line(f"reply of {self._cluster_of(instruction.node)} is refused: reason={bad.reason}: {bad}")
        error: Any = importlib.import_module("flwr.app.error").Error
        asked = self._serde.message_from_proto(instruction.message)
        answer = type(asked)(error(0, written(bad.reason, str(bad))), reply_to=asked)
        with self._inflatable.no_object_id_recompute():
            answer.metadata.__dict__["_message_id"] = answer.object_id
            tree = self._inflatable.get_object_tree(answer)
            self._stored(tree, {answer.object_id: answer.deflate()}, answer, state)

    def give_up(self, names: list[str], state: Any) -> None:
        """Drops messages whose replies the server app no longer waits for: a node does not get them any more, and what it replies to one
        that it has is dropped as well. Its next message therefore does not wait behind them."""
        with self._storing:
            delivered = self.arrivals.give_up(names)
            state.delete_messages(set(names))
            for name in (*names, *delivered):
                state.object_store.delete(name)

    def give_up_stalled(self, state: Any) -> None:
        for reply in self.arrivals.stalled():
            left, all_ = len(reply.missing()), len(reply.tree)
            why = f"{left} of its {all_} objects have not come, and none for {reply.patience:.0f} s"
            self._fail(reply.instruction, BadReplyError(Refused.REPLY_INCOMPLETE, why), state)


def single_reply(caller: Caller, request: Any) -> Any:
    """The message of an announcement. Raises RefusedError unless it is exactly one reply, sent by the node itself, with its object tree.
    Flower would accept a message with the server as its source as an instruction to another node."""
    if len(request.messages_list) != 1 or len(request.message_object_trees) != 1:
        raise RefusedError("ForeignMessage", f"{caller.cluster} sends {len(request.messages_list)} messages at a time")
    message, tree = request.messages_list[0], request.message_object_trees[0]
    if message.metadata.src_node_id != request.node.node_id or not message.metadata.reply_to_message_id:
        raise RefusedError("ForeignMessage", f"{caller.cluster} sends a message that is not a reply of its own node")
    if tree.object_id != message.metadata.message_id:
        raise RefusedError("ForeignMessage", f"{caller.cluster} sends a message under another name than its own")
    return message


def batch_names(caller: Caller, request: Any) -> list[str]:
    try:
        return batches.names_in(request.object_id)
    except batches.BadBatchError as error:
        raise RefusedError("BadRequest", f"{caller.cluster} asks for {error}") from error


def sent_objects(caller: Caller, request: Any) -> Iterator[tuple[str, bytes]]:
    """The names and contents of a request, which has one object or a batch. Raises BadReplyError if it has neither."""
    if not batches.is_batch(request.object_id):
        yield request.object_id, request.object_content
        return
    names = batch_names(caller, request)
    try:
        contents = batches.unpack(request.object_content)
    except batches.BadBatchError as error:
        raise BadReplyError(Refused.REPLY_INVALID, str(error)) from error
    if len(names) != len(contents):
        raise BadReplyError(Refused.REPLY_INVALID, f"a batch of it has {len(contents)} contents for {len(names)} names")
    yield from zip(names, contents)


def check_metadata(reply: Reply) -> None:
    """Raises BadReplyError unless the metadata matches the instruction that the reply answers."""
    sent, asked = reply.request.messages_list[0].metadata, reply.instruction.message.metadata
    pairs = ((sent.run_id, asked.run_id), (sent.src_node_id, asked.dst_node_id), (sent.dst_node_id, asked.src_node_id))
    if any(a != b for a, b in pairs) or (sent.group_id, sent.message_type) != (asked.group_id, asked.message_type):
        raise BadReplyError(Refused.REPLY_INVALID, "its metadata does not match this message")


class Weigher:
    """Counts the bytes and objects of an inflated object. An object with two references counts twice; array chunks count only as bytes."""

    def __init__(self, utils: Any, reply: Reply) -> None:
        self._head = utils.get_object_head_values_from_object_content
        self._reply = reply
        self._known: dict[str, tuple[int, int]] = {}

    def of(self, name: str) -> tuple[int, int]:
        if name not in self._known:
            self._known[name] = self._weigh(name)
        return self._known[name]

    def _weigh(self, name: str) -> tuple[int, int]:
        stored = self._reply.contents[name]
        content = beginning(stored, HEAD) if start_of_chunk(stored) else whole(stored)
        kind, children, length = self._head(content)
        if kind == _ARRAY:
            referred = [children[index] for index in json.loads(content[len(content) - length :])["arraychunk_ids"]]
        elif kind in _REFERRING:
            referred = list(json.loads(content[len(content) - length :]).values())
        else:
            referred = children
        size, count = len(stored), int(kind != _CHUNK)
        for child in referred:
            more, number = self.of(child)
            size, count = size + more, count + number
        return size, count
