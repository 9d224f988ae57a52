"""Which messages a cluster may send to FLARE's server. Pure.

FLARE's processes are cells with a name: `server` and a site's name, and `server.JOB` and `SITE.JOB` for the processes of a job. A message
names the cell that has sent it, the one that is to get it, a channel and a topic, and the server believes what it says. Here it must be
from a cell of the cluster that the gateway has named, and for a cell of the server, on a channel that FLARE's client uses: not that of
the administrators, nor that of the server's own processes. Where FLARE takes the name of the client from a message, it must be there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SERVER = "server"
# Names in the headers of a message. A stream carries the channel and topic of the message that it transports.
ORIGIN, FROM, DESTINATION, KIND, CLIENT = "cn__origin", "cn__from", "cn__destination", "cn__msg_type", "client_name"
RETURNED = "cn__original_headers"  # of a message that could not be delivered: the cell for which it was counts as the one that answers
REQUEST, ANSWERS = "req", ("reply", "return")  # the kinds of messages
CHANNELS, TOPICS = ("cn__channel", "sm__ch"), ("cn__topic", "sm__tp")
STREAM = "sm__STREAM"
# Channels of requests with the allowed topics; None: all.
ALLOWED: dict[str, frozenset[str] | None] = {
    "task": frozenset({"register", "quit", "heart_beat", "report_job_failure"}),
    "server_command": frozenset({"get_task", "submit_update"}),
    "aux_communication": None,
    "download_service__": None,
    "return_only": None,
    "cellnet.channel": frozenset({"bye"}),
    STREAM: None,
}
NAMED = ("task", "server_command", "aux_communication")  # channels whose requests must name the client


def refusal_of_hello(name: Any, site: str) -> str:
    """Why a connection of `site` may not introduce itself as the cell `name`; empty if it may."""
    return refusal_of_name(site) or ("" if _root(name) == site else f"the cell says that it is {name!r}")


def refusal_of_name(site: str) -> str:
    """Why no cluster may have this name."""
    return f"FLARE has no site with the name {site}" if site == SERVER else ""


def refusal(headers: Mapping[str, Any], site: str) -> str:
    """Why a message from a connection of `site` is refused; empty if it is not."""
    for sender in (ORIGIN, FROM):
        if _root(headers.get(sender)) != site:
            return f"the message says that it is from {headers.get(sender)!r}"
    if _root(headers.get(DESTINATION)) != SERVER:
        return f"the message is for {headers.get(DESTINATION)!r}"
    if headers.get(CLIENT, site) != site:
        return f"the message names the client {headers.get(CLIENT)!r}"
    if headers.get(KIND) == REQUEST:
        return _refusal_of_request(headers)
    return _refusal_of_answer(headers, site)


def _refusal_of_request(headers: Mapping[str, Any]) -> str:
    for channel, topic in zip(CHANNELS, TOPICS):
        name = headers.get(channel)
        if name is None and channel != CHANNELS[0]:
            continue
        if name not in ALLOWED or not _allowed(ALLOWED[name], headers.get(topic)):
            return f"the message is for the channel {name!r} and the topic {headers.get(topic)!r}"
        if name in NAMED and CLIENT not in headers:
            return f"the message for the channel {name!r} names no client"
    return ""


def _refusal_of_answer(headers: Mapping[str, Any], site: str) -> str:
    kind = headers.get(KIND)
    if kind not in ANSWERS:
        return f"a message of the kind {kind!r}"
    returned = headers.get(RETURNED)
    if returned is None and kind != "return":
        return ""
    asked = returned.get(DESTINATION) if isinstance(returned, Mapping) else None
    return "" if _root(asked) == site else f"the message answers for {asked!r}"


def _allowed(topics: frozenset[str] | None, topic: Any) -> bool:
    return topics is None or topic in topics


def _root(cell: Any) -> str:
    return cell.partition(".")[0] if isinstance(cell, str) else ""
