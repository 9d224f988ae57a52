"""A site with privacy budgets: the site controller's gate, traffic and ledger, with Pods that come, ask, send and go. Its API server is a
cache in memory. No time passes but by `World.time`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import site_pods
from gated_pods import policy
from panal.api import names
from panal.evidence.ledger import checked
from panal.kube import kinds
from panal.kube.cache import Cache, Watched
from panal.kube.objects import Key, Object
from panal.site.accounts import Accounts, audited
from panal.site.in_force import gated
from panal.site_controller.book import Book, lines
from panal.site_controller.gate import Gate
from panal.site_controller.traffic import Traffic
from supernode_requests import OBJECT, PUSH, pushes, reply

KEY = Ed25519PrivateKey.generate()
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RULE = {"name": "studies", "data": ["pvc://digits", "pvc://scans"], "images": [site_pods.IMAGE]}


class Site:
    """Also what the gate needs of a client: it writes into the cache at once."""

    def __init__(self, folder: Path, *budgets: dict[str, Any], **rule: Any) -> None:
        self.folder, self.time = folder, 0.0
        self.cache = Cache(self, (Watched(kinds.SITE_POLICY), Watched(kinds.POD)))  # type: ignore[arg-type]
        self._version = 0
        self.allow(*budgets, **rule)

    async def start(self) -> None:
        """After it was killed as well: what was in memory is gone."""
        self.book = Book(self.folder, KEY, lambda: NOW, "1")
        await self.book.open()
        self.gate = Gate(self, self.cache, self.book, lambda: NOW)  # type: ignore[arg-type]
        self.traffic = self.gate.traffic = Traffic(self.book, self.folder, lambda _: None, lambda: self.time)
        await self.look()

    def kill(self) -> None:
        self.book.close()

    def allow(self, *budgets: dict[str, Any], **rule: Any) -> None:
        """Writes the SitePolicy."""
        body = policy({**RULE, **rule}, panalImages=[f"{site_pods.PANAL}/*"], privacyBudgets=list(budgets))
        self._put(kinds.SITE_POLICY, {**body, "metadata": {**body["metadata"], "generation": self._version}})

    def add(self, name: str, uid: str = "", **spec: Any) -> None:
        """A gated Pod of the run `name`. `spec` is the run's."""
        pod = site_pods.pod(said={"name": name, "uid": f"run-{name}"}, **spec)
        pod["metadata"] |= {"name": f"{name}-0", "uid": uid or f"pod-{name}"}
        self._put(kinds.POD, pod)

    def remove(self, name: str) -> None:
        self.cache._feeds[kinds.POD].store.remove(Key(names.COLLABORATOR_NAMESPACE, f"{name}-0"))

    async def look(self) -> None:
        """What the gate does when everything has changed."""
        await self.gate._reconcile(Key("", names.SITE_POLICY))
        known = {pod.name for pod in self.book.accounts.pods.values()} | {pod["metadata"]["name"] for pod in self.cache.list(kinds.POD)}
        for name in sorted(known):
            await self.gate._reconcile(Key(names.COLLABORATOR_NAMESPACE, name))

    def pod(self, name: str) -> Object | None:
        return self.cache.get(kinds.POD, names.COLLABORATOR_NAMESPACE, f"{name}-0")

    def works(self, name: str) -> bool:
        pod = self.pod(name)
        return pod is not None and not gated(pod)

    def told(self, name: str) -> str:
        """The reason that the hub gets."""
        pod = self.pod(name)
        found = (pod or {}).get("status", {}).get("conditions") or [{"reason": ""}]
        return str(found[0]["reason"])

    async def send(
        self, name: str, number: int, *, type_: str = "train", objects: int = 1, error: bool = False, follow: int | None = None
    ) -> str:
        """A reply of a run, and the first `follow` of its objects, or all. Returns the code of a refusal of the announcement, or an empty
        text."""
        pod = self.pod(name)
        asked = self.gate.admitted(pod) if pod else None
        if asked is None:
            return "NotAdmitted"
        contents = [f"{name} {number} {each}".encode() for each in range(objects)]
        decision = await self.traffic.check(asked, PUSH, reply(str(number), *contents, type_=type_, error=error), self.gate.judge(asked))
        if decision.code is None:
            for each in contents[:follow]:
                await self.traffic.check(asked, OBJECT, pushes(each), self.gate.judge(asked))
        return decision.code or ""

    def entries(self, *wanted: str) -> list[dict[str, Any]]:
        """Of the ledger, after each ε in it was reckoned again."""
        found = audited(checked(lines(self.folder), KEY.public_key()), Accounts())
        return [each for each in found if not wanted or each["kind"] in wanted]

    # --- the client of the gate -------------------------------------------------------------------------------------
    async def apply_status(self, body: Object) -> Object:
        found = self._found(body["metadata"]["namespace"], body["metadata"]["name"])
        return self._put(kinds.POD, {**found, "status": body["status"]})

    async def merge_patch(self, kind: kinds.Kind, namespace: str, name: str, patch: Object) -> Object:
        found = self._found(namespace, name)
        assert patch["metadata"]["uid"] == found["metadata"]["uid"]
        return self._put(kind, {**found, "spec": {**found["spec"], **patch["spec"]}})

    async def delete(self, kind: kinds.Kind, namespace: str, name: str, uid: str = "", grace: int | None = None) -> None:
        self.cache._feeds[kind].store.remove(Key(namespace, name))

    def _found(self, namespace: str, name: str) -> Object:
        found = self.cache.get(kinds.POD, namespace, name)
        assert found is not None
        return found

    def _put(self, kind: kinds.Kind, obj: Object) -> Object:
        self._version += 1
        obj = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self._version)}}
        self.cache._feeds[kind].store.put(obj)
        return obj
