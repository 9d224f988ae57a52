"""Names that the hub and the programs share."""

from __future__ import annotations

from ..codes import Code, Ending

PORT = 8002  # on loopback: FLARE's server
SERVICE = "/streamer.Streamer/"  # the gRPC service of FLARE's cells
STATE = "state.json"  # in FLARE's workspace: how the job has ended
KILLED = "killed.json"  # in FLARE's workspace: the signal that has killed the process of the job
FINISHED = "finished"  # in FLARE's workspace: the job's server has ended without a failure


class FlareEnding(Code):
    """Why the programs end, apart from `Ending`."""

    FLARE_NOT_SUPPORTED = "FlareNotSupported"


ENDINGS: frozenset[str] = frozenset({*Ending, *FlareEnding})


def site_name(cluster: str) -> str:
    """The name of a cluster in FLARE, where a dot separates a site from its job. No cluster's name contains an underscore."""
    return cluster.replace(".", "_")


def cluster_name(site: str) -> str:
    return site.replace("_", ".")
