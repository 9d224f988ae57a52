"""A cluster that speaks to FLARE's server by itself: `attacker.py PORT SECRET_FILE CELL [MESSAGES] [COUNT]`. It connects as the cell CELL,
once for each of the MESSAGES, which are headers as JSON; it sends the message, and prints how many frames the server answers until the
connection ends or for 3 seconds. With COUNT, it keeps as many connections in which it sends nothing, and then connects once more."""

import json
import struct
import sys
import threading
import time
from pathlib import Path

import grpc
import msgpack
from nvflare.fuel.f3.drivers.grpc.streamer_pb2 import Frame
from nvflare.fuel.f3.drivers.grpc.streamer_pb2_grpc import StreamerStub

PREFIX = struct.Struct(">IHBBHHHH")
HELLO, DATA, CELL_APP = 4, 1, 1


def frame(kind: int, headers: dict[str, object], body: bytes = b"") -> Frame:
    packed = msgpack.packb(headers) if headers else b""
    prefix = PREFIX.pack(PREFIX.size + len(packed) + len(body), len(packed), kind, 0, 0, CELL_APP if kind == DATA else 0, 0, 0)
    return Frame(seq=1, data=prefix + packed + body)


def main() -> None:
    port, secret, cell, *more = sys.argv[1:]
    metadata = (("x-panal-pod", Path(secret).read_text().strip()), ("x-panal-cluster", "site1")) if secret else ()
    stub = StreamerStub(grpc.insecure_channel(f"127.0.0.1:{port}"))
    messages, kept = json.loads(more[0]) if more else [{}], int(more[1]) if more[1:] else 0

    def connect(message: dict[str, object], ended: threading.Event):
        def frames():
            yield frame(HELLO, {}, msgpack.packb({"endpoint_name": cell, "timestamp": time.time()}))
            if message:
                time.sleep(0.3)
                yield frame(DATA, message, msgpack.packb(None))
            ended.wait(3 + 3 * kept)

        return stub.Stream(frames(), metadata=metadata)

    others = [connect({}, threading.Event()) for _ in range(kept)]
    for each in others:
        next(each)
    for message in messages:
        ended, count = threading.Event(), 0
        answers = connect(message, ended)
        end = threading.Timer(3, answers.cancel)
        end.start()
        try:
            for _ in answers:
                count += 1
        except grpc.RpcError as error:
            print(error.code().name)
        end.cancel()
        ended.set()
        print(count)


main()
