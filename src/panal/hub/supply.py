"""The step between observe and decide: adds to a World what no object on the hub has.

These are the certificate of the aggregator's gateway, signed when the reporter requests one or when it must be renewed, and the IP
addresses of host names. Host names are queued here and resolved by `resolve`, which causes another reconcile when an address is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from panal.api import names
from panal.api.addresses import is_ip
from panal.api.status import Phase
from panal.hub.addon.authorities import Authorities
from panal.hub.resolve import Resolver
from panal.lifecycle import exposure
from panal.lifecycle.world import Credentials, World


class Supplier:
    def __init__(self, authorities: Authorities, resolver: Resolver) -> None:
        self._authorities = authorities
        self._resolver = resolver

    def supply(self, world: World, now: datetime) -> World:
        """The World with certificate and addresses; unchanged if the run has ended."""
        if world.run.status.phase in (Phase.COMPLETED, Phase.FAILED):
            return world
        for host in _hosts(world):
            self._resolver.want(host)
        return replace(world, credentials=self._credentials(world, now), resolved=self._resolver.known)

    def _credentials(self, world: World, now: datetime) -> Credentials:
        """The credentials with the trust bundle, the revocation lists, and the current or a new certificate."""
        run, known, trust = world.run, world.credentials, self._authorities.trust()
        name = names.server_name(run.name, run.namespace)
        signed = self._authorities.server_certificate(name, known.request, known.certificate, now)
        return replace(known, trust=trust.collaborator_bundle, crl=trust.crl, certificate=signed)


def _hosts(world: World) -> Iterator[str]:
    """Host names by which sites reach the aggregator."""
    found = exposure.address(world)
    hosts = {found.host} if found else set[str]()
    yield from (host for host in hosts | {s.config.address_host for s in world.sites.values()} if host and not is_ip(host))
