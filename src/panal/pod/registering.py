"""Registers the model: `python3 -m panal.pod.registering`, the last step of the Job `<run>-publication`.

Each registry that the run names gets a version (`panal.pod.registries`), independently of the others. One that is away is asked again. A
Job that was killed at any moment begins from the start: what is registered is found.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from panal.api.status import Published, PublishedMLflow, PublishedModelRegistry
from panal.api.text import shown
from panal.kube.logs import log_to_stdout
from panal.pod.registries.mlflow import MLflow
from panal.pod.registries.model_registry import ModelRegistry
from panal.pod.storing import METADATA
from panal.pod.tools.proxies import exclude_loopback
from panal.pod.tracking.server import ServerError

log = logging.getLogger("panal.registering")

FIRST, LONGEST = 1.0, 60.0  # seconds between two attempts
LEFT = 120.0  # seconds before the end of the Job, to say what is wrong

Registry = MLflow | ModelRegistry


async def publish(env: Mapping[str, str], scratch: Path) -> Published:
    """Raises ServerError with what is wrong at each registry that has no version of the model."""
    content = json.loads(env["PANAL_PUBLISH"])
    model = Path(env["PANAL_MODEL"])
    metadata = json.loads((model.parent / METADATA).read_bytes())
    registries: list[Registry] = [kind(content, env) for kind in (MLflow, ModelRegistry) if kind.key in content]
    end = time.monotonic() + content["seconds"] - LEFT
    found = await asyncio.gather(*(_registered(each, model, metadata, scratch, end) for each in registries))
    if any(isinstance(each, ServerError) for each in found):
        raise ServerError("; ".join(str(each) if isinstance(each, ServerError) else f"{each.uri} is registered" for each in found))
    versions = {registry.key: version for registry, version in zip(registries, found, strict=True)}
    return Published.model_validate(versions)


async def _registered(
    registry: Registry, model: Path, metadata: Mapping[str, Any], scratch: Path, end: float
) -> PublishedMLflow | PublishedModelRegistry | ServerError:
    """Tries until it succeeds, or the time is over."""
    pause = FIRST
    try:
        while True:
            try:
                return await registry.register(model, metadata, scratch)
            except ServerError as error:
                if error.final or time.monotonic() + pause > end:
                    return error
                log.warning("%s", shown(str(error), 400))
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST)
    finally:
        await registry.server.close()


def main() -> None:
    log_to_stdout()
    exclude_loopback(os.environ)
    try:
        found = asyncio.run(publish(os.environ, Path("/tmp")))
    except (ServerError, OSError, ValueError) as error:
        sys.exit(shown(str(error), 1000))
    message = found.model_dump_json(by_alias=True, exclude_none=True)
    Path(os.environ.get("PANAL_TERMINATION_LOG", "/dev/termination-log")).write_text(message)


if __name__ == "__main__":
    main()
