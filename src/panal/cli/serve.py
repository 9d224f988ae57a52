"""`panal serve`: a run's model becomes an InferenceService of KServe, with the user's permissions.

Every change is written into the state first, made then, and proven by an answer of the model. What does not answer is taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from panal.cli import output
from panal.cli.proving import Asking, NotServed, Proof, prove
from panal.cli.rollout import abandon_canary, all_to_main, end_canary, goes_on, replace, restore
from panal.cli.run import done
from panal.cli.served import Service
from panal.client.access import Access
from panal.client.finding import find
from panal.client.problem import Code, Problem
from panal.kube import kinds
from panal.kube.errors import ApiError, NotFound
from panal.kube.objects import Object
from panal.serving import gate, predictor, route
from panal.serving.gate import Better, Requirement
from panal.serving.predictor import Content, Runtime
from panal.serving.version import State, Version

Say = Callable[[str], None]


class Action(StrEnum):
    SERVE = "serve"
    CANARY = "canary"
    PROMOTE = "promote"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Wanted:
    """`name`: of the service, empty for the run's. `runtime`: an image, or the name of a runtime. `gateway`: NAMESPACE/NAME, or empty."""

    action: Action
    name: str
    asking: Asking
    runtime: str = ""
    format: str = ""
    service_account: str = ""
    content: Content | None = None
    requirements: Sequence[Requirement] = ()
    better: Sequence[Better] = ()
    percent: int = 0
    gateway: str = ""
    hostname: str = ""
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    text: str
    proof: Proof | None = None


def serve(access: Access, name: str, namespace: str | None, wanted: Wanted) -> Code:
    async def work() -> Code:
        async with access.open() as client:
            run = await find(client, name, namespace)
            service = await Service.find(client, run["metadata"]["namespace"], wanted.name or name)
            with output.steps(f"{wanted.action} {service.name}") as say:
                outcome = await ACTIONS[wanted.action](service, run, wanted, say)
        _tell(service, wanted, outcome)
        return Code.OK

    try:
        return done(work(), access)
    except Problem as problem:
        if problem.code != Code.INTERRUPTED:
            raise
        back = f"panal serve {name}{f' --name {wanted.name}' if wanted.name else ''} --rollback"
        message = "interrupted; the version that was to be served has not been proven to answer"
        raise Problem(problem.code, message, f"Give the command again, or go back with `{back}`.") from problem


# --- actions ------------------------------------------------------------------------------------------------------
async def _serve(service: Service, run: Object, wanted: Wanted, say: Say) -> Outcome:
    if service.state.canary:
        message = f"{service.name} has a canary, the model of {service.state.canary.run}"
        raise Problem(Code.REFUSED, message, "End it with --promote or --rollback first.")
    _pass_gate(service, run, wanted)
    await _needs_gateway(service, wanted)
    version = await _version(service, run, wanted)
    if (other := service.state.pending) and other.uid != version.uid:
        output.warn(f"the model of {other.run} was to be served by {service.name}, and has not been proven to answer; it is replaced")
    proof = await replace(service, version, wanted.asking, say)
    if wanted.gateway:
        await all_to_main(service, wanted.gateway, wanted.hostname)
    return Outcome(_answers(service.name, version, proof), proof)


async def _canary(service: Service, run: Object, wanted: Wanted, say: Say) -> Outcome:
    state = service.state
    if state.pending:
        message = f"it is not known whether {service.name} serves the model of {state.pending.run}: that command was interrupted"
        raise Problem(
            Code.REFUSED, message, f"Serve that run again, or give `panal serve {state.pending.run} --name {service.name} --rollback`."
        )
    if state.serving is None:
        message = f"{service.name} has no version that serves, beside which a canary could run"
        raise Problem(Code.REFUSED, message, "Serve a run without --canary first.")
    if state.canary and state.canary.uid != run["metadata"]["uid"]:
        message = f"{service.name} has another canary, the model of {state.canary.run}"
        raise Problem(Code.REFUSED, message, "End it with --promote or --rollback first.")
    _pass_gate(service, run, wanted)
    gateway, hostname = await _needs_gateway(service, wanted)
    before = await service.route()
    version = await _version(service, run, wanted)
    await service.save(State(state.serving, state.previous, canary=version))
    try:
        await service.put_canary(version)
    except (ApiError, Problem):
        await service.save(state)
        raise
    try:
        proof = await prove(service, service.canary, version, wanted.asking, say)
        weights = {service.name: 100 - wanted.percent, service.canary: wanted.percent}
        if why := await service.split(gateway, hostname, weights):
            raise NotServed(f"the Gateway {gateway} does not split the requests: {why}")
    except NotServed as failed:
        await abandon_canary(service, before)
        message = f"{failed}. The canary is removed, and {service.name} continues with the model of {state.serving.run}"
        raise Problem(Code.NOT_SERVED, message, "Correct what the message says, and give the command again.") from failed
    text = f"{wanted.percent} % of the requests to {hostname} go to it, the others to the model of {state.serving.run}"
    return Outcome(f"{_answers(service.canary, version, proof)}; {text}", proof)


async def _promote(service: Service, run: Object, wanted: Wanted, say: Say) -> Outcome:
    canary = service.state.canary
    if canary is None or canary.uid != run["metadata"]["uid"]:
        other = f"its canary is the model of {canary.run}" if canary else "it has no canary"
        message = f"the model of {run['metadata']['name']} is no canary of {service.name}: {other}"
        raise Problem(Code.REFUSED, message, "Start it with --canary PERCENT.")
    _pass_gate(service, run, wanted)
    proof = await replace(service, canary, wanted.asking, say)
    await end_canary(service)
    return Outcome(f"{_answers(service.name, canary, proof)}; the canary is removed", proof)


