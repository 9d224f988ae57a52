"""Admits the Pods of runs, and stops them: what the SitePolicy says about each Pod is told to the hub by a condition of the Pod, and done.

A Pod begins with a scheduling gate; only a Pod that is allowed loses it, after that is in the ledger. A Pod that is not allowed any more,
or that has no gate without having been allowed, is deleted at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from panal.api import names
from panal.kube import kinds
from panal.kube.cache import Cache
from panal.kube.client import Client
from panal.kube.kinds import Kind
from panal.kube.loop import Loop
from panal.kube.objects import Key, Object, condition, key_of, uid_of, version_of
from panal.kube.times import to_time
from panal.site.accounts import decided
from panal.site.codes import Code
from panal.site.decide import Decision, Left, Verdict, next_change
from panal.site.entries import Kind as EntryKind
from panal.site.in_force import InForce, Judgement, gated, in_force, judged, judgement, request_of
from panal.site.in_force import condition as told
from panal.site.request import Asked, NotRecognizedError, images
from panal.site_controller.book import Book, LedgerUnavailableError
from panal.site_controller.traffic import Traffic, about_pod

log = logging.getLogger(__name__)

POLICY = Key("", names.SITE_POLICY)
LOOK_AGAIN = 60.0  # seconds: the longest time between two looks at the clock where hours matter
MOST_NOT_ALLOWED = 100  # Pods that are not, and whose requests are in the ledger
RETRY = 5.0  # seconds, while there is no ledger


class Gate:
    """Needs `cache` to have SITE_POLICY, and POD of the namespace of collaborators."""

    def __init__(self, client: Client, cache: Cache, book: Book, now: Callable[[], datetime]) -> None:
        self.traffic: Traffic  # set by whoever makes both
        self._client = client
        self._cache = cache
        self._book = book
        self._now = now
        self._loop = Loop("site policy", cache, self._concerns, self._reconcile)
        self._policy: tuple[str, InForce] = ("", InForce())

    async def run(self) -> None:
        """Until cancelled."""
        self.look_at_all()
        await self._loop.run()

    def look_at(self, pod: str) -> None:
        self._loop.look_at(Key(names.COLLABORATOR_NAMESPACE, pod))

    def look_at_all(self) -> None:
        """Also at Pods that the ledger knows, and that may be gone."""
        self._loop.look_at(POLICY)
        for name in {pod.name for pod in self._book.accounts.pods.values()} | {key_of(pod).name for pod in self._cache.list(kinds.POD)}:
            self.look_at(name)

    def policy(self) -> InForce:
        found = self._cache.get(kinds.SITE_POLICY, *POLICY)
        version = version_of(found) if found else ""
        if version != self._policy[0]:
            self._policy = version, in_force(found)
        return self._policy[1]

    def judge(self, request: Asked) -> Callable[[Left], Decision]:
        return lambda left: judged(self.policy(), request, self._now(), left, self._book.problem)

    def admitted(self, pod: Object) -> Asked | None:
        """What a Pod asked that has been allowed, and is still the same; else None."""
        request = request_of(pod)
        known = self._book.accounts.pods.get(uid_of(pod))
        if gated(pod) or known is None or isinstance(request, NotRecognizedError) or known.allowed != request.id:
            return None
        return request

    # --- the loop ---------------------------------------------------------------------------------------------------
    def _concerns(self, kind: Kind, obj: Object) -> Iterable[Key]:
        if kind == kinds.SITE_POLICY:
            return (POLICY, *(key_of(pod) for pod in self._cache.list(kinds.POD)))
        return (key_of(obj),) if kind == kinds.POD else ()

    async def _reconcile(self, key: Key) -> float | None:
        try:
            if key == POLICY:
                await self._note_policy()
            else:
                await self._look(key)
        except LedgerUnavailableError:
            return RETRY
        now = self._now()
        change = next_change(self.policy().spec, now)
        return None if change is None else min(LOOK_AGAIN, max(0.0, (change - now).total_seconds()) + 0.1)

    async def _note_policy(self) -> None:
        policy = self.policy()
        found = self._cache.get(kinds.SITE_POLICY, *POLICY) or {}
        entry = {"spec": found.get("spec") or {}, "generation": policy.generation, "problem": policy.problem}
        if entry != self._book.accounts.policy and (found or self._book.accounts.policy):
            await self._book.write(EntryKind.POLICY, **{name: value for name, value in entry.items() if name != "problem" or value})
            log.info(
                "the SitePolicy has the generation %d%s",
                policy.generation,
                f", and is not valid: {policy.problem}" if policy.problem else "",
            )

    async def _look(self, key: Key) -> None:
        pod = self._cache.get(kinds.POD, *key)
        uid = uid_of(pod) if pod else ""
        if pod:
            await (self._gated(pod) if gated(pod) else self._running(pod))
        for other, known in list(self._book.accounts.pods.items()):
            if known.name == key.name and other != uid:
                await self.traffic.end(other, known)
                self._look_at_waiting()

    def _look_at_waiting(self) -> None:
        """What a run has reserved of a privacy budget is free when it ends."""
        for pod in self._cache.list(kinds.POD):
            if gated(pod):
                self.look_at(key_of(pod).name)

    async def _gated(self, pod: Object) -> None:
        if pod["metadata"].get("deletionTimestamp"):
            return
        try:
            async with self.traffic.deciding:
                found = self._judged(pod)
                if self._crowded(uid_of(pod), found.decision):
                    text = f"{MOST_NOT_ALLOWED} Pods that are not allowed are here already"
                    found = Judgement(found.asked, Decision(Code.TOO_MANY_PODS, text))
                else:
                    await self._record(pod, found)
        except LedgerUnavailableError as error:
            await self._tell(pod, Decision(Code.LEDGER_UNAVAILABLE, str(error)))
            raise
        fresh = await self._tell(pod, found.decision)
        if found.decision.verdict is Verdict.ALLOWED:
            await self._open(fresh, found)

    def _crowded(self, uid: str, decision: Decision) -> bool:
        """Whether a new Pod waits with its entries until others have gone, so that the hub cannot fill the ledger with them at once."""
        pods = self._book.accounts.pods
        if decision.verdict is Verdict.ALLOWED or uid in pods:
            return False
        return sum(not pod.allowed for pod in pods.values()) >= MOST_NOT_ALLOWED

    async def _open(self, pod: Object, found: Judgement) -> None:
        """Of the Pod as it is now, if it still asks the same."""
        request = request_of(pod)
        if isinstance(request, NotRecognizedError) or found.asked is None or request.id != found.asked.id:
            return
        rest = [gate for gate in pod["spec"]["schedulingGates"] if gate["name"] != names.SITE_GATE]
        seen = {"uid": uid_of(pod), "resourceVersion": version_of(pod)}
        await self._client.merge_patch(kinds.POD, *key_of(pod), {"metadata": seen, "spec": {"schedulingGates": rest or None}})
        log.info("%s may run: %s", pod["metadata"]["name"], found.decision.text)

    async def _running(self, pod: Object) -> None:
        known, name = self._book.accounts.pods.get(uid_of(pod)), pod["metadata"]["name"]
        if known is None or not known.allowed:
            spec = self.policy().spec
            if spec is None or name not in spec.own_pods:
                await self._stop(pod, None, Decision(Code.POD_NOT_RECOGNIZED, "it has no gate, and was never allowed"))
            return
        try:
            found = self._judged(pod)
        except LedgerUnavailableError as error:
            found = Judgement(None, Decision(Code.LEDGER_UNAVAILABLE, str(error)))
        if found.asked and found.decision.verdict is Verdict.ALLOWED and found.asked.id != known.allowed:
            found = Judgement(found.asked, Decision(Code.POD_NOT_RECOGNIZED, "it was changed after it had been allowed"))
        if found.decision.verdict is not Verdict.ALLOWED:
            await self._stop(pod, found.asked, found.decision)
            return
        if found.asked and (run := images(pod)) and run != known.images:
            await self._book.write(EntryKind.IMAGES, **about_pod(found.asked), images=run)
        if not pod["metadata"].get("deletionTimestamp"):
            unknown = Decision(Code.MESSAGE_NOT_RECOGNIZED, "it has sent what is no message")
            await self._tell(pod, unknown if self.traffic.unknown(uid_of(pod)) else found.decision)

    def _judged(self, pod: Object) -> Judgement:
        """Raises LedgerUnavailableError."""
        request = request_of(pod)
        left = Left() if isinstance(request, NotRecognizedError) else self.traffic.wanted(request.key)
        return judgement(self.policy(), request, self._now(), left, self._book.problem)

    # --- what is done -----------------------------------------------------------------------------------------------
    async def _record(self, pod: Object, found: Judgement) -> None:
        """What a gated Pod asks, and each decision about it that differs from the one before it."""
        uid, name = uid_of(pod), pod["metadata"]["name"]
        about: dict[str, Any] = about_pod(found.asked) if found.asked else {"pod": name, "podUid": uid}
        known = self._book.accounts.pods.get(uid)
        if found.asked and (known is None or known.asked != found.asked.id):
            await self._book.write(EntryKind.ASKED, **{**found.asked.record(), **about})
        decision = found.decision
        entry = {**about, "verdict": decision.verdict.value, "text": decision.text, "policy": self.policy().generation}
        entry |= ({"code": decision.code.value} if decision.code else {}) | ({"rule": decision.rule} if decision.rule else {})
        known = self._book.accounts.pods.get(uid)
        if known is None or known.decided != decided(entry):
            await self._book.write(EntryKind.DECIDED, **entry)
            log.info("%s: %s: %s", name, decision.code or decision.verdict.value, decision.text)

    async def _stop(self, pod: Object, request: Asked | None, decision: Decision) -> None:
        """Deletes first: that it is in no ledger must not keep a Pod alive."""
        uid, (namespace, name) = uid_of(pod), key_of(pod)
        known = self._book.accounts.pods.get(uid)
        await self._client.delete(kinds.POD, namespace, name, uid=uid, grace=0)
        if known and known.stopped:
            return
        log.info("%s was stopped: %s: %s", name, decision.code, decision.text)
        about: dict[str, Any] = about_pod(request) if request else {"pod": name, "podUid": uid}
        if known and known.allowed:
            about |= {"run": known.run, "uid": known.run_uid, "request": known.allowed}
        code = decision.code.value if decision.code else ""
        await self._book.write(
            EntryKind.STOPPED, **about, code=code, rule=decision.rule, text=decision.text, policy=self.policy().generation
        )

    async def _tell(self, pod: Object, decision: Decision) -> Object:
        """The Pod as it is then."""
        wanted, found = told(self.policy(), decision), condition(pod, names.SITE_GATE)
        if all(found.get(name, "") == value for name, value in wanted.items()):
            return pod
        since = found["lastTransitionTime"] if found.get("status") == wanted["status"] else to_time(self._now())
        namespace, name = key_of(pod)
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"namespace": namespace, "name": name, "uid": uid_of(pod)},
            "status": {"conditions": [{**wanted, "lastTransitionTime": since}]},
        }
        return await self._client.apply_status(body)
