"""A real OpenTelemetry Collector, which writes what it receives into a file (`make test-otel` builds it)."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from processes import free_port
from waiting import eventually

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Collector:
    endpoint: str
    file: Path

    def spans(self) -> list[dict[str, Any]]:
        """With the attributes of their resource, in the order in which they arrived."""
        complete = self.file.read_text().rpartition("\n")[0] if self.file.exists() else ""
        found = []
        for line in complete.splitlines():
            for each in json.loads(line)["resourceSpans"]:
                resource = attributes(each["resource"])
                found += [span | {"resource": resource} for scope in each["scopeSpans"] for span in scope["spans"]]
        return found


def attributes(of: dict[str, Any]) -> dict[str, Any]:
    return {each["key"]: next(iter(each["value"].values())) for each in of.get("attributes") or ()}


def program() -> Path:
    found = Path(os.environ.get("PANAL_OTELCOL") or REPOSITORY / ".cache/otelcol")
    if not found.is_file():
        pytest.fail(f"no collector {found}: run `make test-otel`, which builds it with Go, or set PANAL_OTELCOL")
    return found


@contextmanager
def collecting(folder: Path, port: int | None = None) -> Iterator[Collector]:
    port = port or free_port()
    config = {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}},
        "exporters": {"file": {"path": str(folder / "spans.json"), "flush_interval": "100ms", "append": True}},
        "service": {
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["file"]}},
            "telemetry": {"metrics": {"level": "none"}},
        },
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen([program(), "--config", f"file:{folder}/config.yaml"], stdout=log, stderr=log)
    try:
        eventually(lambda: "Everything is ready" in (folder / "log").read_text(), lambda: (folder / "log").read_text()[-2000:], 60)
        yield Collector(f"http://127.0.0.1:{port}", folder / "spans.json")
    finally:
        process.kill()
        process.wait()
