"""Updates while somebody looks: what has changed and nothing else, soon, with bounds, and nothing that may not be seen any more."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from contextlib import asynccontextmanager

import pytest

from dashboards import event, history, row, run
from guarded_api import reading
from panal.api import names
from panal.dashboard import feed, live
from panal.dashboard import run as run_of
from panal.dashboard.bell import Bell
from panal.dashboard.run_pages import RunProgress


class Reader:
    """The events of a stream, in order."""

    def __init__(self, answer) -> None:
        self._answer, self.status = answer, answer.status
        self._rest = b""

    async def next(self, seconds: float = 5.0) -> tuple[str, str]:
        """Name and content of the next event; comments are passed over."""
        async with asyncio.timeout(seconds):
            while True:
                while b"\n\n" in self._rest:
                    block, self._rest = self._rest.split(b"\n\n", 1)
                    lines = block.decode().split("\n")
                    if lines[0].startswith("event: "):
                        assert all(line.startswith("data: ") for line in lines[1:])
                        return lines[0].removeprefix("event: "), "\n".join(line.removeprefix("data: ") for line in lines[1:])
                got = await self._answer.content.readany()
                if not got:
                    raise EOFError
                self._rest += got

    async def until(self, name: str, text: str, seconds: float = 5.0) -> list[str]:
        """The names of the events up to the one of that name with that text."""
        found = []
        async with asyncio.timeout(seconds):
            while True:
                which, content = await self.next(seconds)
                found.append(which)
                if which == name and text in content:
                    return found

    async def quiet(self, seconds: float) -> bool:
        try:
            await self.next(seconds)
        except TimeoutError:
            return True
        return False


@asynccontextmanager
async def looking(visitor, path):
    """At a page: its stream is read from where the page says."""
    _, page = await visitor.get(path)
    (address,) = re.findall(r'sse-connect="([^"]*)"', page)
    answer = await visitor.stream(address.replace("&amp;", "&"))
    try:
        yield Reader(answer)
    finally:
        answer.close()


async def test_a_page_that_is_up_to_date_gets_nothing(owner):
    for path in ("/", "/runs", "/clusters", "/clusters/site-a", "/runs/ns/digits", "/runs/ns/digits/events"):
        async with looking(owner, path) as reader:
            assert reader.status == 200
            assert await reader.quiet(0.5), path


async def test_a_change_is_sent_soon_and_only_what_has_changed(api, owner):
    async with looking(owner, "/runs/ns/digits") as reader:
        assert await reader.quiet(0.4)
        began = time.monotonic()
        await api.change(run(completed=3, headlineMetric="accuracy 0.95"))
        seen = await reader.until("head", "accuracy 0.95")
        print(f"event to stream: {(time.monotonic() - began) * 1000:.0f} ms")
        assert "charts" not in seen
        await api.change(history(rounds=[row(1, 0.8), row(2, 0.91), row(3, 0.95)]))
        await reader.until("charts", "in round 3")


async def test_lists_follow_and_keep_their_filter(api, owner):
    async with looking(owner, "/runs?state=Failed") as reader:
        await api.change(run("other-run"))
        await api.change(run("bad", phase="Failed"))
        _, content = await reader.next()
        while "bad" not in content:
            _, content = await reader.next()
        assert "other-run" not in content
        await api.remove(names.PLURAL, "ns", "bad")
        await reader.until("table", "No run matches")


async def test_events_follow(api, owner):
    async with looking(owner, "/runs/ns/digits/events") as reader:
        await api.change({**event("something new"), "metadata": {"name": "digits.2", "namespace": "ns"}})
        await reader.until("events", "something new")


async def test_a_run_that_is_deleted_leaves_the_screen(api, owner):
    async with looking(owner, "/runs/ns/digits") as reader:
        await api.remove(names.PLURAL, "ns", "digits")
        await reader.until("head", "any more")
        rest = [await reader.next() for _ in RunProgress.parts]
        assert {content for _, content in rest} == {""}
        assert rest[-1] == ("end", "")


async def test_a_right_that_is_lost_ends_what_is_shown(api, hub, member, monkeypatch):
    monkeypatch.setattr(feed, "TIMING", feed.Timing(watch=1, silence=5, resync=300))
    async with looking(member, "/runs/ns/digits") as reader:
        api.rights["member"] = set()
        await reader.until("head", "any more", seconds=15)
    assert (await member.get("/runs/ns/digits"))[0].status == 403


async def test_lists_are_reviewed_again(api, hub, member, monkeypatch):
    monkeypatch.setattr("panal.dashboard.rights.SECONDS", 0.1)
    async with looking(member, "/runs") as reader:
        api.rights["member"] = reading("configmaps")
        await asyncio.sleep(0.2)
        await api.change(run(completed=4))
        await reader.until("table", "No run")


async def test_many_changes_are_few_updates(api, owner):
    async with looking(owner, "/runs/ns/digits") as reader:
        for number in range(100):
            await api.change(run(completed=3, message=f"change {number}"))
            await asyncio.sleep(0.005)
        heads = [each for each in await reader.until("head", "change 99") if each == "head"]
        assert len(heads) <= 12


async def test_streams_are_bounded(owner):
    answers = [await owner.stream("/live/runs") for _ in range(live.MOST_OF_ONE + 1)]
    try:
        assert [each.status for each in answers] == [200] * live.MOST_OF_ONE + [503]
        assert answers[-1].headers["Retry-After"]
    finally:
        for each in answers:
            each.close()


async def test_a_stream_that_ends_makes_room(owner):
    for _ in range(3):
        answers = [await owner.stream("/live/runs") for _ in range(live.MOST_OF_ONE // 2)]
        assert {each.status for each in answers} == {200}
        for each in answers:
            each.close()
        await asyncio.sleep(0.1)


async def test_a_client_that_reads_nothing_is_dropped(monkeypatch):
    monkeypatch.setattr(live, "PATIENCE", 0.05)

    class Deaf:
        async def write(self, content: bytes) -> None:
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        await live._send(Deaf(), b"x")


@pytest.mark.parametrize("content", ["a\nb", "a\r\nb", "a\rb", "event: end\n\ndata: x", ""])
def test_a_content_cannot_end_its_event(content):
    sent = live.event("part", content).decode()
    assert sent.endswith("\n\n")
    assert "\n\n" not in sent[:-2]
    assert all(line.startswith("data: ") for line in sent[:-2].split("\n")[1:])


async def test_a_bell_is_heard_within_the_context_alone():
    bell, heard = Bell(), asyncio.Event()
    with bell.heard(heard):
        bell.ring()
        assert heard.is_set()
    heard.clear()
    bell.ring()
    assert not heard.is_set()


# --- feeds --------------------------------------------------------------------------------------------------------------
class NoClient:
    """Whose lists and watches never answer."""

    async def pages(self, *_):
        await asyncio.sleep(60)
        yield


async def test_feeds_are_bounded_and_those_that_nobody_looks_at_make_room(monkeypatch):
    monkeypatch.setattr(feed, "PATIENCE", 0.0)
    feeds = feed.Feeds(most=2)
    try:
        async with feeds.of(NoClient(), "a", "ns", "one"):
            async with feeds.of(NoClient(), "a", "ns", "two"):
                with pytest.raises(feed.TooMany):
                    async with feeds.of(NoClient(), "a", "ns", "three"):
                        pass
            async with feeds.of(NoClient(), "a", "ns", "three") as three:
                async with feeds.of(NoClient(), "a", "ns", "three") as again:
                    assert again is three
                async with asyncio.timeout(1):
                    await feeds.forget("a")
    finally:
        await feeds.close()


class BrokenClient:
    """Whose lists end by a defect."""

    async def pages(self, *_):
        raise ZeroDivisionError
        yield


async def test_a_feed_that_ended_by_a_defect_is_replaced(monkeypatch):
    monkeypatch.setattr(feed, "PATIENCE", 0.05)
    feeds = feed.Feeds()
    try:
        async with feeds.of(BrokenClient(), "a", "ns", "one") as first:
            assert first.ended
        async with feeds.of(NoClient(), "a", "ns", "one") as second:
            assert second is not first
            assert not second.ended
    finally:
        await feeds.close()


class SlowToEnd(NoClient):
    """Whose lists take a moment to end when they are cancelled."""

    async def pages(self, *_):
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.1)
        yield


async def test_a_feed_that_gets_a_looker_while_others_are_closed_stays(monkeypatch):
    monkeypatch.setattr(feed, "PATIENCE", 0.0)
    monkeypatch.setattr(feed, "KEPT", 0.0)
    feeds = feed.Feeds()
    for name in ("one", "two"):
        async with feeds.of(SlowToEnd(), "a", "ns", name):
            await asyncio.sleep(0)
    sweeping = asyncio.create_task(feeds.sweep(0.01))
    try:
        await asyncio.sleep(0.05)  # it closes the first one
        async with feeds.of(SlowToEnd(), "a", "ns", "two") as two:
            await feeds.forget("b")
            await asyncio.sleep(0.3)
            assert not two.ended
        await asyncio.sleep(0.3)
        assert two.ended
        assert not sweeping.done()
    finally:
        sweeping.cancel()
        await asyncio.wait([sweeping], timeout=5)
        assert sweeping.done()
        await feeds.close()


async def test_a_feed_may_be_forgotten_while_it_is_swept(monkeypatch):
    monkeypatch.setattr(feed, "PATIENCE", 0.0)
    monkeypatch.setattr(feed, "KEPT", 0.0)
    feeds = feed.Feeds()
    for name in ("one", "two"):
        async with feeds.of(SlowToEnd(), "a", "ns", name):
            await asyncio.sleep(0)
    sweeping = asyncio.create_task(feeds.sweep(0.01))
    await asyncio.sleep(0.05)
    await feeds.forget("a")
    await asyncio.sleep(0.3)
    assert not sweeping.done()
    sweeping.cancel()
    await asyncio.wait([sweeping], timeout=5)


async def test_two_requests_that_make_room_share_a_feed(monkeypatch):
    monkeypatch.setattr(feed, "PATIENCE", 0.0)
    feeds, found = feed.Feeds(most=1), []
    async with feeds.of(SlowToEnd(), "a", "ns", "old"):
        await asyncio.sleep(0)

    async def look():
        async with feeds.of(NoClient(), "a", "ns", "new") as each:
            found.append(each)
            await asyncio.sleep(0.3)

    try:
        await asyncio.gather(look(), look())
        assert found[0] is found[1]
    finally:
        await feeds.close()


async def test_a_feed_that_ended_shows_nothing_as_current(monkeypatch):
    monkeypatch.setattr(feed, "PATIENCE", 0.05)
    feeds, heard = feed.Feeds(), asyncio.Event()
    async with feeds.of(BrokenClient(), "a", "ns", "one") as broken:
        with pytest.raises(feed.Ended):
            broken.seen()
    async with feeds.of(NoClient(), "a", "ns", "two") as closed:
        assert closed.seen() is None
        with closed.bell.heard(heard):
            await feeds.close()
            await asyncio.sleep(0)
            assert heard.is_set(), "a stream looks again"
        with pytest.raises(feed.Ended):
            closed.seen()


async def test_a_stream_ends_with_the_feed(api, owner, monkeypatch):
    made = []
    start = feed.Feed.__init__
    monkeypatch.setattr(feed.Feed, "__init__", lambda self, *given: (made.append(self), start(self, *given))[1])
    stream = await owner.stream("/live/runs/ns/digits")
    async with asyncio.timeout(10):
        while b"digits" not in await stream.content.readline():
            pass
        made[-1].stop()
        rest = (await stream.content.read()).decode()
    assert "not watched any more" in rest
    assert "event: end" in rest


def test_the_content_of_a_config_map_that_is_not_used_is_not_kept(monkeypatch):
    monkeypatch.setattr(feed.asyncio, "create_task", lambda work, **_: (work.close(), asyncio.Future(loop=loop))[1])
    loop = asyncio.new_event_loop()
    kept = feed.Feed(NoClient(), "ns", "digits")._used_content
    large = history() | {"data": {"large": "x"}}
    large["metadata"] |= {"annotations": {"large": "x"}}
    other = {**large, "metadata": {**large["metadata"], "name": "digits-other"}}
    assert kept(other) == {"metadata": {name: value for name, value in other["metadata"].items() if name != "annotations"}}
    assert kept(large) == large
    loop.close()


async def test_a_history_is_parsed_in_a_thread_once_for_each_version(monkeypatch):
    threads = []
    parse = run_of._parsed
    monkeypatch.setattr(run_of, "_parsed", lambda found: (threads.append(threading.current_thread()), parse(found))[1])
    histories, stored = run_of.Histories(), history()
    stored["metadata"]["resourceVersion"] = "1"
    found = await asyncio.gather(*(histories.of(stored) for _ in range(5)))
    assert all(each is found[0] for each in found)
    assert len(found[0][0].rounds) == 2
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()
    stored["metadata"]["resourceVersion"] = "2"
    await histories.of(stored)
    assert len(threads) == 2