async def _rollback(service: Service, run: Object, wanted: Wanted, say: Say) -> Outcome:
    state, uid, name = service.state, run["metadata"]["uid"], run["metadata"]["name"]
    if state.going_back and state.serving and state.serving.uid == uid:
        return await _back(service, wanted, say)
    current = state.pending or state.canary or state.serving
    if current is None or current.uid != uid:
        there = f"it is the model of {current.run} that would be rolled back" if current else "no run is served"
        raise Problem(Code.REFUSED, f"{service.name} does not serve the model of {name}: {there}", "Name that run.")
    if state.pending:
        proof = await restore(service, wanted.asking, say)
        if state.canary:
            await end_canary(service)
        return Outcome(f"the model of {name} had not been proven to answer. {goes_on(service)}", proof)
    if state.canary:
        await end_canary(service)
        return Outcome(f"the canary with the model of {name} is removed. {goes_on(service)}")
    if state.previous is None:
        raise Problem(Code.NOT_FOUND, f"{service.name} has no version before the model of {name}", "Serve another run instead.")
    return await _back(service, wanted, say)


async def _back(service: Service, wanted: Wanted, say: Say) -> Outcome:
    previous = service.state.previous
    assert previous
    proof = await replace(service, previous, wanted.asking, say, back=True)
    return Outcome(_answers(service.name, previous, proof), proof)


ACTIONS = {Action.SERVE: _serve, Action.CANARY: _canary, Action.PROMOTE: _promote, Action.ROLLBACK: _rollback}


# --- steps --------------------------------------------------------------------------------------------------------
def _pass_gate(service: Service, run: Object, wanted: Wanted) -> None:
    serving = service.state.serving
    if why := gate.refusals(run, wanted.requirements, wanted.better, serving.metrics if serving else None):
        message = f"the model of {run['metadata']['name']} may not be served: {'; '.join(why)}"
        raise Problem(Code.GATE, message, "Nothing was changed. Train on, or serve another run.")


async def _version(service: Service, run: Object, wanted: Wanted) -> Version:
    try:
        metrics = gate.measured(run["status"])
        return predictor.version(run, service.name, await _runtime(service, wanted), metrics, wanted.content)
    except predictor.NotServableError as error:
        raise Problem(Code.REFUSED, str(error), error.remedy) from error
    except ValueError as error:
        raise Problem(Code.REFUSED, str(error), "Correct --runtime, --protocol or --format.") from error


async def _runtime(service: Service, wanted: Wanted) -> Runtime:
    given = Runtime(wanted.asking.protocol, format=wanted.format, service_account=wanted.service_account)
    if predictor.is_image(wanted.runtime):
        return Runtime(given.protocol, image=wanted.runtime, service_account=given.service_account)
    for kind, namespace in ((kinds.SERVING_RUNTIME, service.namespace), (kinds.CLUSTER_SERVING_RUNTIME, "")):
        try:
            spec = (await service.client.get(kind, namespace, wanted.runtime))["spec"]
        except NotFound:
            continue
        return Runtime(given.protocol, name=wanted.runtime, spec=spec, format=given.format, service_account=given.service_account)
    message = f"there is no ServingRuntime {wanted.runtime} in {service.namespace}, and no ClusterServingRuntime of that name"
    raise Problem(Code.NOT_FOUND, message, "An image has a tag or a registry: REGISTRY/NAME:TAG.")


async def _needs_gateway(service: Service, wanted: Wanted) -> tuple[str, str]:
    """The Gateway and the host name: given, or those of the HTTPRoute. Raises Problem before anything is changed."""
    if not wanted.gateway and wanted.action != Action.CANARY:
        return "", ""
    if not await service.client.serves(kinds.HTTP_ROUTE):
        raise Problem(Code.NOT_FOUND, "this cluster has no HTTPRoutes", "Install the Gateway API and a controller for it.")
    found = await service.route()
    if wanted.gateway:
        return wanted.gateway, wanted.hostname
    if found is None:
        message = f"{service.name} has no HTTPRoute, which splits the requests"
        raise Problem(Code.USAGE, message, "Give --gateway NAMESPACE/NAME and --hostname NAME.")
    return route.address(found)


# --- output -------------------------------------------------------------------------------------------------------
def _answers(name: str, version: Version, proof: Proof) -> str:
    if proof.digest:
        return f"{name} answers with the model of {version.run}, {proof.digest}, as the answer states"
    why = f"the runtime states no digest that could be compared, but all its Pods ({', '.join(proof.pods)}) have {version.uri}"
    return f"{name} answers with the model of {version.run}: {why}"


def _tell(service: Service, wanted: Wanted, outcome: Outcome) -> None:
    if not wanted.as_json:
        output.line(outcome.text)
        return
    state, proof = service.state, outcome.proof
    output.as_json(
        {"service": service.name, "namespace": service.namespace, "action": str(wanted.action), "message": outcome.text}
        | {each: _described(getattr(state, each)) for each in ("serving", "previous", "canary")}
        | {"proof": {"digest": proof.digest, "pods": list(proof.pods), "answer": proof.answer} if proof else None}
    )


def _described(version: Version | None) -> dict[str, Any] | None:
    if version is None:
        return None
    found = {"run": version.run, "uid": version.uid, "round": version.round, "uri": version.uri, "revision": version.revision}
    return found | {"digests": list(version.digests), "metrics": version.metrics}
