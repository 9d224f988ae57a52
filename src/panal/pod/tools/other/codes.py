"""Names that the hub and the programs share."""

from __future__ import annotations

PORT = 8000  # on loopback: the user's server
