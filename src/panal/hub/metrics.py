"""The metrics of the controller's process, which it counts. `panal.kube.metrics` has those of requests to the API server, and
`panal.hub.scrape` those that describe the hub's runs and clusters."""

from __future__ import annotations

from typing import get_args

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

from panal.kube.loop import Result

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, which Prometheus does not need

RECONCILES = Counter("panal_reconciles", "Reconciles of runs by result: ok, error (retried), defect (a bug, retried).", ["result"])
ADDON_RECONCILES = Counter("panal_addon_reconciles", "Reconciles of the add-on on a cluster by result, as for runs.", ["result"])
CERTIFICATE_REQUESTS = Counter("panal_certificate_requests", "Certificate requests: signed, or the reason of the denial.", ["answer"])
SECONDS = Histogram("panal_reconcile_seconds", "Duration of a reconcile of a run.")
LEADER = Gauge("panal_leader", "1 while this process is the leader.")
PROBLEMS = Gauge("panal_problems", "Reasons why the process is not ready, as /readyz lists them.")

for _result in get_args(Result):  # from 0, so that the first defect is an increase
    RECONCILES.labels(_result)
    ADDON_RECONCILES.labels(_result)
