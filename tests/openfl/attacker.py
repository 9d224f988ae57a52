"""A hostile collaborator: calls OpenFL's service in ways that the collaborator's program never does. Prints the answers as JSON.

Arguments: the aggregator's port, the ports of the gateways of site1 and site2, and the secret of the sites' Pods.
"""

from __future__ import annotations

import json
import sys
import threading
import time

import grpc
from openfl.protocols import aggregator_pb2 as messages
from openfl.protocols import aggregator_pb2_grpc, base_pb2
from openfl.transport.grpc.common import create_header

AGGREGATOR, SITE1, SITE2, SECRET = sys.argv[1:5]
LARGE = 40 << 20  # bytes; the test allows half of it


def code(call):
    try:
        return f"ok {call()}".strip()
    except grpc.RpcError as error:
        return error.code().name


def stub(port):
    return aggregator_pb2_grpc.AggregatorStub(grpc.insecure_channel(f"127.0.0.1:{port}"))


def header(sender, federation="panal"):
    return create_header(sender, f"aggregator_{federation}", federation, "")


def ping(port, sender, *metadata, federation="panal"):
    def call():
        stub(port).Ping(messages.PingRequest(header=header(sender, federation)), metadata=metadata, timeout=10)
        return ""

    return code(call)


def send(port, content, piece=1 << 20):
    def pieces():
        for at in range(0, len(content), piece):
            yield base_pb2.DataStream(npbytes=content[at : at + piece], size=0)

    return code(lambda: stub(port).SendLocalTaskResults(pieces(), metadata=(POD,), timeout=20) and "")


def results(sender, task="train", tensors=(), round_=0, size=1):
    return messages.TaskResults(
        header=header(sender), round_number=round_, task_name=task, data_size=size, tensors=list(tensors)
    ).SerializeToString()


def tensor(port, sender, tags):
    request = messages.GetAggregatedTensorRequest(header=header(sender), tensor_name="w", round_number=0, tags=tags, require_lossless=True)
    return code(lambda: "data" if stub(port).GetAggregatedTensor(request, metadata=(POD,), timeout=10).tensor.data_bytes else "nothing")


def stalled(port, *metadata, count=1, wanted=1):
    """How calls end that send no message. Waits for `wanted` of `count`; meanwhile another site calls."""
    never = threading.Event()

    def nothing():
        never.wait()
        yield b""

    method = grpc.insecure_channel(f"127.0.0.1:{port}").stream_unary("/openfl.aggregator.Aggregator/Ping")
    calls = [method.future(nothing(), metadata=metadata, timeout=60) for _ in range(count)]
    end = time.monotonic() + 20
    while sum(each.done() for each in calls) < wanted and time.monotonic() < end:
        time.sleep(0.05)
    found = sorted(each.code().name for each in calls if each.done())
    other = ping(SITE1, "site1", POD)
    for each in calls:
        each.cancel()
    never.set()
    return f"{found[0]} {len(found)}, another site {other}" if found else "none ends"


def other_service():
    call = grpc.insecure_channel(f"127.0.0.1:{SITE2}").unary_unary("/openfl.director.Director/GetStatus")
    return code(lambda: call(b"", metadata=(POD,), timeout=10))


POD = ("x-panal-pod", SECRET)
AS_SITE1 = ("x-panal-cluster", "site1")
print(
    json.dumps(
        {
            "without the gateway": ping(AGGREGATOR, "site1"),
            "without the gateway, with a cluster": ping(AGGREGATOR, "site1", AS_SITE1),
            "with the secret of another Pod": ping(AGGREGATOR, "site1", AS_SITE1, POD),
            "without the Pod's secret": ping(SITE2, "site2"),
            "as itself": ping(SITE2, "site2", POD),
            "as another site": ping(SITE2, "site1", POD),
            "as another site, with a header": ping(SITE2, "site1", POD, AS_SITE1),
            "as itself, with another's header": ping(SITE2, "site2", POD, AS_SITE1),
            "of another federation": ping(SITE2, "site2", POD, federation="other"),
            "results as another site": send(SITE2, results("site1")),
            "results that are no message": send(SITE2, b"\xff" * 100),
            "large results": send(SITE2, bytes(LARGE)),
            "results of an unknown task": send(SITE2, results("site2", "other")),
            "results with a tensor that is none": send(SITE2, results("site2", tensors=[base_pb2.NamedTensor(name="w")])),
            "the model": tensor(SITE2, "site2", ["model"]),
            "a tensor that does not exist": tensor(SITE2, "site2", ["no", "such"]),
            "another service": other_service(),
            "without the gateway, and without a message": stalled(AGGREGATOR),
            "many calls without a message": stalled(SITE2, POD, count=12, wanted=4),
            "another way": code(lambda: stub(SITE2).InteropRelay(messages.InteropMessage(header=header("site2")), metadata=(POD,))),
        }
    )
)
