"""Events that a site may fire in the server's job."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from panal.pod.tools.flare.events import patch


class Runner:
    def _receive(self, topic: str, request: Any, fl_ctx: Any) -> str:
        return "received"


class Request(dict[str, Any]):
    def get_header(self, name: str, default: Any) -> Any:
        return self.get(name, default)

    get_peer_prop = get_header


@pytest.mark.parametrize(
    ("name", "reply"),
    [
        ("fed.analytix_log_stats", "received"),
        ("my_event", "received"),
        ("_about_to_end_run", "BAD"),
        ("_end_run", "BAD"),
        ("_fatal_system_error", "BAD"),
        ("_round_started", "BAD"),
        (None, "BAD"),
        (["_end_run"], "BAD"),
    ],
)
def test_a_site_fires_no_event_of_flares_own(name: Any, reply: str) -> None:
    runner = type("Patched", (Runner,), {})
    module = SimpleNamespace(
        FedEventRunner=runner,
        FedEventHeader=SimpleNamespace(EVENT_TYPE="type"),
        ReservedKey=SimpleNamespace(IDENTITY_NAME="identity"),
        ReturnCode=SimpleNamespace(BAD_REQUEST_DATA="BAD"),
        make_reply=lambda code: code,
    )
    patch(module)
    assert runner()._receive("fed.event", Request(type=name, identity="site1"), None) == reply
