"""The traffic of the clusters of a run, and its form in the ConfigMap `<run>-progress` (key `traffic`): the reporter writes it, the metrics
and the dashboard read it. Others in the namespace can write that ConfigMap.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Annotated

import msgspec

from panal.api.names import ClusterName

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_FORM = msgspec.json.Decoder(dict[str, tuple[Count, Count, Count, Count]])


@dataclass(frozen=True, slots=True)
class Traffic:
    """The traffic of a cluster since it joined or the gateway started: requests, refused requests and connections, and bytes within TLS."""

    requests: int = 0
    refused: int = 0
    bytes_received: int = 0
    bytes_sent: int = 0


def as_text(traffic: Mapping[ClusterName, Traffic]) -> str:
    return json.dumps({cluster: astuple(each) for cluster, each in sorted(traffic.items())})


def of_text(text: str) -> dict[str, Traffic]:
    """By cluster; the key "" is for clients that are not in the run. Empty if `text` is, or has another form."""
    try:
        return {cluster: Traffic(*counts) for cluster, counts in _FORM.decode(text).items()} if text else {}
    except (msgspec.MsgspecError, ValueError):
        return {}
