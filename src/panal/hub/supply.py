"""The step between observe and decide: adds to a World what no object on the hub has.

These are the certificate of the aggregator's gateway, signed when the reporter requests one or when it must be renewed, and the IP
addresses of host names. Host names are queued here and resolved by `resolve`, which causes another reconcile when an address is known.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from panal.api import names
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
        for host in exposure.hosts(world):
            self._resolver.want(host)
        return replace(world, credentials=self._credentials(world, now), resolved=self._resolver.known)

    def _credentials(self, world: World, now: datetime) -> Credentials:
        """The credentials with the trust bundle, the revocation lists, and the current or a new certificate."""
        run, known, trust = world.run, world.credentials, self._authorities.trust()
        name = names.server_name(run.name, run.namespace)
        signed = self._authorities.server_certificate(name, known.request, known.certificate, now)
        return replace(known, trust=trust.collaborator_bundle, crl=trust.crl, certificate=signed)
