"""The metrics of `panal.kube`, in the default registry, which the hub exports."""

from __future__ import annotations

from prometheus_client import Counter

REQUESTS = Counter("panal_kube_requests", "Requests to the API server. Code 0: no response.", ["verb", "code"])
LISTS = Counter("panal_kube_lists", "Complete lists of a kind: at the start, at each resync, and when a watch cannot continue.", ["kind"])
WATCH_RESTARTS = Counter("panal_kube_watch_restarts", "Watches restarted, by the reason why the previous one ended.", ["kind", "why"])
EVENTS_LOST = Counter("panal_kube_events_lost", "Events that could not be written.")
