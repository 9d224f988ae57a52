"""Applies the resources of a YAML file by server-side apply, as `kubectl apply --server-side` does."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import yaml

from panal.api.crd import HAS_ENDED
from panal.api.names import KIND
from panal.client.problem import Code, Problem
from panal.kube import kinds
from panal.kube.client import Client
from panal.kube.errors import Conflict, Invalid, NotFound
from panal.kube.kinds import kind_of
from panal.kube.objects import Object


def documents(file: str) -> list[Object]:
    """The objects in the file (`-` is standard input), of which at least one is a run. Raises Problem."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text()
        found = [document for document in yaml.safe_load_all(text) if document is not None]
    except OSError as error:
        raise Problem(Code.USAGE, f"{file} cannot be read: {error.strerror}", "Give the path of a YAML file with -f.") from error
    except RecursionError as error:
        raise Problem(Code.USAGE, f"{file} is nested too deeply", "Reduce the nesting.") from error
    except (yaml.YAMLError, ValueError) as error:
        raise Problem(Code.USAGE, f"{file} is not valid YAML: {error}", "Correct the file.") from error
    for number, document in enumerate(found, 1):
        _check(file, number, document)
    if not any(document["kind"] == KIND for document in found):
        raise Problem(Code.USAGE, f"{file} contains no {KIND}", "examples/mnist/hub/run.yaml is an example.")
    return found


def _check(file: str, number: int, document: object) -> None:
    if not isinstance(document, dict):
        raise Problem(Code.USAGE, f"{file}, document {number} is not an object with apiVersion and kind", "Correct the file.")
    for field in ("apiVersion", "kind"):
        if not isinstance(document.get(field), str):
            raise Problem(Code.USAGE, f"{file}, document {number}: {field} is missing", "Add it.")
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise Problem(Code.USAGE, f"{file}, document {number}: metadata.name is missing", "Give the resource a name.")
    if not isinstance(metadata.get("namespace", ""), str):
        raise Problem(Code.USAGE, f"{file}, document {number}: metadata.namespace is not a string", "Put it in quotes, or omit it.")
    try:
        msgspec.json.encode(document)
    except (RecursionError, TypeError, ValueError) as error:
        raise Problem(Code.USAGE, f"{file}, document {number}: cannot be converted to JSON: {error}", "Correct the file.") from error


async def apply(client: Client, found: list[Object], namespace: str | None, create_namespace: bool) -> list[Object]:
    """Applies the objects. Returns the runs among them as the API server returns them."""
    for document in found:
        if kind_of(document).namespaced:
            _place(document, namespace, client.namespace)
    if create_namespace:
        for name in sorted({d["metadata"]["namespace"] for d in found if "namespace" in d["metadata"]}):
            await client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return [made for document in found if (made := await _apply(client, document))["kind"] == KIND]


def _place(document: Object, given: str | None, default: str) -> None:
    own = document["metadata"].get("namespace")
    if given and own and own != given:
        message = f"{document['kind']} {document['metadata']['name']} has the namespace {own}, but -n is {given}"
        raise Problem(Code.USAGE, message, "Omit one of them.")
    document["metadata"]["namespace"] = own or given or default


async def _apply(client: Client, document: Object) -> Object:
    """Raises Problem if another field manager has set a field to another value, or a run has ended with another spec."""
    try:
        return await client.apply(document, force=False)
    except Conflict as error:
        remedy = "Change it with the tool that set it, or delete the resource and apply it again."
        raise Problem(Code.REFUSED, f"{document['metadata']['name']}: {error.message}", remedy) from error
    except Invalid as error:
        if HAS_ENDED not in error.message:
            raise
        name, of = document["metadata"]["name"], document["metadata"]["namespace"]
        remedy = f"Give the new run another name, so that the two can be compared, or delete this one first: `panal delete {name} -n {of}`."
        raise Problem(Code.REFUSED, error.message, remedy) from error
    except NotFound as error:
        name = document["metadata"].get("namespace", "")
        if name and not await _exists(client, name):
            message = f"the namespace {name} does not exist"
            raise Problem(Code.NOT_FOUND, message, "Add --create-namespace, or give another namespace with -n.") from error
        raise


async def _exists(client: Client, namespace: str) -> bool:
    try:
        await client.get(kinds.NAMESPACE, "", namespace)
    except NotFound:
        return False
    return True
