"""A collaborator's gRPC channels to its gateway on loopback: they add the Pod's secret, and tell final answers from passing failures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..files import log_line
from ..pod_secret import HEADER, secret

IDENTITY = "x-panal-aggregator"  # header of answers with tasks, and of later requests: a random name of the aggregator's process
FINAL = ("NOT_FOUND", "RESOURCE_EXHAUSTED", "INVALID_ARGUMENT", "FAILED_PRECONDITION")


class RefusedError(Exception):
    """The aggregator's final answer to a request. OpenFL repeats a request that fails with an error of gRPC for ever."""


class Channel:
    """The part of gRPC's channel that OpenFL's stub uses. Logs when the aggregator cannot be reached, and when it can again."""

    reached: bool | None = None  # of all channels of the process
    aggregator = ""  # the identity of the aggregator that has answered last

    def __init__(self, channel: Any) -> None:
        self._channel = channel

    def unary_unary(self, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        return self._calling(self._channel.unary_unary(*args, **kwargs))

    def stream_unary(self, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        return self._calling(self._channel.stream_unary(*args, **kwargs))

    def close(self) -> None:
        self._channel.close()

    def _calling(self, method: Any) -> Callable[..., Any]:
        import grpc

        def call(request: Any, timeout: float | None = None) -> Any:
            try:
                answer, done = method.with_call(request, timeout=timeout, metadata=((HEADER, secret()), *self._meant()))
            except grpc.RpcError as error:
                if error.code().name in FINAL:
                    raise RefusedError(f"{error.code().name}: {error.details()}") from error
                self._log(f"the aggregator cannot be reached, retrying: {error.code().name}: {error.details()}", reached=False)
                raise
            self._log("connected to the aggregator", reached=True)
            self._learn(done.initial_metadata() or ())
            return answer

        return call

    @classmethod
    def _meant(cls) -> tuple[tuple[str, str], ...]:
        return ((IDENTITY, cls.aggregator),) if cls.aggregator else ()

    @classmethod
    def _learn(cls, headers: Iterable[tuple[str, Any]]) -> None:
        cls.aggregator = next((str(value) for name, value in headers if name == IDENTITY), cls.aggregator)

    @classmethod
    def _log(cls, text: str, *, reached: bool) -> None:
        if cls.reached is not reached:
            cls.reached = reached
            log_line(text)


def install() -> None:
    """Makes OpenFL's client use Channel, also after it reconnects."""
    from openfl.transport.grpc import aggregator_client

    create = aggregator_client.create_insecure_channel
    aggregator_client.create_insecure_channel = lambda uri: Channel(create(uri))
