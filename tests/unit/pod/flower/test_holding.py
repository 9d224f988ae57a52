"""Requests for messages that wait for one. The waits of these tests end by what the tests do; a lost wake-up is a time-out."""

import asyncio
import os
import signal
import threading

from panal.pod.tools.flower.holding import Holding

LONG = 60.0


async def answer(holding, cluster, body=b"", status=200, during=lambda: None):
    """A request that the application answers with `body`, and calls `during` before."""
    sent = []

    async def send(message):
        sent.append(message)

    await holding.wait(cluster)
    observed = holding.observed(cluster, send)
    during()
    await observed({"type": "http.response.start", "status": status})
    await observed({"type": "http.response.body", "body": body})
    return sent


async def held(holding, cluster):
    """A request that waits."""
    task = asyncio.create_task(answer(holding, cluster))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()
    return task


async def test_a_request_after_an_empty_answer_waits_for_a_message_of_its_own():
    holding = Holding(LONG)
    await answer(holding, "c1")
    await answer(holding, "c2")
    one, other = await held(holding, "c1"), await held(holding, "c2")
    threading.Thread(target=holding.stored, args=(["c1"],)).start()
    assert (await asyncio.wait_for(one, 10))[0]["status"] == 200
    assert not other.done()
    holding.stored(["c2"])
    await asyncio.wait_for(other, 10)


async def test_a_request_does_not_wait_after_a_message_or_an_error():
    holding = Holding(LONG)
    await answer(holding, "c1", b"message")
    await answer(holding, "c1", status=503)
    await asyncio.wait_for(answer(holding, "c1", b"message again"), 10)


async def test_a_message_that_is_stored_while_an_empty_answer_is_made_is_not_missed():
    holding = Holding(LONG)
    await answer(holding, "c1", during=lambda: holding.stored(["c1"]))
    await asyncio.wait_for(answer(holding, "c1"), 10)


async def test_all_requests_of_a_cluster_are_answered():
    holding = Holding(LONG)
    await answer(holding, "c1")
    tasks = [await held(holding, "c1"), await held(holding, "c1")]
    holding.stored(["c1"])
    await asyncio.wait_for(asyncio.gather(*tasks), 10)


async def test_the_wait_has_an_end():
    holding = Holding(0.01)
    await answer(holding, "c1")
    await asyncio.wait_for(answer(holding, "c1"), 10)


async def test_the_end_of_the_server_releases_all_and_holds_no_more():
    ended = []
    before = signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    try:
        holding = Holding(LONG)
        await answer(holding, "c1")
        waiting = await held(holding, "c1")
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(waiting, 10)
        await asyncio.wait_for(answer(holding, "c1"), 10)
        assert ended == [True]
    finally:
        signal.signal(signal.SIGTERM, before)
