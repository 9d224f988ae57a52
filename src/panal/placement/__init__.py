"""Which clusters qualify for a run and why, and where their data is. Pure functions over what is known of the clusters."""

from panal.placement.data import DataLocation, HostPathLocation, PvcLocation, data_claim, data_location
from panal.placement.explain import Cluster, Explanation, Verdict, explain

__all__ = ["Cluster", "DataLocation", "Explanation", "HostPathLocation", "PvcLocation", "Verdict", "data_claim", "data_location", "explain"]
