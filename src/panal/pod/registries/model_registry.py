"""A version of a registered model in a Kubeflow Model Registry, by its REST API.

The registry keeps no files: the version's artifact says where the model is stored. Registered model, version and artifact are created one
after the other, each in one request with all of its properties. The registry refuses a second one of the same name below the same parent,
and the version's name is that of the run with the model's digest and the run's uid: a Job that was killed at any moment finds what is
there, creates what is missing, and never makes a second version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from panal.api.names import MODEL_REGISTRY_TOKEN
from panal.api.status import PublishedModelRegistry
from panal.pod.registries.lineage import IDENTITY, lineage, metrics, round_of
from panal.pod.registries.packing import listed
from panal.pod.tracking.server import Server, ServerError, parsed, refusal

WHERE = "spec.publish.modelRegistry"
API = "api/model_registry"
VERSIONS = ("v1alpha3", "v1")  # of the API. What is used of it has the same form in both
PAGE = "20"  # entities in an answer, for registries that do not know filterQuery
LONGEST_NAME = 255  # characters of a property's name
FORMATS = {  # names and versions of formats, as KServe's runtimes have them, by suffix
    ".onnx": ("onnx", "1"), ".ubj": ("xgboost", "1"), ".pt": ("pytorch", "1"), ".safetensors": ("safetensors", ""),
}  # fmt: skip


class ModelRegistry:
    """`content` is what the controller says (`lifecycle.publication`)."""

    key = "modelRegistry"

    def __init__(self, content: Mapping[str, Any], credentials: Mapping[str, str]) -> None:
        self.content, self.wanted = content, content[self.key]
        token = credentials.get(MODEL_REGISTRY_TOKEN, "").strip()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.api = ""  # where the API is, once it was asked for
        self.server = Server(f"{WHERE}.uri", self.wanted["uri"], self.wanted["authorities"], self.wanted["bundle"], headers)

    async def register(self, model: Path, metadata: Mapping[str, Any], scratch: Path) -> PublishedModelRegistry:
        """The version, new or known. `model` is the model's file, beside which the exported files are. Raises ServerError."""
        try:
            return await self._register(model, metadata)
        except (KeyError, TypeError, AttributeError) as error:
            raise self._none_there() from error

    async def _register(self, model: Path, metadata: Mapping[str, Any]) -> PublishedModelRegistry:
        name, run = self.wanted["name"], self.content["run"]
        registered = await self._ensure("registered_models", {"name": name, "state": "LIVE"})
        if registered.get("state") == "ARCHIVED":
            raise ServerError(f"{WHERE}.name: the registered model {name} is archived; restore it, or give another name", final=True)
        origin = lineage(run, self.content["about"], metadata)
        properties = custom_properties(origin, metrics(metadata))
        version = await self._ensure(
            f"registered_models/{registered['id']}/versions",
            {
                "name": version_name(run["name"], origin),
                "registeredModelId": registered["id"],
                "externalId": ":".join(origin[each] for each in IDENTITY),
                "description": f"Model of {run['namespace']}/{run['name']} after round {round_of(metadata)}",
                "author": "panal",
                "state": "LIVE",
                "customProperties": properties,
            },
        )
        kept = version.get("customProperties") or {}
        if any((kept.get(each) or {}).get("string_value") != origin[each] for each in IDENTITY):
            raise ServerError(f"{WHERE}.name: {name} has a version {version['name']} of another origin; give another name", final=True)
        stored = {"uri": self.wanted["export"] or self.wanted["model"], **model_format(self._files(model))}
        artifact = {"artifactType": "model-artifact", "name": name, "state": "LIVE", "customProperties": properties, **stored}
        await self._ensure(f"model_versions/{version['id']}/artifacts", artifact)
        return self._published(str(version["name"]), str(version["id"]))

    def _files(self, model: Path) -> Sequence[str]:
        """Those at the URI of the artifact."""
        listing = listed(model.parent) if self.wanted["export"] else None
        return [each.name for each in listing.files] if listing else [model.name]

    def _published(self, version: str, number: str) -> PublishedModelRegistry:
        name, host = self.wanted["name"], urlsplit(self.wanted["uri"]).netloc
        return PublishedModelRegistry(name=name, version=version, id=number, uri=f"model-registry://{host}/{name}/{version}")

    # --- requests -----------------------------------------------------------------------------------------------
    async def _ensure(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The entity of that name, new or known."""
        known = await self._find(path, body["name"])
        if known is not None:
            return known
        try:
            return await self._ask("POST", path, json=body)
        except ServerError as error:
            known = await self._find(path, body["name"]) if error.code == "Conflict" else None
            if known is None:
                raise
            return known

    async def _find(self, path: str, name: str) -> Mapping[str, Any] | None:
        """By its exact name: the registry's own search by name takes _ and % as wildcards."""
        query = {"filterQuery": f"name = '{name}'", "pageSize": PAGE}
        while True:
            found = await self._ask("GET", path, params=query)
            for each in found["items"]:
                if each["name"] == name:
                    return dict(each)
            if not (token := str(found.get("nextPageToken") or "")):
                return None
            query["nextPageToken"] = token

    async def _ask(self, method: str, path: str, **what: Any) -> dict[str, Any]:
        self.api = self.api or await self._api()
        status, text = await self.server.request(method, f"{self.api}/{path}", **what)
        body = parsed(text)
        if status in (200, 201) and isinstance(body, dict):
            return body
        if status in (200, 201, 404):
            raise self._none_there()
        code, why = (str(body.get(key) or "") for key in ("code", "message")) if isinstance(body, dict) else ("", text.strip())
        raise refusal(WHERE, self.wanted["secret"], status, code, why)

    async def _api(self) -> str:
        for version in VERSIONS:
            status, _ = await self.server.request("GET", f"{API}/{version}/registered_models", params={"pageSize": "1"})
            if status != 404:
                return f"{API}/{version}"
        raise self._none_there()

    def _none_there(self) -> ServerError:
        why = f"{self.server.address} does not answer as a Model Registry does; give the URL of its REST API, without /api/model_registry"
        return ServerError(f"{WHERE}.uri: {why}", final=True)


def version_name(run: str, origin: Mapping[str, str]) -> str:
    """Of the run's name, and the beginnings of the model's digest and of the run's uid: another run of that name is another version."""
    uid, digest = (origin[each] for each in IDENTITY)
    return f"{run}-{digest.rpartition(':')[2][:8]}-{uid[:8]}"


def custom_properties(origin: Mapping[str, str], numbers: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    texts = {name: {"metadataType": "MetadataStringValue", "string_value": value} for name, value in origin.items()}
    doubles = {
        name[:LONGEST_NAME]: {"metadataType": "MetadataDoubleValue", "double_value": float(value)}
        for name, value in numbers.items()
        if name
    }
    return {**doubles, **texts}


def model_format(files: Sequence[str]) -> dict[str, str]:
    """Of the first file whose format is known."""
    suffixes = (PurePosixPath(each).suffix.lower() for each in files)
    name, version = next((FORMATS[each] for each in suffixes if each in FORMATS), ("", ""))
    found = {"modelFormatName": name, "modelFormatVersion": version}
    return {key: value for key, value in found.items() if value}
