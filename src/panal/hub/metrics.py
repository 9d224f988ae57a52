"""What the controller counts of its own work; `panal.kube.metrics` counts what it asks of the API server."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

RECONCILES = Counter("panal_reconciles", "Reconciles of runs by how they ended: ok, error (tried again), defect (a bug).", ["result"])
ADDON_RECONCILES = Counter("panal_addon_reconciles", "Looks at the add-on on a cluster by how they ended, as for runs.", ["result"])
CERTIFICATE_REQUESTS = Counter("panal_certificate_requests", "Certificate requests: signed, or why denied.", ["answer"])
SECONDS = Histogram("panal_reconcile_seconds", "How long one reconcile took.")
RUNS = Gauge("panal_runs", "FederatedLearning resources by phase.", ["phase"])
LEADER = Gauge("panal_leader", "1 while this process leads.")
