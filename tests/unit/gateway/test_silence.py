"""A peer that is gone without a word: neither gateway waits for it longer than its pings take."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable

from gateways import Hub, Load, Spoke, Stream, post, wait_for, write


def impatient(files: dict[str, object]) -> dict[str, object]:
    """The same, with pings a hundred times as often."""
    changed = json.dumps(files).replace('{"interval": "5s", "timeout": "10s"}', '{"interval": "0.2s", "timeout": "0.1s"}')
    assert changed != json.dumps(files)
    found: dict[str, object] = json.loads(changed)
    return found


def test_the_aggregator_is_silent(own_hub: Hub, spoke: Callable[..., Spoke]) -> None:
    one = spoke(own_hub, "c1")
    files = impatient(one.files())
    one.files = lambda: files  # type: ignore[method-assign]
    one.write()
    assert own_hub.envoy.process
    with Load(one.port) as load:
        load.goes_on()
        own_hub.envoy.process.send_signal(signal.SIGSTOP)
        wait_for("the end of a request", lambda: 503 in load.statuses, 5)
        own_hub.envoy.process.send_signal(signal.SIGCONT)
        wait_for("the next one", lambda: load.statuses[-1] == 200)


def test_a_collaborator_is_silent(own_hub: Hub, spoke: Callable[..., Spoke]) -> None:
    one = spoke(own_hub, "c1")
    write(own_hub.folder, impatient({"lds.json": own_hub.files("c1", "c2")["lds.json"]}))
    stream = Stream(one.port)
    try:
        assert stream.flows()
        assert one.envoy.process
        one.envoy.process.send_signal(signal.SIGSTOP)
        timeouts = "/stats?filter=^http2.keepalive_timeout$"
        wait_for("the end of its connection", lambda: not own_hub.admin("GET", timeouts)[1].endswith(": 0\n"), 5)
        one.envoy.process.send_signal(signal.SIGCONT)
        wait_for("the end of its stream", lambda: stream.ended)
        assert post(one.port).status == 200
    finally:
        stream.stop()
