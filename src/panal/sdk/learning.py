"""`FederatedLearning`: a run, as the resource on a hub and as calls that read and change it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import aclosing
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import yaml

from panal.api.history import Round
from panal.api.parse import ParseError, parse_spec
from panal.api.status import ENDED
from panal.api.types import Spec, Status
from panal.client import apply as applying
from panal.client import apps, controller_lease, deleting, following, history, spec_changes
from panal.client.access import Access
from panal.client.apps import App
from panal.client.finding import find
from panal.client.manifest import manifest, merged, named
from panal.client.problem import Code, Problem
from panal.client.telling import by_lines
from panal.kube import kinds
from panal.kube.client import Client, Selector
from panal.kube.objects import Object
from panal.sdk import loop
from panal.sdk.model import Model, fetched
from panal.sdk.place import File, Place, checked_image
from panal.sdk.progress import Progress, RunFailed, progress_of

T = TypeVar("T")


def nothing(_: str) -> None:
    pass


class FederatedLearning:
    """A run: one resource FederatedLearning. Make one with `from_app`, or attach to one with `get`.

    `status`, `history` and `model` ask the API server: nothing that they return is older than the call. Calls raise `Problem`, whose text
    says what to do.
    """

    def __init__(self, resource: Object, place: Place, access: Access | None = None, app: App | None = None) -> None:
        """Not for users. `app` is to be packaged; `access` is None until the local platform is up."""
        self._resource = resource
        self._wanted = resource
        self._place = place
        self._access = access
        self._app = app

    # --- to make one, or find one -----------------------------------------------------------------------------------
    @classmethod
    def from_app(
        cls,
        folder: File,
        *,
        name: str | None = None,
        namespace: str | None = None,
        rounds: int | None = None,
        clients: int | None = None,
        run_config: Mapping[str, Any] | None = None,
        image: str | None = None,
        data: File | None = None,
        data_claim: str | None = None,
        initial_model: str | FederatedLearning | None = None,
        spec: Mapping[str, Any] | None = None,
        kubeconfig: File | None = None,
        context: str | None = None,
        home: File | None = None,
    ) -> FederatedLearning:
        """A run of an app's folder, which has a pyproject.toml. Nothing is started before `apply`.

        `name`: without one, `apply` gives it the app's name and the next number. `namespace`: without one, that of the kubeconfig's
        context. `rounds`: without it, as in pyproject.toml. `clients`: how many clusters the start and each round need; without it as many
        as the app's run config says, else all clusters of the local platform, and 1 on a hub. `run_config`: values for keys that the app
        declares, with dots for tables. `initial_model`: the run, or its name, with whose model this one begins, in the same namespace.

        `image`: the app's image; on a hub it is required, and on the local platform the image is made from the folder without it.
        `data`: on the local platform, a folder with one folder of data for each cluster. `data_claim`: on a hub, the ClusterClaim by which
        sites announce their data; without it the app needs none. `spec`: further fields of the resource's spec, such as
        `{"server": {"listeners": [...]}, "validation": {...}}`; objects are merged, everything else is replaced.

        `kubeconfig` and `context` choose a hub, `home` the folder of the local platform; without them it is the hub of KUBECONFIG, else
        the local platform, which `apply` starts if it is not up. Raises Problem for an invalid app or field.
        """
        place = Place.of(kubeconfig, context, home)
        if isinstance(initial_model, FederatedLearning):
            initial_model._uid()  # a run that was not applied has no model
            initial_model = initial_model.name
        app = apps.read(
            Path(folder).expanduser(), rounds, Path(data) if data is not None else None, run_config or {}, initial_model, clients
        )
        if image is None and place.is_local():
            target = place.platform().target(place.home, app)
            resource = manifest(app, target.image, app.needed(target.clusters), target.data_claim, name or "", namespace or "")
            return cls(_checked(resource, spec), place, app=app)
        if data is not None:
            raise Problem(Code.USAGE, "data is for the local platform, which makes the image", "On a hub, give the sites' data_claim.")
        resource = manifest(app, checked_image(image), app.min_clients or 1, data_claim or "", name or "", namespace or "")
        return cls(_checked(resource, spec), place, access=place.access())

    @classmethod
    def get(
        cls,
        name: str,
        namespace: str | None = None,
        *,
        kubeconfig: File | None = None,
        context: str | None = None,
        home: File | None = None,
    ) -> FederatedLearning:
        """A run that exists, in `namespace` or in any namespace. Raises Problem if there is none, or more than one."""
        place = Place.of(kubeconfig, context, home)
        access = place.access()

        async def work() -> Object:
            async with access.open() as client:
                return await find(client, name, namespace)

        return cls(loop.call(work(), str(access)), place, access)

    @classmethod
    def list(
        cls, namespace: str | None = None, *, kubeconfig: File | None = None, context: str | None = None, home: File | None = None
    ) -> list[FederatedLearning]:
        """The runs of a namespace, or of all namespaces, the oldest first."""
        place = Place.of(kubeconfig, context, home)
        access = place.access()

        async def work() -> list[Object]:
            async with access.open() as client:
                return (await client.list(kinds.FEDERATED_LEARNING, Selector(namespace or ""))).items

        found = sorted(loop.call(work(), str(access)), key=lambda run: str(run["metadata"]["creationTimestamp"]))
        return [cls(run, place, access) for run in found]

    # --- the resource -----------------------------------------------------------------------------------------------
    @property
    def name(self) -> str:
        """Empty until `apply` has chosen it."""
        return str(self._resource["metadata"].get("name", ""))

    @property
    def namespace(self) -> str:
        """Empty until `apply` has chosen it."""
        return str(self._resource["metadata"].get("namespace", ""))

    @property
    def spec(self) -> Spec:
        """The spec as it was applied or read, with the defaults."""
        return parse_spec(self._resource)

    def manifest(self) -> dict[str, Any]:
        """The resource as `kubectl apply` takes it; without a name, it has `generateName` for `kubectl create`."""
        wanted = self._wanted
        metadata = {key: value for key, value in wanted["metadata"].items() if key in ("name", "generateName", "namespace")}
        return deepcopy({**{key: wanted[key] for key in ("apiVersion", "kind")}, "metadata": metadata, "spec": wanted["spec"]})

    def to_yaml(self) -> str:
        """`manifest()` as YAML."""
        return yaml.safe_dump(self.manifest(), sort_keys=False)

    def __repr__(self) -> str:
        where = str(self._access) if self._access else "the local platform"
        name = f"{self.namespace}/{self.name}" if self.name else "not applied yet,"
        return f"FederatedLearning({name} on {where})"

    # --- to start and follow it -------------------------------------------------------------------------------------
    def apply(self, *, say: Callable[[str], None] = nothing) -> FederatedLearning:
        """Applies the resource by server-side apply, and returns the run. On the local platform it first starts the platform if it is not
        up, and makes the app's image, as `panal run` does; `say` gets lines about that. Raises Problem, also if a run of that name has
        ended already."""
        run = loop.call(self._applied(say), str(self._access) if self._access else "")
        self._resource = run
        place = {key: run["metadata"][key] for key in ("name", "namespace")}
        self._wanted = self._wanted | {"metadata": place}
        if (phase := (run.get("status") or {}).get("phase")) in ENDED:
            remedy = "Delete it (`delete()`) to run it again, or give another name."
            raise Problem(Code.REFUSED, f"{self.name} has ended already, as {phase}: nothing was started", remedy)
        return self

    async def _applied(self, say: Callable[[str], None]) -> Object:
        if self._app:
            tell = by_lines(say)
            self._access, run = await asyncio.to_thread(
                self._place.platform().start, self._place.home, self._app, self.manifest(), tell
            )  # it runs loops of its own
            return run
        async with self._hub().open() as client:
            return await _applied_to(client, self.manifest())

    def watch(self, timeout: float | None = None) -> Iterator[Progress]:
        """Yields the run's progress now, and after each change, until it has ended. The last one says whether it Completed or Failed.

        What changes while the caller is busy is one change: `history` has every round. It continues over failures of the network and of the
        API server, and says then that what it yields may be out of date (`Progress.current`). Raises Problem after `timeout` seconds, if
        the run is deleted, and if the API server does not answer for two minutes.
        """
        name, namespace = self._named()
        overdue = f"{name} has not ended within {timeout:g} s" if timeout is not None else ""
        return loop.iterate(self._changes(namespace, name), str(self._hub()), timeout, overdue)

    async def _changes(self, namespace: str, name: str) -> AsyncGenerator[Progress, None]:
        woken = asyncio.Event()
        silent_since: datetime | None = None

        def tell(since: datetime | None) -> None:
            nonlocal silent_since
            silent_since = since
            woken.set()

        async with self._hub().open() as client:
            telling = asyncio.create_task(controller_lease.tell(client, tell))
            try:
                async with aclosing(following.follow(client, namespace, name, self._uid(), woken)) as changes:
                    async for seen in changes:
                        yield progress_of(seen.run or self._resource, seen.unavailable, silent_since)
            finally:
                telling.cancel()
                await asyncio.gather(telling, return_exceptions=True)

    def wait(self, timeout: float | None = None) -> Progress:
        """Waits until the run has ended, and returns how. Raises RunFailed if it Failed, and Problem as `watch` does."""
        (last,) = deque(self.watch(timeout), maxlen=1)
        if last.phase == "Failed":
            raise RunFailed(last)
        return last

    # --- to read it -------------------------------------------------------------------------------------------------
    @property
    def status(self) -> Status:
        """The status as the controller has written it; asks the API server."""
        return progress_of(self._read()).status

    def history(self) -> Sequence[Round]:
        """The rounds, the oldest first, with the metrics of each cluster; empty before the first round."""

        async def work(client: Client, run: Object) -> Sequence[Round]:
            try:
                return (await history.read(client, run)).rounds
            except Problem as problem:
                if problem.code == Code.NOT_FOUND:
                    return ()
                raise

        return self._with_run(work)

    def model(self, to: File | None = None, *, say: Callable[[str], None] = nothing) -> Model:
        """Downloads the stored model to the file or folder `to` (default: NAME.safetensors in the current folder), and checks its digest.
        While the run goes on, it is the model of the last stored round. A file that has the digest is not downloaded again. Raises Problem
        if there is none."""
        target = Path(to).expanduser() if to is not None else None
        access = self._hub()
        return self._with_run(lambda client, run: fetched(access, client, run, target, say))

    # --- to change it -----------------------------------------------------------------------------------------------
    def suspend(self) -> None:
        """Ends the run's Pods until `resume`."""
        self._with_run(lambda client, run: spec_changes.switch(client, run, "suspend", True))

    def resume(self) -> None:
        """Lets a suspended run go on after its last stored round."""
        self._with_run(lambda client, run: spec_changes.switch(client, run, "suspend", False))

    def stop(self) -> None:
        """Ends the run for good: it becomes Failed with the reason Stopped."""
        self._with_run(lambda client, run: spec_changes.switch(client, run, "stop", True))

    def delete(self, timeout: float | None = None) -> None:
        """Deletes the run and its collaborators, and waits until they are gone, at most `timeout` seconds. What it stored is kept."""
        self._with_run(lambda client, run: deleting.delete(client, run, timeout))

    # --- how ---------------------------------------------------------------------------------------------------------
    def _named(self) -> tuple[str, str]:
        """Raises Problem before `apply`."""
        self._uid()
        return self.name, self.namespace

    def _uid(self) -> str:
        uid = self._resource["metadata"].get("uid")
        if not uid:
            raise Problem(Code.USAGE, "the run was not applied yet", "Call `apply()`, or attach to a run with FederatedLearning.get(NAME).")
        return str(uid)

    def _hub(self) -> Access:
        if self._access is None:
            self._access = self._place.access()
        return self._access

    def _read(self) -> Object:
        async def work(_: Client, run: Object) -> Object:
            return run

        return self._with_run(work)

    def _with_run(self, work: Callable[[Client, Object], Coroutine[Any, Any, T]]) -> T:
        """Calls `work` with the run as it is now. Raises Problem if it was deleted."""
        name, namespace = self._named()
        access = self._hub()

        async def done() -> T:
            async with access.open() as client:
                run = await client.get(kinds.FEDERATED_LEARNING, namespace, name)
                return await work(client, following.same(run, name, self._uid()))

        return loop.call(done(), str(access))


def _checked(resource: Object, spec: Mapping[str, Any] | None) -> Object:
    """The resource with further fields. Raises Problem for a value that the schema does not allow."""
    made = resource | {"spec": merged(resource["spec"], spec or {})}
    try:
        parse_spec(made)
    except ParseError as error:
        raise Problem(Code.USAGE, str(error), "docs/reference/federatedlearning.md lists the fields.") from error
    return made


async def _applied_to(client: Client, run: Object) -> Object:
    metadata = {"namespace": client.namespace, **run["metadata"]}
    placed = run | {"metadata": metadata}
    if metadata.get("name"):
        (made,) = await applying.apply(client, [placed], None, create_namespace=False)
        return made
    taken = (await client.list(kinds.FEDERATED_LEARNING, Selector(metadata["namespace"]))).items
    return await client.create(named(placed, {each["metadata"]["name"] for each in taken}))
