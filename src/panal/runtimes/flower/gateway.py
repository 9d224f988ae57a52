"""The requests that SuperNodes may send to the SuperLink: only `/v1/fleet/`. Its Control and Runtime APIs, on the same port, have no
authentication."""

from __future__ import annotations

from panal.pod.tools.flower.codes import SUPERLINK_PORT
from panal.runtimes.base import GatewayRules

# Bytes. Flower sends arrays in chunks of 5 MiB. The largest other request is the list of a message's chunks: 3 MB for a model of 140 GB.
LARGEST_REQUEST = 16 << 20

RULES = GatewayRules(port=SUPERLINK_PORT, paths=("/v1/fleet/",), largest_request=LARGEST_REQUEST)
