"""The worker of a Pod ends when it is cancelled, also during a change."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from panal_local.node.pod import PodWorker
from panal_local.node.starting import Settings


class Idle(PodWorker):
    async def _sync_safely(self) -> float | None:
        return 60.0


async def test_a_change_during_cancellation_does_not_keep_the_worker(tmp_path: Path) -> None:
    nothing: Any = None
    worker = Idle({"metadata": {}}, "127.0.0.1", tmp_path, nothing, nothing, nothing, Settings("127.0.0.1", tmp_path, ("127.0.0.1", 1)))
    task = asyncio.create_task(worker.run())
    for _ in range(5):
        await asyncio.sleep(0)
    worker.changed()
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=5)
    assert done
    with pytest.raises(asyncio.CancelledError):
        await task
