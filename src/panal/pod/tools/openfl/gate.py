"""Who may call the aggregator's gRPC server, and how often at a time.

The aggregator's gateway adds two headers to each request: the Pod's secret, and the cluster of the client's certificate, over what the
client sent. `Gate` refuses a request without them, and bounds the open calls of a cluster, both before the request's body is read: it
declares every method as one that reads a stream, because gRPC reads the whole message of a unary call before it calls the method, and
occupies a thread meanwhile.
"""

from __future__ import annotations

import hmac
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from ..files import log_line, shown
from ..pod_secret import CLUSTER, HEADER, secret
from ..refusals import Refusals
from .sites import Sites

FOREIGN = "the cluster does not take part"
CALLS = 8  # open ones of a cluster. Each occupies a thread; a collaborator has two, and those of lost connections for a while


class Gate:
    """A server interceptor: refuses requests that do not come through this Pod's gateway from a participant."""

    def __init__(self, sites: Sites) -> None:
        self._sites = sites
        self._secret = secret().encode()
        self._calls = Calls()

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        metadata = list(details.invocation_metadata)
        why = self.refusal(metadata)
        handler = continuation(details)
        if handler is None:
            return None
        if not why:
            return _bounded(handler, self._calls, caller(metadata), details.method)
        if self._sites.participants is not None:  # otherwise the reporter has just started
            log_refusal(caller(metadata) if why == FOREIGN else "", details.method, why)
        return _refusing(handler, why)

    def refusal(self, metadata: list[tuple[str, Any]]) -> str:
        """Why a request is refused; empty if it is not."""
        sent = [value for name, value in metadata if name == HEADER]
        if len(sent) != 1 or not hmac.compare_digest(str(sent[0]).encode(), self._secret):
            return "the request does not come from this Pod's gateway"
        cluster = caller(metadata)
        if not cluster:
            return "the gateway names no cluster"
        return "" if self._sites.take_part(cluster) else FOREIGN


def caller(metadata: Iterable[tuple[str, Any]]) -> str:
    """The cluster that the gateway has named; empty if there is not exactly one."""
    found = [str(value) for name, value in metadata if name == CLUSTER]
    return found[0] if len(found) == 1 else ""


class Calls:
    """Counts the open calls of each cluster. Safe for threads."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._lock = threading.Lock()

    def begin(self, cluster: str) -> bool:
        """Whether the cluster may have one more; then `end` follows."""
        with self._lock:
            if self._open[cluster] >= CALLS:
                return False
            self._open[cluster] += 1
            return True

    def end(self, cluster: str) -> None:
        with self._lock:
            self._open[cluster] -= 1
            if not self._open[cluster]:
                del self._open[cluster]


def _refusing(handler: Any, text: str) -> Any:
    import grpc

    def refuse(_messages: Any, context: Any) -> None:
        context.abort(grpc.StatusCode.UNAUTHENTICATED, text)

    return grpc.stream_unary_rpc_method_handler(refuse, handler.request_deserializer, handler.response_serializer)


def _bounded(handler: Any, calls: Calls, cluster: str, where: str) -> Any:
    import grpc

    def answer(messages: Any, context: Any) -> Any:
        if not calls.begin(cluster):
            text = f"the cluster has {CALLS} calls that have not ended"
            log_refusal(cluster, where, text)
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        try:
            return _answer(handler, messages, context)
        finally:
            calls.end(cluster)

    return grpc.stream_unary_rpc_method_handler(answer, handler.request_deserializer, handler.response_serializer)


def _answer(handler: Any, messages: Any, context: Any) -> Any:
    import grpc

    if handler.request_streaming:
        return handler.stream_unary(messages, context)
    request = next(messages, None)
    if request is None:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The request has no message")
    return handler.unary_unary(request, context)


_refusals = Refusals()


def log_refusal(cluster: str, where: str, text: str) -> None:
    for line in _refusals.lines(cluster or "-", f"refused: cluster={cluster or '-'} at={shown(where, 100)}: {text}"):
        log_line(line)
