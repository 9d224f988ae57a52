"""The dashboard with 10,000 runs and 3,500 clusters: how long pages and filters take, and a change until it is on the screen.

    PYTHONPATH=tests/support python benchmarks/dashboard.py [--runs 10000] [--clusters 3500]

The API server is in memory, in this process. The dashboard has a process of its own, as in a Pod or on a laptop. With Chromium the times
are what a person sees. docs/design/dashboard.md has the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

from browser import WIDE, Tab, browser, program
from dashboards import addon, cluster, history, row, run
from guarded_api import GuardedApi, served

REPEAT = 20
PATHS = {
    "hub": "/",
    "runs": "/runs",
    "runs, filtered by text": "/runs?text=run-00{n}",
    "runs, failed, by name": "/runs?state=Failed&order=-name&page={n}",
    "clusters": "/clusters",
    "clusters, filtered by claim": "/clusters?text=claim-{n}",
    "a run of 500 rounds": "/runs/ns-0/run-00000",
}


def objects(runs: int, clusters: int) -> list[dict]:
    names = [f"site-{number:04}" for number in range(clusters)]
    made = [each for number, name in enumerate(names) for each in (cluster(name, **{f"claim-{number % 20}": "pvc://data"}), addon(name))]
    made += [run(f"run-{n:05}", f"ns-{n % 50}", ("Completed", "Failed", "Running")[min(n % 20, 2)]) for n in range(runs)]
    rounds = [row(number, 0.9 - 1 / (number + 2), clusters=_reported(number)) for number in range(1, 501)]
    return [*made, history("run-00000", "ns-0", rounds)]


def _reported(number: int) -> dict:
    return {f"site-{n:04}": {"seconds": 3.0, "metrics": {"loss": n / number, "accuracy": 0.5}} for n in range(20)}


async def started(kubeconfig: Path) -> tuple[asyncio.subprocess.Process, str]:
    words = [sys.executable, "-m", "panal.cli.main", "dashboard", "--no-open", "--kubeconfig", str(kubeconfig)]
    process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL)
    assert process.stdout
    line = (await asyncio.wait_for(process.stdout.readline(), 120)).decode()
    return process, line.split()[-1]


def memory(process: asyncio.subprocess.Process) -> float:
    """In MB."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


async def answers(http: aiohttp.ClientSession, base: str) -> None:
    for name, path in PATHS.items():
        took = []
        for number in range(REPEAT):
            began = time.perf_counter()
            async with http.get(base + path.format(n=number)) as answer:
                size = len(await answer.read())
                assert answer.status == 200, path
            took.append((time.perf_counter() - began) * 1000)
        print(f"{name:32} median {statistics.median(took):6.1f} ms   slowest {max(took):6.1f} ms   {size / 1024:7.1f} KiB")


async def on_screen(api: GuardedApi, base: str, cookie: dict[str, str]) -> None:
    async with browser() as tab:
        await tab.look(WIDE)
        for name, value in cookie.items():
            await tab.send("Network.setCookie", url=base, name=name, value=value, httpOnly=True, sameSite="Strict")
        for name in ("hub", "runs", "clusters", "a run of 500 rounds"):
            painted = [await tab.open(base + PATHS[name]) for _ in range(5)]
            print(f"{name:32} first contentful paint: median {statistics.median(painted):.0f} ms, slowest {max(painted):.0f} ms")
        await tab.open(base + "/runs")
        await tab.until("document.getElementById('connection').dataset.state === 'live'", "the page is live")
        filtered = [await _filter(tab, f"run-0{number:03}") for number in range(10)]
        waiting = "120 ms of it waiting for more keys"
        print(f"{'key to a filtered list':32} median {statistics.median(filtered):.0f} ms, slowest {max(filtered):.0f} ms, {waiting}")
        await tab.open(base + "/runs?text=run-00002")
        await tab.until("document.getElementById('connection').dataset.state === 'live'", "the page is live")
        shown = []
        for number in range(10):
            await asyncio.sleep(0.5)
            began = time.perf_counter()
            await api.change(run("run-00002", "ns-2", headlineMetric=f"accuracy 0.5{number:02}"))
            await tab.until(f"document.body.innerText.includes('accuracy 0.5{number:02}')", "the change is on the screen")
            shown.append((time.perf_counter() - began) * 1000)
        print(f"{'change to screen':32} median {statistics.median(shown):.0f} ms, slowest {max(shown):.0f} ms")
        assert tab.complaints == [], tab.complaints


async def _filter(tab: Tab, text: str) -> float:
    """Milliseconds from the key until the list is another one."""
    took = await tab.evaluate(
        f"""new Promise((done) => {{
            const field = document.getElementById('filter-text'), began = performance.now();
            const seen = new MutationObserver(() => {{
                const rows = [...document.querySelectorAll('.list tbody th')];
                if (!rows.length || !rows.every((row) => row.innerText.includes('{text}'))) return;
                seen.disconnect();
                done(performance.now() - began);
            }});
            seen.observe(document.getElementById('main'), {{childList: true, subtree: true}});
            field.value = '{text}';
            field.dispatchEvent(new Event('input', {{bubbles: true}}));
        }})"""
    )
    return float(took)


async def main(runs: int, clusters: int) -> None:
    async with served(GuardedApi()) as api:
        api.put(*objects(runs, clusters))
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            process, address = await started(api.kubeconfig(Path(folder), GuardedApi.ALL))
            try:
                print(f"{runs} runs, {clusters} clusters: listed in {time.perf_counter() - began:.1f} s, {memory(process):.0f} MB")
                base = address.split("/enter")[0]
                async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
                    async with http.get(address) as answer:
                        assert answer.status == 200
                    await answers(http, base)
                    cookie = {each.key: each.value for each in http.cookie_jar}
                if program():
                    await on_screen(api, base, cookie)
                print(f"at the end {memory(process):.0f} MB")
            finally:
                process.terminate()
                await process.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--clusters", type=int, default=3_500)
    asyncio.run(main(**vars(parser.parse_args())))
