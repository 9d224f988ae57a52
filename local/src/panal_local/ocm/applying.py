"""Applies manifests to the cluster by their update strategy, and removes applied objects."""

from __future__ import annotations

from panal.kube.client import Client
from panal.kube.errors import ApiError, Conflict, NotFound, TooManyRequests, Unauthorized, Unavailable
from panal.kube.kinds import Kind
from panal.kube.objects import Object, key_of, owner_uids, version_of
from panal_local.ocm.conditions import Condition, new_condition
from panal_local.ocm.works import Manifest, Resource

MANAGER = "work-agent"
DONE = new_condition("Applied", True, "AppliedManifestComplete", "Apply manifest complete")
KNOWN = ("Update", "CreateOnly", "ReadOnly")
RETRIABLE = (Conflict, Unauthorized, TooManyRequests, Unavailable)  # not caused by the manifest


class Discovery:
    """The kinds that the cluster serves. An unknown kind is looked up each time, since a CRD may have been created."""

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
    """`client` must use the field manager `work-agent`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def apply(self, manifest: Manifest, owner: Object) -> Condition:
        """Applies the manifest and returns its condition Applied. Raises ApiError for errors with another cause, such as a
        conflict or an unavailable API server."""
        if manifest.strategy not in KNOWN:
            return _failed(f"updateStrategy {manifest.strategy} is not known to the local platform, which knows {', '.join(KNOWN)}")
        if manifest.strategy == "ReadOnly":
            return DONE
        if manifest.kind is None:
            return _failed(f'the server doesn\'t have a resource type "{manifest.object.get("kind", "")}"')
        if not manifest.name:
            return _failed("metadata.name is missing")
        if manifest.kind.namespaced and not manifest.namespace:
            return _failed("an empty namespace may not be set during creation")
        try:
            await self._write(manifest, manifest.kind, owner)
        except RETRIABLE:
            raise
        except ApiError as error:
            return _failed(error.message)
        return DONE

    async def _write(self, manifest: Manifest, kind: Kind, owner: Object) -> None:
        """Update is a server-side apply, which keeps the fields of other managers."""
        wanted = with_owner(manifest.object, owner, manifest.orphan)
        if manifest.strategy == "Update":
            await self._client.apply(wanted, kind=kind)
        elif live := await self.get(kind, manifest.namespace, manifest.name):
            await self._own(kind, live, owner, manifest.orphan)
        else:
            await self._client.create(wanted, kind)

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

    # --- removal ------------------------------------------------------------------------------------------------
    async def release(self, resource: Resource, owner: Object, orphan: bool) -> bool:
        """Deletes the object, or only the reference to `owner` if it is orphaned or has other owners. False while the object exists."""
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
    return new_condition("Applied", False, "AppliedManifestFailed", f"Failed to apply manifest: {why}")


def owners(obj: Object, owner: Object, orphan: bool) -> list[Object]:
    """The object's owner references, with or without `owner`. Others keep their positions, so that works with a common object do not
    alternate."""
    present = obj["metadata"].get("ownerReferences") or []
    if orphan:
        return [o for o in present if o["uid"] != owner["uid"]]
    return present if any(o["uid"] == owner["uid"] for o in present) else [*present, owner]


def with_owner(manifest: Object, owner: Object, orphan: bool) -> Object:
    references = owners(manifest, owner, orphan)
    return manifest | {"metadata": manifest["metadata"] | ({"ownerReferences": references} if references else {})}
