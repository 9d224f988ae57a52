"""`panal dashboard` with a real run in a real browser: from its start to Completed, every view, and what people do with it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import asynccontextmanager

import pytest

from browser import PHONE, WIDE, browser, program

pytestmark = pytest.mark.long

TABS = ("", "/clusters", "/placement", "/events", "/logs")


@pytest.fixture(scope="module")
def app(home):
    program()
    home.panal("new", "myapp")
    for cluster in ("cluster1", "cluster2"):
        folder = home.work / "data" / cluster
        folder.mkdir(parents=True)
        (folder / "points.csv").write_text("-2,-2,0\n2,2,1\n" * 10)
    home.panal("up", "--clusters", "2")
    return "myapp"


@asynccontextmanager
async def dashboard(home):
    """Yields the address that it prints."""
    words = [sys.executable, "-m", "panal.cli.main", "dashboard", "--no-open"]
    process = subprocess.Popen(words, cwd=home.work, env=home.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield (await asyncio.to_thread(process.stdout.readline)).split()[-1]
    finally:
        process.terminate()
        _, complaints = process.communicate(timeout=20)
        assert "Traceback" not in complaints, complaints
        assert "defect" not in complaints, complaints


async def test_a_run_from_its_start_to_its_end(home, app):
    async with dashboard(home) as address, browser() as tab:
        base = address.split("/enter")[0]
        await tab.look(WIDE)
        await tab.open(address)
        await tab.open(f"{base}/runs")
        await tab.until("document.getElementById('connection').dataset.state === 'live'", "the list is live")
        await asyncio.to_thread(home.panal, "run", app, "--rounds", "40", "--data", "data", "-d")
        await tab.until("!!document.getElementById('run-default/myapp-1')", "the run is in the list", 30)

        await tab.open(f"{base}/runs/default/myapp-1")
        await tab.evaluate("window.mark = 1")
        await tab.until("document.getElementById('part-head').innerText.includes('Running')", "it runs", 120)
        await tab.until("/about|a few seconds/.test(document.getElementById('part-head').innerText)", "it says what is left", 60)
        await tab.until("document.querySelectorAll('svg.chart polyline').length > 1", "there are curves", 60)
        assert await tab.evaluate("window.mark") == 1, "the page was loaded again"

        await tab.click("#do-suspend")
        await tab.until("document.getElementById('part-head').innerText.includes('Suspended')", "it is suspended", 60)
        await tab.click("#do-resume")
        await tab.until("!document.getElementById('part-head').innerText.includes('Suspended')", "it is resumed", 60)
        await tab.evaluate("document.getElementById('rounds').value = '41'")
        await tab.click("#do-rounds")
        await tab.until("document.getElementById('part-head').innerText.includes('/41')", "it has one more round", 60)
        await tab.evaluate("document.getElementById('rounds').min = '1'; document.getElementById('rounds').value = '2'")
        await tab.click("#do-rounds")
        await tab.until("document.body.innerText.includes('more rounds, not fewer')", "the API server's answer is shown", 30)
        tab.complaints = [each for each in tab.complaints if "403" not in each]  # the answer that was asked for

        await tab.open(f"{base}/runs/default/myapp-1")
        await tab.until("document.getElementById('part-head').innerText.includes('Completed')", "it completes", 240)
        await tab.until("document.getElementById('part-model').innerText.includes('sha256:')", "the model is shown")
        for size, dark in ((WIDE, False), (PHONE, True)):
            await tab.look(size, dark)
            for path in ("/", "/runs", "/clusters", "/clusters/cluster1", *(f"/runs/default/myapp-1{each}" for each in TABS)):
                await tab.open(f"{base}{path}")
                await tab.until("document.getElementById('connection').dataset.state === 'live'", f"{path} is live")
                assert not await tab.overflows(), (path, size)
        await tab.open(f"{base}/runs/default/myapp-1/logs")
        await tab.until("document.getElementById('log-lines').innerText.length > 20", "there is a log")
        await tab.open(f"{base}/runs/default/myapp-1/clusters")
        assert "Done" in await tab.text()
        await tab.open(f"{base}/runs/default/myapp-1/events")
        assert "RoundCompleted" in await tab.text()
        assert tab.complaints == []
        assert tab.origins == {base}
