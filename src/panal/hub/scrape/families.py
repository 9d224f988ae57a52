"""The metrics that are derived from the hub: what each is called, its labels, and what it means."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Family(NamedTuple):
    """`name`: as in a query, so that of a counter ends in `_total`."""

    name: str
    type: Literal["gauge", "counter"]
    labels: tuple[str, ...]
    meaning: str


# Prometheus adds `namespace` to everything that it scrapes, and Open Cluster Management's observability replaces a label `cluster`: both
# would hide a label of the same name.
RUN = ("run_namespace", "run")
CLUSTER = (*RUN, "managed_cluster")


def _gauge(name: str, labels: tuple[str, ...], meaning: str) -> Family:
    return Family(name, "gauge", labels, meaning)


def _counter(name: str, labels: tuple[str, ...], meaning: str) -> Family:
    return Family(name, "counter", labels, meaning)


# --- the controller -----------------------------------------------------------------------------------------------
QUEUE_KEYS = _gauge("panal_queue_keys", ("queue",), "Runs (queue runs) or clusters (queue addon) that wait to be reconciled.")
QUEUE_AGE = _gauge("panal_queue_oldest_age_seconds", ("queue",), "For how long the oldest of them has waited; 0 if none waits.")
RUNS = _gauge("panal_runs", ("phase",), "FederatedLearning resources by phase.")
WITHOUT_SERIES = _gauge(
    "panal_runs_without_series",
    ("part",),
    "Runs whose series are left out. Part: clusters (those of its clusters, beyond the limit), run (all, beyond the limit), "
    "unreadable (all, because its status cannot be read).",
)

# --- certificates -------------------------------------------------------------------------------------------------
CERTIFICATE_EXPIRY = _gauge(
    "panal_cluster_certificate_expiry_timestamp_seconds",
    ("managed_cluster",),
    "When the newest certificate of a cluster ends. Absent for a cluster that has none, or only revoked ones.",
)
AUTHORITY_EXPIRY = _gauge(
    "panal_authority_expiry_timestamp_seconds",
    ("authority",),
    "When the signer that an authority uses ends. Authority: servers or collaborators.",
)
LIFETIME = _gauge(
    "panal_certificate_lifetime_seconds",
    ("certificate",),
    "How long a new certificate is valid, as configured. Certificate: cluster or authority.",
)

# --- a run --------------------------------------------------------------------------------------------------------
STATUS = _gauge(
    "panal_run_status",
    (*RUN, "phase", "reason"),
    "1 for the phase of a run and the reason of its condition Progressing. The only series of a run that has ended, for an hour.",
)
ROUNDS_COMPLETED = _gauge(
    "panal_run_rounds_completed", RUN, "Completed rounds. Falls back to the last checkpoint when the aggregator is lost."
)
ROUNDS_PLANNED = _gauge("panal_run_rounds_planned", RUN, "Rounds of the run.")
ROUND_DURATION = _gauge("panal_run_last_round_duration_seconds", RUN, "Duration of the last completed round.")
ROUND_TIME = _gauge(
    "panal_run_last_round_timestamp_seconds",
    RUN,
    "Since when the number of completed rounds has not changed, while the phase is Running. Not before the start of this controller.",
)
REPLIES = _gauge("panal_run_replies", RUN, "Clusters whose reply counted in the last training phase.")
REPLY_FAILURES = _gauge(
    "panal_run_reply_failures", RUN, "Clusters that did not reply in the last training phase, or whose reply did not count."
)
CLUSTERS = _gauge(
    "panal_run_clusters",
    (*RUN, "state"),
    "Clusters of the run. State: selected, ready (the collaborator runs), failed (it has a problem). Counts all clusters.",
)
RESTARTS = _gauge("panal_run_aggregator_losses", RUN, "Aggregators that were lost during the run.")
METRIC = _gauge(
    "panal_run_metric",
    (*RUN, "metric"),
    "A metric of the last completed round, as the app has aggregated it. At most 4 for each run, the headline metric among them.",
)
STRANGERS_REFUSED = _counter(
    "panal_run_refused_strangers_total",
    RUN,
    "Connections that the aggregator's gateway refused because they proved no cluster of the run. From 0 with each aggregator.",
)

# --- a cluster of a run -------------------------------------------------------------------------------------------
CLUSTER_STATUS = _gauge(
    "panal_run_cluster_status",
    (*CLUSTER, "state", "reason"),
    "1 for the state of the collaborator (Pending, Ready, Training, Replied, Failed) and the reason, if it has a problem.",
)
CLUSTER_ROUND = _gauge("panal_run_cluster_round", CLUSTER, "The last round in which the cluster took part.")
CLUSTER_SECONDS = _gauge("panal_run_cluster_training_duration_seconds", CLUSTER, "Duration of the cluster's last training.")
CLUSTER_METRIC = _gauge(
    "panal_run_cluster_metric",
    (*CLUSTER, "metric"),
    "A metric that the cluster reported last. At most 4 names for each run: those that most of its clusters have.",
)
REQUESTS = _counter(
    "panal_run_cluster_requests_total", CLUSTER, "Requests of the cluster at the aggregator's gateway. From 0 when the cluster joins."
)
REFUSED = _counter(
    "panal_run_cluster_refused_requests_total",
    CLUSTER,
    "Requests of the cluster that the gateway refused by path, method, length or number. From 0 when the cluster joins.",
)
RECEIVED = _counter(
    "panal_run_cluster_received_bytes_total", CLUSTER, "Bytes that the aggregator received from the cluster. From 0 when the cluster joins."
)
SENT = _counter(
    "panal_run_cluster_sent_bytes_total", CLUSTER, "Bytes that the aggregator sent to the cluster. From 0 when the cluster joins."
)

OF_THE_CONTROLLER = (QUEUE_KEYS, QUEUE_AGE, RUNS, WITHOUT_SERIES)
OF_CERTIFICATES = (CERTIFICATE_EXPIRY, AUTHORITY_EXPIRY, LIFETIME)
OF_A_RUN = (
    STATUS,
    ROUNDS_COMPLETED,
    ROUNDS_PLANNED,
    ROUND_DURATION,
    ROUND_TIME,
    REPLIES,
    REPLY_FAILURES,
    CLUSTERS,
    RESTARTS,
    METRIC,
    STRANGERS_REFUSED,
)
OF_A_CLUSTER = (CLUSTER_STATUS, CLUSTER_ROUND, CLUSTER_SECONDS, CLUSTER_METRIC, REQUESTS, REFUSED, RECEIVED, SENT)
ALL = (*OF_THE_CONTROLLER, *OF_CERTIFICATES, *OF_A_RUN, *OF_A_CLUSTER)
