"""The steps by which a service changes its version. Each can be interrupted at any moment: the state says what was meant.

What has not answered is taken back, and what served before is proven again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from panal.cli.proving import Asking, NotServed, Proof, prove
from panal.cli.served import Service
from panal.client.problem import Code, Problem
from panal.kube import kinds
from panal.kube.errors import ApiError
from panal.kube.objects import Object
from panal.serving import predictor, route
from panal.serving.version import State, Version

Say = Callable[[str], None]


async def replace(service: Service, version: Version, asking: Asking, say: Say, back: bool = False) -> Proof:
    """The service gets the version. Raises Problem if it does not answer; then what served before continues."""
    before = service.state
    await service.save(dataclasses.replace(before, pending=version))
    try:
        await service.put(version)
    except ApiError:
        await service.save(before)
        raise
    try:
        proof = await prove(service, service.name, version, _suited(asking, version), say)
    except NotServed as failed:
        await restore(service, asking, say, failed)
        message = f"{failed}. {goes_on(service)}"
        raise Problem(Code.NOT_SERVED, message, "Correct what the message says, and give the command again.") from failed
    await service.save(service.state.returned() if back else service.state.proven())
    return proof


async def restore(service: Service, asking: Asking, say: Say, why: NotServed | None = None) -> Proof | None:
    """Takes the pending version back. Raises Problem if the previous one does not answer either, or is not known."""
    await service.save(service.state)  # first: another command may have proven its own version meanwhile
    serving = service.state.serving
    if serving is None and service.state.adopted:
        message = f"{f'{why}. ' if why else ''}The state of {service.name}, which said what it served before, was gone: it is left as it is"
        remedy = f"Serve a run whose model answers, or delete the InferenceService {service.name}."
        raise Problem(Code.NOT_SERVED, message, remedy) from why
    if serving is None:
        await service.remove()
        return None
    await service.put(serving)
    try:
        proof = await _prove_again(service, serving, _suited(asking, serving), say)
    except NotServed as failed:
        message = f"{f'{why}. ' if why else ''}{service.name} got the model of {serving.run} again, but {failed}"
        raise Problem(Code.NOT_SERVED, message, f"Look at its Pods: `kubectl -n {service.namespace} get pods`.") from failed
    await service.save(State(serving, service.state.previous, None, service.state.canary))
    return proof


async def _prove_again(service: Service, version: Version, asking: Asking, say: Say) -> Proof:
    """By its metadata first: the probe can be what failed."""
    try:
        return await prove(service, service.name, version, dataclasses.replace(asking, probe=None), say)
    except NotServed:
        if asking.probe is None:
            raise
        return await prove(service, service.name, version, asking, say)


def _suited(asking: Asking, version: Version) -> Asking:
    """A version that served before may have another protocol, in which the probe means nothing."""
    protocol = predictor.protocol(version.predictor)
    return dataclasses.replace(asking, protocol=protocol, probe=asking.probe if protocol == asking.protocol else None)


def goes_on(service: Service) -> str:
    serving = service.state.serving
    if serving is None:
        return f"No version of {service.name} has answered before, and it is removed"
    return f"{service.name} continues with the model of {serving.run}"


async def all_to_main(service: Service, gateway: str, hostname: str) -> None:
    if why := await service.split(gateway, hostname, {service.name: 100}):
        message = f"{service.name} serves the model inside the cluster, but the Gateway {gateway} does not lead to it: {why}"
        remedy = f"Correct the Gateway or the options, or delete the HTTPRoute {service.name}, and give the command again."
        raise Problem(Code.NOT_SERVED, message, remedy)


async def end_canary(service: Service) -> None:
    """Raises Problem, and leaves the canary, if the Gateway continues to send requests to it."""
    await service.save(service.state)  # first: another command may have changed the service meanwhile
    found = await service.route() if await service.client.serves(kinds.HTTP_ROUTE) else None
    if found is not None:
        await all_to_main(service, *route.address(found))
    await service.remove_canary()
    await service.save(State(service.state.serving, service.state.previous, service.state.pending))


async def abandon_canary(service: Service, before: Object | None) -> None:
    """The canary has failed. `before`: the HTTPRoute that there was."""
    await service.save(service.state)  # first: another command may have changed the service meanwhile
    if before is None:
        await service.remove_route()
    else:
        await service.split(*route.address(before), {service.name: 100})
    await service.remove_canary()
    await service.save(State(service.state.serving, service.state.previous))
