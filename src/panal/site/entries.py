"""The kinds of entries of a site's ledger."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """Of an entry."""

    STARTED = "started"  # the site controller: version
    CUT = "cut"  # the last line was half-written when the controller ended: bytes
    POLICY = "policy"  # the whole spec, and its generation; an empty spec: there is none
    ASKED = "asked"
    DECIDED = "decided"
    IMAGES = "images"  # of a Pod's containers, as the kubelet says: images, by container
    LEFT = "left"  # one reply
    SENT = "sent"  # what belongs to no reply
    REFUSED = "refused"  # a request of a Pod
    STOPPED = "stopped"
    ENDED = "ended"  # a Pod
    RECORD = "record"  # what the hub says the record of a run is
