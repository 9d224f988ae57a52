"""Which clusters a Placement selects, and why; where a cluster's data is. Pure functions over what is known of the hub."""

from panal.placement.data import DataLocation, HostPathLocation, PvcLocation, data_claim, data_location
from panal.placement.explain import Cluster, Explanation, Verdict, explain
from panal.placement.hub import Hub
from panal.placement.schedule import Decision, Outcome, schedule
from panal.placement.selectors import MisconfiguredError

__all__ = [
    "Cluster",
    "DataLocation",
    "Decision",
    "Explanation",
    "HostPathLocation",
    "Hub",
    "MisconfiguredError",
    "Outcome",
    "PvcLocation",
    "Verdict",
    "data_claim",
    "data_location",
    "explain",
    "schedule",
]
