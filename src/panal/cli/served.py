"""A service on the hub, as `panal serve` reads and writes it: InferenceServices, the HTTPRoute, and the ConfigMap with the state."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from panal.client.problem import Code, Problem
from panal.kube import kinds
from panal.kube.client import Client
from panal.kube.errors import Conflict, NotFound
from panal.kube.kinds import Kind
from panal.kube.objects import Object
from panal.serving import predictor, route, version
from panal.serving.version import State, Version

FIELD_MANAGER = "panal-serve"
LOOK = 0.5  # seconds
GONE = 60.0  # seconds in which KServe removes what is deleted
ROUTED = 30.0  # seconds in which a Gateway takes an HTTPRoute
OTHER = "Give the service another name with --name, or delete what has this name."


@dataclass(slots=True)
class Service:
    """`client` writes as FIELD_MANAGER. `main` is its InferenceService, None before the first version."""

    client: Client
    namespace: str
    name: str
    state: State = field(default_factory=State)
    main: Object | None = None
    config: Object | None = None

    @classmethod
    async def find(cls, client: Client, namespace: str, name: str) -> Service:
        """Raises Problem if there is no KServe, or something of this name that `panal serve` has not made."""
        if not predictor.NAME.fullmatch(name):
            message = f"{name} is not a name for a service: it has at most 46 small letters, digits and hyphens, and begins with a letter"
            raise Problem(Code.USAGE, message, "Give a name with --name.")
        if not await client.serves(kinds.INFERENCE_SERVICE):
            raise Problem(
                Code.NOT_FOUND, "KServe is not installed on this cluster", "Install KServe there, in Standard mode, without Knative."
            )
        found = cls(client.managing(FIELD_MANAGER), namespace, name)
        found.main = await found._get(kinds.INFERENCE_SERVICE, name)
        found.config = await found._get(kinds.CONFIG_MAP, version.state_name(name))
        found._understand()
        return found

    def _understand(self) -> None:
        """The state is that of this InferenceService, not of one with the same name that was deleted."""
        for obj in (self.main, self.config):
            if obj is not None and not version.is_ours(obj):
                message = f"the {obj['kind']} {obj['metadata']['name']} exists, and `panal serve` has not created it"
                raise Problem(Code.REFUSED, message, OTHER)
        if self.main is not None and self.main["metadata"].get("ownerReferences"):
            message = f"the InferenceService {self.name} is the canary of another service"
            raise Problem(Code.REFUSED, message, OTHER)
        if self.main is None:
            return
        if self.main["metadata"].get("deletionTimestamp"):
            raise Problem(Code.REFUSED, f"the InferenceService {self.name} is being deleted", "Give the command again when it is gone.")
        mode = (self.main.get("status") or {}).get("deploymentMode")
        if mode and mode not in predictor.STANDARD:
            message = f"KServe runs {self.name} in the mode {mode}; `panal serve` works in Standard mode"
            raise Problem(Code.REFUSED, message, OTHER)
        owners = self.config["metadata"].get("ownerReferences") if self.config else None
        if self.config is None or (owners and owners[0]["uid"] != self.main["metadata"]["uid"]):
            self.state = State(adopted=True)
            return
        try:
            self.state = version.read(self.config)
        except ValueError as error:
            message = f"the ConfigMap {version.state_name(self.name)} is not as `panal serve` has written it: {error}"
            raise Problem(Code.REFUSED, message, "Delete the InferenceService and the ConfigMap, and serve the run again.") from error

    async def _get(self, kind: Kind, name: str) -> Object | None:
        try:
            return await self.client.get(kind, self.namespace, name)
        except NotFound:
            return None

    # --- state ----------------------------------------------------------------------------------------------------
    async def save(self, state: State) -> None:
        """Raises Problem if another command has changed it meanwhile."""
        config = version.written(state, self.name, self.namespace, self.main)
        try:
            if self.config is None:
                self.config = await self.client.create(config)
            else:
                config["metadata"]["resourceVersion"] = self.config["metadata"]["resourceVersion"]
                self.config = await self.client.replace(config)
        except (Conflict, NotFound) as error:
            message = f"somebody else has changed {self.name} at the same time"
            raise Problem(Code.REFUSED, message, "Look what serves, and give the command again.") from error
        self.state = state

    # --- InferenceServices ----------------------------------------------------------------------------------------
    @property
    def canary(self) -> str:
        return predictor.canary_of(self.name)

    def owner(self) -> Object:
        """The reference of what is deleted with the service."""
        assert self.main is not None
        return version.owned_by(self.main)

    async def put(self, wanted: Version) -> None:
        """The service gets this version. The ConfigMap belongs to the service from then on."""
        created = self.main is None
        self.main = await self.client.apply(predictor.inference_service(self.name, self.namespace, wanted))
        if created:
            await self.save(self.state)

    async def put_canary(self, wanted: Version) -> None:
        found = await self._get(kinds.INFERENCE_SERVICE, self.canary)
        if found is not None and not self._owns(found):
            message = f"the InferenceService {self.canary} exists, and is not the canary of {self.name}"
            raise Problem(Code.REFUSED, message, OTHER)
        await self.client.apply(predictor.inference_service(self.canary, self.namespace, wanted, self.owner()))

    def _owns(self, obj: Object) -> bool:
        owners = obj["metadata"].get("ownerReferences") or ()
        return self.owner()["uid"] in [each["uid"] for each in owners]

    async def remove(self) -> None:
        """The service, before any version of it has answered, and what belongs to it."""
        assert self.main is not None
        assert self.config is not None
        await self._delete(self.main)
        await self.client.delete(kinds.CONFIG_MAP, self.namespace, version.state_name(self.name), self.config["metadata"]["uid"])
        self.state, self.main, self.config = State(), None, None

    async def remove_canary(self) -> None:
        """Leaves an InferenceService of that name that is not the canary of this service."""
        found = await self._get(kinds.INFERENCE_SERVICE, self.canary)
        if found is not None and self._owns(found):
            await self._delete(found)

    async def _delete(self, obj: Object) -> None:
        """Waits for the end of this InferenceService, which has a finalizer of KServe. A later one of the same name is left."""
        name, uid = obj["metadata"]["name"], obj["metadata"]["uid"]
        await self.client.delete(kinds.INFERENCE_SERVICE, self.namespace, name, uid)
        until = time.monotonic() + GONE
        while (found := await self._get(kinds.INFERENCE_SERVICE, name)) is not None and found["metadata"]["uid"] == uid:
            if time.monotonic() >= until:
                message = f"KServe has not removed the InferenceService {name} within {GONE:g} s"
                raise Problem(Code.NOT_SERVED, message, "Look at the log of KServe's controller, and give the command again.")
            await asyncio.sleep(LOOK)

    # --- traffic --------------------------------------------------------------------------------------------------
    async def route(self) -> Object | None:
        """The HTTPRoute; None if there is none, or the cluster has no Gateway API. Raises Problem if it is not of `panal serve`."""
        found = await self._get(kinds.HTTP_ROUTE, self.name)
        if found is not None and not version.is_ours(found):
            raise Problem(Code.REFUSED, f"the HTTPRoute {self.name} exists, and `panal serve` has not created it", OTHER)
        return found

    async def remove_route(self) -> None:
        await self.client.delete(kinds.HTTP_ROUTE, self.namespace, self.name)

    async def split(self, gateway: str, hostname: str, weights: dict[str, int]) -> str:
        """Routes by these weights. Returns why the Gateway does not do it within ROUTED seconds; empty if it does."""
        wanted = await self.client.apply(route.http_route(self.name, self.namespace, gateway, hostname, weights, self.owner()))
        until = time.monotonic() + ROUTED
        while why := route.problem(wanted):
            if time.monotonic() >= until:
                return why
            await asyncio.sleep(LOOK)
            wanted = await self.client.get(kinds.HTTP_ROUTE, self.namespace, self.name)
        return ""
