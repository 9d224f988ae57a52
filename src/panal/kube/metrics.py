"""What `panal.kube` counts; the hub exports the default registry."""

from __future__ import annotations

from prometheus_client import Counter

REQUESTS = Counter("panal_kube_requests", "Requests to the API server; code 0 is no answer.", ["verb", "code"])
LISTS = Counter("panal_kube_lists", "Complete lists of a kind, at the start and whenever a watch could not go on.", ["kind"])
WATCH_RESTARTS = Counter("panal_kube_watch_restarts", "Watches begun again, by why the one before ended.", ["kind", "why"])
EVENTS_LOST = Counter("panal_kube_events_lost", "Events that could not be written.")
