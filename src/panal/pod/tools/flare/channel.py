"""FLARE's gRPC connections in a Pod: what connects adds the Pod's secret, and what listens refuses what lacks it, or lies about its sender.

The gateway of the aggregator adds the cluster of the client's certificate to each connection, over what the client has sent. Connections
between the processes of a Pod name no cluster.
"""

from __future__ import annotations

import hmac
import struct
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

from ..files import log_line
from ..pod_secret import CLUSTER, HEADER, secret
from ..refusals import Refusals
from .codes import site_name
from .gate import refusal, refusal_of_hello

PREFIX = struct.Struct(">IHBBHHHH")  # of a frame: its length, the length of its headers, its type, and what is not used here
DATA, INTRODUCTIONS, HEARTBEATS = 1, (4, 5), (6, 7)  # types of frames
STREAMS = 4  # open connections of one cluster: its client's, its job's, and those of a killed container whose end is not yet seen

_refusals = Refusals()


class RefusedError(Exception):
    """Ends a connection."""


class Places:
    """Limits the open connections of each cluster: each takes two threads of the server."""

    def __init__(self) -> None:
        self._lock, self._taken = threading.Lock(), Counter[str]()

    def take(self, cluster: str) -> bool:
        with self._lock:
            if self._taken[cluster] >= STREAMS:
                return False
            self._taken[cluster] += 1
            return True

    def leave(self, cluster: str) -> None:
        with self._lock:
            self._taken[cluster] -= 1


_places = Places()


def patch(module: Any) -> None:
    stub = module.StreamerStub
    module.StreamerStub = lambda channel: SimpleNamespace(Stream=partial(stub(channel).Stream, metadata=((HEADER, secret()),)))
    module.Servicer = _guarded(module.Servicer)


def _guarded(servicer: Any) -> Any:
    class Guarded(servicer):  # type: ignore[misc]
        def Stream(self, request_iterator: Any, context: Any) -> Iterator[Any]:  # noqa: N802  gRPC's name
            import grpc

            metadata = list(context.invocation_metadata())
            if not from_this_pod(metadata):
                _log("-", "the connection does not come through this Pod's gateway")
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "The Pod's secret is missing")
            clusters = [str(value) for name, value in metadata if name == CLUSTER]
            if not clusters:
                yield from super().Stream(request_iterator, context)
                return
            cluster = clusters[0]
            if not _places.take(cluster):
                _log(cluster, f"it has {STREAMS} open connections")
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "Too many open connections")
            try:
                yield from super().Stream(checked(request_iterator, cluster), context)
            finally:
                _places.leave(cluster)

    return Guarded


def from_this_pod(metadata: Iterable[tuple[str, Any]]) -> bool:
    sent = [str(value) for name, value in metadata if name == HEADER]
    return len(sent) == 1 and hmac.compare_digest(sent[0].encode(), secret().encode())


def checked(frames: Iterable[Any], cluster: str) -> Iterator[Any]:
    """The frames of a connection from `cluster`, up to the first that it may not send."""
    site = site_name(cluster)
    for frame in frames:
        if why := _refusal(frame.data, site):
            _log(cluster, why)
            raise RefusedError(why)
        yield frame


def _refusal(frame: bytes, site: str) -> str:
    try:
        return _refusal_of(frame, site)
    except Exception as error:  # noqa: BLE001  a frame that cannot be read
        return f"not a frame of FLARE: {type(error).__name__}"


def _refusal_of(frame: bytes, site: str) -> str:
    import msgpack

    _, length, kind, *_ = PREFIX.unpack_from(frame)
    headers, body = frame[PREFIX.size : PREFIX.size + length], frame[PREFIX.size + length :]
    if kind in HEARTBEATS:
        return ""
    if kind in INTRODUCTIONS:
        return refusal_of_hello(msgpack.unpackb(body).get("endpoint_name"), site)
    return refusal(msgpack.unpackb(headers), site) if kind == DATA else f"a frame of the type {kind}"


def _log(cluster: str, why: str) -> None:
    for line in _refusals.lines(cluster, f"refused: cluster={cluster}: {why}"):
        log_line(line)
