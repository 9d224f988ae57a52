"""What a cluster may send to FLARE's server, as headers of its messages."""

from __future__ import annotations

import pytest

from panal.pod.tools.flare.codes import cluster_name, site_name
from panal.pod.tools.flare.gate import refusal, refusal_of_hello

REQUEST = {
    "cn__origin": "site1.job",
    "cn__from": "site1.job",
    "cn__destination": "server.job",
    "cn__msg_type": "req",
    "cn__channel": "aux_communication",
    "cn__topic": "fed.event",
    "client_name": "site1",
}
ANSWER = {"cn__origin": "site1", "cn__from": "site1", "cn__destination": "server", "cn__msg_type": "reply"}
STREAM = REQUEST | {"cn__channel": "sm__STREAM", "cn__topic": "sm__DATA"}


@pytest.mark.parametrize(
    "headers",
    [
        REQUEST,
        REQUEST | {"cn__channel": "task", "cn__topic": "register", "client_name": "site1", "cn__destination": "server"},
        REQUEST | {"cn__channel": "cellnet.channel", "cn__topic": "bye"},
        REQUEST | {"cn__msg_type": "reply", "cn__channel": "admin"},
        ANSWER,
        ANSWER | {"cn__msg_type": "return", "cn__original_headers": {"cn__destination": "site1.job"}},
        STREAM,
        STREAM | {"sm__ch": "server_command", "sm__tp": "submit_update"},
    ],
)
def test_what_flares_client_sends_passes(headers: dict[str, str]) -> None:
    assert refusal(headers, "site1") == ""


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({}, "from None"),
        ({"cn__origin": "site2.job"}, "from 'site2.job'"),
        ({"cn__from": "server"}, "from 'server'"),
        ({"cn__origin": "site11"}, "from 'site11'"),
        ({"cn__origin": 1}, "from 1"),
        ({"cn__destination": "site2"}, "for 'site2'"),
        ({"cn__destination": "server2"}, "for 'server2'"),
        ({"client_name": "site2"}, "the client 'site2'"),
        ({"cn__channel": "hci_channel"}, "the channel 'hci_channel'"),
        ({"cn__channel": None}, "the channel None"),
        ({"cn__channel": "server_command", "cn__topic": "abort"}, "the topic 'abort'"),
        ({"cn__channel": "cellnet.channel", "cn__topic": "stop_cell"}, "the topic 'stop_cell'"),
        ({"client_name": None}, "the client None"),
        ({"cn__msg_type": None}, "the kind None"),
        ({"cn__msg_type": "other"}, "the kind 'other'"),
        ({"cn__msg_type": "return"}, "answers for None"),
        ({"cn__msg_type": "return", "cn__original_headers": "site1"}, "answers for None"),
        ({"cn__msg_type": "return", "cn__original_headers": {"cn__destination": "site2"}}, "answers for 'site2'"),
        ({"cn__msg_type": "reply", "cn__original_headers": {"cn__destination": "site2"}}, "answers for 'site2'"),
    ],
)
def test_what_speaks_for_others_or_to_others_is_refused(headers: dict[str, str], why: str) -> None:
    assert why in refusal(REQUEST | headers if headers else {}, "site1")


@pytest.mark.parametrize(
    "sent",
    [
        {"cn__channel": "task", "cn__topic": "register"},
        {"cn__channel": "server_command", "cn__topic": "get_task"},
        {"cn__channel": "aux_communication"},
        {"cn__channel": "sm__STREAM", "sm__ch": "server_command", "sm__tp": "submit_update"},
    ],
)
def test_a_request_that_names_no_client_is_refused(sent: dict[str, str]) -> None:
    headers = {name: value for name, value in (REQUEST | sent).items() if name != "client_name"}
    assert "names no client" in refusal(headers, "site1")
    assert refusal(headers | {"client_name": "site1"}, "site1") == ""


def test_no_cluster_is_the_server() -> None:
    assert refusal_of_hello("server", "server") == refusal_of_hello("server.job", "server") == "FLARE has no site with the name server"


@pytest.mark.parametrize("inner", [{"sm__ch": "hci_channel"}, {"sm__ch": "server_command", "sm__tp": "shutdown"}])
def test_a_stream_is_refused_by_the_channel_that_it_carries(inner: dict[str, str]) -> None:
    assert "the message is for the channel" in refusal(STREAM | inner, "site1")


def test_a_cell_has_the_name_of_its_cluster() -> None:
    assert refusal_of_hello("site1", "site1") == refusal_of_hello("site1.job", "site1") == ""
    for name in ("site2", "server", "", None, "site1x.job"):
        assert refusal_of_hello(name, "site1")


def test_dots_of_a_clusters_name_are_not_those_of_a_cell() -> None:
    assert site_name("a.b-c") == "a_b-c"
    assert cluster_name(site_name("a.b-c")) == "a.b-c"
