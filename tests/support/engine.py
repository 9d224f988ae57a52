"""What the tests of a run need of an engine: clusters that can be asked and cut off, and what no API server tells.

The tests (`run_suite`) know no more than this. `containers.Containers` is the one engine: everything real.
"""

from __future__ import annotations

from typing import Protocol

from api import Api


class Engine(Protocol):
    """The hub and four spokes, cluster1 to cluster4, of cluster set `default`, which is bound in the namespaces used; the image
    `panal/test-app:1` is everywhere, and panal's controller gives up a spoke after 20 seconds."""

    @property
    def hub(self) -> Api: ...

    def spoke(self, name: str) -> Api: ...

    def cut(self, name: str) -> None:
        """Nothing comes to or from that cluster any more."""
        ...

    def restore(self, name: str) -> None: ...

    def read(self, namespace: str, claim: str, path: str) -> bytes:
        """A file of a volume on the hub."""
        ...

    def aggregator_address(self) -> str:
        """What an address of the hub's NodePorts begins with."""
        ...

    def restart_controller(self) -> None:
        """Returns when another process leads."""
        ...

    def logs(self, namespace: str, pod: str) -> str:
        """The last lines of all its containers."""
        ...
