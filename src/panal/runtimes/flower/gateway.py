"""What a SuperNode needs of the SuperLink, which serves its Fleet, Control and Runtime APIs on one port, the latter two without
authentication: hence loopback only, and only `/v1/fleet/` through the gateway."""

from __future__ import annotations

from panal.pod.tools.flower.codes import SUPERLINK_PORT
from panal.runtimes.base import GatewayRules

# Flower sends arrays in pieces of 5 MiB. What it sends whole is a record of numbers or settings, and the list of a message's pieces, which
# has 3 MB for a model of 140 GB.
LARGEST_REQUEST = 16 << 20

RULES = GatewayRules(port=SUPERLINK_PORT, paths=("/v1/fleet/",), largest_request=LARGEST_REQUEST)
