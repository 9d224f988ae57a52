"""Making a manifest so on the cluster, by its update strategy, and taking away what was applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from panal.kube.client import Client
from panal.kube.errors import AlreadyExists, ApiError, Conflict, NotFound, TooManyRequests, Unauthorized, Unavailable
from panal.kube.kinds import Kind
from panal.kube.objects import Object, key_of, owner_uids, version_of
from panal_local.ocm.conditions import Condition, said
from panal_local.ocm.works import Manifest, Resource

MANAGER = "work-agent"
DONE = said("Applied", True, "AppliedManifestComplete", "Apply manifest complete")
_LATER = (Unauthorized, TooManyRequests, Unavailable)  # says nothing about the manifest
_IGNORE = "Failed to process ignoreFields: the local platform does not know them"


class Discovery:
    """The kinds that the cluster knows. What is not known is asked for each time: a CRD may have come."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[tuple[str, str], Kind] = {}

    async def find(self, api_version: str, kind: str) -> Kind | None:
        if (api_version, kind) not in self._known:
            try:
                found = await self._client.kinds_of(api_version)
            except NotFound:
                return None
            self._known |= {(api_version, each.kind): each for each in found}
        return self._known.get((api_version, kind))


class Applier:
    """`client` writes as the field manager `work-agent`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def apply(self, manifest: Manifest, owner: Object, again: bool) -> Condition:
        """What is said of it then. With `again`, the manifest is as it was when it was applied with success: only drift is mended.
        Raises what is no answer to this manifest: the server is away, or somebody else wrote meanwhile."""
        if manifest.strategy == "ReadOnly":
            return DONE
        if manifest.kind is None:
            return _failed(f'the server doesn\'t have a resource type "{manifest.object.get("kind", "")}"')
        if not manifest.name:
            return _failed("metadata.name is missing")
        if manifest.kind.namespaced and not manifest.namespace:
            return _failed("an empty namespace may not be set during creation")
        try:
            return await self._by_strategy(manifest, manifest.kind, owner, again)
        except _LATER:
            raise
        except Conflict as error:
            if manifest.strategy != "ServerSideApply" and not isinstance(error, AlreadyExists):
                raise
            return _failed(error.message)
        except ApiError as error:
            return _failed(error.message)

    async def _by_strategy(self, manifest: Manifest, kind: Kind, owner: Object, again: bool) -> Condition:
        if manifest.strategy == "ServerSideApply":
            return await self._server_side(manifest, kind, owner)
        live = await self.get(kind, manifest.namespace, manifest.name)
        if live is None:
            await self._client.create(with_owner(manifest.object, owner, manifest.orphan), kind)
        elif manifest.strategy == "CreateOnly":
            await self._own(kind, live, owner, manifest.orphan)
        else:
            await self._update(kind, live, manifest, owner, again)
        return DONE

    async def _server_side(self, manifest: Manifest, kind: Kind, owner: Object) -> Condition:
        option = (manifest.options["updateStrategy"]).get("serverSideApply") or {}
        if option.get("ignoreFields"):
            return said("Applied", False, "AppliedManifestSSAIgnoreFieldError", _IGNORE)
        client = self._client.managing(option.get("fieldManager") or MANAGER)
        await client.apply(with_owner(manifest.object, owner, manifest.orphan), force=bool(option.get("force")), kind=kind)
        return DONE

    async def _update(self, kind: Kind, live: Object, manifest: Manifest, owner: Object, again: bool) -> None:
        wanted = updated(live, manifest.object, owner, manifest.orphan)
        metadata_same = wanted["metadata"] == live["metadata"]
        if metadata_same and (wanted == live or (again and covers(live, manifest.object))):
            return
        await self._client.replace(wanted, kind=kind)

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        try:
            return await self._client.get(kind, namespace, name)
        except NotFound:
            return None

    async def _own(self, kind: Kind, live: Object, owner: Object, orphan: bool) -> None:
        references = owners(live, owner, orphan)
        if references != (live["metadata"].get("ownerReferences") or []):
            metadata = {"resourceVersion": version_of(live), "ownerReferences": references}
            await self._client.merge_patch(kind, *key_of(live), {"metadata": metadata})

    # --- taking away ----------------------------------------------------------------------------------------------
    async def release(self, resource: Resource, owner: Object, orphan: bool) -> bool:
        """Whether nothing of ours holds it any more: it is gone, is another, has other owners, or is to stay. False: look again."""
        live = await self.get(resource.kind, resource.namespace, resource.name)
        if live is None or live["metadata"]["uid"] != resource.uid or owner["uid"] not in owner_uids(live):
            return True
        others = [o for o in live["metadata"]["ownerReferences"] if o["kind"] == "AppliedManifestWork" and o["uid"] != owner["uid"]]
        if orphan or others:
            await self._own(resource.kind, live, owner, orphan=True)
            return True
        if not live["metadata"].get("deletionTimestamp"):
            await self._client.delete(resource.kind, resource.namespace, resource.name, resource.uid)
        return False


def _failed(why: str) -> Condition:
    return said("Applied", False, "AppliedManifestFailed", f"Failed to apply manifest: {why}")


def owners(obj: Object, owner: Object, orphan: bool) -> list[Object]:
    """Those of others stay, each in its place: two works that share an object must not take turns."""
    present = obj["metadata"].get("ownerReferences") or []
    if orphan:
        return [o for o in present if o["uid"] != owner["uid"]]
    return present if any(o["uid"] == owner["uid"] for o in present) else [*present, owner]


def with_owner(manifest: Object, owner: Object, orphan: bool) -> Object:
    references = owners(manifest, owner, orphan)
    return manifest | {"metadata": manifest["metadata"] | ({"ownerReferences": references} if references else {})}


def updated(live: Object, manifest: Object, owner: Object, orphan: bool) -> Object:
    """`live` with everything as the manifest has it; labels and annotations of others stay."""
    metadata = dict(live["metadata"])
    for part in ("labels", "annotations"):
        if given := manifest["metadata"].get(part):
            metadata[part] = {**(metadata.get(part) or {}), **given}
    references = owners(live, owner, orphan)
    if references != (metadata.get("ownerReferences") or []):
        metadata["ownerReferences"] = references
    rest = {key: value for key, value in manifest.items() if key not in ("apiVersion", "kind", "metadata", "status")}
    return live | rest | {"metadata": metadata}


def covers(live: Any, wanted: Any) -> bool:
    """Whether everything wanted is there, beside what a server adds."""
    match wanted:
        case Mapping():
            return isinstance(live, Mapping) and all(covers(live.get(key), value) for key, value in wanted.items() if key != "status")
        case str() | bytes():
            return bool(live == wanted)
        case Sequence():
            return isinstance(live, Sequence) and len(live) == len(wanted) and all(map(covers, live, wanted))
    return bool(live == wanted)
