"""The Envoy configuration of the two gateways of a run, as pure functions."""
