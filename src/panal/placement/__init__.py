"""Why a Placement selects a cluster or not; where a cluster's data is. Pure functions over what is known of the hub."""

from panal.placement.data import DataLocation, HostPathLocation, PvcLocation, S3Location, data_claim, data_location
from panal.placement.explain import Cluster, Explanation, Verdict, explain
from panal.placement.selectors import MisconfiguredError

__all__ = [
    "Cluster",
    "DataLocation",
    "Explanation",
    "HostPathLocation",
    "MisconfiguredError",
    "PvcLocation",
    "S3Location",
    "Verdict",
    "data_claim",
    "data_location",
    "explain",
]
