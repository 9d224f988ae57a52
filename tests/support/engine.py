"""What the tests of a run need of an engine: clusters that can be asked and disturbed, and what no API server tells.

Three engines have the same tests (`run_suite`, `failure_suite`, `kill_suite`, `identity_suite`): `nodes` (everything real),
`kubernetes` (real API servers and Open Cluster Management, panal's own node) and `embedded` (the local platform).
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from api import Api

HUB = "hub"


class Engine(Protocol):
    """The hub and four spokes, cluster1 to cluster4, of cluster set `default`, which is bound in the namespaces used; the image
    `panal/test-app:1` is everywhere, and panal's controller gives up a spoke after 20 seconds."""

    at_once: int  # how many runs go well side by side
    spread: int  # seconds: what is written for a site is in its Pods by then, and the controller gives new authorities as long

    @property
    def hub(self) -> Api: ...

    def spoke(self, name: str) -> Api: ...

    def cut(self, name: str) -> None:
        """Nothing comes to or from that cluster any more."""
        ...

    def restore(self, name: str) -> None: ...

    def tag(self, image: str, name: str, clusters: list[str]) -> None:
        """A second name for an image on these clusters alone; where all clusters share one store, nothing."""
        ...

    def read(self, namespace: str, claim: str, path: str) -> bytes:
        """A file of a volume on the hub."""
        ...

    def aggregator_address(self) -> str:
        """What an address of the hub's NodePorts begins with."""
        ...

    def kill(self, cluster: str, pod: str, program: str) -> bool:
        """kill -9 of the processes of a Pod whose command line matches the pattern; false if there is none."""
        ...

    def kill_controller(self) -> None:
        """kill -9; it is started again as it is for users."""
        ...

    def restart_controller(self) -> None:
        """Returns when another process leads."""
        ...

    def without_api(self) -> AbstractContextManager[None]:
        """The hub's API server is away."""
        ...

    def logs(self, namespace: str, pod: str, last: int = 40) -> str:
        """The last lines of all containers of a Pod on the hub."""
        ...


class EngineWithRights(Engine, Protocol):
    """Where somebody checks what the controller and the Pods may do."""

    def without_rights(self) -> AbstractContextManager[None]:
        """Panal's controller may do nothing."""
        ...

    def may(self, account: str, namespace: str, verb: str, what: str) -> bool:
        """Whether a service account may do that."""
        ...
