"""What a site's controller reads from a reply is what Flower has put into it: the same type, round, names and digests."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess

import pytest

from panal.site.flower import OBJECT, REPLY, read

from .conftest import flower_venv

pytestmark = pytest.mark.flower

# With Flower's own classes: a reply to a message of round 3, and its objects.
PROGRAM = """
import base64, json
import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.common.serde import message_to_proto
from flwr.proto.fleet_pb2 import PushMessagesRequest
from flwr.proto.message_pb2 import PushObjectRequest
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree

try:
    from flwr.supercore.task_identity import TaskIdentity
    TaskIdentity.run_id = TaskIdentity.task_id = TaskIdentity.node_id = 1
except ImportError:
    pass
asked = Message(RecordDict(), 7, "train.custom", group_id="3")
arrays = ArrayRecord([np.arange(6, dtype=np.float32).reshape(2, 3), np.zeros((300, 300))])
reply = Message(RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 9})}), reply_to=asked)
reply.metadata.__dict__["_message_id"] = reply.object_id
tree, objects = get_object_tree(reply), get_all_nested_objects(reply)
announced = message_to_proto(remove_content_from_message(reply))
request = PushMessagesRequest(messages_list=[announced], message_object_trees=[tree], clientapp_runtime_list=[1.5])
request.node.node_id = 7
pushed = [PushObjectRequest(run_id=1, object_id=name, object_content=each.deflate()) for name, each in objects.items()]
encoded = lambda message: base64.b64encode(message.SerializeToString()).decode()
print(json.dumps({"reply": encoded(request), "root": tree.object_id, "objects": {each.object_id: encoded(each) for each in pushed}}))
"""


def test_a_reply_and_its_objects() -> None:
    ran = subprocess.run([flower_venv() / "bin/python", "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=True)
    sent = json.loads(ran.stdout)
    (reply,) = read(REPLY, base64.b64decode(sent["reply"])).replies
    assert (reply.type, reply.round, reply.digest, reply.error) == ("train.custom", "3", sent["root"], False)
    assert reply.objects == sent["objects"].keys()
    assert len(reply.objects) > 5
    for name, body in sent["objects"].items():
        assert read(OBJECT, base64.b64decode(body)).objects == (name,)


def test_the_root_covers_what_is_below_it() -> None:
    """Its content names its children, so that another array makes another root."""
    changed = PROGRAM.replace("np.arange(6", "1 + np.arange(6")
    roots = set()
    for program in (PROGRAM, changed):
        ran = subprocess.run([flower_venv() / "bin/python", "-c", program], capture_output=True, text=True, timeout=120, check=True)
        sent = json.loads(ran.stdout)
        content = base64.b64decode(sent["objects"][sent["root"]])
        assert hashlib.sha256(b"").hexdigest() not in sent["objects"]
        assert any(name.encode() in content for name in sent["objects"] if name != sent["root"])
        roots.add(sent["root"])
    assert len(roots) == 2
