"""Connections to FLARE's server: how many a cluster may have."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panal.pod.tools.flare.channel import CLUSTER, STREAMS, patch
from panal.pod.tools.flare.kit import CLIENTS, write_server
from panal.pod.tools.pod_secret import HEADER, secret


class AbortedError(Exception):
    pass


class Servicer:
    def Stream(self, request_iterator: Any, context: Any) -> Iterator[Any]:  # noqa: N802  gRPC's name
        yield "open"
        yield from request_iterator


class Context:
    def __init__(self, cluster: str) -> None:
        self._metadata = [(HEADER, secret()), *([(CLUSTER, cluster)] if cluster else [])]

    def invocation_metadata(self) -> list[tuple[str, str]]:
        return self._metadata

    def abort(self, code: str, _message: str) -> None:
        raise AbortedError(code)


def test_a_cluster_has_few_connections(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("Basic x")
    monkeypatch.setenv("PANAL_POD_DIR", str(tmp_path))
    monkeypatch.setitem(sys.modules, "grpc", SimpleNamespace(StatusCode=SimpleNamespace(RESOURCE_EXHAUSTED="EXHAUSTED")))
    module = SimpleNamespace(StreamerStub=None, Servicer=Servicer)
    patch(module)

    def connect(cluster: str) -> Any:
        stream = module.Servicer().Stream(iter(()), Context(cluster))
        assert next(stream) == "open"
        return stream

    streams = [connect("site1") for _ in range(STREAMS)]
    for _ in range(2):
        with pytest.raises(AbortedError, match="EXHAUSTED"):
            connect("site1")
    assert [connect(each) for each in ("site2", *[""] * (STREAMS + 1))]  # other clusters, and processes of the Pod
    assert list(streams.pop()) == []
    streams.append(connect("site1"))
    with pytest.raises(AbortedError):
        connect("site1")
    streams.pop().close()
    assert connect("site1")


def test_the_server_has_a_thread_for_each_connection(tmp_path: Path) -> None:
    write_server(tmp_path, "127.0.0.1", 1)
    assert f'"max_workers": {CLIENTS * STREAMS}' in (tmp_path / "local/comm_config.json").read_text()
