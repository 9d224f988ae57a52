"""Events: a repeated message is one Event, and a failed write raises nothing."""

from datetime import UTC, datetime, timedelta

import pytest

from panal.kube.events import MAX_MESSAGE_BYTES, EventRecorder, shortened
from panal.kube.kinds import EVENT

RUN = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "ns", "name": "run", "uid": "u1"}}


class Wall:
    def __init__(self):
        self.time = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)

    def __call__(self):
        return self.time


@pytest.fixture
def wall():
    return Wall()


def events(api):
    return [obj for (kind, *_), obj in api.objects.items() if kind == EVENT]


async def test_fields_of_an_event(api, wall):
    await EventRecorder(api, "panal", "panal-0", wall).record(RUN, "Warning", "Crashing", "cluster1: exit code 3")
    (event,) = events(api)
    assert event["involvedObject"] == {"apiVersion": "v1", "kind": "ConfigMap", "namespace": "ns", "name": "run", "uid": "u1"}
    assert (event["type"], event["reason"], event["message"]) == ("Warning", "Crashing", "cluster1: exit code 3")
    assert (event["firstTimestamp"], event["eventTime"]) == ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.678901Z")
    assert (event["source"]["component"], event["reportingInstance"]) == ("panal", "panal-0")


async def test_an_early_repetition_is_not_counted(api, wall):
    for _ in range(2):
        await EventRecorder(api, now=wall).record(RUN, "Normal", "Completed", "3 rounds")
        wall.time += timedelta(seconds=5)
    (event,) = events(api)
    assert event["count"] == 1


async def test_a_later_repetition_increments_the_count(api, wall):
    recorder = EventRecorder(api, now=wall)
    for _ in range(3):
        await recorder.record(RUN, "Normal", "Completed", "3 rounds")
        wall.time += timedelta(minutes=2)
    (event,) = events(api)
    assert (event["count"], event["firstTimestamp"], event["lastTimestamp"]) == (3, "2026-01-02T03:04:05Z", "2026-01-02T03:08:05Z")


@pytest.mark.parametrize(
    ("uid", "reason", "message"), [("u2", "Training", "round 1"), ("u1", "Completed", "round 1"), ("u1", "Training", "round 2")]
)
async def test_another_object_reason_or_message_is_another_event(api, wall, uid, reason, message):
    recorder = EventRecorder(api, now=wall)
    await recorder.record(RUN, "Normal", "Training", "round 1")
    await recorder.record({**RUN, "metadata": {**RUN["metadata"], "uid": uid}}, "Normal", reason, message)
    assert len(events(api)) == 2


async def test_a_failed_write_is_logged_and_not_raised(api, wall, caplog):
    api.unreachable = True
    await EventRecorder(api, now=wall).record(RUN, "Normal", "Completed", "3 rounds")
    assert "Event Completed on run not written" in caplog.text


@pytest.mark.parametrize("message", ["x" * 5000, "é" * 900, "€" * 800, "x" * 1023 + "é"])
def test_long_messages_are_truncated_at_a_character(message):
    short = shortened(message)
    assert MAX_MESSAGE_BYTES - 6 <= len(short.encode()) <= MAX_MESSAGE_BYTES
    assert short.endswith("…")
    assert message.startswith(short[:-1])


def test_a_short_message_is_unchanged():
    assert shortened("é" * 512) == "é" * 512
