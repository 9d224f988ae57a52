"""The requests that collaborators may send: the calls of OpenFL's gRPC service. gRPC does not declare the length of a request, so the
aggregator limits it itself (`panal.pod.tools.openfl.service`)."""

from __future__ import annotations

from panal.pod.tools.openfl.codes import AGGREGATOR_PORT, SERVICE
from panal.runtimes.base import GatewayRules

RULES = GatewayRules(port=AGGREGATOR_PORT, paths=(SERVICE,), largest_request=None, protocol="HTTP/2")
