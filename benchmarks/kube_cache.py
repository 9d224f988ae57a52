"""What the watch cache costs: CPU and memory of this process for COUNT objects listed, then each of them changed once.

    KUBECONFIG=... python benchmarks/kube_cache.py [COUNT]

Makes ConfigMaps of 1.3 KB in a namespace of its own on the API server that KUBECONFIG names, and deletes it at the end. The changes
are made by another process, so that only listing and watching are measured.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from panal.kube.cache import Cache, Watched
from panal.kube.client import Client
from panal.kube.kinds import CONFIG_MAP, NAMESPACE
from panal.kube.objects import labels_of

NAME = "panal-benchmark"
PARALLEL = 16


async def write_all(count: int, value: str) -> None:
    async with Client.from_kubeconfig() as client:
        numbers = iter(range(count))

        async def worker() -> None:
            for i in numbers:
                metadata = {"namespace": NAME, "name": f"c{i}", "labels": {"run": f"r{i % 10}"}}
                await client.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"x": value * 1000}})

        await asyncio.gather(*(worker() for _ in range(PARALLEL)))


def write(count: int, value: str) -> None:
    asyncio.run(write_all(count, value))


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def memory() -> float:
    """MiB resident now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def say(words: str) -> None:
    print(words)


async def measure(count: int, pool: ProcessPoolExecutor) -> None:
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(pool, write, count, "a")
    async with Client.from_kubeconfig() as client:
        cache = Cache(client, [Watched(CONFIG_MAP, namespace=NAME, label_selector="run", indexes={"run": lambda o: labels_of(o).values()})])
        changes, finished = 0, asyncio.Event()

        def count_change(_kind: object, old: object, _new: object) -> None:
            nonlocal changes
            changes += old is not None
            if changes >= count:
                finished.set()

        cache.subscribe(count_change)
        before, began, base = cpu(), time.monotonic(), memory()
        running = asyncio.create_task(cache.run())
        await cache.wait_synced()
        seconds = time.monotonic() - began
        say(f"list:  {(cpu() - before) * 1e6 / count:6.0f} us CPU an object, {seconds:.2f} s, {memory() - base:.1f} MiB more")
        before = cpu()
        writing = loop.run_in_executor(pool, write, count, "b")
        await finished.wait()
        await writing
        say(f"watch: {(cpu() - before) * 1e6 / count:6.0f} us CPU a change, {memory() - base:.1f} MiB more")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def main(count: int) -> None:
    async with Client.from_kubeconfig() as client:
        await client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAME}})
        try:
            with ProcessPoolExecutor(1) as pool:
                await measure(count, pool)
        finally:
            await client.delete(NAMESPACE, "", NAME)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000))
