"""The metrics of the controller. `panal.kube.metrics` has those of requests to the API server."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

RECONCILES = Counter("panal_reconciles", "Reconciles of runs by result: ok, error (retried), defect (a bug, retried).", ["result"])
ADDON_RECONCILES = Counter("panal_addon_reconciles", "Reconciles of the add-on on a cluster by result, as for runs.", ["result"])
CERTIFICATE_REQUESTS = Counter("panal_certificate_requests", "Certificate requests: signed, or the reason of the denial.", ["answer"])
SECONDS = Histogram("panal_reconcile_seconds", "Duration of a reconcile of a run.")
RUNS = Gauge("panal_runs", "FederatedLearning resources by phase.", ["phase"])
LEADER = Gauge("panal_leader", "1 while this process is the leader.")
