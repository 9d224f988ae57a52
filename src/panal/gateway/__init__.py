"""Envoy's configuration for the two gateways of a run, as pure functions."""
