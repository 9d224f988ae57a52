"""The gRPC server of the aggregator: OpenFL's service.

`gate` decides who may call it. Each call then compares the cluster with the sender that the message names. The size of results is limited
while they arrive, because gRPC does not declare it.
"""

from __future__ import annotations

import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

from ..codes import Refused
from ..files import shown
from .channel import IDENTITY
from .federation import Federation
from .gate import Gate, caller, log_refusal

PAUSE = 1  # seconds until a collaborator without tasks asks again
THREADS = 256  # at most; created when needed
LARGEST_MESSAGE = 16 << 20  # bytes of one gRPC message: OpenFL sends results in pieces of 2 MiB


class TooLargeError(Exception):
    """More bytes than a cluster may send at once."""


class Service:
    """The calls of OpenFL's service. `stock` is OpenFL's own servicer: it checks the header of a message, and answers what panal does not
    change. `largest` is in bytes."""

    def __init__(self, federation: Federation, stock: Any, largest: int) -> None:
        self._federation, self._stock, self._largest = federation, stock, largest
        self._uploads: dict[str, Any] = {}  # by cluster, the context of the newest
        self._lock = threading.Lock()
        self._identity = secrets.token_hex(8)  # tells collaborators whether the aggregator is the one they know

    def servicer(self) -> Any:
        """The methods by the names of OpenFL's service."""
        return SimpleNamespace(
            Ping=self.ping,
            GetTasks=self.get_tasks,
            GetAggregatedTensor=self.get_aggregated_tensor,
            SendLocalTaskResults=self.send_local_task_results,
            InteropRelay=self.interop_relay,
        )

    def ping(self, request: Any, context: Any) -> Any:
        self._introduce(request, context)
        return self._stock.Ping(request, context)

    def get_tasks(self, request: Any, context: Any) -> Any:
        from openfl.protocols import aggregator_pb2

        cluster = self._introduce(request, context)
        context.send_initial_metadata(((IDENTITY, self._identity),))
        number, tasks = self._federation.tasks(cluster)
        named = [aggregator_pb2.Task(name=task) for task in tasks]
        return aggregator_pb2.GetTasksResponse(
            header=self._header(cluster), round_number=number, tasks=named, sleep_time=0 if tasks else PAUSE
        )

    def get_aggregated_tensor(self, request: Any, context: Any) -> Any:
        import grpc

        self._introduce(request, context)
        if not self._federation.has(request.tensor_name, request.round_number, request.report, tuple(request.tags)):
            context.abort(grpc.StatusCode.NOT_FOUND, "There is no such tensor")
        return self._stock.GetAggregatedTensor(request, context)

    def send_local_task_results(self, pieces: Any, context: Any) -> Any:
        import grpc
        from google.protobuf.message import DecodeError
        from openfl.protocols import aggregator_pb2

        cluster = caller(context.invocation_metadata())
        self._newest_upload(cluster, context)
        try:
            content = self._read(cluster, pieces)
            message = aggregator_pb2.TaskResults.FromString(content)
        except TooLargeError:
            text = f"it sends more than {self._largest} bytes (spec.server.replies.maxSize)"
            self._federation.refuse(cluster, Refused.REPLY_TOO_LARGE, text)
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "The results are too large")
        except DecodeError:
            self._federation.refuse(cluster, Refused.REPLY_INVALID, "the results are no message of OpenFL")
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Not a message of OpenFL")
        self._introduce(message, context)
        if meant(context.invocation_metadata()) in ("", self._identity):
            self._federation.results(cluster, message)
        else:
            log_refusal(cluster, type(message).__name__, "the results are for another aggregator")
        return aggregator_pb2.SendLocalTaskResultsResponse(header=self._header(cluster))

    def interop_relay(self, _request: Any, context: Any) -> Any:
        import grpc

        context.abort(grpc.StatusCode.UNIMPLEMENTED, "panal does not support OpenFL's connectors")

    def _introduce(self, message: Any, context: Any) -> str:
        """The caller's cluster. Refuses a message in another's name, or for another federation."""
        import grpc

        cluster = caller(context.invocation_metadata())
        if message.header.sender != cluster:
            text = f"the message says that it is from {shown(message.header.sender, 100)}"
            log_refusal(cluster, type(message).__name__, text)
            context.abort(grpc.StatusCode.PERMISSION_DENIED, text)
        try:
            self._stock.check_request(message)
        except AssertionError:
            log_refusal(cluster, type(message).__name__, "the message is for another federation")
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "The message is for another federation")
        self._federation.sites.hear(cluster)
        return cluster

    def _header(self, cluster: str) -> Any:
        from openfl.transport.grpc.common import create_header

        agg = self._federation.agg
        return create_header(agg.uuid, cluster, agg.federation_uuid, agg.single_col_cert_common_name)

    def _newest_upload(self, cluster: str, context: Any) -> None:
        """Cancels the cluster's earlier upload, which has lost its connection, or does not end."""
        with self._lock:
            earlier, self._uploads[cluster] = self._uploads.get(cluster), context
        if earlier is not None:
            earlier.cancel()

    def _read(self, cluster: str, pieces: Any) -> bytes:
        content = bytearray()
        for piece in pieces:
            content += piece.npbytes
            if len(content) > self._largest:
                raise TooLargeError
            self._federation.sites.hear(cluster)
        return bytes(content)


def meant(metadata: Any) -> str:
    """The aggregator whose tasks a collaborator has done; empty if it does not say. Results for an earlier one are not taken: they may be
    only some of the round, and the collaborator does the round again."""
    return next((str(value) for name, value in metadata if name == IDENTITY), "")


def serve(service: Service, gate: Gate, address: str) -> Any:
    """Starts the server at `address`."""
    import grpc
    from openfl.protocols import aggregator_pb2_grpc

    options = [
        ("grpc.max_receive_message_length", LARGEST_MESSAGE),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", 0),
    ]
    server = grpc.server(ThreadPoolExecutor(THREADS), interceptors=(gate,), options=options)
    aggregator_pb2_grpc.add_AggregatorServicer_to_server(service.servicer(), server)
    server.add_insecure_port(address)
    server.start()
    return server
